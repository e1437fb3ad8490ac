//! Segments: every value comes back as it was, whatever it is, and no flipped bit goes unnoticed.

use flagscope_core::frozen::{COLUMNS, Column, Kind, MOST_ROWS, Rows, Segment, Value};
use proptest::collection::vec;
use proptest::prelude::*;

/// A value of its own, as a test holds it.
#[derive(Debug, Clone, PartialEq)]
enum Held {
    Long(i64),
    Bits(u64),
    Small(i32),
    Truth(bool),
    Bytes(Vec<u8>),
}

fn held(value: Value) -> Held {
    match value {
        Value::Long(value) => Held::Long(value),
        Value::Float(value) => Held::Bits(value.to_bits()),
        Value::Small(value) => Held::Small(value),
        Value::Truth(value) => Held::Truth(value),
        Value::Bytes(value) => Held::Bytes(value.to_vec()),
    }
}

fn given(held: &Held) -> Value<'_> {
    match held {
        Held::Long(value) => Value::Long(*value),
        Held::Bits(bits) => Value::Float(f64::from_bits(*bits)),
        Held::Small(value) => Value::Small(*value),
        Held::Truth(value) => Value::Truth(*value),
        Held::Bytes(value) => Value::Bytes(value),
    }
}

/// Any value of a kind, often one of few.
fn of_kind(kind: Kind) -> BoxedStrategy<Held> {
    match kind {
        Kind::Time => any::<i64>().prop_map(Held::Long).boxed(),
        Kind::Float => prop_oneof![
            any::<u64>().prop_map(Held::Bits), // every NaN, too
            prop::sample::select(vec![0.0, -0.0, 1.5, f64::NAN, -f64::NAN, f64::INFINITY])
                .prop_map(|value: f64| Held::Bits(value.to_bits())),
        ]
        .boxed(),
        Kind::Small => any::<i16>().prop_map(|value| Held::Small(value.into())).boxed(),
        Kind::Truth => any::<bool>().prop_map(Held::Truth).boxed(),
        Kind::Uuid => prop_oneof![any::<[u8; 16]>(), Just([7; 16])].prop_map(|id| Held::Bytes(id.to_vec())).boxed(),
        Kind::Text | Kind::Json | Kind::Bytes => {
            prop_oneof![vec(any::<u8>(), 0..40), Just(Vec::new()), Just(b"GET /cart".to_vec())]
                .prop_map(Held::Bytes)
                .boxed()
        }
    }
}

fn row() -> impl Strategy<Value = Vec<Option<Held>>> {
    COLUMNS
        .iter()
        .map(|column| {
            let value = of_kind(column.kind);
            if column.is_required { value.prop_map(Some).boxed() } else { prop::option::of(value).boxed() }
        })
        .collect::<Vec<_>>()
}

fn segment(rows: &[Vec<Option<Held>>]) -> Segment {
    let mut gathered = Rows::default();
    for row in rows {
        for (column, value) in row.iter().enumerate() {
            gathered.push(column, value.as_ref().map(given)).expect("a value of its kind");
        }
    }
    gathered.freeze().expect("a segment")
}

/// `n` rows of a shop: two services, a trace of four rows, a subject for every second trace.
fn shop(n: usize) -> Vec<Vec<Option<Held>>> {
    let bytes = |text: String| Some(Held::Bytes(text.into_bytes()));
    (0..n)
        .map(|i| {
            let mut row = vec![None; COLUMNS.len()];
            let mut set = |name: &str, value| row[Column::place(name).expect("a column")] = value;
            set("ts", Some(Held::Long(1_000_000 * i as i64)));
            set("signal", bytes("span".to_owned()));
            set("name", bytes(format!("GET /{}", i % 5)));
            set("value", Some(Held::Bits((i as f64 / 7.0).to_bits())));
            set("service", bytes(["cart", "pay"][i % 2].to_owned()));
            set("trace_id", Some(Held::Bytes(((i / 4) as u128).to_be_bytes().to_vec())));
            set("subject", (i / 4 % 2 == 0).then(|| Held::Bytes(format!("user-{}", i / 8).into_bytes())));
            row
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn every_value_comes_back(rows in vec(row(), 1..60)) {
        let segment = segment(&rows);
        segment.head().check().expect("a whole head");
        let file = segment.head().open(segment.parquet.clone()).expect("a whole file");
        prop_assert_eq!(file.rows(), rows.len());
        for column in 0..COLUMNS.len() {
            let read = file.column(column).expect("a column").expect("is there");
            for (place, row) in rows.iter().enumerate() {
                prop_assert_eq!(read.get(place).map(held), row[column].clone());
            }
        }
        let times: Vec<_> = rows.iter().filter_map(|row| row[0].clone()).collect();
        prop_assert!(times.iter().all(|at| matches!(at, Held::Long(at) if segment.first <= *at && *at <= segment.last)));
    }
}

#[test]
fn no_flipped_bit_goes_unnoticed() {
    let whole = segment(&shop(40));
    for bit in 0..whole.parquet.len() * 8 {
        let mut file = whole.parquet.clone();
        file[bit / 8] ^= 1 << (bit % 8);
        assert!(whole.head().open(file).is_err(), "bit {bit} of the file");
    }
    for cut in 0..whole.parquet.len() {
        assert!(whole.head().open(whole.parquet[..cut].to_vec()).is_err(), "file cut at {cut}");
    }
    type Change = fn(&mut Segment, usize);
    let changes: [(Change, usize); 6] = [
        (|segment, bit| segment.rows ^= 1 << bit, 32),
        (|segment, bit| segment.first ^= 1 << bit, 64),
        (|segment, bit| segment.last ^= 1 << bit, 64),
        (|segment, bit| segment.traces[bit / 8] ^= 1 << (bit % 8), whole.traces.len() * 8),
        (|segment, bit| segment.subjects[bit / 8] ^= 1 << (bit % 8), whole.subjects.len() * 8),
        (|segment, bit| segment.seal[bit / 8] ^= 1 << (bit % 8), 128),
    ];
    for (which, (change, bits)) in changes.into_iter().enumerate() {
        for bit in 0..bits {
            let mut changed = whole.clone();
            change(&mut changed, bit);
            assert!(changed.head().check().is_err(), "change {which}, bit {bit}");
        }
    }
}

#[test]
fn filters_know_what_is_there_and_nearly_always_what_is_not() {
    let segment = segment(&shop(8_000));
    let head = segment.head();
    assert!((0..2_000_u128).all(|trace| head.may_have_trace(&trace.to_be_bytes())));
    assert!((0..1_000).all(|subject| head.may_have_subject(format!("user-{subject}").as_bytes())));
    let wrong = (2_000..12_000_u128).filter(|trace| head.may_have_trace(&trace.to_be_bytes())).count();
    assert!(wrong < 200, "{wrong} of 10,000 traces that are not there"); // at most 1 % by design, as powers of two mostly less
    assert!(head.may_have_time(-5, 0) && head.may_have_time(7_999_000_000, i64::MAX));
    assert!(!head.may_have_time(i64::MIN, -1) && !head.may_have_time(7_999_000_001, i64::MAX));
}

#[test]
fn a_segment_without_traces_has_none() {
    let mut rows = shop(4);
    rows.iter_mut().for_each(|row| row[Column::place("trace_id").expect("a column")] = None);
    let segment = segment(&rows);
    assert!(segment.traces.is_empty() && !segment.head().may_have_trace(&[0; 16]));
    segment.head().check().expect("a whole head");
}

#[test]
fn a_segment_is_full_at_its_rows_or_bytes() {
    let mut rows = Rows::default();
    assert!(rows.is_empty());
    let mut added = 0;
    for row in shop(MOST_ROWS) {
        assert!(!rows.is_full());
        for (column, value) in row.iter().enumerate() {
            rows.push(column, value.as_ref().map(given)).expect("a value");
        }
        added += 1;
    }
    assert!(rows.is_full() && added == MOST_ROWS);
    let mut long = Rows::default();
    long.push(0, Some(Value::Long(0))).expect("a time");
    long.push(2, Some(Value::Bytes(&vec![b'x'; 25 << 20]))).expect("a name");
    assert!(long.is_full());
}

#[test]
fn a_value_of_another_kind_is_refused() {
    let mut rows = Rows::default();
    assert!(rows.push(0, Some(Value::Truth(true))).is_err());
    assert!(rows.push(11, Some(Value::Bytes(&[1, 2, 3]))).is_err(), "a uuid has 16 bytes");
}

//! What must hold for every state: merging in any order, both written forms, and no panic on any bytes.

use flagscope_core::Kind;
use flagscope_core::sketch::histogram::Tally;
use flagscope_core::sketch::{Accumulate, Histogram, Moments, Ratio, Sketch, TDigest};
use proptest::collection::vec;
use proptest::prelude::*;

/// Values of all sizes and both signs, with a few zeros and invalid ones.
fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        6 => 1e-6..1e6,
        2 => -1e3..1e3,
        1 => any::<f64>(),
        1 => prop::sample::select(vec![0.0, -0.0, 1.0, -4.0, 1e-310, f64::MAX, f64::MIN, f64::INFINITY, f64::NAN]),
    ]
}

fn moments(xs: &[f64]) -> Moments {
    let mut state = Moments::default();
    xs.iter().for_each(|x| state.push(*x));
    state
}

fn histogram(xs: &[f64], scale: i32) -> Histogram {
    let mut state = Histogram::new(scale).expect("a scale");
    xs.iter().for_each(|x| state.push(*x));
    state
}

fn digest(xs: &[f64]) -> TDigest {
    let mut state = TDigest::new(20).expect("a compression");
    xs.iter().for_each(|x| state.push(*x));
    state
}

/// Pairs of neighbours as units.
fn ratio(xs: &[f64]) -> Ratio {
    let mut state = Ratio::default();
    xs.windows(2).for_each(|pair| state.push(pair[0], pair[1]));
    state
}

fn merged<S: Sketch>(a: &S, b: &S) -> S {
    let mut sum = a.clone();
    sum.merge(b).expect("few values");
    sum
}

/// Both forms give the state back.
fn written<S: Sketch + PartialEq + std::fmt::Debug>(state: &S) {
    assert_eq!(S::decode(&state.encode()).as_ref(), Ok(state));
    assert_eq!(S::from_text(&state.to_text()).as_ref(), Ok(state));
    assert_eq!(S::decode(&state.encode()).expect("a state").encode(), state.encode());
    let mut longer = state.encode();
    longer.push(0);
    assert_eq!(S::decode(&longer).map(|_| ()).unwrap_err().kind, Kind::InvalidBinary);
    for end in 0..longer.len() - 1 {
        assert!(S::decode(&longer[..end]).is_err(), "{state:?} cut at {end}");
    }
}

/// Any bytes are an error or a state that can be used and written.
fn read<S: Sketch + PartialEq + std::fmt::Debug>(bytes: &[u8], use_it: fn(&S)) {
    if let Ok(state) = S::decode(bytes) {
        use_it(&state);
        assert_eq!(state.encode(), bytes);
        written(&merged(&state, &state));
    }
}

fn use_histogram(h: &Histogram) {
    for p in [0.0, 0.5, 1.0] {
        assert_eq!(h.quantile(p).expect("a level").is_some(), h.count() > 0);
    }
    assert_eq!(h.count_above(i32::MIN), h.count());
    assert_eq!(h.buckets().iter().map(|b| b.2).sum::<u64>(), h.count());
}

fn use_digest(d: &TDigest) {
    for p in [0.0, 0.5, 1.0] {
        assert_eq!(d.quantile(p).expect("a level").is_some(), d.count() > 0);
    }
    assert_eq!(d.trimmed_mean(0.1, 0.9).expect("levels").is_some(), d.count() > 0);
}

fn use_ratio(r: &Ratio) {
    assert!(r.variance().is_none_or(|v| v >= 0.0) && r.design_effect().is_none_or(|e| e >= 1.0));
    assert!(r.value().is_none() || r.count() > 0);
}

fn near(a: Option<f64>, b: Option<f64>, scale: f64) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a == b || (a - b).abs() <= 1e-9 * scale,
        (a, b) => a == b,
    }
}

proptest! {
    // Half of proptest's default: every case reads every prefix of every form.
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn forms_give_the_state_back(xs in vec(value(), 0..120), scale in -10..=8) {
        written(&moments(&xs));
        written(&histogram(&xs, scale));
        written(&digest(&xs));
        written(&ratio(&xs));
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes in vec(any::<u8>(), 0..80)) {
        let mut versioned = bytes;
        versioned.insert(0, 1);
        read::<Moments>(&versioned, |_| ());
        read::<Histogram>(&versioned, use_histogram);
        read::<TDigest>(&versioned, use_digest);
        read::<Ratio>(&versioned, use_ratio);
    }

    /// One byte changed passes more checks than random bytes do.
    #[test]
    fn damaged_bytes_are_read_without_panic(xs in vec(value(), 0..30), at: prop::sample::Index, byte: u8) {
        let damage = |mut bytes: Vec<u8>| {
            let at = at.index(bytes.len());
            bytes[at] = byte;
            bytes
        };
        read::<Moments>(&damage(moments(&xs).encode()), |_| ());
        read::<Histogram>(&damage(histogram(&xs, 5).encode()), use_histogram);
        read::<TDigest>(&damage(digest(&xs).encode()), use_digest);
        read::<Ratio>(&damage(ratio(&xs).encode()), use_ratio);
    }

    #[test]
    fn any_text_is_read_without_panic(text in "\\PC*") {
        prop_assert!(Moments::from_text(&text).is_err());
        prop_assert!(Histogram::from_text(&text).is_err());
        prop_assert!(TDigest::from_text(&text).is_err());
        prop_assert!(Ratio::from_text(&text).is_err());
    }

    #[test]
    fn histograms_merge_in_any_order(
        a in vec(value(), 0..60), b in vec(value(), 0..60), c in vec(value(), 0..60), scales in (-2..=8, -2..=8),
    ) {
        let (x, y, z) = (histogram(&a, scales.0), histogram(&b, scales.1), histogram(&c, 5));
        let same = |p: &Histogram, q: &Histogram| {
            p.buckets() == q.buckets() && (p.invalid(), p.min(), p.max()) == (q.invalid(), q.min(), q.max())
        };
        prop_assert!(same(&merged(&x, &y), &merged(&y, &x)));
        prop_assert!(same(&merged(&merged(&x, &y), &z), &merged(&x, &merged(&y, &z))));
        let all = histogram(&[a, b, c].concat(), scales.0.min(scales.1).min(5));
        prop_assert!(same(&merged(&merged(&x, &y), &z), &all));
    }

    #[test]
    fn moments_merge_in_any_order(
        a in vec(-1e6..1e6, 0..60), b in vec(-1e6..1e6, 0..60), c in vec(-1e6..1e6, 0..60),
    ) {
        let (x, y, z) = (moments(&a), moments(&b), moments(&c));
        let all = moments(&[a, b, c].concat());
        for other in [merged(&merged(&x, &y), &z), merged(&x, &merged(&z, &y)), merged(&z, &merged(&x, &y))] {
            prop_assert_eq!((other.count(), other.min(), other.max()), (all.count(), all.min(), all.max()));
            prop_assert!(near(other.mean(), all.mean(), 1e6));
            prop_assert!(near(other.variance(), all.variance(), 1e12));
        }
    }

    #[test]
    fn ratios_merge_in_any_order(a in vec(-1e3..1e3, 0..60), b in vec(-1e3..1e3, 0..60), c in vec(-1e3..1e3, 0..60)) {
        let (x, y, z) = (ratio(&a), ratio(&b), ratio(&c));
        let all = merged(&merged(&x, &y), &z);
        for other in [merged(&x, &merged(&z, &y)), merged(&z, &merged(&x, &y)), merged(&merged(&y, &x), &z)] {
            prop_assert_eq!(other.count(), all.count());
            prop_assert!(near(other.mean_x(), all.mean_x(), 1e3) && near(other.mean_y(), all.mean_y(), 1e3));
            // The ratio itself has no bound: its denominators may sum to nearly nothing.
            let scale = all.mean_y().map_or(1.0, |y| (1e3 / y).powi(4).max(1.0));
            prop_assert!(near(other.variance(), all.variance(), 1e3 * scale));
        }
    }

    /// The aggregate's window of counters is the list of bins, whatever came and went.
    #[test]
    fn a_tally_is_a_histogram(xs in vec(value(), 0..300), scale in -10..=8, gone in 0..100_usize) {
        let mut tally = Tally::new(scale).expect("a scale");
        xs.iter().for_each(|x| tally.push(*x));
        prop_assert_eq!(tally.sketch().into_owned(), histogram(&xs, scale));
        let mut rest = xs;
        for i in (0..gone).rev().filter(|i| *i < rest.len()).collect::<Vec<_>>() {
            if tally.take_back(rest[i]) {
                rest.remove(i);
            }
        }
        let (got, want) = (tally.sketch().into_owned(), histogram(&rest, scale));
        prop_assert_eq!(got.buckets(), want.buckets());
        prop_assert_eq!((got.invalid(), got.count(), got.min(), got.max()), (want.invalid(), want.count(), want.min(), want.max()));
        tally.absorb(&histogram(&rest, 0)).expect("few values");
        prop_assert_eq!(tally.sketch().buckets(), merged(&want, &histogram(&rest, 0)).buckets());
    }

    #[test]
    fn otlp_gives_the_histogram_back(xs in vec(1e-3..1e3, 0..80), more in vec(-10.0..0.0, 0..5), zeros in 0..3_usize, scale in -10..=8) {
        let all = [xs, more, std::vec![0.0; zeros]].concat();
        let state = histogram(&all, scale);
        prop_assert_eq!(Histogram::from_otlp(&state.to_otlp()), Ok(state));
    }

    #[test]
    fn ranks_and_trimmed_means_stay_within(xs in vec(value(), 1..200), x in value(), p in 0.0..0.5) {
        let h = histogram(&xs, 5);
        if x.is_finite() && let (Some(min), Some(max)) = (h.min(), h.max()) {
            let rank = h.rank(x).unwrap().unwrap();
            let exact = xs.iter().filter(|y| y.is_finite() && **y <= x).count() as f64;
            let bin = xs.iter().filter(|y| h.key(**y).is_some() && h.key(**y) == h.key(x)).count() as f64;
            prop_assert!((rank * h.count() as f64 - exact).abs() <= bin + 1e-6, "{} {} {}", rank, exact, bin);
            let mean = h.trimmed_mean(p, 1.0 - p / 2.0).unwrap().unwrap();
            prop_assert!(mean >= min && mean <= max);
            let (low, high) = h.quantile_interval(p, 0.9).unwrap();
            let q = h.quantile(p).unwrap().unwrap();
            prop_assert!(low.is_none_or(|low| low <= q) && high.is_none_or(|high| high >= q), "{:?} {} {:?}", low, q, high);
        }
    }

    #[test]
    fn digests_merge(a in vec(value(), 0..300), b in vec(value(), 0..300)) {
        let (x, y) = (digest(&a), digest(&b));
        let (sum, other) = (merged(&x, &y), merged(&y, &x));
        prop_assert_eq!(&sum, &other);
        prop_assert_eq!(sum.count(), x.count() + y.count());
        prop_assert_eq!(sum.invalid(), x.invalid() + y.invalid());
        written(&sum);
    }

    #[test]
    fn quantiles_are_monotone_and_within_the_extremes(xs in vec(value(), 1..300), ps in vec(0.0..=1.0, 2..20)) {
        let (h, d) = (histogram(&xs, 5), digest(&xs));
        let mut ps = ps;
        ps.extend([0.0, 1.0]);
        ps.sort_by(f64::total_cmp);
        let of_histogram: Vec<_> = ps.iter().map(|p| h.quantile(*p).unwrap()).collect();
        let of_digest: Vec<_> = ps.iter().map(|p| d.quantile(*p).unwrap()).collect();
        for answers in [of_histogram, of_digest] {
            prop_assert!(answers.is_sorted(), "{:?}", answers);
            prop_assert!(answers.iter().all(|q| q.is_none_or(|q| Some(q) >= h.min() && Some(q) <= h.max())));
        }
    }

    /// The bin of a quantile holds the value of that rank, and the counts above it are exact.
    #[test]
    fn a_quantile_is_the_bin_of_its_rank(xs in vec(value(), 1..200), p in 0.0..=1.0) {
        let h = histogram(&xs, 5);
        let mut finite: Vec<f64> = xs.into_iter().filter(|x| x.is_finite()).collect();
        finite.sort_by(f64::total_cmp);
        prop_assert_eq!(h.count(), finite.len() as u64);
        if let Some(key) = h.quantile_bin(p).unwrap() {
            let exact = finite[(p * (finite.len() - 1) as f64) as usize];
            prop_assert_eq!(h.key(exact), Some(key));
            let above = finite.iter().filter(|x| h.key(**x) > Some(key)).count();
            prop_assert_eq!(h.count_above(key), above as u64);
            if exact.abs() >= f64::MIN_POSITIVE {
                prop_assert!((h.quantile(p).unwrap().unwrap() / exact - 1.0).abs() < 0.0109);
            }
        }
    }
}

/// A point with two values in one bucket and no extremes is a state that can be written and read, at every scale and at
/// both ends of the doubles.
#[test]
fn points_without_extremes_are_states() {
    use serde_json::json;
    for scale in -10..=20_i32 {
        let index = |exponent: f64| (exponent * 2_f64.powi(scale)).ceil() as i64 - 1;
        // The least subnormal and normal numbers, 1 and what is next to it, and the largest number.
        for offset in [index(-1074.0), index(-1022.5), index(-1022.0), index(-1022.0) + 1, -1, 0, index(1024.0)] {
            for (side, sign) in [("positive", 1.0), ("negative", -1.0)] {
                let point = json!({"count": 2, "scale": scale, side: {"offset": offset, "bucketCounts": [2]}});
                let state = Histogram::from_otlp(&point).unwrap_or_else(|error| panic!("{point}: {error}"));
                written(&state);
                let (min, max) = (state.min().unwrap(), state.max().unwrap());
                assert!(
                    state.count() == 2 && min <= max && (min == 0.0 || min.signum() == sign),
                    "{point}: {min} {max}"
                );
                assert!(state.trimmed_mean(0.1, 0.9).unwrap().is_some_and(f64::is_finite));
                assert_eq!(Histogram::from_otlp(&state.to_otlp()), Ok(state));
            }
        }
        let beyond = json!({"scale": scale, "positive": {"offset": index(1024.0) + 1, "bucketCounts": [2]}});
        assert!(Histogram::from_otlp(&beyond).is_err());
    }
}

#[test]
fn points_have_names_and_numbers_in_either_form() {
    use serde_json::json;
    let camel = json!({"count": "3", "scale": 2, "zeroCount": "1", "positive": {"offset": 3, "bucketCounts": ["2"]},
        "sum": 3.75, "min": 0, "max": 1.9});
    let snake = json!({"count": 3, "scale": "2", "zero_count": 1, "positive": {"offset": "3", "bucket_counts": [2]},
        "sum": "3.75", "min": "0", "max": "1.9"});
    let state = Histogram::from_otlp(&camel).unwrap();
    assert_eq!((state.count(), state.zero(), state.sum()), (3, 1, Some(3.75)));
    assert_eq!(Histogram::from_otlp(&snake), Ok(state));
    // What is no number is as good as left out; but it must be a number's name.
    let odd = |key: &str, value: &str| {
        let mut point = json!({"scale": 0, "positive": {"bucketCounts": [1, 1]}});
        point[key] = json!(value);
        Histogram::from_otlp(&point)
    };
    let plain = Histogram::from_otlp(&json!({"scale": 0, "positive": {"bucketCounts": [1, 1]}}));
    for (key, value) in [("sum", "NaN"), ("min", "-Infinity"), ("max", "Infinity")] {
        assert_eq!(odd(key, value), plain);
    }
    let refused = odd("sum", &"x".repeat(500)).unwrap_err().message;
    assert!(refused.starts_with("not an exponential histogram: \"sum\" is no number, got") && refused.len() < 150);
    // Extremes in one bucket must be in order: no such state could be read again.
    let crossed = json!({"scale": 0, "positive": {"bucketCounts": [2]}, "min": 1.9, "max": 1.1});
    let reason = Histogram::from_otlp(&crossed).unwrap_err().message;
    assert!(reason.ends_with("\"min\" is above \"max\", got \"1.9\" and \"1.1\""), "{reason}");
}

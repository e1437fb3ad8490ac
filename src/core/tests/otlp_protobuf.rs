//! OTLP's protobuf: the same rows as OTLP/JSON, and what broken and hostile bytes cost.
//!
//! The samples were encoded by Google's own protobuf library from the JSON beside them (tests/data/otlp/README.md).

use flagscope_core::otlp::{Account, Request, Row, decode, pack, read_json, read_protobuf, unpack};
use flagscope_core::protobuf::{put_bytes, put_varint};

const SAMPLES: [(Request, &str, &[u8]); 4] = [
    (
        Request::Traces,
        include_str!("../../../tests/data/otlp/traces.jsonl"),
        include_bytes!("../../../tests/data/otlp/traces.pb"),
    ),
    (
        Request::Logs,
        include_str!("../../../tests/data/otlp/logs.jsonl"),
        include_bytes!("../../../tests/data/otlp/logs.pb"),
    ),
    (
        Request::Metrics,
        include_str!("../../../tests/data/otlp/metrics.jsonl"),
        include_bytes!("../../../tests/data/otlp/metrics.pb"),
    ),
    (
        Request::Metrics,
        include_str!("../../../tests/data/otlp/proto_examples/metrics.json"),
        include_bytes!("../../../tests/data/otlp/proto_examples/metrics.pb"),
    ),
];

fn rows(request: Request, bytes: &[u8]) -> (Vec<Row>, Account) {
    let mut rows = Vec::new();
    let account = read_protobuf(request, bytes, &mut |row| rows.push(row));
    (rows, account)
}

/// Requests in a file of samples: each behind its length.
fn requests(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (request, rest) = rest.split_at(u32::from_le_bytes(*length) as usize);
        bytes = rest;
        Some(request)
    })
}

/// Rows as text, without what JSON may say and protobuf leaves out: a threshold of zero is the default.
fn text(rows: &[Row]) -> Vec<String> {
    rows.iter().map(|row| format!("{row:?}").replace(",\\\"zero_threshold\\\":0.0", "")).collect()
}

#[test]
fn rows_by_protobuf_are_rows_by_json() {
    let mut count = 0;
    for (request, json, binary) in SAMPLES {
        let expected = decode(json);
        assert_eq!((expected.rejected, expected.first_error), (0, None));
        let mut found = Vec::new();
        for message in requests(binary) {
            let (rows, account) = rows(request, message);
            assert_eq!(account, Account::default());
            found.extend(rows);
        }
        assert_eq!(text(&found), text(&expected.rows));
        count += found.len();
    }
    assert!(count > 400, "{count}");
}

#[test]
fn json_is_handed_out_as_it_is_decoded() {
    for (_, json, _) in SAMPLES {
        let mut found = Vec::new();
        let account = read_json(json, &mut |row| found.push(row));
        assert_eq!((account, found), (Account::default(), decode(json).rows));
    }
}

#[test]
fn rows_come_out_as_they_were_packed() {
    for (_, json, _) in SAMPLES {
        let rows = decode(json).rows;
        let mut packed = Vec::new();
        rows.iter().for_each(|row| pack(&mut packed, row));
        let unpacked: Result<Vec<Row>, _> = unpack(&packed).collect();
        assert_eq!(unpacked.unwrap(), rows);
    }
}

#[test]
fn damaged_rows_are_an_error() {
    let mut packed = Vec::new();
    decode(SAMPLES[2].1).rows.iter().take(3).for_each(|row| pack(&mut packed, row));
    for end in 1..packed.len() {
        let results: Vec<_> = unpack(&packed[..end]).collect();
        assert!(results.len() <= 3 && results.iter().rev().skip(1).all(Result::is_ok));
    }
    for place in 0..packed.len() {
        for bit in 0..8 {
            let mut damaged = packed.clone();
            damaged[place] ^= 1 << bit;
            // A shorter length makes further rows of the rest; the reader goes on at least a byte each.
            assert!(unpack(&damaged).count() <= packed.len());
        }
    }
    assert!(unpack(&[9]).next().unwrap().is_err());
    assert!(unpack(&[]).next().is_none());
}

/// A field that holds a message.
fn message(field: u32, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_bytes(&mut out, field, content);
    out
}

/// A span with a time, and more.
fn span(more: &[u8]) -> Vec<u8> {
    let mut span = vec![0x39];
    span.extend_from_slice(&1_700_000_000_000_000_000_u64.to_le_bytes());
    span.extend_from_slice(more);
    message(2, &span)
}

fn traces(spans: &[Vec<u8>]) -> Vec<u8> {
    message(1, &message(2, &spans.concat()))
}

#[test]
fn a_bad_record_costs_itself() {
    let bad_id = span(&message(1, &[7; 15]));
    let bad_type = span(&[0x28, 1]);
    let bad_end = span(&[0x0A, 0x7F]);
    let request = traces(&[span(&[]), bad_id, bad_type, bad_end, span(&message(5, b"last"))]);
    let (rows, account) = rows(Request::Traces, &request);
    assert_eq!(rows.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(), ["span", "last"]);
    assert_eq!((account.rejected, account.is_broken), (3, false));
    let told = "resourceSpans[0].scopeSpans[0].spans[1].traceId: has 15 bytes, not 16";
    assert_eq!(account.first_error.as_deref(), Some(told));
    let (_, account) = self::rows(Request::Traces, &traces(&[span(&[0x28, 1])]));
    let told = "resourceSpans[0].scopeSpans[0].spans[0]: cannot be read: a field of the wrong wire type";
    assert_eq!(account.first_error.as_deref(), Some(told));
}

#[test]
fn a_broken_frame_costs_what_comes_after() {
    let mut request = traces(&[span(&[])]);
    request.extend_from_slice(&[0x0A, 0x7F, 1]);
    let (found, account) = rows(Request::Traces, &request);
    assert_eq!((found.len(), account.rejected, account.is_broken), (1, 1, true));
    assert_eq!(account.first_error.as_deref(), Some("resourceSpans[1]: cannot be read: a length beyond the message"));
    for bytes in [&b"not a message at all"[..], b"{\"resourceSpans\": []}", &[0xFF; 100], &[0x1F, 0x8B, 8, 0]] {
        let (found, account) = rows(Request::Traces, bytes);
        assert_eq!((found.len(), account.is_broken), (0, true), "{bytes:?}");
    }
    assert_eq!(rows(Request::Logs, &[]), (Vec::new(), Account::default()));
}

#[test]
fn texts_that_are_not_utf_8_are_mended() {
    let (rows, account) = rows(Request::Traces, &traces(&[span(&message(5, b"a\xFF\0b"))]));
    assert_eq!((rows[0].name.as_str(), account.rejected, account.replaced), ("a\u{FFFD}\u{FFFD}b", 0, 2));
}

#[test]
fn nesting_is_bounded() {
    for levels in [20, 30, 100, 100_000] {
        // From inside out: each level is the head of an array and of the value that it is.
        let (mut heads, mut size) = (Vec::new(), 0);
        for field in [1, 5].into_iter().cycle().take(2 * levels) {
            let mut head = vec![field << 3 | 2];
            put_varint(&mut head, size);
            size += head.len() as u64;
            heads.push(head);
        }
        heads.reverse();
        let value = heads.concat();
        let attribute = message(9, &[message(1, b"deep"), message(2, &value)].concat());
        let (rows, account) = rows(Request::Traces, &traces(&[span(&attribute), span(&[])]));
        let (good, bad) = if levels <= 24 { (2, 0) } else { (1, 1) };
        assert_eq!((rows.len(), account.rejected), (good, bad), "{levels}");
        assert!(account.first_error.is_none_or(|told| told.ends_with("nested deeper than 24 levels")));
    }
}

#[test]
fn empty_messages_by_the_million_are_bounded() {
    // Two bytes each: as records they are counted one by one, within a record there is a limit.
    let spans = traces(&[[0x12, 0].repeat(1_500_000)]);
    let (rows, account) = self::rows(Request::Traces, &spans);
    assert_eq!((rows.len(), account.rejected), (0, 1_000_001));
    let attributes = traces(&[span(&[0x4A, 0].repeat(1_500_000))]);
    let (rows, account) = self::rows(Request::Traces, &attributes);
    assert_eq!((rows.len(), account.rejected), (0, 1));
    assert!(account.first_error.is_some_and(|told| told.ends_with("more than a million values")));
}

#[test]
fn mutated_requests_never_panic() {
    for (request, _, binary) in SAMPLES {
        let Some(message) = requests(binary).min_by_key(|message| message.len()) else { continue };
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        for _ in 0..500 {
            let mut bytes = message.to_vec();
            for _ in 0..3 {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                let place = (state >> 8) as usize % bytes.len();
                bytes[place] = state as u8;
            }
            let (rows, account) = rows(request, &bytes);
            assert!(account.rejected == 0 || account.first_error.is_some());
            let mut packed = Vec::new();
            rows.iter().for_each(|row| pack(&mut packed, row));
            assert_eq!(unpack(&packed).filter_map(Result::ok).count(), rows.len());
        }
    }
    let mut long = Vec::new();
    put_varint(&mut long, u64::MAX);
    assert!(rows(Request::Traces, &long).1.is_broken);
}

//! Whatever the text, `decode` gives an answer, and one that PostgreSQL can store.

use flagscope_core::otlp::{Decoded, decode};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::Value;

const FILES: [&str; 4] = [
    include_str!("../../../tests/data/otlp/traces.jsonl"),
    include_str!("../../../tests/data/otlp/logs.jsonl"),
    include_str!("../../../tests/data/otlp/metrics.jsonl"),
    include_str!("../../../tests/data/otlp/edge_cases.jsonl"),
];

/// Tokens that turn a field into one of another type, another length, or none.
const TOKENS: [&str; 16] = [
    "null",
    "{}",
    "[]",
    "0",
    "-1",
    "1e300",
    "\"\"",
    "\"\\u0000\"",
    "true",
    "\"NaN\"",
    "{",
    "]",
    ",",
    "\n",
    "\\",
    "ü",
];

/// What holds for every answer.
fn check(decoded: &Decoded) {
    assert!(decoded.rejected == 0 || decoded.first_error.is_some());
    for row in &decoded.rows {
        assert!(row.ts >= 0 && row.nanos < 1000);
        assert!(row.severity.is_none_or(|severity| (1..=24).contains(&severity)));
        assert!(row.flags.as_ref().is_none_or(Value::is_object));
        assert!(row.attributes.as_ref().is_none_or(|json| json.value().is_object()));
        let texts = [Some(&row.name), row.body.as_ref(), row.subject.as_ref(), row.service.as_ref()];
        assert!(texts.into_iter().flatten().all(|text| !text.contains('\0')));
        let attributes = row.attributes.as_ref().map(|json| json.as_str().to_owned());
        let objects = [attributes, row.flags.as_ref().map(Value::to_string)];
        assert!(objects.into_iter().flatten().all(|json| !holds_nul(&json)));
    }
}

/// Whether JSON text has an escaped NUL, and not an escaped backslash before `u0000`.
fn holds_nul(json: &str) -> bool {
    json.replace("\\\\", "").contains("\\u0000")
}

fn lines() -> impl Strategy<Value = &'static str> {
    select(FILES.iter().flat_map(|file| file.lines()).filter(|line| line.len() < 20_000).collect::<Vec<_>>())
}

/// Puts a token over the JSON token that begins nearest after the point.
fn mutate(line: &str, point: Index, token: &str) -> String {
    let starts: Vec<usize> = line.match_indices([':', '[', ',']).map(|(at, _)| at + 1).collect();
    if starts.is_empty() {
        return token.to_owned();
    }
    let start = starts[point.index(starts.len())];
    let end = line[start..].find([',', '}', ']']).map_or(line.len(), |length| start + length);
    [&line[..start], token, &line[end..]].concat()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_has_an_answer(text in any::<String>()) {
        check(&decode(&text));
    }

    #[test]
    fn text_of_json_pieces_has_an_answer(pieces in prop::collection::vec(select(&TOKENS[..]), 0..40)) {
        check(&decode(&pieces.concat()));
    }

    #[test]
    fn a_changed_field_costs_no_panic(line in lines(), points in prop::collection::vec((any::<Index>(), select(&TOKENS[..])), 1..6)) {
        let changed = points.into_iter().fold(line.to_owned(), |line, (point, token)| mutate(&line, point, token));
        check(&decode(&changed));
    }

    #[test]
    fn a_line_cut_short_costs_itself_only(line in lines(), cut in any::<Index>()) {
        let ends: Vec<usize> = line.char_indices().map(|(at, _)| at).skip(1).collect();
        let good = r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":1}]}]}]}"#;
        let decoded = decode(&format!("{}\n{good}\n", &line[..ends[cut.index(ends.len())]]));
        check(&decoded);
        prop_assert_eq!((decoded.rows.len(), decoded.rejected), (1, 1));
    }
}

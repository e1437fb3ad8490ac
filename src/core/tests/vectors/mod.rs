//! Reading suites of tests/data/stat-vectors, for the tests that compare with them.
//!
//! A suite fails when a case is missing, and when a case has an expected field that the test neither compares nor
//! names as left out.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

/// What a case computed: pairs of field and values, to be compared with `expected`.
pub type Answers = Vec<(&'static str, Vec<f64>)>;

/// Run every case of a suite and compare every field that is not left out.
pub fn run(suite: &str, cases: usize, left_out: &[&str], answer: impl Fn(&Value, &Value) -> Answers) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/stat-vectors");
    let text = std::fs::read_to_string(folder.join(format!("{suite}.json"))).expect("the suite exists");
    let suite: Value = serde_json::from_str(&text).expect("the suite is JSON");
    let (rel, abs) = (number(&suite["tolerance"]["rel"]), number(&suite["tolerance"]["abs"]));
    let all = suite["cases"].as_array().expect("cases");
    assert_eq!(all.len(), cases, "number of cases");
    for case in all {
        let (id, expected) = (&case["id"], &case["expected"]);
        let answers = answer(&case["input"], expected);
        let known: BTreeSet<&str> = answers.iter().map(|a| a.0).chain(left_out.iter().copied()).collect();
        let wanted: BTreeSet<&str> = expected.as_object().expect("fields").keys().map(String::as_str).collect();
        assert_eq!(known, wanted, "{id}: fields");
        for (field, got) in answers {
            let want = numbers(&expected[field]);
            assert_eq!(got.len(), want.len(), "{id} {field}");
            for (g, w) in got.iter().zip(want) {
                assert!(*g == w || (g - w).abs() <= abs + rel * w.abs(), "{id} {field}: got {g}, want {w}");
            }
        }
    }
}

pub fn number(value: &Value) -> f64 {
    match value {
        Value::Bool(b) => f64::from(*b),
        Value::String(s) => s.parse().expect("an infinity"),
        _ => value.as_f64().expect("a number"),
    }
}

pub fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().map_or_else(|| vec![number(value)], |all| all.iter().map(number).collect())
}

//! flagd's own cases, and its fractional vectors (JsonLogic's suite: targeting/rule.rs; origin: tests/data/flagd-cases/README.md).

use std::collections::BTreeSet;
use std::sync::Arc;

use flagscope_core::targeting::{Answer, Bucketing, Flag, Session, ValueType, evaluate, flagd};
use serde_json::{Map, Value, json};

const CASES: &str = include_str!("../../../tests/data/flagd-cases/cases.json");
const FLAG_SETS: &str = include_str!("../../../tests/data/flagd-cases/flagsets.json");
const VECTORS: &str = include_str!("../../../tests/data/flagd-cases/fractional_vectors.jsonl");

/// When the cases were taken: `timestamp-flag` wants a time after 1 and before the year 5000.
const NOW: i64 = 1_785_000_000;

fn parse(text: &str) -> Value {
    serde_json::from_str(text).expect("the data is JSON")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

/// A flag of a document, under a bucketing.
fn flag_of(document: &Value, key: &str, bucketing: Bucketing) -> Option<Flag> {
    let document = flagd::read(document).expect("a document");
    let mut definition = document.flags.into_iter().find(|flag| flag.key == key)?.definition?;
    definition.bucketing = bucketing;
    Some(Flag::new(definition, &document.segments, &document.metadata))
}

/// Evaluates and hands the answer on; contexts live only as long as their session.
fn with_answer<T>(flag: Option<&Flag>, asked: Option<ValueType>, context: &Value, then: impl Fn(Answer) -> T) -> T {
    let mut session = Session::new();
    let mut builder = session.begin(NOW);
    builder.value(context).expect("a context");
    let context = builder.finish(None).expect("a whole context");
    then(evaluate(flag, asked, &context, &|_| None::<Arc<Flag>>))
}

/// The bucketings that a case holds for.
fn bucketings(case: &Value) -> Vec<Bucketing> {
    let mut labels: BTreeSet<&str> = BTreeSet::new();
    for field in [&case["bucketing"], &case["also_holds_for"]] {
        labels.extend(field.as_str());
        labels.extend(field.as_array().into_iter().flatten().filter_map(Value::as_str));
    }
    let everywhere = labels.contains("any") || labels.contains("n/a");
    [Bucketing::V2, Bucketing::V3].into_iter().filter(|b| everywhere || labels.contains(b.label())).collect()
}

/// What an answer does not fulfil of a case.
fn misses(case: &Value, answer: Answer) -> Vec<String> {
    let expected = &case["expected"];
    let got = json!({
        "value": answer.value.unwrap_or(&case["default"]),
        "reason": answer.reason.label(),
        "variant": answer.variant,
        "error_code": answer.error.map(|code| code.label()),
        "flag_key": case["flag_key"],
    });
    let mut misses = Vec::new();
    let mut compare = |what: &str, wanted: &Value| {
        let same = match (wanted.as_f64(), got[what].as_f64()) {
            (Some(wanted), Some(got)) => wanted == got,
            _ => *wanted == got[what],
        };
        if !same {
            misses.push(format!("{}: {what} is {}, not {wanted}", case["id"], got[what]));
        }
    };
    for what in ["value", "reason", "variant", "error_code", "flag_key"] {
        expected.get(what).into_iter().for_each(|wanted| compare(what, wanted));
    }
    for (what, derived) in [("variant", "expected_variant_derived"), ("reason", "expected_reason_derived")] {
        case.get(derived).into_iter().for_each(|wanted| compare(what, wanted));
    }
    let none = Map::new();
    let metadata = answer.metadata.unwrap_or(&none);
    for (key, wanted) in expected["metadata_contains"].as_object().unwrap_or(&none) {
        if metadata.get(key) != Some(wanted) {
            misses.push(format!("{}: metadata {key} is {:?}, not {wanted}", case["id"], metadata.get(key)));
        }
    }
    if expected["metadata_empty"] == json!(true) && !metadata.is_empty() {
        misses.push(format!("{}: metadata is not empty", case["id"]));
    }
    misses
}

#[test]
fn every_case_of_flagds_testbed_holds() {
    let (cases, sets) = (parse(CASES), parse(FLAG_SETS));
    let (mut runs, mut missed) = (0, Vec::new());
    for case in list(&cases) {
        let asked = match case["type"].as_str() {
            Some("float") => Some(ValueType::Number),
            label => label.and_then(ValueType::from_label),
        };
        assert!(asked.is_some() && !bucketings(case).is_empty(), "{case}");
        let set = case["flagset"].as_str().and_then(|name| sets.get(name)).expect("its flag set");
        for bucketing in bucketings(case) {
            runs += 1;
            let flag = flag_of(set, case["flag_key"].as_str().expect("a key"), bucketing);
            missed.extend(with_answer(flag.as_ref(), asked, &case["context"], |answer| misses(case, answer)));
        }
    }
    assert_eq!(missed, Vec::<String>::new());
    assert_eq!((list(&cases).len(), runs), (230, 380));
}

#[test]
fn every_uncontested_fractional_vector_holds() {
    let (mut rows, mut missed) = (0, Vec::new());
    for row in VECTORS.lines().map(parse).filter(|row| row.get("contested").is_none()) {
        let key = row["flag_key"].as_str().expect("a key");
        let document = json!({"flags": {key: row["flag"]}});
        for bucketing in [Bucketing::V2, Bucketing::V3] {
            rows += 1;
            let flag = flag_of(&document, key, bucketing);
            let got = with_answer(flag.as_ref(), None, &row["context"], |answer| {
                let error = answer.error.map(|code| code.label());
                json!([answer.variant, answer.reason.label(), error])
            });
            let wanted = &row[bucketing.label()];
            if got != json!([wanted["variant"], wanted["reason"], wanted["error_code"]]) {
                missed.push(format!("{} {}: {got}, not {wanted}", row["id"], bucketing.label()));
            }
        }
    }
    assert_eq!(missed, Vec::<String>::new());
    assert_eq!(rows, 2 * 1657);
}

//! JsonLogic's operators on values of every type, where flagd's cores in Python (2.0.0) and JavaScript (4.0.1) give the
//! same: a few rows of what tests/differential asks (origin: tests/data/flagd-cases/README.md).

use flagscope_core::targeting::{Bucketing, Definition, Flag, Session, ValueType, explain};
use serde_json::{Map, Value, json};

const ROWS: &str = include_str!("../../../tests/data/flagd-cases/operators.jsonl");

/// What a rule gives for a context; none where an operator cannot work on its arguments.
fn result(rule: &Value, context: &Value) -> Option<Value> {
    let definition = Definition {
        key: "flag".to_owned(),
        value_type: ValueType::Boolean,
        enabled: true,
        variants: json!({"on": true}).as_object().cloned().expect("an object"),
        default_variant: None,
        targeting: Some(rule.clone()),
        bucketing: Bucketing::V2,
        split: None,
        prerequisites: Vec::new(),
        metadata: Map::new(),
        value_schema: None,
    };
    let flag = Flag::new(definition, &Map::new(), &Map::new());
    let mut session = Session::new();
    let mut builder = session.begin(7);
    builder.value(context).expect("a context");
    let context = builder.finish(None).expect("a whole context");
    let explained = explain("flag", Some(&flag), None, &context, &|_| None);
    match explained.rule_error {
        Some(_) => None,
        None => Some(explained.rule_result.unwrap_or_default()),
    }
}

fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        _ => a == b,
    }
}

#[test]
fn what_both_cores_answer_is_the_answer() {
    let rows: Vec<Value> = ROWS.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let missed = rows.iter().filter_map(|row| {
        let got = result(&row["rule"], &row["context"]);
        let holds = match (&got, row.get("result")) {
            (Some(got), Some(wanted)) => same(got, wanted),
            (got, wanted) => got.is_none() && wanted.is_none(),
        };
        (!holds).then(|| format!("{row}: {got:?}"))
    });
    assert_eq!(missed.collect::<Vec<_>>(), Vec::<String>::new());
    assert!(rows.len() > 80);
}

/// Where the cores differ: JavaScript's conversions, and no failure of a comparison.
#[test]
fn what_the_cores_disagree_about_is_decided() {
    let rows = [
        (json!({"==": [{"var": "a"}, 0]}), json!({"a": ""}), json!(true)), // Python: false
        (json!({"==": [{"var": "a"}, 0]}), json!({}), json!(true)),        // JavaScript: false
        (json!({"==": [{"var": "a"}, 5]}), json!({"a": "abc"}), json!(false)), // JavaScript: an error
        (json!({"cat": [{"var": "a"}]}), json!({"a": true}), json!("true")), // Python: "True"
        (json!({"in": [{"var": "a"}, [true]]}), json!({"a": 1}), json!(false)), // Python: true
        (json!({"max": [{"var": "a"}, 2]}), json!({"a": "5"}), json!(5)),  // JavaScript: an error
        (json!({"%": [{"var": "a"}, 3]}), json!({"a": -1}), json!(-1)),    // Python: 2
        (json!({"!!": [{"var": "a"}]}), json!({"a": {}}), json!(false)),   // Python: true
    ];
    for (rule, context, wanted) in rows {
        let got = result(&rule, &context).expect("a result");
        assert!(same(&got, &wanted), "{rule} {context}: {got}");
    }
}

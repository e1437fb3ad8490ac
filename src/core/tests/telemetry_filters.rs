//! A compiled filter equals a naive reading of its JSON form, on every row; and reading one never fails otherwise than
//! by its problems.

use flagscope_core::telemetry::{Filter, Found, Row, Signal};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

/// A value of a row.
#[derive(Debug, Clone, PartialEq)]
enum Is {
    Text(&'static str),
    Number(f64),
    Bool(bool),
    List,
}

#[derive(Debug, Clone)]
struct Request {
    name: &'static str,
    service: Option<&'static str>,
    body: Option<&'static str>,
    value: Option<f64>,
    severity: Option<i16>,
    is_error: Option<bool>,
    attributes: [Option<Is>; 2],
}

const KEYS: [&str; 2] = ["a", "ключ/~"];
const TEXTS: [&str; 12] = ["", "a", "ab", "ba", "Ab", "é", "503", "5e2", "-0", "1e999", "inf", " 5"];
const NUMBERS: [f64; 8] = [0.0, -0.0, 1.0, 500.0, 503.0, 1e300, -2.5, 9_007_199_254_740_993.0];
/// Patterns, and what they mean without a regular expression.
type Meaning = fn(&str) -> bool;
const PATTERNS: [(&str, Meaning); 5] = [
    ("^a", |text| text.starts_with('a')),
    ("b$", |text| text.ends_with('b')),
    ("^.$", |text| text.chars().count() == 1),
    ("(?i)AB", |text| text.to_lowercase().contains("ab")),
    ("^(a+)+$", |text| !text.is_empty() && text.chars().all(|c| c == 'a')),
];

impl Row for Request {
    fn signal(&self) -> Signal {
        Signal::Span
    }
    fn name(&self) -> &str {
        self.name
    }
    fn value(&self) -> Option<f64> {
        self.value
    }
    fn service(&self) -> Option<&str> {
        self.service
    }
    fn severity(&self) -> Option<i16> {
        self.severity
    }
    fn is_error(&self) -> Option<bool> {
        self.is_error
    }
    fn body(&self) -> Option<&str> {
        self.body
    }
    fn attribute(&self, key: &str) -> Option<Found<'_>> {
        let place = KEYS.iter().position(|known| *known == key)?;
        Some(match self.attributes[place].as_ref()? {
            Is::Text(text) => Found::Text(text),
            Is::Number(x) => Found::Number(*x),
            Is::Bool(bool) => Found::Bool(*bool),
            Is::List => Found::Other,
        })
    }
}

/// What the form says of a filter, key by key.
fn meets(row: &Request, filter: &Value) -> bool {
    let text = |text: Option<&'static str>| text.map(Is::Text);
    filter.as_object().unwrap().iter().all(|(key, value)| match key.as_str() {
        "name" => is(text(Some(row.name)).as_ref(), value),
        "service" => is(text(row.service).as_ref(), value),
        "body" => is(text(row.body).as_ref(), value),
        "value" => is(row.value.map(Is::Number).as_ref(), value),
        "severity" => is(row.severity.map(|n| Is::Number(n.into())).as_ref(), value),
        "is_error" => (row.is_error == Some(true)) == value.as_bool().unwrap(),
        "name_matches" => is(text(Some(row.name)).as_ref(), &json!({ "matches": value })),
        "severity_at_least" => is(row.severity.map(|n| Is::Number(n.into())).as_ref(), &json!({ ">=": value })),
        "value_above" => is(row.value.map(Is::Number).as_ref(), &json!({ ">": value })),
        "value_below" => is(row.value.map(Is::Number).as_ref(), &json!({ "<": value })),
        "and" => value.as_array().unwrap().iter().all(|filter| meets(row, filter)),
        "or" => value.as_array().unwrap().iter().any(|filter| meets(row, filter)),
        "not" => !meets(row, value),
        "attributes" => value.as_object().unwrap().iter().all(|(key, value)| {
            is(KEYS.iter().position(|known| known == key).and_then(|place| row.attributes[place].as_ref()), value)
        }),
        other => unreachable!("{other}"),
    })
}

/// What the form says of a condition.
fn is(found: Option<&Is>, condition: &Value) -> bool {
    match condition {
        Value::Null => found.is_none(),
        Value::Array(items) => items.iter().any(|item| is(found, item)),
        Value::Object(map) => map.iter().all(|(operator, value)| match operator.as_str() {
            "not" => !is(found, value),
            _ => found.is_some_and(|found| compares(found, operator, value)),
        }),
        Value::Bool(wanted) => found == Some(&Is::Bool(*wanted)),
        Value::String(wanted) => matches!(found, Some(Is::Text(text)) if text == wanted),
        Value::Number(wanted) => found.and_then(number) == wanted.as_f64(),
    }
}

fn compares(found: &Is, operator: &str, value: &Value) -> bool {
    if let (Some(x), Some(bound)) = (number(found), value.as_f64()) {
        return match operator {
            ">" => x > bound,
            ">=" => x >= bound,
            "<" => x < bound,
            "<=" => x <= bound,
            other => unreachable!("{other}"),
        };
    }
    let (Is::Text(text), Some(part)) = (found, value.as_str()) else { return false };
    match operator {
        "prefix" => text.get(..part.len()) == Some(part),
        "suffix" => text.len() >= part.len() && text.get(text.len() - part.len()..) == Some(part),
        "contains" => part.is_empty() || text.match_indices(part).next().is_some(),
        "matches" => PATTERNS.iter().find(|(pattern, _)| *pattern == part).unwrap().1(text),
        other => unreachable!("{other}"),
    }
}

/// A number, or a text that is one in decimals; by hand for the texts there are.
fn number(found: &Is) -> Option<f64> {
    match found {
        Is::Number(x) => Some(*x),
        Is::Text("503") => Some(503.0),
        Is::Text("5e2") => Some(500.0),
        Is::Text("-0") => Some(0.0),
        Is::Text("1e999") => Some(f64::INFINITY),
        _ => None,
    }
}

fn row() -> impl Strategy<Value = Request> {
    let text = || prop::option::of(select(&TEXTS[..]));
    let number =
        || prop_oneof![4 => select(&NUMBERS[..]), 1 => select(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY])];
    let scalar = || {
        prop::option::of(prop_oneof![
            select(&TEXTS[..]).prop_map(Is::Text),
            number().prop_map(Is::Number),
            any::<bool>().prop_map(Is::Bool),
            Just(Is::List),
        ])
    };
    let severity = prop::option::of(1..=24_i16);
    let columns = (select(&TEXTS[..]), text(), text(), prop::option::of(number()), severity, any::<Option<bool>>());
    (columns, [scalar(), scalar()]).prop_map(|((name, service, body, value, severity, is_error), attributes)| {
        Request { name, service, body, value, severity, is_error, attributes }
    })
}

fn text() -> impl Strategy<Value = Value> {
    select(&TEXTS[..]).prop_map(|text| json!(text))
}

fn numeric() -> impl Strategy<Value = Value> {
    select(&NUMBERS[..]).prop_map(|x| json!(x))
}

fn text_operator() -> impl Strategy<Value = (&'static str, Value)> {
    prop_oneof![
        (select(vec!["prefix", "suffix", "contains"]), text()),
        select(&PATTERNS[..]).prop_map(|(pattern, _)| ("matches", json!(pattern))),
    ]
}

fn number_operator() -> impl Strategy<Value = (&'static str, Value)> {
    (select(vec![">", ">=", "<", "<="]), numeric())
}

/// Conditions made of these scalars and operators.
fn condition(scalar: BoxedStrategy<Value>, operator: BoxedStrategy<(&'static str, Value)>) -> BoxedStrategy<Value> {
    let operators =
        vec(operator, 1..3).prop_map(|list| list.into_iter().collect::<std::collections::BTreeMap<_, _>>());
    let leaf = prop_oneof![4 => scalar, 1 => Just(Value::Null), 4 => operators.prop_map(|map| json!(map))];
    leaf.prop_recursive(3, 12, 4, |inner| {
        let list = vec(inner.clone().prop_filter("a list within a list", |item| !item.is_array()), 1..4);
        prop_oneof![list.prop_map(Value::Array), inner.prop_map(|inner| json!({ "not": inner }))]
    })
    .boxed()
}

fn filter() -> BoxedStrategy<Value> {
    let texts = || condition(text().boxed(), text_operator().boxed());
    let numbers = || condition(numeric().boxed(), number_operator().boxed());
    let scalar = prop_oneof![text(), numeric(), any::<bool>().prop_map(Value::from)].boxed();
    let all = condition(scalar, prop_oneof![text_operator(), number_operator()].boxed());
    let attributes = btree_map(select(&[KEYS[0], KEYS[1], "none"][..]), all, 0..3);
    let entry = prop_oneof![
        1 => (select(vec!["name", "service", "body"]), texts()),
        1 => (select(vec!["value", "severity"]), numbers()),
        1 => (Just("is_error"), any::<bool>().prop_map(Value::from)),
        1 => (Just("name_matches"), select(&PATTERNS[..]).prop_map(|(pattern, _)| json!(pattern))),
        1 => (Just("severity_at_least"), (1..=24).prop_map(|n| json!(n))),
        1 => (select(vec!["value_above", "value_below"]), numeric()),
        3 => (Just("attributes"), attributes.prop_map(|map| json!(map))),
    ];
    let object = |entries: Vec<(&'static str, Value)>| {
        Value::Object(entries.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())
    };
    let leaf = vec(entry, 0..4).prop_map(object);
    leaf.prop_recursive(3, 16, 3, move |inner| {
        let joined = (select(vec!["and", "or"]), vec(inner.clone(), 1..4).prop_map(Value::Array));
        let entry = prop_oneof![joined, (Just("not"), inner.clone())];
        (inner, vec(entry, 1..3)).prop_map(|(mut filter, entries)| {
            for (key, value) in entries {
                filter[key] = value;
            }
            filter
        })
    })
    .boxed()
}

/// Any JSON, with keys that mean something now and then.
fn document() -> BoxedStrategy<Value> {
    let keys =
        vec!["name", "attributes", "or", "not", "value", ">", "prefix", "matches", "severity_at_least", "x", "a"];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        select(vec!["(", "a{1000}{1000}", "[[:alpha:]", "\\p{Greek}"]).prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 32, 4, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::Array),
            btree_map(select(keys.clone()), inner, 0..4).prop_map(|map| json!(map)),
        ]
    })
    .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn a_compiled_filter_equals_a_naive_reading(filter in filter(), rows in vec(row(), 8)) {
        match Filter::parse(&filter) {
            Ok(compiled) => {
                for row in &rows {
                    prop_assert_eq!(compiled.matches(row), meets(row, &filter), "{:?}", row);
                }
            }
            // Bounds that exclude each other, or more than there is room for, and nothing else.
            Err(error) => prop_assert!(error.message.contains("no number meets") || error.message.contains("more than 16"), "{}", error),
        }
    }

    #[test]
    fn names_known_beforehand_leave_no_row_out(filter in filter(), row in row()) {
        if let Ok(compiled) = Filter::parse(&filter) && compiled.matches(&row) {
            prop_assert!(compiled.names().is_none_or(|names| names.contains(&row.name)));
        }
    }

    #[test]
    fn whatever_is_no_filter_is_refused_with_a_hint(document in document()) {
        let problems = Filter::check(&document);
        let refused = Filter::parse(&document).err();
        prop_assert_eq!(refused.is_some(), problems.iter().any(|problem| problem.error.is_some()));
        prop_assert!(problems.iter().all(|p| !p.hint.is_empty() && (p.path.is_empty() || document.pointer(&p.path).is_some())));
    }
}

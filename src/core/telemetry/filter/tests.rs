//! Filters by example; against a naive evaluator they are held in `tests/telemetry_filters.rs`.

use super::super::Signal;
use super::*;
use serde_json::json;

struct Span;

impl Row for Span {
    fn signal(&self) -> Signal {
        Signal::Span
    }
    fn name(&self) -> &str {
        "POST /checkout"
    }
    fn value(&self) -> Option<f64> {
        Some(0.25)
    }
    fn service(&self) -> Option<&str> {
        Some("checkout")
    }
    fn severity(&self) -> Option<i16> {
        None
    }
    fn is_error(&self) -> Option<bool> {
        None
    }
    fn body(&self) -> Option<&str> {
        Some("timeout after 30 s: Köln")
    }
    fn attribute(&self, key: &str) -> Option<Found<'_>> {
        match key {
            "http.status" => Some(Found::Number(200.0)),
            "code" => Some(Found::Text("503")),
            "route" => Some(Found::Text("/health")),
            "new" => Some(Found::Bool(true)),
            "list" => Some(Found::Other),
            _ => None,
        }
    }
}

fn matches(json: Value) -> bool {
    Filter::parse(&json).unwrap().matches(&Span)
}

/// Whether a condition holds of an attribute of the row.
fn holds(key: &str, condition: Value) -> bool {
    matches(json!({ "attributes": { key: condition } }))
}

#[test]
fn every_condition_must_hold() {
    assert!(matches(json!({})));
    assert!(matches(json!({"name": "POST /checkout", "service": "checkout", "is_error": false})));
    assert!(!matches(json!({"name": "POST /checkout", "service": "cart"})));
    assert!(matches(json!({"name_matches": "^POST /"})));
    assert!(!matches(json!({"name_matches": "^GET /"})));
    assert!(matches(json!({"value_above": 0.2, "value_below": 0.3})));
    assert!(!matches(json!({"value_above": 0.25})));
    assert!(!matches(json!({"is_error": true})));
    assert!(matches(json!({"attributes": {"http.status": 200}})));
    assert!(!matches(json!({"attributes": {"http.status": 200, "http.route": "/"}})));
}

#[test]
fn what_the_row_lacks_meets_absence_and_negation_alone() {
    assert!(!matches(json!({"severity_at_least": 1})) && !matches(json!({"severity": {"<": 30}})));
    assert!(matches(json!({"severity": null})) && matches(json!({"severity": {"not": 5}})));
    assert!(!matches(json!({"service": null})));
    assert!(holds("none", json!(null)) && !holds("route", json!(null)));
    assert!(holds("none", json!({"not": "/health"})) && !holds("none", json!({"not": ["/health", null]})));
    assert!(!holds("none", json!({"prefix": ""})) && !holds("none", json!({"<=": 5})));
}

#[test]
fn lists_ranges_parts_and_patterns() {
    assert!(holds("route", json!(["/ready", "/health"])) && !holds("route", json!(["/ready", 1, true])));
    assert!(holds("route", json!(["/ready", {"prefix": "/he"}])) && holds("none", json!(["/ready", null])));
    assert!(holds("http.status", json!({">=": 200, "<": 300})) && !holds("http.status", json!({">": 200})));
    assert!(holds("http.status", json!({"<=": 200})) && !holds("http.status", json!({"<": 200})));
    assert!(matches(json!({"name": {"prefix": "POST", "suffix": "out", "contains": " /c"}})));
    assert!(!matches(json!({"name": {"prefix": "POST", "suffix": "in"}})));
    assert!(!matches(json!({"body": {"matches": r"after \d+ s: k\w+n$"}})));
    assert!(matches(json!({"body": {"matches": r"(?i)after \d+ s: k\w+n$"}})));
    assert!(matches(json!({"value": {">": 0.2, "<=": 0.25}})) && matches(json!({"value": [0.25, 1]})));
}

#[test]
fn filters_are_joined() {
    let checkout = json!({"service": "checkout"});
    let cart = json!({"service": "cart"});
    assert!(matches(json!({"or": [cart, checkout]})) && !matches(json!({"and": [cart, checkout]})));
    assert!(matches(json!({"not": cart, "name": "POST /checkout"})) && !matches(json!({"not": checkout})));
    assert!(!matches(json!({"or": [cart, {"not": {"or": [checkout]}}]})));
}

#[test]
fn a_number_is_found_where_it_was_stored_as_text() {
    assert!(holds("code", json!(503)) && holds("code", json!([500, 503])) && holds("code", json!({">=": 500})));
    assert!(holds("code", json!("503")) && !holds("http.status", json!("200")));
    assert!(!holds("new", json!(1)) && !holds("list", json!({">=": 0})) && !holds("route", json!({">=": 0})));
    assert!(holds("list", json!({"not": null})) && !holds("list", json!([true, 1, "a"])));
    let spelled = |text| condition::spelled(text);
    assert_eq!(
        (spelled("503"), spelled("-5.5e1"), spelled("1e999")),
        (Some(503.0), Some(-55.0), Some(f64::INFINITY))
    );
    for text in ["", " 5", "5 ", "0x1F", "inf", "nan", "Infinity", "1_000", "٥", "e", "+"] {
        assert_eq!(spelled(text), None, "{text:?}");
    }
}

#[test]
fn names_are_known_beforehand() {
    let names = |json: Value| Filter::parse(&json).unwrap().names().map(|names| names.join(" "));
    assert_eq!(names(json!({"name": "b"})).as_deref(), Some("b"));
    assert_eq!(names(json!({"name": ["b", "a"], "is_error": true})).as_deref(), Some("a b"));
    assert_eq!(names(json!({"name": ["b", {"prefix": "a"}]})), None);
    assert_eq!(names(json!({"name": {"not": "b"}})), None);
    assert_eq!(names(json!({"or": [{"name": "b"}]})), None);
}

#[test]
fn errors_name_the_key_the_place_and_the_value() {
    let message = |json: Value| Filter::parse(&json).unwrap_err().message;
    assert_eq!(message(json!([1])), "a filter must be a JSON object, got [1]");
    assert_eq!(message(json!({"nme": 1})), "a filter has no key \"nme\"");
    assert_eq!(message(json!({"is_error": 1})), "filter key \"is_error\" must be true or false, got 1");
    assert_eq!(
        message(json!({"severity_at_least": 25})),
        "filter key \"severity_at_least\" must be a severity number from 1 to 24, got 25"
    );
    assert_eq!(message(json!({"name": 7})), "\"name\" is compared with texts, got 7");
    assert_eq!(message(json!({"or": [{"a": 1}]})), "a filter has no key \"a\" at /or/0/a");
    assert_eq!(
        message(json!({"attributes": {"a/b": {">=": "5"}}})),
        "\">=\" compares numbers, got \"5\" at /attributes/a~1b/>="
    );
    assert!(
        message(json!({"name_matches": "("})).starts_with("filter key \"name_matches\" is no regular expression")
    );
    assert!(message(json!({"name": {"matches": "(a{1000}){1000}"}})).contains("size limit"));
}

#[test]
fn every_problem_is_told_with_its_place() {
    let json = json!({"name": {"prefx": "a"}, "or": [], "attributes": {"code": "503", "x": [], "y": [["a"]], "z": {">": 5, "<": 5}},
        "value": "1", "service": {">=": 1}, "severity": {"prefix": "a"}, "not": 5});
    let found = Filter::check(&json);
    let told: Vec<_> = found.iter().map(|p| (p.path.as_str(), p.error.is_some())).collect();
    assert_eq!(
        told,
        [
            ("/attributes/code", false),
            ("/attributes/x", true),
            ("/attributes/y/0", true),
            ("/attributes/z", true),
            ("/name/prefx", true),
            ("/not", true),
            ("/or", true),
            ("/service/>=", true),
            ("/severity/prefix", true),
            ("/value", true),
        ]
    );
    assert!(found.iter().all(|problem| problem.hint.len() > 20));
    assert!(found[4].hint.starts_with("Did you mean \"prefix\"?"));
}

#[test]
fn what_is_too_much_is_refused() {
    let nested = (0..20).fold(json!({}), |inner, _| json!({ "not": inner }));
    let kind = |json: Value| Filter::parse(&json).map(|_| ()).map_err(|error| error.kind);
    assert_eq!(kind(nested), Err(crate::Kind::LimitExceeded));
    let inside = (0..20).fold(json!(null), |inner, _| json!({ "not": inner }));
    assert_eq!(kind(json!({"attributes": {"a": inside}})), Err(crate::Kind::LimitExceeded));
    let list: Vec<_> = (0..1_001).collect();
    assert_eq!(kind(json!({"attributes": {"a": list}})), Err(crate::Kind::LimitExceeded));
    assert_eq!(kind(json!({"attributes": {"a": list[..990]}})), Ok(()));
    let patterns: Vec<_> = (0..17).map(|n| json!({"matches": n.to_string()})).collect();
    assert_eq!(kind(json!({ "name": patterns })), Err(crate::Kind::LimitExceeded));
    assert_eq!(kind(json!({ "name": patterns[..16] })), Ok(()));
}

#[test]
fn a_pattern_that_others_run_for_ever_on_is_linear() {
    struct Long(String);
    impl Row for Long {
        fn signal(&self) -> Signal {
            Signal::Log
        }
        fn name(&self) -> &str {
            &self.0
        }
        fn value(&self) -> Option<f64> {
            None
        }
        fn service(&self) -> Option<&str> {
            None
        }
        fn severity(&self) -> Option<i16> {
            None
        }
        fn is_error(&self) -> Option<bool> {
            None
        }
    }
    // 2^100,000 ways for a matcher that backtracks.
    let row = Long("a".repeat(100_000) + "!");
    assert!(!Filter::parse(&json!({"name": {"matches": "^(a+)+$"}})).unwrap().matches(&row));
}

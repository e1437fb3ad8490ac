//! The order of decisions around a live rollout and prerequisites, and that rollouts move nobody they need not.

use std::collections::HashMap;
use std::sync::Arc;

use flagscope_core::targeting::{
    Bucketing, Definition, ErrorCode, Explanation, Flag, Prerequisite, Reason, Session, Split, ValueType, evaluate,
    explain,
};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// A boolean flag that serves "off" unless told otherwise.
fn definition(key: &str) -> Definition {
    Definition {
        key: key.to_owned(),
        value_type: ValueType::Boolean,
        enabled: true,
        variants: json!({"off": false, "on": true}).as_object().cloned().expect("an object"),
        default_variant: Some("off".to_owned()),
        targeting: None,
        bucketing: Bucketing::V2,
        split: None,
        prerequisites: Vec::new(),
        metadata: Map::new(),
        value_schema: None,
    }
}

fn split(percent: f64) -> Option<Split> {
    Some(Split::new("on".to_owned(), "off".to_owned(), percent))
}

fn needs(flags: &[(&str, &str)]) -> Vec<Prerequisite> {
    flags
        .iter()
        .map(|(flag, variant)| Prerequisite { flag: (*flag).to_owned(), variant: (*variant).to_owned() })
        .collect()
}

type Flags = HashMap<String, Arc<Flag>>;

fn flags(definitions: impl IntoIterator<Item = Definition>) -> Flags {
    let compiled = |definition: Definition| Arc::new(Flag::new(definition, &Map::new(), &Map::new()));
    definitions.into_iter().map(|definition| (definition.key.clone(), compiled(definition))).collect()
}

/// Variant, reason and error of the flag "f".
fn shape(flags: &Flags, key: Option<&str>, context: &Value) -> (Option<String>, Reason, Option<ErrorCode>) {
    let mut session = Session::new();
    let mut builder = session.begin(0);
    builder.value(context).expect("a context");
    let context = builder.finish(key).expect("a whole context");
    let answer = evaluate(flags.get("f").map(Arc::as_ref), None, &context, &|key| flags.get(key).cloned());
    assert_eq!(answer.value.is_some(), answer.variant.is_some());
    (answer.variant.map(str::to_owned), answer.reason, answer.error)
}

fn explanation(flags: &Flags, asked: Option<ValueType>, key: Option<&str>) -> Explanation {
    let mut session = Session::new();
    let context = session.begin(0).finish(key).expect("a context");
    explain("f", flags.get("f").map(Arc::as_ref), asked, &context, &|key| flags.get(key).cloned())
}

fn off(reason: Reason) -> (Option<String>, Reason, Option<ErrorCode>) {
    (Some("off".to_owned()), reason, None)
}

fn on() -> (Option<String>, Reason, Option<ErrorCode>) {
    (Some("on".to_owned()), Reason::TargetingMatch, None)
}

#[test]
fn a_split_stands_where_the_default_would() {
    let none = json!({});
    let at = |percent| flags([Definition { split: split(percent), ..definition("f") }]);
    assert_eq!(shape(&flags([]), Some("u"), &none), (None, Reason::Error, Some(ErrorCode::FlagNotFound)));
    assert_eq!(shape(&flags([definition("f")]), Some("u"), &none), off(Reason::Static));
    assert_eq!(shape(&at(100.0), Some("u"), &none), on());
    assert_eq!(shape(&at(0.0), Some("u"), &none), off(Reason::TargetingMatch));
    assert_eq!(shape(&at(100.0), None, &none), off(Reason::Default));
    assert_eq!(shape(&at(100.0), Some(""), &none), off(Reason::Default));
    assert_eq!(shape(&at(100.0), None, &json!({"targetingKey": "u"})), on());
    assert_eq!(shape(&at(100.0), None, &json!({"targetingKey": 5})), off(Reason::Default));
    let disabled = flags([Definition { enabled: false, split: split(100.0), ..definition("f") }]);
    assert_eq!(shape(&disabled, Some("u"), &none), (None, Reason::Disabled, None));
    let silent = flags([Definition { default_variant: None, ..definition("f") }]);
    assert_eq!(shape(&silent, Some("u"), &none), (None, Reason::Default, None));
    let lost = flags([Definition { split: Some(Split::new("gone".into(), "off".into(), 100.0)), ..definition("f") }]);
    assert_eq!(shape(&lost, Some("u"), &none), (None, Reason::Error, Some(ErrorCode::General)));
}

#[test]
fn a_rule_goes_before_the_split() {
    let targeting = Some(json!({"if": [{"var": "vip"}, "on", {"var": "blocked"}, false, null]}));
    let variants = json!({"off": 0, "on": 1, "false": 2}).as_object().cloned().expect("an object");
    let flags = flags([Definition { targeting, variants, split: split(0.0), ..definition("f") }]);
    assert_eq!(shape(&flags, Some("u"), &json!({"vip": true})), on());
    let blocked = (Some("false".to_owned()), Reason::TargetingMatch, None);
    assert_eq!(shape(&flags, Some("u"), &json!({"blocked": true})), blocked);
    assert_eq!(shape(&flags, Some("u"), &json!({})), off(Reason::TargetingMatch));
    assert_eq!(shape(&flags, None, &json!({})), off(Reason::Default));
}

#[test]
fn prerequisites_must_all_hold() {
    let none = json!({});
    let whole = |prerequisites| Definition { split: split(100.0), prerequisites, ..definition("f") };
    let switch = |key: &str, enabled| Definition { enabled, default_variant: Some("on".into()), ..definition(key) };
    let with = |prerequisites| flags([whole(prerequisites), switch("a", true), switch("b", false)]);
    assert_eq!(shape(&with(needs(&[("a", "on")])), Some("u"), &none), on());
    assert_eq!(shape(&with(needs(&[("a", "off")])), Some("u"), &none), off(Reason::Default));
    assert_eq!(shape(&with(needs(&[("a", "on"), ("b", "on")])), Some("u"), &none), off(Reason::Default));
    assert_eq!(shape(&with(needs(&[("none", "on")])), Some("u"), &none), off(Reason::Default));
    // Depends on the context, so clients must not keep it.
    let plain = Definition { prerequisites: needs(&[("a", "on")]), ..definition("f") };
    assert_eq!(shape(&flags([plain, switch("a", true)]), Some("u"), &none), off(Reason::Default));
}

#[test]
fn prerequisites_that_go_in_a_circle_are_an_error() {
    let general = (None, Reason::Error, Some(ErrorCode::General));
    let circle = |path: &[&str]| {
        let next = path.iter().cycle().skip(1);
        flags(
            path.iter()
                .zip(next)
                .map(|(key, next)| Definition { prerequisites: needs(&[(next, "off")]), ..definition(key) }),
        )
    };
    assert_eq!(shape(&circle(&["f"]), Some("u"), &json!({})), general);
    assert_eq!(shape(&circle(&["f", "g", "h"]), Some("u"), &json!({})), general);
    let keys: Vec<String> = (0..40).map(|n| if n == 0 { "f".to_owned() } else { format!("f{n}") }).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    assert_eq!(shape(&circle(&keys), Some("u"), &json!({})), general);
    // 3^12 paths, though no circle.
    let layered = (0..13).flat_map(|layer| {
        (0..3).map(move |n| {
            let key = if layer == 0 && n == 0 { "f".to_owned() } else { format!("{layer}.{n}") };
            let below: Vec<_> = (0..3).map(|n| (format!("{}.{n}", layer + 1), "off".to_owned())).collect();
            let below = below.into_iter().map(|(flag, variant)| Prerequisite { flag, variant });
            Definition { prerequisites: if layer < 12 { below.collect() } else { vec![] }, ..definition(&key) }
        })
    });
    assert_eq!(shape(&flags(layered), Some("u"), &json!({})), general);
}

#[test]
fn explanations_tell_which_step_decided() {
    let told = |flags: &Flags| explanation(flags, None, Some("u"));
    assert_eq!(told(&flags([])).step, "missing");
    let plain = told(&flags([definition("f")]));
    assert_eq!(
        (plain.step, plain.words.as_str()),
        ("default", "nothing but the default applies: variant \"off\" is served")
    );
    let rollout = told(&flags([Definition { split: split(12.5), ..definition("f") }]));
    let bucket = flagscope_core::targeting::bucket(Bucketing::V2, "f", "u");
    assert_eq!((rollout.step, rollout.bucket, rollout.treatment_below), ("rollout", Some(bucket), Some(12_500)));
    assert!(rollout.words.contains("(12.5 %)"), "{}", rollout.words);
    let targeting = Some(json!({"fractional": [["on", 1], ["off", 3]]}));
    let ruled = told(&flags([Definition { targeting, ..definition("f") }]));
    assert_eq!((ruled.step, ruled.buckets), ("targeting", Some(4)));
    assert!(ruled.rule_result.is_some_and(|result| result == "on" || result == "off"));
    let broken = told(&flags([Definition { targeting: Some(json!({"nope": []})), ..definition("f") }]));
    assert_eq!(broken.rule_error.as_deref(), Some("unknown operator \"nope\" at /nope"));
    let needing = told(&flags([Definition { prerequisites: needs(&[("a", "on")]), ..definition("f") }]));
    assert_eq!(needing.step, "prerequisite");
    let mistyped = explanation(&flags([definition("f")]), Some(ValueType::String), None);
    assert_eq!(mistyped.step, "type");
    assert_eq!(serde_json::to_value(&plain).expect("JSON").as_object().map(Map::len), Some(2));
}

fn treated(bucketing: Bucketing, flag: &str, key: &str, percent: f64) -> bool {
    let flags = flags([Definition { bucketing, split: split(percent), ..definition(flag) }]);
    let mut session = Session::new();
    let context = session.begin(0).finish(Some(key)).expect("a context");
    evaluate(flags.get(flag).map(Arc::as_ref), None, &context, &|_| None).variant == Some("on")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Who is in the treatment at some percentage is in it at every larger one: widening moves nobody out, and
    /// stepping back moves out only those whom the step brought in. Thousandths of a percent are exact.
    #[test]
    fn ramps_are_monotone(flag in "[a-zé-]{1,12}", key in ".{1,20}", v3 in any::<bool>(), low in 0..=100_000_u32, step in 0..50_000_u32) {
        let bucketing = if v3 { Bucketing::V3 } else { Bucketing::V2 };
        let at = |weight: u32| treated(bucketing, &flag, &key, f64::from(weight) / 1000.0);
        let bucket = flagscope_core::targeting::bucket(bucketing, &flag, &key);
        prop_assert!(bucket < 100_000);
        prop_assert_eq!(at(low), bucket < low);
        prop_assert!(!at(low) || at((low + step).min(100_000)));
        prop_assert!(!at(0) && at(100_000));
    }
}

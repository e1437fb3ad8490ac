//! Whatever the rule and the context: an error or an answer, never a panic, a stack overflow or a hang.

use std::sync::Arc;
use std::time::{Duration, Instant};

use flagscope_core::Kind;
use flagscope_core::targeting::{
    Answer, Bucketing, ErrorCode, Flag, MAX_RULE_DEPTH, Rule, Session, check, evaluate, flagd,
};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

/// PostgreSQL's default max_stack_depth; without optimisation the engine takes 30 times the stack, and gets the
/// usual limit of a process.
const STACK: usize = if cfg!(debug_assertions) { 8 } else { 2 } * 1024 * 1024;

/// Without optimisation; a hang is minutes.
const PATIENCE: Duration = Duration::from_secs(20);

fn flag(targeting: Value, bucketing: Bucketing) -> Flag {
    let flag =
        json!({"state": "ENABLED", "variants": {"a": 1, "b": 2}, "defaultVariant": "a", "targeting": targeting});
    let document = flagd::read(&json!({"flags": {"flag": flag}})).expect("a document");
    let mut definition = document.flags.into_iter().next().and_then(|flag| flag.definition).expect("a definition");
    definition.bucketing = bucketing;
    Flag::new(definition, &Map::new(), &Map::new())
}

fn with_answer<T>(flag: &Flag, context: &Value, then: impl Fn(Answer) -> T) -> flagscope_core::Result<T> {
    let mut session = Session::new();
    let mut builder = session.begin(0);
    builder.value(context)?;
    Ok(then(evaluate(Some(flag), None, &builder.finish(Some("key"))?, &|_| None::<Arc<Flag>>)))
}

/// Runs on a backend's stack, and not for long.
fn bounded<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> T {
    let started = Instant::now();
    let thread = std::thread::Builder::new().stack_size(STACK).spawn(run).expect("a thread");
    let result = thread.join().expect("no panic");
    assert!(started.elapsed() < PATIENCE, "{:?}", started.elapsed());
    result
}

/// What a rule answers to a context, under both bucketings alike.
fn error(targeting: Value, context: Value) -> Option<ErrorCode> {
    bounded(move || {
        let of = |bucketing| with_answer(&flag(targeting.clone(), bucketing), &context, |answer| answer.error);
        let v2 = of(Bucketing::V2).expect("a context");
        assert_eq!(v2, of(Bucketing::V3).expect("a context"));
        v2
    })
}

/// A rule with an operator inside itself, that many times.
fn nested(operator: &str, arguments: &dyn Fn(Value) -> Value, levels: usize) -> Value {
    (0..levels).fold(json!({"var": "x"}), |inner, _| json!({operator: arguments(inner)}))
}

/// Nests operators, and has as many levels as there may be. The var at the bottom is the last one.
fn deepest() -> Vec<Value> {
    let plain = ["!", "!!", "+", "-", "*", "max", "cat", "merge", "missing", "and", "or", "if"];
    let mut rules: Vec<Value> =
        plain.iter().map(|name| nested(name, &|inner| json!([inner]), MAX_RULE_DEPTH - 1)).collect();
    for name in ["==", "===", "<", "in", "substr", "%", "/", "starts_with", "var"] {
        rules.push(nested(name, &|inner| json!([inner, 1]), MAX_RULE_DEPTH - 1));
    }
    for name in ["map", "filter", "all", "some", "none", "reduce"] {
        rules.push(nested(name, &|inner| json!([[1], inner]), MAX_RULE_DEPTH - 1));
        rules.push(nested(name, &|inner| json!([inner, {"var": ""}]), MAX_RULE_DEPTH - 1));
    }
    rules.push(nested("if", &|inner| json!([inner, inner["none"], {"var": "y"}]), MAX_RULE_DEPTH - 1));
    rules.push(nested("fractional", &|inner| json!(["k", [inner, 1]]), MAX_RULE_DEPTH / 2 - 1));
    rules.push(nested("sem_ver", &|inner| json!([inner, "=", "1"]), MAX_RULE_DEPTH - 1));
    rules
}

#[test]
fn the_deepest_rules_fit_on_the_stack_and_deeper_ones_are_refused() {
    for rule in deepest() {
        bounded(move || {
            assert!(check(&rule, &Map::new()).iter().all(|problem| problem.error.is_none()), "{rule}");
            for bucketing in [Bucketing::V2, Bucketing::V3] {
                let flag = flag(rule.clone(), bucketing);
                with_answer(&flag, &json!({"x": [[1], "y"]}), |_| ()).expect("a context");
            }
        });
    }
    for levels in [MAX_RULE_DEPTH + 1, 100, 300] {
        let kind = bounded(move || {
            let rule = nested("!", &|inner| json!([inner]), levels);
            Rule::compile(&rule, &Map::new(), Bucketing::V2, "flag").err().map(|error| error.kind)
        });
        assert_eq!(kind, Some(Kind::LimitExceeded), "{levels}");
    }
}

#[test]
fn deep_contexts_are_refused() {
    let deep = |levels| (0..levels).fold(json!({}), |inner, _| json!({"x": inner}));
    let rule = flag(json!({"cat": [{"var": "x"}]}), Bucketing::V2);
    assert!(with_answer(&rule, &deep(63), |_| ()).is_ok());
    assert_eq!(with_answer(&rule, &deep(64), |_| ()).map_err(|error| error.kind), Err(Kind::LimitExceeded));
}

#[test]
fn loops_that_would_never_end_are_stopped() {
    let ones = json!(vec![1; 3000]);
    let map = |body: Value| json!({"map": [ones, body]});
    let reduce = |body: Value, start: Value| json!({"reduce": [ones, body, start]});
    let total = json!({"var": "accumulator"});
    let endless = [
        map(map(map(json!({"+": [1, {"var": ""}]})))),
        json!({"all": [ones, {"all": [ones, {"some": [ones, {"==": [{"var": ""}, 2]}]}]}]}),
        reduce(json!({"cat": [total, total]}), json!("xx")),
        reduce(json!({"merge": [total, total]}), json!([1])),
        reduce(json!([total, total]), json!(1)),
        reduce(json!([total]), json!(1)),
        json!({"map": [[1], {"cat": [reduce(json!([total, total]), json!(1))]}]}),
    ];
    for rule in endless {
        let text = rule.to_string();
        assert_eq!(error(rule, json!({})), Some(ErrorCode::General), "{}", &text[text.len() - 80..]);
    }
}

#[test]
fn long_lists_and_texts_are_worked_through() {
    let (text, list) = ("x".repeat(1_000_000), json!(vec![json!({"a": 1}); 5_000]));
    let context = json!({"text": text, "ünï": "ü".repeat(300_000), "list": list});
    let var = |name: &str| json!({"var": name});
    let rules = [
        json!({"if": [{"in": ["xy", var("text")]}, "a", "b"]}),
        json!({"if": [{"==": [{"substr": [var("ünï"), -3, 1]}, "ü"]}, "a", "b"]}),
        json!({"if": [{"==": [var("list"), var("list")]}, "a", "b"]}),
        json!({"fractional": [var("text"), ["a", 1], ["b", 1]]}),
        json!({"fractional": [{"cat": [var("text"), var("ünï")]}, ["a", 1], ["b", 1]]}),
        json!({"if": [{"missing": ["text", "list.7.a", "none"]}, "a", "b"]}),
    ];
    for rule in rules {
        let text = rule.to_string();
        assert_eq!(error(rule, context.clone()), None, "{text}");
    }
    // An error or an answer, but soon: these ask for billions of steps.
    let many = |rule: Value, times: usize| json!({"if": [{"and": vec![rule; times]}, "a", "b"]});
    error(many(json!({"in": ["xy", var("text")]}), 200), context.clone());
    error(many(json!({"missing": var("list")}), 2000), context.clone());
    error(json!({"cat": vec![var("text"); 5000]}), context.clone());
    error(json!({"cat": [{"map": [var("list"), var("")]}]}), context);
    let names: Vec<Value> = (0..50_000).map(|n| json!(n.to_string())).collect();
    let wide: Map<String, Value> = (0..1_000).map(|n| (format!("k{n}"), json!(n))).collect();
    let (mut context, pair) = (wide.clone(), json!([[var("wide")], [var("wide")]]));
    context.extend([("names".to_owned(), json!(names)), ("wide".to_owned(), json!(wide))]);
    error(many(json!({"missing": [var("names")]}), 2000), json!(context));
    error(many(json!({"missing_some": [60_000, var("names")]}), 2000), json!(context));
    error(many(json!({"==": pair}), 20), json!(context));
    let turns = json!(vec![1; 3000]);
    let kept = json!({"if": [{"==": [[var("accumulator")], [var("accumulator")]]}, var("accumulator"), 1]});
    error(json!({"reduce": [turns, kept, var("wide")]}), json!(context));
}

#[test]
fn too_large_is_an_error() {
    let rule = json!({"in": [{"var": "x"}, vec!["user"; 20_000]]});
    let problems = check(&rule, &Map::new());
    assert_eq!(problems.iter().map(|problem| problem.error).collect::<Vec<_>>(), [Some(Kind::LimitExceeded)]);
    let doubled: Map<String, Value> =
        (0..40).map(|n| (format!("s{n}"), json!({"and": vec![json!({"$ref": format!("s{}", n + 1)}); 2]}))).collect();
    let bomb = move || Rule::compile(&json!({"$ref": "s0"}), &doubled, Bucketing::V2, "flag").map_err(|e| e.kind);
    assert_eq!(bounded(bomb).err(), Some(Kind::LimitExceeded));
    let wide: Map<String, Value> = (0..2_000).map(|n| (format!("k{n}"), json!(n))).collect();
    for context in [json!({"x": "x".repeat(3 << 20)}), json!({"x": vec![0; 100_000]}), json!({"x": wide})] {
        let answer = with_answer(&flag(json!({"var": "x"}), Bucketing::V2), &context, |_| ());
        assert_eq!(answer.map_err(|error| error.kind), Err(Kind::LimitExceeded));
    }
}

const OPERATORS: [&str; 40] = [
    "var",
    "missing",
    "missing_some",
    "if",
    "==",
    "===",
    "!=",
    "!==",
    "!",
    "!!",
    "or",
    "and",
    ">",
    ">=",
    "<",
    "<=",
    "max",
    "min",
    "+",
    "-",
    "*",
    "/",
    "%",
    "map",
    "reduce",
    "filter",
    "all",
    "none",
    "some",
    "merge",
    "in",
    "cat",
    "substr",
    "fractional",
    "starts_with",
    "ends_with",
    "sem_ver",
    "$ref",
    "#charge",
    "log",
];

const TEXTS: [&str; 14] = [
    "",
    "a",
    "b",
    "x",
    "x.y",
    "accumulator",
    "current",
    "$flagd.flagKey",
    "targetingKey",
    "1.2.3",
    "v1",
    "=",
    "~",
    "ü",
];

fn scalars() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        select(TEXTS.as_slice()).prop_map(Value::from),
        (-5_i64..100).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
    ]
}

fn json_values() -> impl Strategy<Value = Value> {
    scalars().prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(select(TEXTS.as_slice()), inner, 0..4)
                .prop_map(|map| map.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()),
        ]
    })
}

fn rules() -> impl Strategy<Value = Value> {
    let leaves = prop_oneof![3 => scalars(), 2 => select(TEXTS.as_slice()).prop_map(|name| json!({"var": name}))];
    leaves.prop_recursive(6, 60, 4, |inner| {
        let args = prop_oneof![
            4 => prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            1 => inner.clone(),
        ];
        prop_oneof![
            5 => (select(OPERATORS.as_slice()), args).prop_map(|(name, args)| json!({name: args})),
            1 => prop::collection::vec(inner, 0..4).prop_map(Value::from),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_rule_answers_any_context(rule in rules(), context in json_values(), v3 in any::<bool>()) {
        let rule = if rule.is_object() { rule } else { json!({"if": [true, rule]}) };
        let bucketing = if v3 { Bucketing::V3 } else { Bucketing::V2 };
        let compiled = Rule::compile(&rule, &Map::new(), bucketing, "flag");
        let fatal = check(&rule, &Map::new()).into_iter().any(|problem| problem.error.is_some());
        prop_assert_eq!(compiled.is_err(), fatal, "{:?}", compiled.err());
        // A context is an object, and no error but that can come of one that small.
        let context = if context.is_object() { context } else { json!({"x": context}) };
        let again = || with_answer(&flag(rule.clone(), bucketing), &context, |answer| answer.variant.map(str::to_owned));
        prop_assert_eq!(again(), again());
        prop_assert!(again().is_ok());
    }

    #[test]
    fn any_document_is_read_or_refused(rule in json_values(), flags in json_values(), extra in json_values()) {
        for document in [
            json!({"flags": flags, "$evaluators": rule, "metadata": extra, "flagscope": extra}),
            json!({"flags": {"f": {"state": "ENABLED", "variants": {"a": extra}, "targeting": rule, "metadata": flags},
                "g": flags}, "flagscope": {"flags": {"f": rule, "g": extra}, "$evaluators": flags}}),
            flags,
        ] {
            if let Ok(read) = flagd::read(&document) {
                let definitions: Vec<_> = read.flags.into_iter().filter_map(|flag| flag.definition).collect();
                flagd::write(&definitions, &read.segments, &read.metadata);
            }
        }
    }
}

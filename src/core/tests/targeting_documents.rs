//! flagd's documents: bad flags are reported one by one, and writing and reading back changes nothing.

use flagscope_core::Kind;
use flagscope_core::targeting::{Bucketing, Definition, Prerequisite, Split, ValueType, check, flagd};
use serde_json::{Map, Value, json};

const FLAG_SETS: &str = include_str!("../../../tests/data/flagd-cases/flagsets.json");

fn map(value: Value) -> Map<String, Value> {
    value.as_object().cloned().expect("an object")
}

fn definition(key: &str, targeting: Value) -> Definition {
    Definition {
        key: key.to_owned(),
        value_type: ValueType::Boolean,
        enabled: true,
        variants: map(json!({"off": false, "on": true})),
        default_variant: Some("off".to_owned()),
        targeting: Some(targeting).filter(|rule| !rule.is_null()),
        bucketing: Bucketing::V2,
        split: None,
        prerequisites: Vec::new(),
        metadata: Map::new(),
        value_schema: None,
    }
}

fn split() -> Option<Split> {
    Some(Split::new("on".to_owned(), "off".to_owned(), 20.0))
}

fn needs(flag: &str, variant: &str) -> Vec<Prerequisite> {
    vec![Prerequisite { flag: flag.to_owned(), variant: variant.to_owned() }]
}

/// The targeting that a definition is exported with.
fn exported(definitions: &[Definition], key: &str) -> Value {
    flagd::write(definitions, &Map::new(), &Map::new()).document["flags"][key]["targeting"].clone()
}

#[test]
fn documents_of_flagds_testbed_come_back_as_they_were() {
    let sets: Value = serde_json::from_str(FLAG_SETS).expect("JSON");
    for (name, document) in sets.as_object().expect("flag sets") {
        let read = flagd::read(document).expect(name);
        let definitions: Vec<_> = read.flags.into_iter().filter_map(|flag| flag.definition).collect();
        let mut written = flagd::write(&definitions, &read.segments, &read.metadata).document;
        let again = flagd::read(&written).expect(name);
        let back: Vec<_> = again.flags.into_iter().filter_map(|flag| flag.definition).collect();
        assert_eq!(back, definitions);
        // A null default variant is written as none.
        let mut wanted = document.clone();
        for flags in [&mut wanted["flags"], &mut written["flags"]] {
            for flag in flags.as_object_mut().expect("flags").values_mut() {
                flag.as_object_mut()
                    .expect("a flag")
                    .retain(|key, value| key != "defaultVariant" || !value.is_null());
            }
        }
        // Where users are split, it says how.
        let said = written.as_object_mut().and_then(|written| written.remove("flagscope")).unwrap_or_default();
        let said = said["flags"].as_object().cloned().unwrap_or_default();
        assert!(said.values().all(|flag| *flag == json!({"bucketing": "v2"})), "{name}: {said:?}");
        assert_eq!(written, wanted, "{name}");
    }
}

#[test]
fn what_flagd_cannot_say_comes_back_too() {
    let rule = json!({"if": [{"$ref": "staff"}, "on", {"fractional": [["on", 1], ["off", 1]]}]});
    let mut rolled = Definition { split: split(), prerequisites: needs("b", "on"), ..definition("a", rule) };
    rolled.metadata = map(json!({"owner": "team", "links": ["x"]}));
    let mut numbers = definition("n", json!({}));
    numbers.value_type = ValueType::Number;
    numbers.variants = map(json!({"off": 1, "on": 2}));
    numbers.bucketing = Bucketing::V3;
    numbers.enabled = false;
    let definitions = vec![rolled, definition("b", Value::Null), numbers];
    let segments =
        map(json!({"staff": {"and": [{"$ref": "here"}, true]}, "here": {"==": [{"var": "country"}, "de"]}}));
    let metadata = map(json!({"flagSetId": "production"}));
    let written = flagd::write(&definitions, &segments, &metadata);
    let notes: Vec<_> = written.problems.iter().map(|problem| (problem.message.as_str(), problem.error)).collect();
    let python = "one flag splits users by bucketing v2 (such as \"a\"); openfeature-flagd-core 2.0.0 for Python and \
        flagd-evaluation-engine 0.1.0 for Rust know v3 alone: about half of its users get another variant there";
    assert_eq!(notes, [(python, None)]);
    assert_eq!(written.document["flagscope"]["flags"]["a"]["bucketing"], "v2");
    assert_eq!(written.document["$evaluators"]["staff"]["and"][0], segments["here"]);
    assert_eq!(written.document["flags"]["a"]["metadata"], json!({"owner": "team"}));
    let read = flagd::read(&written.document).expect("a document");
    assert_eq!((&read.segments, &read.metadata), (&segments, &metadata));
    assert!(read.flags.iter().all(|flag| flag.problems.is_empty()), "{:?}", read.flags);
    assert_eq!(read.flags.into_iter().filter_map(|flag| flag.definition).collect::<Vec<_>>(), definitions);

    // Edited by hand, the document means what it says to flagd.
    let mut edited = written.document;
    edited["flags"]["a"]["targeting"] = json!({"if": [true, "on"]});
    let flag = flagd::read(&edited).expect("a document").flags.swap_remove(0);
    assert_eq!(flag.problems.iter().map(|problem| problem.error).collect::<Vec<_>>(), [None]);
    let plain = flag.definition.expect("a definition");
    assert_eq!(
        (plain.targeting, plain.split, plain.prerequisites),
        (Some(json!({"if": [true, "on"]})), None, vec![])
    );
}

#[test]
fn a_rollout_is_exported_on_the_default_path() {
    let rollout = json!({"fractional": [["on", 20_000], ["off", 80_000]]});
    let with = |targeting| exported(&[Definition { split: split(), ..definition("a", targeting) }], "a");
    assert_eq!(with(Value::Null), rollout);
    assert_eq!(with(json!({})), rollout);
    let asked = json!({"var": "x"});
    assert_eq!(with(json!({"if": [asked, "on"]})), json!({"if": [asked, "on", rollout]}));
    assert_eq!(
        with(json!({"if": [asked, null, asked, "on", null]})),
        json!({"if": [asked, rollout, asked, "on", rollout]})
    );
    assert_eq!(with(asked.clone()), json!({"if": [{"===": [asked, null]}, rollout, asked]}));
}

#[test]
fn a_prerequisite_is_exported_with_its_own_bucketing_key() {
    let key = json!({"var": "targetingKey"});
    let text = json!({"and": [key, {"===": [{"cat": [key]}, key]}]});
    let other = json!({"if": [text, {"fractional": [{"cat": ["b", key]}, ["on", 20_000], ["off", 80_000]]}, null]});
    let a = Definition { prerequisites: needs("b", "off"), ..definition("a", json!({"if": [true, "on"]})) };
    let b = Definition { split: split(), ..definition("b", Value::Null) };
    let holds = json!({"or": [{"===": [other, "off"]}, {"===": [other, null]}]});
    let wanted = json!({"if": [{"and": [holds]}, {"if": [true, "on"]}, null]});
    assert_eq!(exported(&[a.clone(), b.clone()], "a"), wanted);

    // The pair of keys that v3 hashes is no value that a rule could give.
    let v3 = [a.clone(), Definition { bucketing: Bucketing::V3, ..b }];
    let written = flagd::write(&v3, &Map::new(), &Map::new());
    assert!(written.document["flags"].get("a").is_none() && written.document["flags"].get("b").is_some());
    assert_eq!(written.problems[0].path, "/flags/a/targeting");
    assert!(written.problems[0].message.contains("bucketing v3"), "{:?}", written.problems);
}

#[test]
fn bad_flags_are_reported_one_by_one() {
    let good = json!({"state": "ENABLED", "variants": {"on": true}});
    let with = |key: &str, value: Value| {
        let mut flag = good.clone();
        flag[key] = value;
        flag
    };
    let document = json!({"$evaluators": {"loop": {"$ref": "loop"}}, "metadata": 5, "flags": {
        "default": with("defaultVariant", json!("off")),
        "good": good,
        "metadata": with("metadata", json!({"a": {}})),
        "mixed": with("variants", json!({"on": true, "off": "no"})),
        "none": with("variants", json!({})),
        "rule": with("targeting", json!({"if": [{"wat": 1}, "on"]})),
        "state": with("state", json!("enabled")),
        "text": "ENABLED",
        "warned": with("targeting", json!({"fractional": [["on", 1.5]]})),
    }});
    let read = flagd::read(&document).expect("a document");
    let of = |key: &str| read.flags.iter().find(|flag| flag.key == key).expect("the flag");
    let paths = |key: &str| of(key).problems.iter().map(|problem| problem.path.clone()).collect::<Vec<_>>();
    assert_eq!(paths("default"), ["/flags/default/defaultVariant"]);
    assert_eq!(paths("metadata"), ["/flags/metadata/metadata/a"]);
    assert_eq!(paths("mixed"), ["/flags/mixed/variants"]);
    assert_eq!(paths("none"), ["/flags/none/variants"]);
    assert_eq!(paths("rule"), ["/flags/rule/targeting/if/0/wat"]);
    assert_eq!(paths("state"), ["/flags/state/state"]);
    assert_eq!(paths("text"), ["/flags/text"]);
    assert_eq!(of("warned").problems.iter().map(|problem| problem.error).collect::<Vec<_>>(), [None]);
    assert!(of("good").problems.is_empty() && of("good").definition.is_some());
    assert_eq!(
        read.problems.iter().map(|p| p.path.as_str()).collect::<Vec<_>>(),
        ["/$evaluators/loop/$ref", "/metadata"]
    );

    let list = json!({"flags": [with("key", json!("a")), good, with("key", json!("a"))]});
    let read = flagd::read(&list).expect("a document").flags;
    assert_eq!(read.iter().map(|flag| flag.definition.is_some()).collect::<Vec<_>>(), [true, false, false]);
    assert_eq!(read[2].problems[0].path, "/flags/2");
    for none in [json!([]), json!({}), json!({"flags": 5})] {
        assert_eq!(flagd::read(&none).map_err(|error| error.kind), Err(Kind::InvalidParameter));
    }
}

#[test]
fn checking_tells_what_is_wrong_and_where() {
    let segments = map(json!({"eu": {"in": [{"var": "country"}, ["de"]]}, "bad": {"foo": 1}}));
    let of = |rule: Value| {
        let problems = check(&rule, &segments);
        problems
            .into_iter()
            .map(|problem| (problem.path, problem.message, problem.error.is_some()))
            .collect::<Vec<_>>()
    };
    let one = |path: &str, message: &str, fatal| vec![(path.to_owned(), message.to_owned(), fatal)];
    assert_eq!(of(json!({"if": [{"$ref": "eu"}, "on", null]})), []);
    assert_eq!(of(json!("on")), one("", "targeting is not an object", true));
    assert_eq!(of(json!({"if": [{"$ref": "us"}, 1]})), one("/if/0/$ref", "no segment \"us\" for \"$ref\"", true));
    assert_eq!(of(json!({"$ref": "bad"})), one("/$evaluators/bad/foo", "unknown operator \"foo\"", true));
    let both = "an operator is an object with one key, this one has \"b\" too";
    assert_eq!(of(json!({"!": [{"a": 1, "b": 2}]})), one("/!/0", both, true));
    assert_eq!(of(json!({"a/b~": 1})), one("/a~1b~0", "unknown operator \"a/b~\"", true));
    assert_eq!(of(json!({"in": ["x"]})), one("/in", "\"in\" takes 2 arguments, not 1", false));
    let versions = json!({"sem_ver": [{"var": "v"}, "===", "1.0.0"]});
    assert_eq!(of(versions), one("/sem_ver", "\"sem_ver\" has no comparison \"===\"", false));
    let zero = json!({"fractional": [["a", 0], ["b", -5]]});
    assert_eq!(of(zero), one("/fractional", "all weights are 0", false));
    let large = json!({"fractional": [["a", 2_147_483_647], ["b", 1]]});
    assert_eq!(of(large), one("/fractional", "the weights add up to more than 2147483647", false));
    assert_eq!(of(json!({"fractional": [{"var": "x"}]})), one("/fractional", "\"fractional\" has no buckets", false));
    let prefix = json!({"starts_with": [{"var": "x"}, 5]});
    assert_eq!(of(prefix), one("/starts_with", "\"starts_with\" compares texts, and 5 is none", false));
}

#[test]
fn a_document_tells_which_clients_split_otherwise() {
    let split = || Definition { split: split(), ..definition("a", Value::Null) };
    let notes = |bucketings: &[Bucketing]| -> Vec<String> {
        let flags = bucketings.iter().map(|bucketing| Definition { bucketing: *bucketing, ..split() });
        flagd::write(&flags.collect::<Vec<_>>(), &Map::new(), &Map::new())
            .problems
            .into_iter()
            .map(|p| p.message)
            .collect()
    };
    assert_eq!(notes(&[Bucketing::V3]).len(), 1);
    assert!(notes(&[Bucketing::V3])[0].contains("@openfeature/flagd-core 4.0.1 for JavaScript"));
    assert!(notes(&[Bucketing::V2, Bucketing::V2])[0].starts_with("2 flags split users by bucketing v2"));
    assert_eq!(notes(&[Bucketing::V2, Bucketing::V3]).len(), 2);
    let whole = Definition { bucketing: Bucketing::V3, ..definition("a", Value::Null) };
    assert_eq!(flagd::write(&[whole], &Map::new(), &Map::new()).problems, []);
}

#[test]
fn a_bad_segment_is_left_out_with_those_who_need_it() {
    let flag = |rule: Value| json!({"state": "ENABLED", "variants": {"on": true}, "defaultVariant": "on", "targeting": rule});
    let document = json!({
        "flags": {"good": flag(json!({"if": [{"$ref": "fine"}, "on"]})), "bad": flag(json!({"if": [{"$ref": "leans"}, "on"]}))},
        "$evaluators": {"fine": {"var": "x"}, "broken": {"no_such_op": [1]}, "leans": {"!": [{"$ref": "broken"}]}, "a\nb": true}
    });
    let read = flagd::read(&document).expect("a document");
    assert_eq!(read.segments.keys().collect::<Vec<_>>(), ["fine"]);
    let told: Vec<_> = read.problems.iter().map(|problem| problem.path.as_str()).collect();
    assert_eq!(told, ["/$evaluators/a\nb", "/$evaluators/broken/no_such_op"]);
    let bad = |flag: &&flagd::Entry| flag.problems.iter().any(|problem| problem.error.is_some());
    assert_eq!(read.flags.iter().filter(bad).map(|flag| flag.key.as_str()).collect::<Vec<_>>(), ["bad"]);
}

#[test]
fn what_a_document_would_answer_wrongly_is_told() {
    let flag = |variants: Value, rule: Value| json!({"state": "ENABLED", "variants": variants, "targeting": rule});
    let document = json!({"flags": {
        "big": flag(json!({"a": 9_007_199_254_740_993_i64}), Value::Null),
        "gone": flag(json!({"on": true}), json!({"if": [{"var": "x"}, "old"]})),
    }});
    let read = flagd::read(&document).expect("a document");
    let told: Vec<_> = read
        .flags
        .iter()
        .flat_map(|flag| &flag.problems)
        .map(|p| (p.path.as_str(), p.message.as_str(), p.error.is_some()))
        .collect();
    assert_eq!(
        told,
        [
            (
                "/flags/big/variants/a",
                "9007199254740993 is beyond 2^53 - 1, where clients round whole numbers: write it as text",
                true
            ),
            ("/flags/gone/targeting/if/1", "the flag has no variant \"old\", it has: on", false),
        ]
    );
    assert!(read.flags[1].definition.is_some());
}

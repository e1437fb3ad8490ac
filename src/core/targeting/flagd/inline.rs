//! A definition's rollout and prerequisites as JsonLogic that gives, for every context, the variant and the reason
//! that `evaluate` gives: null is the default variant with reason DEFAULT, anything else is TARGETING_MATCH.

use serde_json::{Map, Value, json};

use crate::Kind;
use crate::targeting::{Bucketing, Definition, MAX_RULE_BYTES, Prerequisite, Problem, Split, WEIGHT_TOTAL, check};

/// As deep as an evaluation follows prerequisites.
const MAX_DEPTH: usize = 16;

/// What the definitions of an environment refer to.
pub(super) struct Scope<'s> {
    pub(super) definitions: &'s [Definition],
    pub(super) segments: &'s Map<String, Value>,
}

impl Scope<'_> {
    /// The rule that stands for a whole definition, if it needs one.
    pub(super) fn rule(&self, definition: &Definition) -> Result<Option<Value>, Problem> {
        self.whole(definition, &mut Vec::new()).map_err(|message| Problem {
            path: super::below(&super::below("/flags", &definition.key), "targeting"),
            message,
            hint: "Mend or remove the prerequisite; without, flagd's clients cannot serve the flag.".into(),
            error: Some(Kind::InvalidParameter),
        })
    }

    /// The same, on a path of flags that need each other.
    fn whole(&self, definition: &Definition, path: &mut Vec<String>) -> Result<Option<Value>, String> {
        let own = definition.rule().cloned();
        let decides = match &definition.split {
            Some(split) => Some(otherwise(own, fractional(split))),
            None => own,
        };
        if definition.prerequisites.is_empty() {
            return Ok(decides);
        }
        path.push(definition.key.clone());
        let needed: Result<Vec<_>, _> =
            definition.prerequisites.iter().map(|needed| self.holds(needed, path)).collect();
        path.pop();
        let rule = json!({"if": [{"and": needed?}, decides, null]});
        // Each prerequisite stands in the rule as often as it has ways to hold, so they multiply.
        if rule.to_string().len() > MAX_RULE_BYTES {
            return Err(format!("with its prerequisites the rule is longer than {MAX_RULE_BYTES} bytes"));
        }
        Ok(Some(rule))
    }

    /// The condition that another flag serves a variant.
    fn holds(&self, needed: &Prerequisite, path: &mut Vec<String>) -> Result<Value, String> {
        if path.contains(&needed.flag) || path.len() > MAX_DEPTH {
            return Err(format!("flag \"{}\" is needed in a circle or too deep", needed.flag));
        }
        let Some(other) = self.definitions.iter().find(|definition| definition.key == needed.flag) else {
            return Ok(json!(false));
        };
        if !other.enabled {
            return Ok(json!(false));
        }
        let by_default = other.default_variant.as_ref() == Some(&needed.variant);
        let Some(rule) = self.whole(other, path)? else { return Ok(json!(by_default)) };
        let checked = check(&rule, self.segments).into_iter().find(|problem| problem.error.is_some());
        if let Some(problem) = checked {
            return Err(format!("flag \"{}\" is needed, and its rule is broken: {}", other.key, problem.message));
        }
        let rule = Rekey { segments: self.segments, flag: other }.value(&rule, false)?;
        let ways = names(&needed.variant).into_iter().chain(by_default.then_some(Value::Null));
        Ok(json!({"or": ways.map(|result| json!({"===": [rule, result]})).collect::<Vec<_>>()}))
    }
}

/// The split as flagd's operator. Without `bucketBy` it hashes flag key and targeting key, as `bucket` does, and
/// without a targeting key it gives null.
fn fractional(split: &Split) -> Value {
    let rest = WEIGHT_TOTAL - split.weight.min(WEIGHT_TOTAL);
    json!({"fractional": [[split.treatment, split.weight], [split.control, rest]]})
}

/// What the rule gives, and the fallback where that is null. Where the rule is an `if`, its branches are looked at
/// one by one, so that the outcome reads as a person would write it and evaluates nothing twice.
fn otherwise(rule: Option<Value>, fallback: Value) -> Value {
    match rule {
        None | Some(Value::Null) => fallback,
        Some(Value::Object(map)) => match map.get("if").and_then(Value::as_array) {
            Some(branches) if map.len() == 1 && branches.len() >= 2 => {
                let mut branches = branches.clone();
                let has_else = branches.len() % 2 == 1;
                let last = branches.len() - 1;
                for (index, branch) in branches.iter_mut().enumerate() {
                    if index % 2 == 1 || has_else && index == last {
                        *branch = otherwise(Some(branch.take()), fallback.clone());
                    }
                }
                branches.extend((!has_else).then_some(fallback));
                json!({"if": branches})
            }
            _ => json!({"if": [{"===": [map, null]}, fallback, map]}),
        },
        Some(literal) => literal,
    }
}

/// The results of a rule that name a variant: booleans and numbers are names too.
fn names(variant: &str) -> Vec<Value> {
    let mut names = vec![json!(variant)];
    match variant {
        "true" => names.push(json!(true)),
        "false" => names.push(json!(false)),
        _ => names.extend(variant.parse::<i64>().ok().map(Value::from)),
    }
    names
}

/// Segments with the ones they refer to put in their places: Python's core replaces only what comes later in the
/// document, and Go's replaces once. A segment that refers to itself, or to none, stays as it is.
pub(super) fn flat(segments: &Map<String, Value>) -> Map<String, Value> {
    let broken = |name: &str| check(&json!({"$ref": name}), segments).iter().any(|problem| problem.error.is_some());
    let one = |(name, rule): (&String, &Value)| {
        let rule = if broken(name) { rule.clone() } else { resolved(rule, segments) };
        (name.clone(), rule)
    };
    segments.iter().map(one).collect()
}

/// A checked rule without `$ref`.
fn resolved(rule: &Value, segments: &Map<String, Value>) -> Value {
    match rule {
        Value::Array(items) => items.iter().map(|item| resolved(item, segments)).collect(),
        Value::Object(map) => match map.get("$ref").and_then(Value::as_str).and_then(|name| segments.get(name)) {
            Some(segment) => resolved(segment, segments),
            None => map.iter().map(|(key, value)| (key.clone(), resolved(value, segments))).collect(),
        },
        scalar => scalar.clone(),
    }
}

/// Rewrites a flag's rule so that it means the same inside another flag's rule.
struct Rekey<'r> {
    segments: &'r Map<String, Value>,
    flag: &'r Definition,
}

impl Rekey<'_> {
    /// Inside a loop's body `var` reads the element, not the context.
    fn value(&self, value: &Value, in_loop: bool) -> Result<Value, String> {
        match value {
            Value::Array(items) => {
                Ok(Value::Array(items.iter().map(|item| self.value(item, in_loop)).collect::<Result<_, _>>()?))
            }
            Value::Object(map) => match map.iter().next() {
                Some((name, args)) => self.operator(name, args, in_loop),
                None => Ok(json!({})),
            },
            scalar => Ok(scalar.clone()),
        }
    }

    fn operator(&self, name: &str, args: &Value, in_loop: bool) -> Result<Value, String> {
        let first = args.get(0).unwrap_or(args);
        match name {
            // The rule was checked: every segment is there, and none refers to itself.
            "$ref" => {
                let segment = args.as_str().and_then(|name| self.segments.get(name));
                return self.value(segment.unwrap_or(&Value::Null), in_loop);
            }
            "var" if !in_loop && first == "$flagd.flagKey" => return Ok(json!(self.flag.key)),
            "var" if !in_loop && self.reads_flagd(first) => return Err(self.refusal("reads $flagd as a whole")),
            "fractional" if first.is_array() && args.is_array() => return self.fractional(args, in_loop),
            _ => {}
        }
        let loops = matches!(name, "map" | "filter" | "reduce" | "all" | "some" | "none");
        let args = match args {
            Value::Array(items) => {
                let item = |(index, item)| self.value(item, in_loop || loops && index == 1);
                Value::Array(items.iter().enumerate().map(item).collect::<Result<_, _>>()?)
            }
            other => self.value(other, in_loop)?,
        };
        Ok(json!({name: args}))
    }

    fn reads_flagd(&self, path: &Value) -> bool {
        path.as_str().is_some_and(|path| path.starts_with("$flagd") && path != "$flagd.timestamp")
    }

    /// Names the key that `fractional` takes by itself: only for v2 is there an expression for it.
    fn fractional(&self, args: &Value, in_loop: bool) -> Result<Value, String> {
        if self.flag.bucketing == Bucketing::V3 {
            // It hashes the pair of both keys, and an array in first place is taken for a bucket.
            return Err(self.refusal("splits by bucketing v3, whose key cannot be written in another flag's rule"));
        }
        if in_loop {
            return Err(self.refusal("splits inside a loop"));
        }
        let key = json!({"var": "targetingKey"});
        let mut buckets = vec![json!({"cat": [self.flag.key, key]})];
        for bucket in args.as_array().into_iter().flatten() {
            buckets.push(self.value(bucket, in_loop)?);
        }
        // `cat` makes a text of everything; the operator's own key must be one, and not empty.
        let is_text = json!({"and": [key, {"===": [{"cat": [key]}, key]}]});
        Ok(json!({"if": [is_text, {"fractional": buckets}, null]}))
    }

    fn refusal(&self, what: &str) -> String {
        format!("flag \"{}\" is needed and {what}, so this flag cannot be exported", self.flag.key)
    }
}

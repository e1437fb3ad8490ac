//! Which variants a rule can yield, as far as the rule shows it: a rollout must know whether targeting serves its arms,
//! because users assigned by a rule are not assigned at random; and a flag must have these variants.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{MAX_RULE_DEPTH, Problem};
use crate::Kind;

/// Operators that give true or false.
const TRUTHS: [&str; 17] = [
    "==",
    "===",
    "!=",
    "!==",
    "!",
    "!!",
    ">",
    ">=",
    "<",
    "<=",
    "all",
    "none",
    "some",
    "in",
    "starts_with",
    "ends_with",
    "sem_ver",
];

/// What a rule can give.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcomes {
    /// Variants that it names as results.
    pub variants: BTreeSet<String>,
    /// Whether a result is computed, so that it could be any variant.
    pub any: bool,
}

/// The results of a rule that was checked ([`super::check`]).
pub fn outcomes(rule: &Value) -> Outcomes {
    let mut found = Outcomes::default();
    let mut walk = Walk { segments: &Map::new(), path: String::new(), depth: 0, found: Vec::new() };
    walk.collect(rule, Kept::All);
    for (_, name) in walk.found {
        match name {
            Some(name) => found.variants.extend([name]),
            None => found.any = true,
        }
    }
    found
}

/// The results of a rule, given the segments that it may refer to, that are not among the variants: users for whom it
/// yields one get an error.
pub fn unknown_variants(rule: &Value, segments: &Map<String, Value>, variants: &Map<String, Value>) -> Vec<Problem> {
    let mut walk = Walk { segments, path: String::new(), depth: 0, found: Vec::new() };
    walk.collect(rule, Kept::All);
    let known: Vec<&str> = variants.keys().map(String::as_str).collect();
    let unknown = walk.found.into_iter().filter_map(|(path, name)| {
        let name = name.filter(|name| !variants.contains_key(name))?;
        let message = format!("the flag has no variant \"{name}\", it has: {}", known.join(", "));
        let hint = format!("Its variants are: {}.", known.join(", "));
        Some(Problem { path, message, hint, error: Some(Kind::InvalidParameter) })
    });
    unknown.collect()
}

/// Which results of a part are results of the whole: `or` returns true values, `and` false ones, and both their last.
#[derive(Clone, Copy, PartialEq)]
enum Kept {
    All,
    True,
    False,
}

struct Walk<'r> {
    segments: &'r Map<String, Value>,
    path: String,
    depth: usize,
    /// Where a result stands, and its variant; none for one that is computed.
    found: Vec<(String, Option<String>)>,
}

impl Walk<'_> {
    fn collect(&mut self, rule: &Value, kept: Kept) {
        match rule {
            Value::Null | Value::Array(_) => {} // no answer, or a failure
            Value::String(name) => self.name(name, !name.is_empty(), kept),
            Value::Bool(value) => self.name(if *value { "true" } else { "false" }, *value, kept),
            Value::Number(number) => self.name(&number.to_string(), number.as_f64() != Some(0.0), kept),
            Value::Object(operation) => {
                operation.iter().for_each(|(operator, args)| self.operation(operator, args, kept));
            }
        }
    }

    fn name(&mut self, name: &str, is_true: bool, kept: Kept) {
        if kept != if is_true { Kept::False } else { Kept::True } {
            self.found.push((self.path.clone(), Some(name.to_owned())));
        }
    }

    /// A part one step further down.
    fn part(&mut self, step: &str, part: &Value, kept: Kept) {
        if self.depth >= MAX_RULE_DEPTH {
            return; // of a rule that is refused
        }
        let length = self.path.len();
        self.path.push('/');
        self.path.push_str(&step.replace('~', "~0").replace('/', "~1"));
        self.depth += 1;
        self.collect(part, kept);
        self.depth -= 1;
        self.path.truncate(length);
    }

    fn operation(&mut self, operator: &str, args: &Value, kept: Kept) {
        let length = self.path.len();
        self.path.push('/');
        self.path.push_str(&operator.replace('~', "~0").replace('/', "~1"));
        let is_list = args.is_array();
        let list = args.as_array().map_or(std::slice::from_ref(args), Vec::as_slice);
        match operator {
            "if" | "?:" | "and" | "or" | "fractional" if !is_list => self.parts(operator, list, kept, false),
            "if" | "?:" | "and" | "or" | "fractional" => self.parts(operator, list, kept, true),
            "$ref" => match args.as_str().and_then(|name| self.segments.get_key_value(name)) {
                Some((name, rule)) => {
                    let outer = std::mem::replace(&mut self.path, "/$evaluators".to_owned());
                    self.part(name, rule, kept);
                    self.path = outer;
                }
                None => self.found.push((self.path.clone(), None)),
            },
            truth if TRUTHS.contains(&truth) => {
                self.name("true", true, kept);
                self.name("false", false, kept);
            }
            _ => self.found.push((self.path.clone(), None)),
        }
        self.path.truncate(length);
    }

    /// The parts of an operation that are its results.
    fn parts(&mut self, operator: &str, list: &[Value], kept: Kept, is_list: bool) {
        let last = list.len().saturating_sub(1);
        for (index, part) in list.iter().enumerate() {
            let step = index.to_string();
            let kept = match operator {
                // Conditions and results take turns; one left over at the end is the result of none.
                "if" | "?:" if index % 2 == 1 || index == last && index % 2 == 0 && list.len() % 2 == 1 => kept,
                "and" if index < last && kept == Kept::True => continue,
                "or" if index < last && kept == Kept::False => continue,
                "and" if index < last => Kept::False,
                "or" if index < last => Kept::True,
                "and" | "or" => kept,
                "fractional" => {
                    if let Some((variant, weight)) = part.as_array().and_then(|bucket| bucket.split_first()) {
                        let is_empty = weight.first().and_then(Value::as_f64).is_some_and(|weight| weight <= 0.0);
                        let path = self.path.len();
                        self.path.push_str(&format!("/{index}"));
                        if !is_empty {
                            self.part("0", variant, kept);
                        }
                        self.path.truncate(path);
                    }
                    continue;
                }
                _ => continue,
            };
            if is_list { self.part(&step, part, kept) } else { self.collect(part, kept) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn found(rule: Value) -> (Vec<String>, bool) {
        let outcomes = outcomes(&rule);
        (outcomes.variants.into_iter().collect(), outcomes.any)
    }

    #[test]
    fn results_are_found_and_conditions_are_not() {
        let rule =
            json!({"if": [{"==": [{"var": "plan"}, "off"]}, "on", {"in": ["x", {"var": "y"}]}, null, "staff"]});
        assert_eq!(found(rule), (vec!["on".into(), "staff".into()], false));
        assert_eq!(found(json!({"if": [{"var": "beta"}, "on"]})), (vec!["on".into()], false));
        assert_eq!(found(json!("off")), (vec!["off".into()], false));
        assert_eq!(found(Value::Null), (vec![], false));
        let nested = json!({"if": [{"var": "a"}, {"?:": [{"var": "b"}, "x", "y"]}, {"or": [{"in": [1, []]}, "z"]}]});
        assert_eq!(found(nested).0, ["true", "x", "y", "z"]);
    }

    #[test]
    fn a_split_gives_its_buckets() {
        let by_key =
            json!({"fractional": [{"cat": [{"var": "$flagd.flagKey"}, {"var": "email"}]}, ["on", 1], ["off", 3]]});
        assert_eq!(found(by_key), (vec!["off".into(), "on".into()], false));
        assert_eq!(found(json!({"fractional": [["on"], [{"var": "v"}, 1]]})), (vec!["on".into()], true));
    }

    #[test]
    fn what_is_computed_can_be_anything() {
        assert_eq!(found(json!({"var": "variant"})), (vec![], true));
        assert_eq!(found(json!({"if": [true, {"cat": ["o", "n"]}, "off"]})), (vec!["off".into()], true));
    }

    #[test]
    fn what_no_variant_is_named_by_is_told_with_its_place() {
        let variants = json!({"on": true, "off": false}).as_object().cloned().expect("an object");
        let segments = json!({"who": {"or": [{"var": "x"}, "gone"]}}).as_object().cloned().expect("an object");
        let told = |rule: Value| -> Vec<String> {
            let problems = unknown_variants(&rule, &segments, &variants);
            problems.into_iter().map(|problem| format!("{}: {}", problem.path, problem.message)).collect()
        };
        assert_eq!(told(json!({"if": [{"var": "a"}, "on", {"var": "b"}]})), [""; 0]);
        assert_eq!(
            told(
                json!({"if": [{"==": [{"var": "plan"}, "pro"]}, "new", {"fractional": [["on", 1], ["old", 2], ["nil", 0]]}]})
            ),
            [
                "/if/1: the flag has no variant \"new\", it has: off, on",
                "/if/2/fractional/1/0: the flag has no variant \"old\", it has: off, on",
            ]
        );
        assert_eq!(told(json!({"if": [true, {"$ref": "who"}]}))[0][..19], *"/$evaluators/who/or");
        assert_eq!(told(json!({"and": [{"==": [1, 1]}, "on"]})).len(), 1);
        assert_eq!(told(json!({"or": [{"var": "x"}, "on"]})), [""; 0]);
    }
}

//! Which variants a rule can give, as far as it shows in the rule: a rollout must know whether targeting serves its arms,
//! since whom a rule decides for is not assigned by chance.

use std::collections::BTreeSet;

use serde_json::Value;

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
    found.collect(rule);
    found
}

impl Outcomes {
    fn collect(&mut self, rule: &Value) {
        match rule {
            Value::Null | Value::Array(_) => {} // no answer, or a failure
            Value::String(name) => self.name(name),
            Value::Bool(value) => self.name(if *value { "true" } else { "false" }),
            Value::Number(number) => self.name(&number.to_string()),
            Value::Object(operation) => operation.iter().for_each(|(operator, args)| self.operation(operator, args)),
        }
    }

    fn name(&mut self, name: &str) {
        self.variants.insert(name.to_owned());
    }

    fn operation(&mut self, operator: &str, args: &Value) {
        let list = args.as_array().map_or(std::slice::from_ref(args), Vec::as_slice);
        match operator {
            // Conditions and results take turns; one left over at the end is the result of none.
            "if" | "?:" => {
                let last = list.len() - list.len() % 2;
                list.iter().take(last).skip(1).step_by(2).for_each(|result| self.collect(result));
                list.iter().skip(last).for_each(|result| self.collect(result));
            }
            "and" | "or" => list.iter().for_each(|result| self.collect(result)),
            "fractional" => {
                let buckets = list.iter().filter_map(|bucket| bucket.as_array()?.first());
                buckets.for_each(|variant| self.collect(variant));
            }
            truth if TRUTHS.contains(&truth) => ["true", "false"].into_iter().for_each(|name| self.name(name)),
            _ => self.any = true,
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
        assert_eq!(found(nested).0, ["false", "true", "x", "y", "z"]);
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
}

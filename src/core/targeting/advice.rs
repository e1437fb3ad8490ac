//! Warnings about rules that work, but yield null where their author probably expected an answer: flagd's own operators
//! never fail, they just do not match.

use serde_json::Value;

use super::operator::MAX_WEIGHT;
use super::version;

const AFFIX: &str = "Write texts in quotes; a {\"var\": ...} is looked at when the flag is evaluated.";
const FRACTIONAL: &str =
    "Write it like {\"fractional\": [[\"on\", 10], [\"off\", 90]]}: only the ratio of weights counts.";

/// What is suspicious about an operator's arguments, as far as the rule shows it, and what to do about it.
pub(super) fn on(operator: &str, args: &Value) -> Option<(String, String)> {
    let list = args.as_array().map_or(std::slice::from_ref(args), Vec::as_slice);
    match operator {
        "fractional" => fractional(list).map(|message| (message, FRACTIONAL.to_owned())),
        "starts_with" | "ends_with" => affix(operator, list).map(|message| (message, AFFIX.to_owned())),
        "sem_ver" => sem_ver(list),
        _ => None,
    }
}

/// Whether an argument is a literal in the rule.
fn literal(value: &Value) -> bool {
    !value.is_object() && !value.is_array()
}

fn affix(operator: &str, args: &[Value]) -> Option<String> {
    let odd = args.iter().find(|arg| literal(arg) && !arg.is_string())?;
    Some(format!("\"{operator}\" compares texts, and {odd} is none"))
}

fn sem_ver(args: &[Value]) -> Option<(String, String)> {
    let [left, comparison, right] = args else { return None };
    if literal(comparison) && !comparison.as_str().is_some_and(|text| version::COMPARISONS.contains(&text)) {
        let hint = format!("Comparisons are {}.", version::COMPARISONS.join(", "));
        return Some((format!("\"sem_ver\" has no comparison {comparison}"), hint));
    }
    let is_version = |value: &Value| match value {
        Value::String(text) => version::parse(text).is_some(),
        Value::Number(number) => version::parse(&number.to_string()).is_some(),
        _ => false,
    };
    let odd = [left, right].into_iter().find(|value| literal(value) && !is_version(value))?;
    let hint = "Write versions like \"1.2.3\", in quotes.".to_owned();
    Some((format!("\"sem_ver\" compares versions, and {odd} is none"), hint))
}

fn fractional(args: &[Value]) -> Option<String> {
    let buckets = match args.split_first() {
        Some((first, rest)) if !first.is_array() => rest,
        _ => args,
    };
    if buckets.is_empty() {
        return Some("\"fractional\" has no buckets".to_owned());
    }
    let mut total = Some(0);
    for bucket in buckets {
        let weight = match bucket.as_array().map(Vec::as_slice) {
            Some([_]) => Some(1),
            Some([_, weight]) if weight.is_object() => None,
            Some([_, Value::Number(weight)]) if weight.as_f64().is_some_and(|weight| weight.fract() == 0.0) => {
                weight.as_f64().map(|weight| weight.max(0.0) as i64)
            }
            Some([_, weight]) => return Some(format!("a weight is a whole number, not {weight}")),
            _ if bucket.is_object() => None,
            _ => return Some(format!("a bucket is [variant, weight], not {bucket}")),
        };
        total = total.zip(weight).map(|(total, weight): (i64, i64)| total.saturating_add(weight));
    }
    match total {
        Some(0) => Some("all weights are 0".to_owned()),
        Some(total) if total > MAX_WEIGHT => Some(format!("the weights add up to more than {MAX_WEIGHT}")),
        _ => None,
    }
}

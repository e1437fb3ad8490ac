//! Numbers of a decision in words, for reports: with as many digits as estimates have, and their intervals.

use serde_json::Value;

use super::KindRules;

/// How a number is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// So many times; nothing without the lower end of its interval.
    Times,
    /// A difference with the unit; likewise.
    Difference,
    /// A share, as a percentage.
    Share,
    /// A value with the unit.
    Value,
}

/// An estimate that a kind gives.
#[derive(Debug, Clone, Copy)]
pub struct Told {
    /// Its key, as of [`super::Estimate`].
    pub what: &'static str,
    /// Its name in words; empty for none.
    pub name: &'static str,
    /// How it is told.
    pub form: Form,
}

impl Told {
    /// An estimate with its key, its name and its form.
    pub const fn new(what: &'static str, name: &'static str, form: Form) -> Self {
        Self { what, name, form }
    }
}

/// A number rounded to some digits after the point, halves away from 0.
fn rounded(x: f64, digits: usize) -> String {
    let scale = 10_f64.powi(digits as i32);
    // What is a half in decimals may lie a little below it in binary.
    let text = format!("{:.digits$}", (x * scale * (1.0 + 4.0 * f64::EPSILON)).round() / scale);
    if text.trim_start_matches('-').bytes().all(|b| matches!(b, b'0' | b'.')) { text.replace('-', "") } else { text }
}

/// The same without zeros at its end.
fn trimmed(x: f64, digits: usize) -> String {
    let text = rounded(x, digits);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// A quantile by its name: p95, p99.9.
pub fn level(p: f64) -> String {
    format!("p{}", trimmed(p * 100.0, 6))
}

fn with_unit(text: String, unit: &str) -> String {
    if unit.is_empty() { text } else { format!("{text} {unit}") }
}

/// An estimate with its interval; "?": an end that the data do not tell.
fn interval(x: &Value, factor: f64, digits: usize) -> Option<String> {
    let at = |key: &str| x[key].as_f64().map(|end| rounded(factor * end, digits));
    let end = |end: Option<String>| end.unwrap_or_else(|| "?".to_owned());
    Some(match (at("estimate")?, at("lower"), at("upper")) {
        (estimate, None, None) => format!("{estimate} (too few for an interval)"),
        (estimate, lower, upper) => format!("{estimate} ({} to {})", end(lower), end(upper)),
    })
}

fn estimate(told: &Told, x: &Value, unit: &str) -> Option<String> {
    let size = x["estimate"].as_f64()?.abs();
    // Of a list it is the first, of a quantile: its level comes before the name.
    let name = x["quantile"].as_f64().map_or_else(|| told.name.to_owned(), |p| format!("{} {}", level(p), told.name));
    let has_end = x["quantile"].is_number() || !x["lower"].is_null();
    let words = match told.form {
        Form::Times => interval(x, 1.0, 2).filter(|_| has_end)?,
        Form::Difference => with_unit(interval(x, 1.0, 4).filter(|_| has_end)?, unit),
        Form::Share => format!("{} %", interval(x, 100.0, 2)?),
        Form::Value => {
            let digits = if size > 0.0 { (2.0 - size.log10().floor()).max(2.0) as usize } else { 4 };
            with_unit(interval(x, 1.0, digits)?, unit)
        }
    };
    Some(format!("{name} {words}").trim_start().to_owned())
}

/// What a guardrail estimates: valid at every look unless it says "one look"; `None` where the data do not tell.
pub fn effect(rules: &dyn KindRules, effect: &Value, unit: &str) -> Option<String> {
    let one = |x: &Value| if x.is_array() { x[0].clone() } else { x.clone() };
    let mut words: Vec<String> =
        rules.estimates().iter().filter_map(|told| estimate(told, &one(&effect[told.what]), unit)).collect();
    let window = estimate(&Told::new("window", "", rules.form()), &effect["window"], unit);
    words.extend(window.map(|words| format!("{words}, one look")));
    (!words.is_empty()).then(|| words.join("; "))
}

/// The value of an arm, or the values of its quantiles.
pub fn values(rules: &dyn KindRules, value: &Value, unit: &str) -> String {
    match value {
        Value::Array(list) => {
            let each: Vec<String> = list.iter().filter_map(Value::as_f64).map(|x| rounded(x, 3)).collect();
            with_unit(each.join(" / "), unit)
        }
        value => match (value.as_f64(), rules.form()) {
            (None, _) => "no data".to_owned(),
            (Some(x), Form::Share) => format!("{} %", rounded(100.0 * x, 2)),
            (Some(x), _) => with_unit(rounded(x, 4), unit),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::MetricKind;
    use super::*;
    use serde_json::json;

    #[test]
    fn estimates_are_told_by_their_kind() {
        let told = |kind: MetricKind, e: Value, unit| effect(kind.rules(), &e, unit);
        let odds = json!({"odds_ratio": {"estimate": 13.156, "lower": 4.44, "upper": 101.75}, "value": 1});
        assert_eq!(told(MetricKind::Proportion, odds, ""), Some("odds ratio 13.16 (4.44 to 101.75)".into()));
        let few = json!({"odds_ratio": {"estimate": 13.156, "lower": null, "upper": null}});
        assert_eq!(told(MetricKind::Proportion, few, ""), None);
        let share = json!({"share": {"estimate": 0.1125, "lower": 0.0405, "upper": null}});
        assert_eq!(told(MetricKind::Proportion, share, ""), Some("share 11.25 (4.05 to ?) %".into()));
        let p95 = json!({"quantile_ratio": [{"quantile": 0.95, "estimate": 1.19, "lower": 1.11, "upper": 1.3}]});
        assert_eq!(told(MetricKind::Quantile, p95, "s"), Some("p95 ratio 1.19 (1.11 to 1.30)".into()));
        let window = json!({"window": {"estimate": 4.05, "lower": 3.03, "upper": 5.07}});
        assert_eq!(told(MetricKind::Mean, window, "EUR"), Some("4.05 (3.03 to 5.07) EUR, one look".into()));
        let none = json!({"window": {"estimate": 0, "lower": null, "upper": null}});
        assert_eq!(told(MetricKind::Rate, none, ""), Some("0.0000 (too few for an interval), one look".into()));
    }

    #[test]
    fn values_and_levels_read_well() {
        assert_eq!(values(MetricKind::Proportion.rules(), &json!(0.2381), ""), "23.81 %");
        assert_eq!(values(MetricKind::Quantile.rules(), &json!([0.1, 0.25]), "s"), "0.100 / 0.250 s");
        assert_eq!(values(MetricKind::Mean.rules(), &Value::Null, "s"), "no data");
        assert_eq!([0.5, 0.95, 0.999, 0.9999].map(level), ["p50", "p95", "p99.9", "p99.99"]);
        assert_eq!([rounded(1.005, 2), rounded(-0.0001, 2), rounded(12.0, 4)], ["1.01", "0.00", "12.0000"]);
    }
}

//! Values of different types brought together: as numbers, as texts, compared and held equal.
//!
//! The rules are JavaScript's (ECMAScript 2025: 7.1.4.1 ToNumber, 6.1.6.1.20 Number::toString, 7.2.13 IsLooselyEqual), as
//! JsonLogic's reference has them, but that null equals 0 and false, as in flagd's core for Python. Nothing fails: what is no
//! number is NaN, and NaN compares as false.

use std::borrow::Cow;
use std::cmp::Ordering;

use datalogic_rs::datavalue::NumberValue;
use datalogic_rs::{DataValue, Result};

use super::meter;

/// The number that a value stands for; NaN for what is none.
pub(super) fn number(value: &DataValue) -> Result<f64> {
    Ok(match value {
        DataValue::Number(number) => number.as_f64(),
        DataValue::Null => 0.0,
        DataValue::Bool(value) => f64::from(*value),
        DataValue::String(text) => parse(text),
        DataValue::Array(_) | DataValue::Object(_) => parse(&text(value)?),
    })
}

/// A number written as people and programs write it, blanks around it allowed; nothing at all is 0. Rust would read "inf"
/// and "nan" too.
fn parse(text: &str) -> f64 {
    let text = text.trim();
    let is_decimal = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
    match text {
        "" => 0.0,
        "Infinity" | "+Infinity" => f64::INFINITY,
        "-Infinity" => f64::NEG_INFINITY,
        _ if is_decimal => text.parse().unwrap_or(f64::NAN),
        _ => [("0x", 16), ("0o", 8), ("0b", 2)]
            .into_iter()
            .find_map(|(prefix, base)| u64::from_str_radix(text.strip_prefix(prefix)?, base).ok())
            .map_or(f64::NAN, |number| number as f64),
    }
}

/// The text that a value stands for. Lists and objects pay for theirs.
pub(super) fn text<'v>(value: &'v DataValue) -> Result<Cow<'v, str>> {
    Ok(match value {
        DataValue::String(text) => Cow::Borrowed(*text),
        DataValue::Null => Cow::Borrowed("null"),
        DataValue::Bool(value) => Cow::Borrowed(if *value { "true" } else { "false" }),
        DataValue::Number(number) => Cow::Owned(number_text(*number)),
        DataValue::Object(_) => Cow::Borrowed("[object Object]"),
        DataValue::Array(items) => {
            meter::charge_value(value)?;
            let mut joined = String::new();
            join(items, &mut joined);
            Cow::Owned(joined)
        }
    })
}

/// A list's items with commas between them; null is nothing here. Its depth was bounded when it paid.
fn join(items: &[DataValue], joined: &mut String) {
    for (index, item) in items.iter().enumerate() {
        joined.push_str(if index == 0 { "" } else { "," });
        match item {
            DataValue::Null => {}
            DataValue::Array(items) => join(items, joined),
            DataValue::String(text) => joined.push_str(text),
            DataValue::Bool(value) => joined.push_str(if *value { "true" } else { "false" }),
            DataValue::Number(number) => joined.push_str(&number_text(*number)),
            DataValue::Object(_) => joined.push_str("[object Object]"),
        }
    }
}

/// A number's text: the fewest digits that give it back, with an exponent from 1e21 on and below 1e-6.
pub(super) fn number_text(number: NumberValue) -> String {
    let NumberValue::Float(value) = number else { return number.to_string() };
    match value.abs() {
        size if size.is_nan() => "NaN".to_owned(),
        size if size.is_infinite() => if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned(),
        0.0 => "0".to_owned(),
        size if size >= 1e21 => format!("{value:e}").replace('e', "e+"),
        size if size < 1e-6 => format!("{value:e}"),
        _ => value.to_string(),
    }
}

/// Whether two values are equal, types aside. Lists equal lists of the same values.
pub(super) fn equal(left: &DataValue, right: &DataValue) -> Result<bool> {
    use DataValue::{Array, Bool, Null, Number, Object, String};
    Ok(match (left, right) {
        (Null, Null) => true,
        (Null, String(_) | Array(_) | Object(_)) | (String(_) | Array(_) | Object(_), Null) => false,
        (String(left), String(right)) => left == right,
        (Array(_), Array(_)) => left == right,
        (Object(_), Array(_) | Object(_)) | (Array(_), Object(_)) => false,
        (String(_), Array(_) | Object(_)) | (Array(_) | Object(_), String(_)) => text(left)? == text(right)?,
        (Number(_) | Bool(_) | Null, _) | (_, Number(_) | Bool(_)) => number(left)? == number(right)?,
    })
}

/// How two values lie: texts in the order of their characters, all else as numbers; none beside NaN.
pub(super) fn compare(left: &DataValue, right: &DataValue) -> Result<Option<Ordering>> {
    use DataValue::{Array, Object, String};
    if let (String(left), String(right)) = (left, right) {
        return Ok(Some(left.cmp(right)));
    }
    if let (String(_) | Array(_) | Object(_), String(_) | Array(_) | Object(_)) = (left, right) {
        return Ok(Some(text(left)?.cmp(&text(right)?)));
    }
    Ok(number(left)?.partial_cmp(&number(right)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_javascript_writes_them() {
        let text = |value| number_text(NumberValue::from_f64(value));
        let written = [(1.0, "1"), (1.5, "1.5"), (-0.0, "0"), (1e20, "100000000000000000000"), (1e21, "1e+21")];
        written.into_iter().for_each(|(value, wanted)| assert_eq!(text(value), wanted));
        assert_eq!([text(0.000001), text(1e-7), text(1.5e-300)], ["0.000001", "1e-7", "1.5e-300"]);
        assert_eq!([text(f64::NAN), text(f64::NEG_INFINITY)], ["NaN", "-Infinity"]);
    }

    #[test]
    fn numbers_are_read_as_javascript_reads_them() {
        let texts = [" 20", "", "\n", "+5", "5.", ".5", "1e3", "0x10", "-Infinity"];
        let numbers = [20.0, 0.0, 0.0, 5.0, 5.0, 0.5, 1000.0, 16.0, f64::NEG_INFINITY];
        assert_eq!(texts.map(parse), numbers);
        for text in ["inf", "nan", "NaN", "infinity", "1_0", "1 0", "e", "-", "0x", "-0x10", "true", "null"] {
            assert!(parse(text).is_nan(), "{text}");
        }
    }
}

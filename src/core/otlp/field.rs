//! Typed fields of a JSON object, by the rules of ProtoJSON: `null` is absence, a number may be text.
//!
//! Unknown fields are ignored, snake_case names among them; [`Fields::expect`] tells of those that stand where
//! nothing known does.

use super::fault::{Fault, Result};
use serde_json::{Map, Number, Value};

/// 2^64 and 2^63 as doubles: the first ones that no longer fit.
const U64_END: f64 = 18_446_744_073_709_551_616.0;
const I64_END: f64 = 9_223_372_036_854_775_808.0;

/// An object whose fields are read by name.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a>(&'a Map<String, Value>);

impl<'a> Fields<'a> {
    pub(super) fn of(value: &'a Value) -> Result<Self> {
        value.as_object().map(Self).ok_or_else(|| Fault::unlike("an object", value))
    }

    pub(super) fn get(self, key: &str) -> Option<&'a Value> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    /// A fault if none of the fields that are `wanted` is there, but some that are not even `known`.
    pub(super) fn expect(self, wanted: &[&str], known: &[&str]) -> Result<()> {
        if wanted.iter().any(|key| self.0.contains_key(*key)) {
            return Ok(());
        }
        let others = self.0.iter().filter(|(key, value)| !known.contains(&key.as_str()) && !value.is_null());
        let others: Vec<&str> = others.map(|(key, _)| key.as_str()).collect();
        if others.is_empty() { Ok(()) } else { Err(Fault::not_understood(&others, wanted)) }
    }

    /// Reads the field by `read`; a fault names the field.
    pub(super) fn read<T>(self, key: &str, read: impl FnOnce(&'a Value) -> Result<T>) -> Result<Option<T>> {
        self.get(key).map(|value| read(value).map_err(|fault| fault.at(key))).transpose()
    }

    /// The elements of a list; an absent list is an empty one.
    pub(super) fn list(self, key: &str) -> Result<&'a [Value]> {
        Ok(self.read(key, elements)?.unwrap_or_default())
    }

    /// Reads each element of a list by `read`; a fault names the element.
    pub(super) fn each<T>(self, key: &str, read: impl Fn(&'a Value) -> Result<T>) -> Result<Vec<T>> {
        let read = |(index, value)| read(value).map_err(|fault| fault.within(key, index));
        self.list(key)?.iter().enumerate().map(read).collect()
    }

    /// A text, with the empty one as absence: protobuf cannot tell the two apart.
    pub(super) fn text(self, key: &str) -> Result<Option<&'a str>> {
        Ok(self.read(key, text)?.filter(|text| !text.is_empty()))
    }
}

fn elements(value: &Value) -> Result<&[Value]> {
    value.as_array().map(Vec::as_slice).ok_or_else(|| Fault::unlike("an array", value))
}

pub(super) fn text(value: &Value) -> Result<&str> {
    value.as_str().ok_or_else(|| Fault::unlike("a string", value))
}

pub(super) fn boolean(value: &Value) -> Result<bool> {
    value.as_bool().ok_or_else(|| Fault::unlike("a boolean", value))
}

/// An unsigned integer: a number (`1e3` too, when it is whole) or its digits as text.
pub(super) fn unsigned(value: &Value) -> Result<u64> {
    let whole = |x: f64| (x.fract() == 0.0 && (0.0..U64_END).contains(&x)).then_some(x as u64);
    let read = match value {
        Value::Number(number) => number.as_u64().or_else(|| number.as_f64().and_then(whole)),
        Value::String(digits) => digits.parse().ok(),
        _ => None,
    };
    read.ok_or_else(|| Fault::unlike("an unsigned 64-bit integer", value))
}

/// A signed integer, by the same rules.
pub(super) fn signed(value: &Value) -> Result<i64> {
    let whole = |x: f64| (x.fract() == 0.0 && (-I64_END..I64_END).contains(&x)).then_some(x as i64);
    let read = match value {
        Value::Number(number) if number.is_u64() || number.is_i64() => number.as_i64(),
        Value::Number(number) => number.as_f64().and_then(whole),
        Value::String(digits) => digits.parse().ok(),
        _ => None,
    };
    read.ok_or_else(|| Fault::unlike("a signed 64-bit integer", value))
}

/// A double: a number, its text, or one of the three names JSON has no number for.
pub(super) fn double(value: &Value) -> Result<f64> {
    let read = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => match text.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            text => text.parse().ok().filter(|x: &f64| x.is_finite()),
        },
        _ => None,
    };
    read.ok_or_else(|| Fault::unlike("a number", value))
}

/// A double as JSON: jsonb has no NaN and no infinities, so these stay text.
pub(super) fn number(x: f64) -> Value {
    match Number::from_f64(x) {
        Some(number) => Value::Number(number),
        None if x.is_nan() => Value::from("NaN"),
        None => Value::from(if x > 0.0 { "Infinity" } else { "-Infinity" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn integers_come_as_text_or_number() {
        for (value, wanted) in [
            (json!("18446744073709551615"), Some(u64::MAX)),
            (json!(u64::MAX), Some(u64::MAX)),
            (json!(0), Some(0)),
            (json!(1e3), Some(1000)),
            (json!(1.5), None),
            (json!(-1), None),
            (json!("-1"), None),
            (json!("18446744073709551616"), None),
            (json!(U64_END), None),
            (json!(""), None),
            (json!("0x10"), None),
            (json!(true), None),
        ] {
            assert_eq!(unsigned(&value).ok(), wanted, "{value}");
        }
        for (value, wanted) in [
            (json!("-9223372036854775808"), Some(i64::MIN)),
            (json!(i64::MIN), Some(i64::MIN)),
            (json!(-2.0), Some(-2)),
            (json!(9_223_372_036_854_775_808_u64), None),
            (json!(I64_END), None),
            (json!("9223372036854775808"), None),
            (json!([1]), None),
        ] {
            assert_eq!(signed(&value).ok(), wanted, "{value}");
        }
    }

    #[test]
    fn doubles_have_three_names() {
        assert!(double(&json!("NaN")).is_ok_and(f64::is_nan));
        assert_eq!(double(&json!("-Infinity")).ok(), Some(f64::NEG_INFINITY));
        assert_eq!(double(&json!("1.5e3")).ok(), Some(1500.0));
        for refused in [json!("inf"), json!("nan"), json!("infinity"), json!("1e999"), json!(""), json!(false)] {
            assert!(double(&refused).is_err(), "{refused}");
        }
        let names = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.1].map(number);
        assert_eq!(names, [json!("NaN"), json!("Infinity"), json!("-Infinity"), json!(0.1)]);
    }

    #[test]
    fn null_is_absence() {
        let object = json!({"a": null, "b": "", "c": "x", "d": 5, "e": {}});
        let fields = Fields::of(&object).unwrap();
        assert_eq!(fields.text("a").unwrap(), None);
        assert_eq!(fields.text("b").unwrap(), None);
        assert_eq!(fields.text("c").unwrap(), Some("x"));
        assert!(fields.list("a").unwrap().is_empty());
        assert_eq!(fields.text("d").unwrap_err().to_string(), "d: not a string: 5");
        assert_eq!(fields.list("e").unwrap_err().to_string(), "e: not an array: an object");
    }
}

//! Typed fields of an object, by the rules of ProtoJSON: `null` is absence, a number may be text.
//!
//! Unknown fields are ignored, snake_case names among them; [`Fields::expect`] tells of those that stand where
//! nothing known does.

use super::fault::{Fault, Result};
use std::borrow::Cow;

use super::tree::Tree;
use serde_json::{Number, Value};

/// 2^64 and 2^63 as doubles: the first ones that no longer fit.
const U64_END: f64 = 18_446_744_073_709_551_616.0;
const I64_END: f64 = 9_223_372_036_854_775_808.0;

/// An object whose fields are read by name.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a>(&'a [(Cow<'a, str>, Tree<'a>)]);

impl<'a> Fields<'a> {
    pub(super) fn of(value: &'a Tree<'a>) -> Result<Self> {
        match value {
            Tree::Object(fields) => Ok(Self(fields)),
            other => Err(Fault::unlike("an object", other)),
        }
    }

    pub(super) fn get(self, key: &str) -> Option<&'a Tree<'a>> {
        let (_, value) = self.0.iter().rfind(|(known, _)| known == key)?;
        (*value != Tree::Null).then_some(value)
    }

    /// A fault if none of the fields that are `wanted` is there, but some that are not even `known`.
    pub(super) fn expect(self, wanted: &[&str], known: &[&str]) -> Result<()> {
        if self.0.iter().any(|(key, _)| wanted.contains(&key.as_ref())) {
            return Ok(());
        }
        let others = self.0.iter().filter(|(key, value)| !known.contains(&key.as_ref()) && *value != Tree::Null);
        let mut others: Vec<&str> = others.map(|(key, _)| key.as_ref()).collect();
        others.sort_unstable();
        if others.is_empty() { Ok(()) } else { Err(Fault::not_understood(&others, wanted)) }
    }

    /// Reads the field by `read`; a fault names the field.
    pub(super) fn read<T>(self, key: &str, read: impl FnOnce(&'a Tree<'a>) -> Result<T>) -> Result<Option<T>> {
        self.get(key).map(|value| read(value).map_err(|fault| fault.at(key))).transpose()
    }

    /// The elements of a list; an absent list is an empty one.
    pub(super) fn list(self, key: &str) -> Result<&'a [Tree<'a>]> {
        Ok(self.read(key, elements)?.unwrap_or_default())
    }

    /// Reads each element of a list by `read`; a fault names the element.
    pub(super) fn each<T>(self, key: &str, read: impl Fn(&'a Tree<'a>) -> Result<T>) -> Result<Vec<T>> {
        let read = |(index, value)| read(value).map_err(|fault| fault.within(key, index));
        self.list(key)?.iter().enumerate().map(read).collect()
    }

    /// A text, with the empty one as absence: protobuf cannot tell the two apart.
    pub(super) fn text(self, key: &str) -> Result<Option<&'a str>> {
        Ok(self.read(key, text)?.filter(|text| !text.is_empty()))
    }
}

fn elements<'a>(value: &'a Tree<'a>) -> Result<&'a [Tree<'a>]> {
    match value {
        Tree::List(list) => Ok(list),
        other => Err(Fault::unlike("an array", other)),
    }
}

pub(super) fn text<'a>(value: &'a Tree) -> Result<&'a str> {
    value.as_str().ok_or_else(|| Fault::unlike("a string", value))
}

pub(super) fn boolean(value: &Tree) -> Result<bool> {
    match value {
        Tree::Bool(value) => Ok(*value),
        other => Err(Fault::unlike("a boolean", other)),
    }
}

/// An unsigned integer: a number (`1e3` too, when it is whole) or its digits as text.
pub(super) fn unsigned(value: &Tree) -> Result<u64> {
    let whole = |x: f64| (x.fract() == 0.0 && (0.0..U64_END).contains(&x)).then_some(x as u64);
    let read = match value {
        Tree::Number(number) => number.as_u64().or_else(|| number.as_f64().and_then(whole)),
        Tree::Text(digits) => digits.parse().ok(),
        _ => None,
    };
    read.ok_or_else(|| Fault::unlike("an unsigned 64-bit integer", value))
}

/// A signed integer, by the same rules.
pub(super) fn signed(value: &Tree) -> Result<i64> {
    let whole = |x: f64| (x.fract() == 0.0 && (-I64_END..I64_END).contains(&x)).then_some(x as i64);
    let read = match value {
        Tree::Number(number) if number.is_u64() || number.is_i64() => number.as_i64(),
        Tree::Number(number) => number.as_f64().and_then(whole),
        Tree::Text(digits) => digits.parse().ok(),
        _ => None,
    };
    read.ok_or_else(|| Fault::unlike("a signed 64-bit integer", value))
}

/// A double: a number, its text, or one of the three names JSON has no number for.
pub(super) fn double(value: &Tree) -> Result<f64> {
    let read = match value {
        Tree::Number(number) => number.as_f64(),
        Tree::Text(text) => match text.as_ref() {
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
            assert_eq!(unsigned(&value.clone().into()).ok(), wanted, "{value}");
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
            assert_eq!(signed(&value.clone().into()).ok(), wanted, "{value}");
        }
    }

    #[test]
    fn doubles_have_three_names() {
        assert!(double(&json!("NaN").into()).is_ok_and(f64::is_nan));
        assert_eq!(double(&json!("-Infinity").into()).ok(), Some(f64::NEG_INFINITY));
        assert_eq!(double(&json!("1.5e3").into()).ok(), Some(1500.0));
        for refused in [json!("inf"), json!("nan"), json!("infinity"), json!("1e999"), json!(""), json!(false)] {
            assert!(double(&refused.clone().into()).is_err(), "{refused}");
        }
        let names = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.1].map(number);
        assert_eq!(names, [json!("NaN"), json!("Infinity"), json!("-Infinity"), json!(0.1)]);
    }

    #[test]
    fn null_is_absence() {
        let object = Tree::from(json!({"a": null, "b": "", "c": "x", "d": 5, "e": {}}));
        let fields = Fields::of(&object).unwrap();
        assert_eq!(fields.text("a").unwrap(), None);
        assert_eq!(fields.text("b").unwrap(), None);
        assert_eq!(fields.text("c").unwrap(), Some("x"));
        assert!(fields.list("a").unwrap().is_empty());
        assert_eq!(fields.text("d").unwrap_err().to_string(), "d: not a string: 5");
        assert_eq!(fields.list("e").unwrap_err().to_string(), "e: not an array: an object");
    }
}

//! OTLP's AnyValue and lists of attributes as plain JSON, and NUL characters.

use super::fault::{Fault, Result};
use super::field::{Fields, boolean, double, number, text};
use super::tree::Tree;
use serde_json::{Map, Value};
use std::borrow::Cow;

/// How deep arrays and maps may nest in one value. One map is four levels of JSON text, a span attribute begins at
/// the tenth, and serde_json stops at 128 (then the whole line is lost): 24 of them still cost only their record.
const MAX_DEPTH: usize = 24;

/// An AnyValue as JSON. `{}` is null; bytes stay base64 text; what JSON has no number for stays text.
pub(super) fn any(value: &Tree) -> Result<Value> {
    nested(value, 0)
}

/// A list of key and value as an object. Keys must be unique (OTel common, "Attribute Collections"); where they are
/// not, the first one stays.
pub(super) fn attributes(list: &Tree) -> Result<Map<String, Value>> {
    pairs(list, 0)
}

/// The text of a scalar: what a subject, a variant or a flag's value is stored as.
pub(super) fn scalar_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The text of a scalar that names something: the empty text names nothing.
pub(super) fn named(value: &Value) -> Option<String> {
    scalar_text(value).filter(|text| !text.is_empty())
}

fn nested(value: &Tree, depth: usize) -> Result<Value> {
    if depth > MAX_DEPTH {
        return Err(Fault::new(format!("nested deeper than {MAX_DEPTH} levels")));
    }
    let one_of = Fields::of(value)?;
    if let Some(found) = scalar(one_of)? {
        return Ok(found);
    }
    let array = |list: &Tree| Fields::of(list)?.each("values", |value| nested(value, depth + 1));
    if let Some(values) = one_of.read("arrayValue", array)? {
        return Ok(Value::Array(values));
    }
    let map = |list: &Tree| Fields::of(list)?.read("values", |values| pairs(values, depth + 1));
    Ok(one_of.read("kvlistValue", map)?.map_or(Value::Null, |map| Value::Object(map.unwrap_or_default())))
}

fn scalar(one_of: Fields) -> Result<Option<Value>> {
    if let Some(found) = one_of.read("stringValue", text)? {
        return Ok(Some(Value::from(found)));
    }
    if let Some(found) = one_of.read("boolValue", boolean)? {
        return Ok(Some(Value::from(found)));
    }
    if let Some(found) = one_of.read("intValue", integer)? {
        return Ok(Some(found));
    }
    if let Some(found) = one_of.read("doubleValue", double)? {
        return Ok(Some(number(found)));
    }
    Ok(one_of.read("bytesValue", base64)?.map(Value::from))
}

/// Integers keep every digit: as a number within 64 signed bits, as text beyond.
fn integer(value: &Tree) -> Result<Value> {
    if let Ok(integer) = super::field::signed(value) {
        return Ok(Value::from(integer));
    }
    let digits = match value {
        Tree::Number(number) if number.is_u64() => number.to_string(),
        Tree::Text(digits) => digits.clone().into_owned(),
        _ => return Err(Fault::unlike("an integer", value)),
    };
    let unsigned = digits.strip_prefix('-').unwrap_or(&digits);
    if unsigned.is_empty() || !unsigned.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(Fault::unlike("an integer", value));
    }
    Ok(Value::from(digits))
}

/// Base64 in the standard or the URL alphabet, padded or not: ProtoJSON accepts all four.
fn base64<'a>(value: &'a Tree) -> Result<&'a str> {
    let encoded = text(value)?;
    let digits = encoded.trim_end_matches('=');
    let padding = encoded.len() - digits.len();
    let digit = |byte: u8| byte.is_ascii_alphanumeric() || b"+/-_".contains(&byte);
    let padded = padding == 0 || (padding <= 2 && encoded.len().is_multiple_of(4));
    if digits.len() % 4 == 1 || !padded || !digits.bytes().all(digit) {
        return Err(Fault::unlike("base64", value));
    }
    Ok(encoded)
}

fn pairs(list: &Tree, depth: usize) -> Result<Map<String, Value>> {
    let Tree::List(pairs) = list else { return Err(Fault::unlike("an array", list)) };
    let mut map = Map::new();
    for (index, pair) in pairs.iter().enumerate() {
        let (key, value) = read_pair(pair, depth).map_err(|fault| fault.within("", index))?;
        map.entry(key.to_owned()).or_insert(value);
    }
    Ok(map)
}

fn read_pair<'a>(pair: &'a Tree<'a>, depth: usize) -> Result<(&'a str, Value)> {
    let pair = Fields::of(pair)?;
    let key = pair.read("key", text)?.unwrap_or_default();
    Ok((key, pair.read("value", |value| nested(value, depth))?.unwrap_or_default()))
}

/// Puts U+FFFD for every NUL in keys and texts and says how many. `source` is the JSON text `value` was read from:
/// a NUL can only stand there as an escape, so the walk is rare.
pub(super) fn replace_nul(value: &mut Tree, source: &str) -> u64 {
    if source.contains("\\u0000") { replaced(value) } else { 0 }
}

/// Puts the escape of U+FFFD for every escape of half a surrogate pair and says how many. serde_json refuses such text,
/// and a whole request would be lost for one attribute: JavaScript cuts texts by UTF-16 units (an SDK's
/// `attributeValueLengthLimit` does), and its JSON.stringify writes the half that is left as an escape.
pub(super) fn replace_surrogates(source: Cow<str>) -> (Cow<str>, u64) {
    let halves = lone_surrogates(&source);
    if halves.is_empty() {
        return (source, 0);
    }
    let mut text = source.into_owned().into_bytes();
    for at in &halves {
        text[at + 2..at + 6].copy_from_slice(b"fffd");
    }
    let count = halves.len() as u64;
    (String::from_utf8_lossy(&text).into_owned().into(), count)
}

/// Where the escapes stand that are half a pair.
fn lone_surrogates(source: &str) -> Vec<usize> {
    let bytes = source.as_bytes();
    let unit = |at: usize| {
        let digits = bytes.get(at..at + 6).filter(|escape| escape.starts_with(b"\\u"))?;
        u16::from_str_radix(std::str::from_utf8(&digits[2..]).ok()?, 16).ok()
    };
    let (mut halves, mut at) = (Vec::new(), 0);
    while let Some(found) = source[at..].find('\\') {
        at += found;
        at += match (unit(at), unit(at + 6)) {
            (Some(0xD800..0xDC00), Some(0xDC00..0xE000)) => 12,
            (Some(0xD800..0xE000), _) => {
                halves.push(at);
                6
            }
            // Whatever is escaped is one character, which may be a backslash.
            _ => 1 + source[at + 1..].chars().next().map_or(0, char::len_utf8),
        };
    }
    halves
}

fn replaced(value: &mut Tree) -> u64 {
    match value {
        Tree::Text(text) => replaced_in(text),
        Tree::List(values) => values.iter_mut().map(replaced).sum(),
        Tree::Object(fields) => fields.iter_mut().map(|(key, value)| replaced_in(key) + replaced(value)).sum(),
        _ => 0,
    }
}

fn replaced_in(text: &mut Cow<str>) -> u64 {
    let count = text.bytes().filter(|&byte| byte == 0).count();
    if count > 0 {
        *text = text.replace('\0', "\u{FFFD}").into();
    }
    count as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_kind_of_value() {
        for (value, wanted) in [
            (json!({"stringValue": ""}), json!("")),
            (json!({"boolValue": false}), json!(false)),
            (json!({"intValue": "-9223372036854775808"}), json!(i64::MIN)),
            (json!({"intValue": 7}), json!(7)),
            (json!({"intValue": "9223372036854775808"}), json!("9223372036854775808")),
            (json!({"intValue": u64::MAX}), json!("18446744073709551615")),
            (json!({"doubleValue": 637.704}), json!(637.704)),
            (json!({"doubleValue": "-Infinity"}), json!("-Infinity")),
            (json!({"bytesValue": "AP8="}), json!("AP8=")),
            (json!({"arrayValue": {}}), json!([])),
            (json!({"kvlistValue": {}}), json!({})),
            (json!({"arrayValue": {"values": [{"intValue": 1}, {}]}}), json!([1, null])),
            (json!({}), json!(null)),
            (json!({"stringValue": null}), json!(null)),
            (json!({"futureValue": 1}), json!(null)),
        ] {
            assert_eq!(any(&value.clone().into()).unwrap(), wanted, "{value}");
        }
    }

    #[test]
    fn wrong_types_are_refused() {
        for (value, reason) in [
            (json!(5), "not an object: 5"),
            (json!({"stringValue": 5}), "stringValue: not a string: 5"),
            (json!({"intValue": "1.5"}), "intValue: not an integer: \"1.5\""),
            (json!({"intValue": "-"}), "intValue: not an integer: \"-\""),
            (json!({"boolValue": "true"}), "boolValue: not a boolean: \"true\""),
            (json!({"bytesValue": "AP8=="}), "bytesValue: not base64: \"AP8==\""),
            (json!({"bytesValue": "A"}), "bytesValue: not base64: \"A\""),
            (json!({"bytesValue": "A P8"}), "bytesValue: not base64: \"A P8\""),
            (json!({"arrayValue": {"values": [{}, 1]}}), "arrayValue.values[1]: not an object: 1"),
        ] {
            assert_eq!(any(&value.into()).unwrap_err().to_string(), reason);
        }
    }

    #[test]
    fn first_of_equal_keys_stays() {
        let list: Tree =
            json!([{"key": "a", "value": {"intValue": 1}}, {"key": "a", "value": {"intValue": 2}}, {"key": "b"}])
                .into();
        assert_eq!(Value::Object(attributes(&list).unwrap()), json!({"a": 1, "b": null}));
        let bad: Tree = json!([{"key": "a"}, {"key": 5}]).into();
        assert_eq!(attributes(&bad).unwrap_err().at("attributes").to_string(), "attributes[1].key: not a string: 5");
    }

    #[test]
    fn depth_is_bounded() {
        let deep = |levels| (0..levels).fold(json!({}), |inner, _| json!({"arrayValue": {"values": [inner]}}));
        assert!(any(&deep(MAX_DEPTH).into()).is_ok());
        let reason = any(&deep(MAX_DEPTH + 1).into()).unwrap_err().to_string();
        assert!(reason.ends_with("values[0]: nested deeper than 24 levels"), "{reason}");
    }

    #[test]
    fn nul_becomes_the_replacement_character() {
        let source = r#"{"a\u0000b": ["\u0000\u0000", {"c": "d"}]}"#;
        super::super::tree::begin();
        let mut value: Tree = serde_json::from_str(source).unwrap();
        assert_eq!(replace_nul(&mut value, source), 3);
        assert_eq!(value, json!({"a\u{FFFD}b": ["\u{FFFD}\u{FFFD}", {"c": "d"}]}).into());
        let escaped = r#"{"a": "\\u0000"}"#;
        super::super::tree::begin();
        let mut value: Tree = serde_json::from_str(escaped).unwrap();
        assert_eq!(replace_nul(&mut value, escaped), 0);
        assert_eq!(value, json!({"a": "\\u0000"}).into());
    }

    #[test]
    fn half_a_surrogate_pair_becomes_the_replacement_character() {
        for (source, wanted, count) in [
            (r#"["\ud83d\ude00"]"#, r#"["\ud83d\ude00"]"#, 0),
            (r#"["\ud83d"]"#, r#"["\ufffd"]"#, 1),
            (r#"["\uDE00\uD83D\uD83D\uDE00"]"#, r#"["\ufffd\ufffd\uD83D\uDE00"]"#, 2),
            (r#"["\\ud83d", "\\\ud83d\n"]"#, r#"["\\ud83d", "\\\ufffd\n"]"#, 1),
            (r#"["\ud83"]"#, r#"["\ud83"]"#, 0),
            ("[\"\\", "[\"\\", 0),
            ("\\ü\\ud800ü", "\\ü\\ufffdü", 1),
        ] {
            assert_eq!(replace_surrogates(source.into()), (wanted.into(), count), "{source}");
        }
    }
}

//! `google.protobuf.Struct`, in which flagd's messages have contexts, values and metadata.

use flagscope_core::protobuf::{Reader, Wire, put_bytes, put_double, put_integer};
use flagscope_core::targeting::ContextBuilder;
use flagscope_core::{Error, Kind, Result};
use serde_json::{Map, Value};

/// Above this a double is no whole number of a client any more: 2^53.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Feeds a context from a Struct. Whole numbers are integers, as they are in JSON.
pub fn feed(builder: &mut ContextBuilder, bytes: &[u8]) -> Result<()> {
    builder.begin_object()?;
    each(bytes, |field, wire| match (field, wire) {
        (1, Wire::Bytes(entry)) => {
            let (mut key, mut value) = (&b""[..], &b""[..]);
            each(entry, |field, wire| {
                match (field, wire) {
                    (1, Wire::Bytes(bytes)) => key = bytes,
                    (2, Wire::Bytes(bytes)) => value = bytes,
                    _ => {}
                }
                Ok(())
            })?;
            builder.key(text(key)?)?;
            feed_value(builder, value)
        }
        _ => Ok(()),
    })?;
    builder.end()
}

fn feed_value(builder: &mut ContextBuilder, bytes: &[u8]) -> Result<()> {
    // Of several the last one counts.
    let mut last = None;
    each(bytes, |field, wire| {
        last = Some((field, wire));
        Ok(())
    })?;
    match last {
        Some((2, Wire::Eight(bits))) => {
            let number = f64::from_bits(bits);
            if number.fract() == 0.0 && number.abs() < EXACT {
                builder.integer(number as i64)
            } else {
                builder.float(number)
            }
        }
        Some((3, Wire::Bytes(bytes))) => builder.string(text(bytes)?),
        Some((4, Wire::Varint(value))) => builder.boolean(value != 0),
        Some((5, Wire::Bytes(bytes))) => feed(builder, bytes),
        Some((6, Wire::Bytes(bytes))) => {
            builder.begin_array()?;
            each(bytes, |field, wire| match (field, wire) {
                (1, Wire::Bytes(item)) => feed_value(builder, item),
                _ => Ok(()),
            })?;
            builder.end()
        }
        _ => builder.null(),
    }
}

/// Calls back with each field of a message.
pub fn each<'a>(bytes: &'a [u8], mut then: impl FnMut(u32, Wire<'a>) -> Result<()>) -> Result<()> {
    let mut reader = Reader::new(bytes);
    while let Some((field, wire)) =
        reader.field().map_err(|broken| Error::new(Kind::InvalidText, format!("not a message: {}", broken.0)))?
    {
        then(field, wire)?;
    }
    Ok(())
}

/// A text of a message.
pub fn text(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|_| Error::new(Kind::InvalidText, "a text is not UTF-8"))
}

/// An object as a Struct.
pub fn of_object(object: &Map<String, Value>) -> Vec<u8> {
    let mut out = Vec::new();
    for (key, value) in object {
        let mut entry = Vec::new();
        put_bytes(&mut entry, 1, key.as_bytes());
        put_bytes(&mut entry, 2, &of_value(value));
        put_bytes(&mut out, 1, &entry);
    }
    out
}

fn of_value(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    match value {
        Value::Null => put_integer(&mut out, 1, 0),
        Value::Bool(value) => put_integer(&mut out, 4, i64::from(*value)),
        Value::Number(number) => put_double(&mut out, 2, number.as_f64().unwrap_or(f64::NAN)),
        Value::String(text) => put_bytes(&mut out, 3, text.as_bytes()),
        Value::Object(object) => put_bytes(&mut out, 5, &of_object(object)),
        Value::Array(items) => {
            let list = items.iter().fold(Vec::new(), |mut list, item| {
                put_bytes(&mut list, 1, &of_value(item));
                list
            });
            put_bytes(&mut out, 6, &list);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use flagscope_core::targeting::Session;
    use serde_json::json;

    fn context(bytes: &[u8]) -> Result<Option<String>> {
        let mut session = Session::new();
        let mut builder = session.begin(0);
        feed(&mut builder, bytes)?;
        Ok(builder.finish(None)?.targeting_key().map(str::to_owned))
    }

    #[test]
    fn contexts_are_read() {
        let object = json!({"targetingKey": "u", "a": [1, -0.5, null, true, {"b": {}}], "n": 1e300});
        assert_eq!(context(&of_object(object.as_object().unwrap())), Ok(Some("u".to_owned())));
        let deep = (0..100).fold(json!({}), |inner, _| json!({"a": inner}));
        assert_eq!(context(&of_object(deep.as_object().unwrap())).unwrap_err().kind, Kind::LimitExceeded);
        assert!(context(b"\x0a\x7f").is_err());
        assert!(context(b"\x0a\x04\x0a\x02\xff\xff").is_err());
        // Source: protobuf 7.36.2 for Python, Struct(fields={"k": Value(number_value=2)}).SerializeToString().
        assert_eq!(
            of_object(json!({"k": 2}).as_object().unwrap()),
            b"\x0a\x0e\x0a\x01k\x12\x09\x11\0\0\0\0\0\0\0\x40"
        );
    }
}

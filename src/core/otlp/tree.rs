//! What a request says: a tree that borrows its texts from the payload, whether that was JSON or protobuf. Whoever reads
//! records knows only this, so both give the same rows.
//!
//! What protobuf has and JSON has not: ids as bytes, messages that are read when they are wanted (a request of 64 MiB is
//! never a tree as a whole), and those that cannot be read.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Number;

use super::protobuf::{self, Message};

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Tree<'a> {
    Null,
    Bool(bool),
    Number(Number),
    Text(Cow<'a, str>),
    /// An id.
    Bytes(&'a [u8]),
    List(Vec<Tree<'a>>),
    /// Fields in the order they came; of two with one name the last one counts.
    Object(Vec<(Cow<'a, str>, Tree<'a>)>),
    /// A message that is not read yet, and the count of characters that reading replaces.
    Unread(&'a [u8], &'static Message, &'a Cell<u64>),
    /// A message that cannot be read, and why.
    Broken(&'static str),
}

impl<'a> Tree<'a> {
    /// The value, read.
    pub(super) fn open(&self) -> Cow<'_, Tree<'a>> {
        match self {
            Self::Unread(bytes, message, replaced) => Cow::Owned(protobuf::read(bytes, message, replaced)),
            read => Cow::Borrowed(read),
        }
    }

    /// Its text, if it is one.
    pub(super) fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// As it is shown to people.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Number(number) => number.to_string(),
            Self::Text(text) => serde_json::Value::from(text.as_ref()).to_string(),
            Self::Bytes(bytes) => format!("{} bytes", bytes.len()),
            Self::List(_) => "an array".to_owned(),
            Self::Object(_) | Self::Unread(..) => "an object".to_owned(),
            Self::Broken(reason) => (*reason).to_owned(),
        }
    }
}

impl<'de> Deserialize<'de> for Tree<'de> {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        reader.deserialize_any(Reading)
    }
}

/// The most values of one request: 64 MiB of real spans have 5 million, and as many take 500 MB at worst.
const MAX_VALUES: usize = 8_000_000;

thread_local! {
    /// How many more values the request may have; a thread's own, since serde gives a visitor no state of ours.
    static LEFT: Cell<usize> = const { Cell::new(0) };
}

/// Begins another request.
pub(super) fn begin() {
    LEFT.set(MAX_VALUES);
}

struct Reading;

impl<'de> Visitor<'de> for Reading {
    type Value = Tree<'de>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Tree<'de>, E> {
        Ok(Tree::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Tree<'de>, E> {
        Ok(Tree::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Tree<'de>, E> {
        Ok(Tree::Number(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Tree<'de>, E> {
        Ok(Tree::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Tree<'de>, E> {
        Ok(Number::from_f64(value).map_or(Tree::Null, Tree::Number))
    }

    fn visit_borrowed_str<E: Error>(self, value: &'de str) -> Result<Tree<'de>, E> {
        Ok(Tree::Text(Cow::Borrowed(value)))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Tree<'de>, E> {
        Ok(Tree::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Tree<'de>, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            pay::<A::Error>()?;
            list.push(item);
        }
        Ok(Tree::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Tree<'de>, A::Error> {
        let mut object = Vec::new();
        while let Some(key) = entries.next_key::<Name>()? {
            pay::<A::Error>()?;
            object.push((key.0, entries.next_value()?));
        }
        Ok(Tree::Object(object))
    }
}

fn pay<E: Error>() -> Result<(), E> {
    let left = LEFT.get().checked_sub(1).ok_or_else(|| E::custom("more than 8 million values"))?;
    LEFT.set(left);
    Ok(())
}

/// The name of a field: serde's own Cow would never borrow.
struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        match reader.deserialize_str(Reading)? {
            Tree::Text(name) => Ok(Self(name)),
            _ => Err(D::Error::custom("a name that is no text")),
        }
    }
}

#[cfg(test)]
impl From<serde_json::Value> for Tree<'static> {
    fn from(value: serde_json::Value) -> Self {
        use serde_json::Value;
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(value),
            Value::Number(number) => Self::Number(number),
            Value::String(text) => Self::Text(text.into()),
            Value::Array(items) => Self::List(items.into_iter().map(Self::from).collect()),
            Value::Object(entries) => {
                Self::Object(entries.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn plain_texts_are_borrowed() {
        let text = r#"{"a": "plain", "b\n": ["esc\"aped", 1, -1, 0.5, true, null, {}]}"#;
        begin();
        let tree: Tree = serde_json::from_str(text).unwrap();
        let Tree::Object(fields) = &tree else { panic!("no object") };
        assert!(matches!(&fields[0], (Cow::Borrowed("a"), Tree::Text(Cow::Borrowed("plain")))));
        assert!(matches!(&fields[1].0, Cow::Owned(_)));
        assert_eq!(tree, Tree::from(json!({"a": "plain", "b\n": ["esc\"aped", 1, -1, 0.5, true, null, {}]})));
    }
}

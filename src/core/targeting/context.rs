//! The context of an evaluation, built in an arena: no tree of `serde_json`, one reset per call.
//!
//! A backend keeps one [`Session`]. For each call it begins a context, feeds it with the events of its own walk over
//! jsonb (or with a whole JSON value), and evaluates as many flags with it as it likes.

use datalogic_rs::DataValue;
use datalogic_rs::bumpalo::Bump;
use datalogic_rs::bumpalo::collections::Vec as ArenaVec;
use serde::de::{DeserializeSeed, Visitor};
use serde_json::Value;

use crate::{Error, Kind, Result};

/// Bound of a context: its texts, and [`BYTES_PER_VALUE`] for each value. Rules scan contexts, some of them often.
pub const MAX_CONTEXT_BYTES: usize = 2 * 1024 * 1024;

/// Bound of a context's depth: comparing, rendering and hashing values recurse.
pub const MAX_CONTEXT_DEPTH: usize = 64;

/// How many flags may be evaluated with one context: a rule may build up to 16 MB before it is stopped, and a session keeps
/// that until its next context.
pub const FLAGS_PER_CONTEXT: usize = 64;

/// What a value takes beside its text.
const BYTES_PER_VALUE: usize = 24;

/// Bound of the squares of the objects' numbers of keys, added up: one object of 1,448 keys. Comparing two objects
/// takes the engine that long.
const MAX_SQUARES: usize = 1 << 21;

/// An arena that grew beyond this is given back instead of being kept for the next call.
const MAX_KEPT_BYTES: usize = 1024 * 1024;

/// What the engine calls an object: keys and values as they came.
pub(super) type Entry<'s> = (&'s str, DataValue<'s>);

/// The memory of one evaluation after another.
#[derive(Debug, Default)]
pub struct Session {
    arena: Bump,
}

impl Session {
    /// A session without memory yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins a context; the one before is gone. The timestamp (`$flagd.timestamp`) is in Unix seconds.
    pub fn begin(&mut self, timestamp: i64) -> ContextBuilder<'_> {
        if self.arena.allocated_bytes() > MAX_KEPT_BYTES {
            self.arena = Bump::new();
        }
        self.arena.reset();
        ContextBuilder {
            arena: &self.arena,
            frames: ArenaVec::new_in(&self.arena),
            root: None,
            bytes: 0,
            squares: 0,
            timestamp,
        }
    }
}

/// The context of an evaluation.
#[derive(Debug)]
pub struct Context<'s> {
    pub(super) arena: &'s Bump,
    /// About its length as JSON.
    pub(super) bytes: usize,
    /// The squares of the objects' numbers of keys, added up.
    pub(super) squares: usize,
    /// The targeting key, where it is a text.
    targeting_key: Option<&'s str>,
    entries: &'s [Entry<'s>],
    timestamp: i64,
}

impl<'s> Context<'s> {
    /// The targeting key, where there is one that is a text and not empty.
    pub fn targeting_key(&self) -> Option<&str> {
        self.targeting_key.filter(|key| !key.is_empty())
    }

    /// What a flag's rule sees: `$flagd` and `targetingKey` in place of the caller's.
    pub(super) fn root<'a>(&'a self, flag: &'a str) -> DataValue<'a> {
        let arena = self.arena;
        let flagd = arena.alloc_slice_copy(&[
            ("flagKey", DataValue::String(flag)),
            ("timestamp", DataValue::from_i64(self.timestamp)),
        ]);
        let mut root = ArenaVec::with_capacity_in(self.entries.len() + 2, arena);
        root.push(("$flagd", DataValue::Object(flagd)));
        root.extend(self.targeting_key.map(|key| ("targetingKey", DataValue::String(key))));
        let own = |key: &str| key == "$flagd" || key == "targetingKey" && self.targeting_key.is_some();
        root.extend(self.entries.iter().copied().filter(|(key, _)| !own(key)));
        DataValue::Object(root.into_bump_slice())
    }
}

enum Frame<'s> {
    Object { entries: ArenaVec<'s, Entry<'s>>, key: Option<&'s str> },
    Array(ArenaVec<'s, DataValue<'s>>),
}

/// Builds a context from events, in the order of a walk: `begin_object`, `key`, a value, ... `end`.
///
/// Keys of one object are taken to be different, as jsonb keeps them; of two, rules see the first.
pub struct ContextBuilder<'s> {
    arena: &'s Bump,
    frames: ArenaVec<'s, Frame<'s>>,
    root: Option<DataValue<'s>>,
    bytes: usize,
    squares: usize,
    timestamp: i64,
}

impl<'s> ContextBuilder<'s> {
    /// Opens an object.
    pub fn begin_object(&mut self) -> Result<()> {
        self.open(Frame::Object { entries: ArenaVec::new_in(self.arena), key: None })
    }

    /// Opens an array.
    pub fn begin_array(&mut self) -> Result<()> {
        self.open(Frame::Array(ArenaVec::new_in(self.arena)))
    }

    /// Names the next value of the open object.
    pub fn key(&mut self, name: &str) -> Result<()> {
        self.take_room(name.len())?;
        let name = self.arena.alloc_str(name);
        match self.frames.last_mut() {
            Some(Frame::Object { key, .. }) if key.is_none() => *key = Some(name),
            _ => return Err(disorder("a key")),
        }
        Ok(())
    }

    /// Closes the innermost object or array.
    pub fn end(&mut self) -> Result<()> {
        let value = match self.frames.pop() {
            Some(Frame::Object { entries, key: None }) => {
                self.squares += entries.len() * entries.len();
                DataValue::Object(entries.into_bump_slice())
            }
            Some(Frame::Array(items)) => DataValue::Array(items.into_bump_slice()),
            _ => return Err(disorder("an end")),
        };
        if self.squares > MAX_SQUARES {
            return Err(Error::new(Kind::LimitExceeded, "the context has an object with too many keys"));
        }
        self.put(value)
    }

    /// A text.
    pub fn string(&mut self, value: &str) -> Result<()> {
        self.take_room(value.len())?;
        let value = DataValue::String(self.arena.alloc_str(value));
        self.put(value)
    }

    /// A number as text, as PostgreSQL prints a numeric. Integers of 64 bits stay exact, others are the nearest
    /// float; what is beyond a float is an error.
    pub fn number(&mut self, text: &str) -> Result<()> {
        if let Ok(integer) = text.parse() {
            return self.integer(integer);
        }
        let float = text.parse().map_err(|_| {
            Error::new(
                Kind::InvalidText,
                format!("\"{}\" is not a number", text.chars().take(40).collect::<String>()),
            )
        })?;
        self.float(float)
    }

    /// A whole number.
    pub fn integer(&mut self, value: i64) -> Result<()> {
        self.put(DataValue::from_i64(value))
    }

    /// A number; infinities and NaN are errors, JSON has none.
    pub fn float(&mut self, value: f64) -> Result<()> {
        if !value.is_finite() {
            return Err(Error::new(Kind::InvalidParameter, "a number of the context is beyond the range of a float"));
        }
        self.put(DataValue::from_f64(value))
    }

    /// True or false.
    pub fn boolean(&mut self, value: bool) -> Result<()> {
        self.put(DataValue::Bool(value))
    }

    /// Null.
    pub fn null(&mut self) -> Result<()> {
        self.put(DataValue::Null)
    }

    /// A whole JSON value, read from its text without a tree of it; gives what the text has beyond it, if anything.
    pub fn json(&mut self, text: &str) -> Result<()> {
        let mut reader = serde_json::Deserializer::from_str(text);
        let fault = |problem: serde_json::Error| Error::new(Kind::InvalidText, format!("not JSON: {problem}"));
        let mut refused = None;
        let read = Events { builder: self, refused: &mut refused }.deserialize(&mut reader);
        match refused {
            Some(error) => Err(error),
            None => read.and_then(|()| reader.end()).map_err(fault),
        }
    }

    /// A whole JSON value.
    pub fn value(&mut self, value: &Value) -> Result<()> {
        match value {
            Value::Null => self.null(),
            Value::Bool(value) => self.boolean(*value),
            Value::Number(number) => match number.as_i64() {
                Some(integer) => self.integer(integer),
                None => self.float(number.as_f64().unwrap_or(f64::NAN)),
            },
            Value::String(text) => self.string(text),
            Value::Array(items) => {
                self.begin_array()?;
                items.iter().try_for_each(|item| self.value(item))?;
                self.end()
            }
            Value::Object(entries) => {
                self.begin_object()?;
                for (name, entry) in entries {
                    self.key(name)?;
                    self.value(entry)?;
                }
                self.end()
            }
        }
    }

    /// Takes the body of an OFREP request, `{"context": {...}}`, for the context in it. An object with a targeting key of its
    /// own is a context, and so is one that has more than `context`, unless the key is in there.
    pub fn unwrap_body(&mut self) {
        let Some(DataValue::Object(entries)) = self.root else { return };
        let find = |entries: &'s [Entry<'s>], name: &str| {
            entries.iter().find(|(key, _)| *key == name).map(|(_, value)| *value)
        };
        let inner = match find(entries, "context") {
            Some(DataValue::Object(inner)) => inner,
            Some(DataValue::Null) if entries.len() == 1 => &[],
            _ => return,
        };
        let is_body = entries.len() == 1 || find(inner, "targetingKey").is_some();
        if is_body && find(entries, "targetingKey").is_none() {
            self.root = Some(DataValue::Object(inner));
        }
    }

    /// Ends the building. No events at all make an empty context; a targeting key given here is the one that counts.
    pub fn finish(self, targeting_key: Option<&'s str>) -> Result<Context<'s>> {
        let entries = match (self.root, self.frames.is_empty()) {
            (None, true) => &[],
            (Some(DataValue::Object(entries)), true) => entries,
            (Some(_), true) => return Err(Error::new(Kind::InvalidParameter, "the context is not an object")),
            (_, false) => return Err(disorder("the end of the context")),
        };
        let own = || entries.iter().find(|(key, _)| *key == "targetingKey").and_then(|(_, value)| value.as_str());
        let targeting_key = targeting_key.or_else(own);
        let bytes = self.bytes + targeting_key.map_or(0, str::len);
        let Self { arena, squares, timestamp, .. } = self;
        Ok(Context { arena, bytes, squares, targeting_key, entries, timestamp })
    }

    fn open(&mut self, frame: Frame<'s>) -> Result<()> {
        if self.frames.len() >= MAX_CONTEXT_DEPTH {
            let message = format!("the context is deeper than {MAX_CONTEXT_DEPTH} levels");
            return Err(Error::new(Kind::LimitExceeded, message));
        }
        self.frames.push(frame);
        Ok(())
    }

    fn put(&mut self, value: DataValue<'s>) -> Result<()> {
        self.take_room(BYTES_PER_VALUE)?;
        match self.frames.last_mut() {
            Some(Frame::Array(items)) => items.push(value),
            Some(Frame::Object { entries, key }) => match key.take() {
                Some(key) => entries.push((key, value)),
                None => return Err(disorder("a value without a key")),
            },
            None if self.root.is_none() => self.root = Some(value),
            None => return Err(disorder("a second value")),
        }
        Ok(())
    }

    fn take_room(&mut self, bytes: usize) -> Result<()> {
        self.bytes += bytes;
        if self.bytes > MAX_CONTEXT_BYTES {
            let message = format!("the context is larger than {MAX_CONTEXT_BYTES} bytes");
            return Err(Error::new(Kind::LimitExceeded, message));
        }
        Ok(())
    }
}

/// Feeds a builder from a reader of JSON. What the builder refuses ends the reading.
struct Events<'b, 's> {
    builder: &'b mut ContextBuilder<'s>,
    refused: &'b mut Option<Error>,
}

impl<'s> Events<'_, 's> {
    fn feed<E: serde::de::Error>(
        &mut self,
        feed: impl FnOnce(&mut ContextBuilder<'s>) -> Result<()>,
    ) -> std::result::Result<(), E> {
        feed(self.builder).map_err(|error| {
            let ends = E::custom(&error.message);
            *self.refused = Some(error);
            ends
        })
    }

    fn inner(&mut self) -> Events<'_, 's> {
        Events { builder: self.builder, refused: self.refused }
    }
}

impl<'de> DeserializeSeed<'de> for Events<'_, '_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> std::result::Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Events<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E: serde::de::Error>(mut self, value: bool) -> std::result::Result<(), E> {
        self.feed(|builder| builder.boolean(value))
    }

    fn visit_i64<E: serde::de::Error>(mut self, value: i64) -> std::result::Result<(), E> {
        self.feed(|builder| builder.integer(value))
    }

    fn visit_u64<E: serde::de::Error>(mut self, value: u64) -> std::result::Result<(), E> {
        self.feed(|builder| match i64::try_from(value) {
            Ok(integer) => builder.integer(integer),
            Err(_) => builder.float(value as f64),
        })
    }

    fn visit_f64<E: serde::de::Error>(mut self, value: f64) -> std::result::Result<(), E> {
        self.feed(|builder| builder.float(value))
    }

    fn visit_str<E: serde::de::Error>(mut self, value: &str) -> std::result::Result<(), E> {
        self.feed(|builder| builder.string(value))
    }

    fn visit_unit<E: serde::de::Error>(mut self) -> std::result::Result<(), E> {
        self.feed(ContextBuilder::null)
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(mut self, mut items: A) -> std::result::Result<(), A::Error> {
        self.feed(ContextBuilder::begin_array)?;
        while items.next_element_seed(self.inner())?.is_some() {}
        self.feed(ContextBuilder::end)
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(mut self, mut entries: A) -> std::result::Result<(), A::Error> {
        self.feed(ContextBuilder::begin_object)?;
        while let Some(key) = entries.next_key::<std::borrow::Cow<str>>()? {
            self.feed(|builder| builder.key(&key))?;
            entries.next_value_seed(self.inner())?;
        }
        self.feed(ContextBuilder::end)
    }
}

/// Events in an order that no value has: the caller's mistake.
fn disorder(event: &str) -> Error {
    Error::new(Kind::InvalidParameter, format!("{event} is out of place in the context"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn root(session: &mut Session, value: &Value, key: Option<&str>) -> Result<Value> {
        let mut builder = session.begin(7);
        builder.value(value)?;
        let key = key.map(str::to_owned);
        Ok(builder.finish(key.as_deref())?.root("f").to_serde_value())
    }

    #[test]
    fn flagds_own_entries_overwrite_the_callers() {
        let session = &mut Session::new();
        let given = json!({"$flagd": 1, "targetingKey": "a", "x": [1, {"y": null}]});
        let flagd = json!({"flagKey": "f", "timestamp": 7});
        let wanted = |key| json!({"$flagd": flagd, "targetingKey": key, "x": [1, {"y": null}]});
        assert_eq!(root(session, &given, None), Ok(wanted("a")));
        assert_eq!(root(session, &given, Some("b")), Ok(wanted("b")));
        assert_eq!(root(session, &json!({"targetingKey": 5}), None), Ok(json!({"$flagd": flagd, "targetingKey": 5})));
        assert_eq!(root(session, &json!([]), None).map_err(|e| e.kind), Err(Kind::InvalidParameter));
    }

    #[test]
    fn the_body_of_a_request_is_unwrapped() {
        let targeting_key = |value: Value| {
            let mut session = Session::new();
            let mut builder = session.begin(7);
            builder.value(&value).unwrap();
            builder.unwrap_body();
            let context = builder.finish(None).unwrap();
            (context.targeting_key().map(str::to_owned), context.entries.len())
        };
        let key = |key: &str| Some(key.to_owned());
        assert_eq!(targeting_key(json!({"context": {"targetingKey": "a", "plan": "pro"}})), (key("a"), 2));
        assert_eq!(targeting_key(json!({"context": {"plan": "pro"}})), (None, 1));
        assert_eq!(targeting_key(json!({"context": {"targetingKey": "a"}, "more": 1})), (key("a"), 1));
        assert_eq!(targeting_key(json!({"context": null})), (None, 0));
        assert_eq!(targeting_key(json!({"targetingKey": "b", "context": {"targetingKey": "a"}})), (key("b"), 2));
        assert_eq!(targeting_key(json!({"context": {"screen": 3}, "plan": "pro"})), (None, 2));
        assert_eq!(targeting_key(json!({"context": "mobile"})), (None, 1));
    }

    #[test]
    fn numbers_are_exact_or_refused() {
        let mut session = Session::new();
        let mut builder = session.begin(0);
        builder.begin_array().unwrap();
        for text in ["9007199254740993", "-9223372036854775808", "0.1", "1.0", "1e3", "5e-324", "-0.0"] {
            builder.number(text).unwrap();
        }
        for text in ["1e400", "-1e400", "NaN", "inf", "", "12x"] {
            assert!(builder.number(text).is_err(), "{text}");
        }
        builder.end().unwrap();
        let Some(DataValue::Array(items)) = builder.root else { panic!("no array") };
        let wanted = json!([9007199254740993_i64, i64::MIN, 0.1, 1, 1000, 5e-324, 0]);
        assert_eq!(DataValue::Array(items).to_serde_value(), wanted);
    }

    #[test]
    fn events_out_of_order_are_errors() {
        let mut session = Session::new();
        let mut builder = session.begin(0);
        assert!(builder.key("x").is_err());
        assert!(builder.end().is_err());
        builder.begin_object().unwrap();
        assert!(builder.null().is_err());
        builder.key("x").unwrap();
        assert!(builder.key("y").is_err());
        assert!(builder.end().is_err());
    }
}

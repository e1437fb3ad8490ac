//! OTLP's protobuf as the tree that OTLP/JSON gives: by a table of messages (`message`), so that one reader of records
//! serves both.
//!
//! Invariant: what is wrong within a record costs that record; what is wrong around records costs those after it. A text
//! that is not UTF-8 gets U+FFFD, where others refuse the whole request.

mod message;

use std::borrow::Cow;
use std::cell::Cell;

use serde_json::Number;

use super::field::number;
use super::tree::Tree;
use crate::protobuf::{Broken, Reader, Wire, base64, zigzag};
use message::{Field, Kind};
pub(super) use message::{LOGS, METRICS, Message, TRACES};

/// Messages nest no deeper than this: 24 levels of values, which are three messages each, within a record. What is deeper
/// is left out, and the reader of values refuses it by its own bound before it gets there.
const MAX_DEPTH: usize = 96;

/// The most values that one record, or one list of records, is read to: a record of 64 MiB of empty attributes would be a
/// tree of 2 GB.
const MAX_VALUES: usize = 1_000_000;

/// A message as a tree: an object, or broken.
pub(super) fn read<'a>(bytes: &'a [u8], message: &'static Message, replaced: &'a Cell<u64>) -> Tree<'a> {
    Reading { replaced, left: MAX_VALUES }.message(bytes, message, 0)
}

struct Reading<'a> {
    replaced: &'a Cell<u64>,
    left: usize,
}

impl<'a> Reading<'a> {
    fn message(&mut self, bytes: &'a [u8], message: &'static Message, depth: usize) -> Tree<'a> {
        if depth > MAX_DEPTH {
            return Tree::Null;
        }
        let mut object = Vec::with_capacity(message.fields.len().min(8));
        match self.fields(&mut object, bytes, message, depth) {
            Ok(()) => Tree::Object(object),
            Err(Broken(reason)) => match message.list {
                // The records before it are good.
                Some(list) => {
                    push(&mut object, list, Tree::Broken(reason));
                    Tree::Object(object)
                }
                None => Tree::Broken(reason),
            },
        }
    }

    fn fields(
        &mut self,
        object: &mut Vec<(Cow<'a, str>, Tree<'a>)>,
        bytes: &'a [u8],
        message: &'static Message,
        depth: usize,
    ) -> Result<(), Broken> {
        let mut reader = Reader::new(bytes);
        while let Some((number, wire)) = reader.field()? {
            let Some(field) = message.fields.iter().find(|field| field.number == number) else { continue };
            match wire {
                Wire::Bytes(packed) if field.repeated && field.kind.is_number() => {
                    let mut packed = Reader::new(packed);
                    // An empty list is one.
                    list(object, field.name);
                    while !packed.is_empty() {
                        let value = self.value(field, field.kind.unpack(&mut packed)?, depth)?;
                        push(object, field.name, value);
                    }
                }
                wire => {
                    let value = self.value(field, wire, depth)?;
                    if field.repeated {
                        push(object, field.name, value);
                    } else {
                        object.push((Cow::Borrowed(field.name), value));
                    }
                }
            }
        }
        Ok(())
    }

    fn value(&mut self, field: &Field, wire: Wire<'a>, depth: usize) -> Result<Tree<'a>, Broken> {
        self.left = self.left.checked_sub(1).ok_or(Broken("more than a million values"))?;
        Ok(match (&field.kind, wire) {
            (Kind::Text, Wire::Bytes(bytes)) => Tree::Text(self.text(bytes)),
            (Kind::Base64, Wire::Bytes(bytes)) => Tree::Text(base64(bytes).into()),
            (Kind::Id, Wire::Bytes(bytes)) => Tree::Bytes(bytes),
            (Kind::Message(message), Wire::Bytes(bytes)) => self.message(bytes, message, depth + 1),
            (Kind::Later(message), Wire::Bytes(bytes)) => Tree::Unread(bytes, message, self.replaced),
            (Kind::Bool, Wire::Varint(value)) => Tree::Bool(value != 0),
            (Kind::Unsigned, Wire::Varint(value)) | (Kind::Fixed64, Wire::Eight(value)) => Tree::Number(value.into()),
            (Kind::Signed, Wire::Varint(value)) | (Kind::Sfixed64, Wire::Eight(value)) => {
                Tree::Number(Number::from(value as i64))
            }
            (Kind::Zigzag, Wire::Varint(value)) => Tree::Number(zigzag(value).into()),
            (Kind::Fixed32, Wire::Four(value)) => Tree::Number(value.into()),
            (Kind::Double, Wire::Eight(bits)) => double(f64::from_bits(bits)),
            _ => return Err(Broken("a field of the wrong wire type")),
        })
    }

    /// A text: what is not UTF-8, and NUL, becomes U+FFFD.
    fn text(&self, bytes: &'a [u8]) -> Cow<'a, str> {
        match std::str::from_utf8(bytes) {
            Ok(text) if !text.contains('\0') => Cow::Borrowed(text),
            _ => {
                let (mut text, mut count) = (String::with_capacity(bytes.len()), 0);
                for chunk in bytes.utf8_chunks() {
                    count += chunk.valid().matches('\0').count() as u64 + u64::from(!chunk.invalid().is_empty());
                    text += &chunk.valid().replace('\0', "\u{FFFD}");
                    if !chunk.invalid().is_empty() {
                        text.push('\u{FFFD}');
                    }
                }
                self.replaced.set(self.replaced.get() + count);
                Cow::Owned(text)
            }
        }
    }
}

/// The list of that name, made when it is not there.
fn list<'o, 'a>(object: &'o mut Vec<(Cow<'a, str>, Tree<'a>)>, name: &'static str) -> Option<&'o mut Vec<Tree<'a>>> {
    let place = match object.iter().rposition(|(known, _)| known == name) {
        Some(place) => place,
        None => {
            object.push((Cow::Borrowed(name), Tree::List(Vec::new())));
            object.len() - 1
        }
    };
    match object.get_mut(place) {
        Some((_, Tree::List(list))) => Some(list),
        _ => None,
    }
}

fn push<'a>(object: &mut Vec<(Cow<'a, str>, Tree<'a>)>, name: &'static str, value: Tree<'a>) {
    if let Some(list) = list(object, name) {
        list.push(value);
    }
}

/// As OTLP/JSON has it: what JSON has no number for is a text.
fn double(value: f64) -> Tree<'static> {
    match number(value) {
        serde_json::Value::Number(number) => Tree::Number(number),
        serde_json::Value::String(name) => Tree::Text(name.into()),
        _ => Tree::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_postgresql_cannot_hold_are_mended() {
        let replaced = Cell::new(0);
        let reading = Reading { replaced: &replaced, left: 0 };
        assert_eq!(reading.text(b"a\0b\xFF\xFEc"), "a\u{FFFD}b\u{FFFD}\u{FFFD}c");
        assert_eq!(replaced.get(), 3);
        assert!(matches!(reading.text("ü".as_bytes()), Cow::Borrowed("ü")));
    }
}

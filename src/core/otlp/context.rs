//! What a record inherits: service and environment from its resource, a subject, and the scope it was made in.

use std::rc::Rc;

use super::evaluation;
use super::fault::Result;
use super::field::{Fields, unsigned};
use super::row::{Record, Row};
use super::value;
use serde_json::{Map, Value};

/// The attributes that say who was served, the most telling first: the flag's own targeting key, then a known
/// person, then a pseudonym, then a session. The record is asked for all of them before the resource.
pub const SUBJECT_KEYS: [&str; 5] =
    ["feature_flag.context.id", "enduser.id", "enduser.pseudo.id", "user.id", "session.id"];

const SERVICE: &[&str] = &["service.name"];
/// The second was renamed to the first in semantic conventions 1.27.
const ENVIRONMENT: &[&str] = &["deployment.environment.name", "deployment.environment"];

/// A resource: two columns, a subject, the rest of its attributes, and what OTLP says beside them.
#[derive(Default)]
pub(super) struct Resource {
    pub(super) service: Option<String>,
    pub(super) environment: Option<String>,
    subject: Option<String>,
    pub(super) rest: Map<String, Value>,
    pub(super) otlp: Map<String, Value>,
}

impl Resource {
    /// Reads the resource of a group, which also has its schema.
    pub(super) fn read(group: Fields) -> Result<Self> {
        let mut otlp = Map::new();
        put(&mut otlp, "schema_url", group.text("schemaUrl")?);
        let Some(fields) = group.read("resource", Fields::of)? else { return Ok(Self { otlp, ..Self::default() }) };
        let inner = || {
            let mut rest = fields.read("attributes", value::attributes)?.unwrap_or_default();
            put_dropped(&mut otlp, fields, &["droppedAttributesCount"])?;
            let service = take(&mut rest, SERVICE);
            let environment = take(&mut rest, ENVIRONMENT);
            Ok(Self { service, environment, subject: subject(&rest), rest, otlp })
        };
        within("resource", inner)
    }
}

/// An instrumentation scope, as it stands under `attributes.scope`.
#[derive(Default)]
pub(super) struct Scope {
    pub(super) name: Option<String>,
    pub(super) object: Map<String, Value>,
}

impl Scope {
    /// Reads the scope of a group, which also has its schema.
    pub(super) fn read(group: Fields) -> Result<Self> {
        let mut object = Map::new();
        put(&mut object, "schema_url", group.text("schemaUrl")?);
        let Some(fields) = group.read("scope", Fields::of)? else { return Ok(Self { name: None, object }) };
        let inner = || {
            for key in ["name", "version"] {
                put(&mut object, key, fields.text(key)?);
            }
            let attributes = fields.read("attributes", value::attributes)?.unwrap_or_default();
            put_object(&mut object, "attributes", attributes);
            put_dropped(&mut object, fields, &["droppedAttributesCount"])?;
            Ok(Self { name: fields.text("name")?.map(str::to_owned), object })
        };
        within("scope", inner)
    }
}

/// What `read` gives; a fault is one of the field `key`.
fn within<T>(key: &str, read: impl FnOnce() -> Result<T>) -> Result<T> {
    read().map_err(|fault| fault.at(key))
}

/// What is common to the records of one scope.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) resource: &'a Rc<Resource>,
    pub(super) scope: &'a Rc<Scope>,
}

impl Context<'_> {
    /// Makes a record of a row: subject and flags are among its attributes.
    pub(super) fn complete(self, mut row: Row, attributes: Map<String, Value>, otlp: Map<String, Value>) -> Record {
        row.subject = subject(&attributes).or_else(|| row.subject.take()).or_else(|| self.resource.subject.clone());
        row.flags = row.flags.take().or_else(|| evaluation::tagged(&attributes));
        let (resource, scope) = (Rc::clone(self.resource), Rc::clone(self.scope));
        Record { row, attributes, otlp, resource, scope }
    }
}

/// Puts the counts of what the sender dropped, in snake case, where they are not 0.
pub(super) fn put_dropped(map: &mut Map<String, Value>, fields: Fields, keys: &[&str]) -> Result<()> {
    for key in keys {
        let name = match *key {
            "droppedEventsCount" => "dropped_events",
            "droppedLinksCount" => "dropped_links",
            _ => "dropped_attributes",
        };
        put(map, name, fields.read(key, unsigned)?.filter(|&count| count != 0));
    }
    Ok(())
}

/// Puts the flags of a span, a link or a log record (W3C trace flags and OTLP's own bits), where they are not 0.
pub(super) fn put_flags(map: &mut Map<String, Value>, fields: Fields) -> Result<()> {
    put(map, "flags", fields.read("flags", unsigned)?.filter(|&flags| flags != 0));
    Ok(())
}

/// Puts a value that is there; an absent one leaves no key.
pub(super) fn put(map: &mut Map<String, Value>, key: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        map.insert(key.to_owned(), value.into());
    }
}

/// Puts an object that is not empty.
pub(super) fn put_object(map: &mut Map<String, Value>, key: &str, object: Map<String, Value>) {
    put(map, key, (!object.is_empty()).then_some(object));
}

pub(super) fn subject(attributes: &Map<String, Value>) -> Option<String> {
    SUBJECT_KEYS.iter().find_map(|key| attributes.get(*key).and_then(named))
}

/// Takes the first of `keys` that has a usable text out of the map.
fn take(map: &mut Map<String, Value>, keys: &[&str]) -> Option<String> {
    let (key, text) = keys.iter().find_map(|key| Some((key, named(map.get(*key)?)?)))?;
    map.remove(*key);
    Some(text)
}

/// The text of a scalar that names something: the empty text names nothing.
pub(super) fn named(value: &Value) -> Option<String> {
    value::scalar_text(value).filter(|text| !text.is_empty())
}

//! A record (a row before it is returned), and what it inherits: service, environment and instance from its resource, a
//! subject, and its instrumentation scope.

use std::rc::Rc;

use super::evaluation;
use super::fault::Result;
use super::field::{Fields, unsigned};
use super::json::{Json, Members};
use super::row::Row;
use super::value::{self, named};
use serde_json::{Map, Value};

/// The attributes that say who was served, the most telling first: the flag's own targeting key, then a known
/// person, then a pseudonym, then a session. The record is asked for all of them before the resource.
pub const SUBJECT_KEYS: [&str; 5] =
    ["feature_flag.context.id", "enduser.id", "enduser.pseudo.id", "user.id", "session.id"];

const SERVICE: &[&str] = &["service.name"];
/// The second was renamed to the first in semantic conventions 1.27.
const ENVIRONMENT: &[&str] = &["deployment.environment.name", "deployment.environment"];

/// What tells one process from the others of its service, the most telling first. They stay among the attributes.
const INSTANCE: [&str; 6] =
    ["service.instance.id", "k8s.pod.uid", "k8s.pod.name", "container.id", "host.id", "host.name"];

/// A resource: three columns, a subject, the rest of its attributes, and what OTLP says beside them.
#[derive(Default)]
pub(super) struct Resource {
    pub(super) service: Option<String>,
    pub(super) environment: Option<String>,
    instance: Option<String>,
    subject: Option<String>,
    /// The rest of its attributes, as each row has them.
    pub(super) rest: Option<Json>,
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
            let instance = INSTANCE.iter().find_map(|key| rest.get(*key).and_then(named));
            let subject = subject(&rest);
            Ok(Self { service, environment, instance, subject, rest: text(rest), otlp })
        };
        within("resource", inner)
    }
}

/// An instrumentation scope, as it stands under `attributes.scope`.
#[derive(Default)]
pub(super) struct Scope {
    pub(super) name: Option<String>,
    pub(super) object: Option<Json>,
}

impl Scope {
    /// Reads the scope of a group, which also has its schema.
    pub(super) fn read(group: Fields) -> Result<Self> {
        let mut object = Map::new();
        put(&mut object, "schema_url", group.text("schemaUrl")?);
        let Some(fields) = group.read("scope", Fields::of)? else {
            return Ok(Self { name: None, object: text(object) });
        };
        let inner = || {
            for key in ["name", "version"] {
                put(&mut object, key, fields.text(key)?);
            }
            let attributes = fields.read("attributes", value::attributes)?.unwrap_or_default();
            put_object(&mut object, "attributes", attributes);
            put_dropped(&mut object, fields, &["droppedAttributesCount"])?;
            Ok(Self { name: fields.text("name")?.map(str::to_owned), object: text(object) })
        };
        within("scope", inner)
    }
}

/// An object's text, if there is anything in it.
fn text(object: Map<String, Value>) -> Option<Json> {
    (!object.is_empty()).then(|| Value::Object(object).into())
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

/// A row whose resource and scope are shared with its neighbours: a request of many records holds each once.
pub(super) struct Record {
    pub(super) row: Row,
    pub(super) attributes: Map<String, Value>,
    pub(super) otlp: Map<String, Value>,
    pub(super) resource: Rc<Resource>,
    pub(super) scope: Rc<Scope>,
}

/// Keys of `attributes` that hold our objects. A record's attribute of such a name moves to `otlp.attributes`, so
/// that `attributes->'resource'` never is a stranger's value, and nothing is lost.
const RESERVED: [&str; 3] = ["resource", "scope", "otlp"];

impl Record {
    /// The row with everything it has from its resource and scope, whose texts are copied and not written again.
    pub(super) fn finish(self) -> Row {
        let Self { mut row, attributes, mut otlp, resource, scope } = self;
        (row.service, row.environment) = (resource.service.clone(), resource.environment.clone());
        row.instance.clone_from(&resource.instance);
        let known = [&resource.rest, &scope.object].into_iter().flatten().map(|json| json.as_str().len());
        let mut members = Members::with_capacity(256 + known.sum::<usize>());
        let mut moved = Map::new();
        for (key, value) in attributes {
            if RESERVED.contains(&key.as_str()) {
                moved.insert(key, value);
            } else {
                members.put(&key, &value);
            }
        }
        put_object(&mut otlp, "attributes", moved);
        put_object(&mut otlp, "resource", resource.otlp.clone());
        if !otlp.is_empty() {
            members.put("otlp", &otlp);
        }
        for (key, json) in [("resource", &resource.rest), ("scope", &scope.object)] {
            if let Some(json) = json {
                members.put_text(key, json.as_str());
            }
        }
        row.attributes = members.finish();
        row
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

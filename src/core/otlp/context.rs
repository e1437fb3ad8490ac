//! What a record inherits: service and environment from its resource, a subject, and the scope it was made in.

use super::evaluation;
use super::fault::Result;
use super::field::Fields;
use super::row::Row;
use super::value;
use serde_json::{Map, Value};

/// The attributes that say who was served, the most telling first: the flag's own targeting key, then a known
/// person, then a pseudonym, then a session. The record is asked for all of them before the resource.
pub const SUBJECT_KEYS: [&str; 5] =
    ["feature_flag.context.id", "enduser.id", "enduser.pseudo.id", "user.id", "session.id"];

const SERVICE: &[&str] = &["service.name"];
/// The second was renamed to the first in semantic conventions 1.27.
const ENVIRONMENT: &[&str] = &["deployment.environment.name", "deployment.environment"];

/// Keys of `attributes` that hold our objects. A record's attribute of such a name moves to `otlp.attributes`, so
/// that `attributes->'resource'` never is a stranger's value, and nothing is lost.
const RESERVED: [&str; 3] = ["resource", "scope", "otlp"];

/// A resource: two columns, a subject, and the rest of its attributes.
#[derive(Default)]
pub(super) struct Resource {
    service: Option<String>,
    environment: Option<String>,
    subject: Option<String>,
    rest: Map<String, Value>,
}

impl Resource {
    pub(super) fn read(resource: &Value) -> Result<Self> {
        let mut rest = Fields::of(resource)?.read("attributes", value::attributes)?.unwrap_or_default();
        let service = take(&mut rest, SERVICE);
        let environment = take(&mut rest, ENVIRONMENT);
        Ok(Self { service, environment, subject: subject(&rest), rest })
    }
}

/// An instrumentation scope, as it stands under `attributes.scope`.
#[derive(Default)]
pub(super) struct Scope {
    pub(super) name: Option<String>,
    object: Map<String, Value>,
}

impl Scope {
    pub(super) fn read(scope: &Value) -> Result<Self> {
        let fields = Fields::of(scope)?;
        let mut object = Map::new();
        for key in ["name", "version"] {
            put(&mut object, key, fields.text(key)?);
        }
        let attributes = fields.read("attributes", value::attributes)?.unwrap_or_default();
        put_object(&mut object, "attributes", attributes);
        Ok(Self { name: fields.text("name")?.map(str::to_owned), object })
    }
}

/// What is common to the records of one scope.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) resource: &'a Resource,
    pub(super) scope: &'a Scope,
}

impl Context<'_> {
    pub(super) fn service(self) -> Option<String> {
        self.resource.service.clone()
    }

    pub(super) fn environment(self) -> Option<String> {
        self.resource.environment.clone()
    }

    /// Completes a row from its attributes: subject, flags, and the `attributes` column.
    pub(super) fn complete(self, row: &mut Row, attributes: Map<String, Value>, mut otlp: Map<String, Value>) {
        row.subject = subject(&attributes).or_else(|| row.subject.take()).or_else(|| self.resource.subject.clone());
        row.flags = row.flags.take().or_else(|| evaluation::tagged(&attributes));
        let (moved, mut kept) = split(attributes);
        put_object(&mut otlp, "attributes", moved);
        put_object(&mut kept, "resource", self.resource.rest.clone());
        put_object(&mut kept, "scope", self.scope.object.clone());
        put_object(&mut kept, "otlp", otlp);
        row.attributes = (!kept.is_empty()).then_some(Value::Object(kept));
    }
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

fn split(attributes: Map<String, Value>) -> (Map<String, Value>, Map<String, Value>) {
    attributes.into_iter().partition(|(key, _)| RESERVED.contains(&key.as_str()))
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

//! flagd's evaluation by gRPC, v1 and v2: the two differ in which fields may be absent, and what is absent is left out for
//! both. Errors have the codes that flagd gives them.
//!
//! Source: open-feature/flagd-schemas 741a7f8, `flagd.evaluation`.

use std::sync::Arc;
use std::time::Duration;

use flagscope_core::protobuf::{Wire, put_bytes, put_double, put_integer};
use flagscope_core::targeting::{Answer, ErrorCode, ValueType, ofrep};
use serde_json::{Map, Value, json};

use super::evaluate::{self, BadBody, Given};
use super::{Followed, Set, exposure, wire};
use crate::auth::Scope;
use crate::gateway::Gateway;
use crate::grpc::{self, Code, Status};
use crate::telemetry::Outcome;
use crate::web::{self, Feed, Request, Response};

/// So often a stream says that it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// Answers a method.
pub async fn answer(gateway: &Arc<Gateway>, method: &str, request: Request) -> Response {
    let followed = match gateway.flags.admit(&gateway.auth, request.headers(), Scope::Flags, None) {
        Ok((followed, _)) => followed,
        Err(refusal) => {
            web::drain(request.into_body()).await;
            return grpc::failed(&Status::of(&Outcome::Refused(refusal)));
        }
    };
    let asked = match method {
        "ResolveBoolean" => Some(ValueType::Boolean),
        "ResolveString" => Some(ValueType::String),
        "ResolveInt" => Some(ValueType::Integer),
        "ResolveFloat" => Some(ValueType::Number),
        "ResolveObject" => Some(ValueType::Object),
        "ResolveAll" => None,
        "EventStream" => return events(gateway, followed),
        _ => {
            web::drain(request.into_body()).await;
            return grpc::failed(&Status::new(Code::Unimplemented, "there is no such method"));
        }
    };
    let config = &gateway.config;
    let message = match grpc::message(request, config.limit_ofrep, config.body_timeout).await {
        Ok(message) => message,
        Err(status) => return grpc::failed(&status),
    };
    let Some(set) = followed.now() else { return grpc::failed(&not_yet()) };
    let answer = evaluate::guarded(|| match asked {
        Some(asked) => one(gateway, &set, asked, &message),
        None => all(gateway, &set, &message),
    });
    grpc::unary(answer.unwrap_or_else(|| Err(Status::new(Code::Internal, "a defect of the gateway"))))
}

/// The status while there are no flags yet.
pub fn not_yet() -> Status {
    Status::later(Code::Unavailable, "the flags are not loaded yet", 1)
}

/// The fields 1 and 2 of a request.
fn fields(message: &[u8]) -> Result<(&[u8], &[u8]), Status> {
    let (mut first, mut second) = (&b""[..], &b""[..]);
    let read = wire::each(message, |field, wire| {
        match (field, wire) {
            (1, Wire::Bytes(bytes)) => first = bytes,
            (2, Wire::Bytes(bytes)) => second = bytes,
            _ => {}
        }
        Ok(())
    });
    read.map_err(|error| Status::new(Code::InvalidArgument, error.message))?;
    Ok((first, second))
}

fn one(gateway: &Arc<Gateway>, set: &Arc<Set>, asked: ValueType, message: &[u8]) -> Result<Vec<u8>, Status> {
    let (key, context) = fields(message)?;
    let key = wire::text(key).map_err(|error| Status::new(Code::InvalidArgument, error.message))?;
    gateway.metrics.evaluations.one();
    let answered = evaluate::one(set, key, Some(asked), Given::Struct(context), |answer, subject| {
        exposure::record(gateway, set, key, answer, subject);
        resolved(key, asked, answer)
    });
    answered.unwrap_or_else(|problem| Err(invalid(&problem)))
}

fn resolved(key: &str, asked: ValueType, answer: &Answer) -> Result<Vec<u8>, Status> {
    if let Some(error) = answer.error {
        let code = match error {
            ErrorCode::FlagNotFound => Code::NotFound,
            ErrorCode::TypeMismatch => Code::InvalidArgument,
            ErrorCode::ParseError => Code::DataLoss,
            ErrorCode::General => Code::Unknown,
        };
        return Err(Status::new(code, ofrep::words(key, error)));
    }
    let mut out = Vec::new();
    match (asked, answer.value) {
        (_, None) => {}
        (ValueType::Boolean, Some(value)) => put_integer(&mut out, 1, i64::from(value.as_bool().unwrap_or_default())),
        (ValueType::String, Some(value)) => put_bytes(&mut out, 1, value.as_str().unwrap_or_default().as_bytes()),
        // Within 2^53: the type was checked.
        (ValueType::Integer, Some(value)) => {
            put_integer(&mut out, 1, value.as_i64().unwrap_or_else(|| value.as_f64().unwrap_or_default() as i64));
        }
        (ValueType::Number, Some(value)) => put_double(&mut out, 1, value.as_f64().unwrap_or_default()),
        (ValueType::Object, Some(Value::Object(object))) => put_bytes(&mut out, 1, &wire::of_object(object)),
        (ValueType::Object, Some(_)) => {
            return Err(Status::new(Code::InvalidArgument, format!("the value of flag \"{key}\" is no object")));
        }
    }
    put_bytes(&mut out, 2, answer.reason.label().as_bytes());
    if let Some(variant) = answer.variant {
        put_bytes(&mut out, 3, variant.as_bytes());
    }
    put_metadata(&mut out, 4, answer);
    Ok(out)
}

fn put_metadata(out: &mut Vec<u8>, field: u32, answer: &Answer) {
    if let Some(metadata) = answer.metadata.filter(|metadata| !metadata.is_empty()) {
        put_bytes(out, field, &wire::of_object(metadata));
    }
}

fn all(gateway: &Gateway, set: &Set, message: &[u8]) -> Result<Vec<u8>, Status> {
    let (context, _) = fields(message)?;
    let keys: Vec<&str> = set.keys.iter().map(String::as_str).collect();
    gateway.metrics.evaluations.many(keys.len() as u64);
    let mut out = Vec::new();
    let evaluated = evaluate::many(set, &keys, Given::Struct(context), |key, answer| {
        // As flagd's: what fails or has no value is not among them.
        let (None, Some(value)) = (answer.error, answer.value) else { return };
        let mut flag = Vec::new();
        put_bytes(&mut flag, 1, answer.reason.label().as_bytes());
        put_bytes(&mut flag, 2, answer.variant.unwrap_or_default().as_bytes());
        match value {
            Value::Bool(value) => put_integer(&mut flag, 3, i64::from(*value)),
            Value::String(text) => put_bytes(&mut flag, 4, text.as_bytes()),
            Value::Number(number) => put_double(&mut flag, 5, number.as_f64().unwrap_or_default()),
            Value::Object(object) => put_bytes(&mut flag, 6, &wire::of_object(object)),
            Value::Null | Value::Array(_) => return,
        }
        put_metadata(&mut flag, 7, answer);
        let mut entry = Vec::new();
        put_bytes(&mut entry, 1, key.as_bytes());
        put_bytes(&mut entry, 2, &flag);
        put_bytes(&mut out, 1, &entry);
    });
    evaluated.map_err(|problem| invalid(&problem))?;
    Ok(out)
}

fn invalid(problem: &BadBody) -> Status {
    match problem {
        BadBody::NotJson(text) | BadBody::NoContext(text) => Status::new(Code::InvalidArgument, text.as_str()),
    }
}

/// The stream that tells of changes.
fn events(gateway: &Arc<Gateway>, followed: &Followed) -> Response {
    let Some(room) = gateway.stream_room() else { return grpc::failed(&too_many()) };
    let (feed, response) = grpc::streaming();
    let (sets, draining) = (followed.set.subscribe(), gateway.draining.subscribe());
    tokio::spawn(async move {
        if let Some(feed) = tell(feed, sets, draining).await {
            feed.end(Status::later(Code::Unavailable, "the gateway ends", 1).headers()).await;
        }
        drop(room);
    });
    response
}

/// The status where there is no room for another stream.
pub fn too_many() -> Status {
    Status::later(Code::ResourceExhausted, "too many streams", 5)
}

type Sets = tokio::sync::watch::Receiver<Option<Arc<Set>>>;

/// Tells of changes until nobody listens; gives the feed back when the gateway ends.
async fn tell(feed: Feed, mut sets: Sets, mut draining: tokio::sync::watch::Receiver<bool>) -> Option<Feed> {
    let mut known: Option<Arc<Set>> = sets.borrow_and_update().clone();
    if !feed.send(event("provider_ready", None)).await {
        return None;
    }
    loop {
        tokio::select! {
            changed = sets.changed() => {
                changed.ok()?;
                let new = sets.borrow_and_update().clone();
                let flags = changes(known.as_deref(), new.as_deref());
                known = new;
                let data = json!({"flags": flags});
                if !feed.send(event("configuration_change", data.as_object())).await { return None }
            }
            () = tokio::time::sleep(KEEP_ALIVE) => if !feed.send(event("keep_alive", None)).await { return None },
            () = feed.closed() => return None,
            () = Gateway::ends(&mut draining) => return Some(feed),
        }
    }
}

fn event(kind: &str, data: Option<&Map<String, Value>>) -> bytes::Bytes {
    let mut message = Vec::new();
    put_bytes(&mut message, 1, kind.as_bytes());
    if let Some(data) = data {
        put_bytes(&mut message, 2, &wire::of_object(data));
    }
    grpc::frame(&message)
}

/// What became of each flag from one set to another.
fn changes(old: Option<&Set>, new: Option<&Set>) -> Map<String, Value> {
    let version = |set: Option<&Set>, key: &str| set.and_then(|set| set.entry(key)).map(|entry| entry.version);
    let all_new = old.map(|old| &old.loaded.metadata) != new.map(|new| &new.loaded.metadata);
    let mut changed = Map::new();
    let keys = [old, new].into_iter().flatten().flat_map(|set| &set.keys);
    for key in keys {
        let kind = match (version(old, key), version(new, key)) {
            (None, _) => "write",
            (_, None) => "delete",
            (old, new) if old != new || all_new => "update",
            _ => continue,
        };
        changed.insert(key.clone(), json!({"type": kind}));
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::super::set::tests::set;
    use super::*;

    #[test]
    fn changes_are_named() {
        let flag = |key: &str, version: i64| json!({"key": key, "version": version});
        let old = set(3, json!([flag("same", 1), flag("gone", 2), flag("other", 3)]));
        let new = set(5, json!([flag("same", 1), flag("new", 4), flag("other", 5)]));
        let wanted = json!({"gone": {"type": "delete"}, "new": {"type": "write"}, "other": {"type": "update"}});
        assert_eq!(Value::Object(changes(Some(&old), Some(&new))), wanted);
    }
}

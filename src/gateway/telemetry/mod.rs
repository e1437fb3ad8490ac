//! Telemetry in: OTLP over HTTP and gRPC. A request is unpacked and decoded here, by the same reader as `ingest_otlp()`, and stored
//! there: its rows wait in a queue, and senders store what waits in groups, each group in one transaction.
//!
//! `read` takes a body in, with its room in the queue; `inflate` unpacks it; `decode` makes rows; `queue` and `line` are where
//! they wait, `send` stores them; with several nodes `route` says whose a row is, and `spread` divides a request among them;
//! `outcome` is what became of a request, `answer` says it.
//!
//! Invariant: 200 means committed. What is in memory was given room by the queue first, and without room a body is not read.

mod answer;
mod decode;
mod inflate;
mod line;
mod outcome;
mod queue;
mod read;
mod route;
mod send;
mod spread;

use std::sync::Arc;

use bytes::Bytes;
use flagscope_core::otlp;
use hyper::header::{ALLOW, HeaderMap, HeaderValue};
use hyper::{Method, StatusCode};

use crate::auth::{Caller, Scope};
use crate::gateway::Gateway;
use crate::grpc;
use crate::web::{self, Request, Response};
use answer::Form;
pub use inflate::Packing;
pub use outcome::Outcome;
pub use queue::Queue;
pub use send::spawn_senders;

/// Answers `POST /v1/traces`, `/v1/logs`, `/v1/metrics`; none for other paths.
pub async fn answer(gateway: &Arc<Gateway>, request: Request) -> Option<Response> {
    let kind = kind(request.uri().path())?;
    if request.method() != Method::POST {
        let mut response = web::empty(StatusCode::METHOD_NOT_ALLOWED);
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST, OPTIONS"));
        return Some(response);
    }
    let (form, outcome) = match Form::of(request.headers()) {
        Ok(form) => (form, admitted(gateway, kind, form, request).await),
        Err(outcome) => (Form::Json, outcome),
    };
    gateway.metrics.records.add(&format!("signal=\"{}\",outcome=\"rejected\"", label(kind)), outcome.rejected());
    Some(answer::http(kind, form, &outcome))
}

fn kind(path: &str) -> Option<otlp::Request> {
    match path {
        "/v1/traces" => Some(otlp::Request::Traces),
        "/v1/logs" => Some(otlp::Request::Logs),
        "/v1/metrics" => Some(otlp::Request::Metrics),
        _ => None,
    }
}

/// The name of what a request carries.
pub fn label(kind: otlp::Request) -> &'static str {
    match kind {
        otlp::Request::Traces => "spans",
        otlp::Request::Logs => "logs",
        otlp::Request::Metrics => "metrics",
    }
}

/// Answers `Export` of the three services of OTLP by gRPC.
pub async fn answer_grpc(gateway: &Arc<Gateway>, kind: otlp::Request, request: Request) -> Response {
    let outcome = match take_grpc(gateway, kind, request).await {
        Ok(outcome) | Err(outcome) => outcome,
    };
    gateway.metrics.records.add(&format!("signal=\"{}\",outcome=\"rejected\"", label(kind)), outcome.rejected());
    grpc::unary(match &outcome {
        Outcome::Stored { .. } => Ok(answer::export_response(&outcome)),
        failed => Err(grpc::Status::of(failed)),
    })
}

async fn take_grpc(gateway: &Arc<Gateway>, kind: otlp::Request, request: Request) -> Result<Outcome, Outcome> {
    let (environments, packing) = match expected(gateway, request.headers()) {
        Ok(expected) => expected,
        Err(outcome) => {
            web::drain(request.into_body()).await;
            return Err(outcome);
        }
    };
    let (body, room) = read::as_sent(gateway, request.into_body()).await?;
    let (is_packed, body) = grpc::unframe(body).map_err(|_| Outcome::Bad("not one message in a frame".to_owned()))?;
    let packing = if is_packed { packing } else { Packing::None };
    let (body, room) = read::unpack(gateway, packing, body, room).await?;
    Ok(store(gateway, kind, Form::Protobuf, body, room, environments).await)
}

/// What the head of a call says: where its telemetry counts, and how it is packed.
fn expected(gateway: &Gateway, headers: &HeaderMap) -> Result<(Vec<String>, Packing), Outcome> {
    let caller = gateway.auth.admit(headers, Scope::Otlp).map_err(Outcome::Refused)?;
    if !gateway.queue.is_open() {
        return Err(Outcome::Away);
    }
    let named = headers.get("grpc-encoding").map_or(Ok(""), |name| name.to_str());
    Ok((environments(caller), Packing::of(named.unwrap_or("?"))?))
}

/// Takes a request of whoever may send it.
async fn admitted(gateway: &Arc<Gateway>, kind: otlp::Request, form: Form, request: Request) -> Outcome {
    match gateway.auth.admit(request.headers(), Scope::Otlp) {
        Ok(caller) => take(gateway, kind, form, request, environments(caller)).await,
        Err(refusal) => Outcome::Refused(refusal),
    }
}

/// The environments in which a caller's telemetry counts; none: in all.
fn environments(caller: Caller) -> Vec<String> {
    caller.map(|key| key.environments.clone()).unwrap_or_default()
}

/// Reads, decodes and stores a request.
async fn take(
    gateway: &Arc<Gateway>,
    kind: otlp::Request,
    form: Form,
    request: Request,
    environments: Vec<String>,
) -> Outcome {
    if !gateway.queue.is_open() {
        return Outcome::Away;
    }
    match read::read(gateway, request).await {
        Ok((body, room)) => store(gateway, kind, form, body, room, environments).await,
        Err(outcome) => outcome,
    }
}

/// Takes log records of our own making, as JSON; none without room or a database. The future says whether they are stored.
pub fn record(gateway: &Arc<Gateway>, body: Bytes) -> Option<impl Future<Output = bool> + use<>> {
    if !gateway.queue.is_open() {
        return None;
    }
    let room = gateway.queue.room(body.len()).ok()?;
    let gateway = Arc::clone(gateway);
    Some(async move {
        let stored = store(&gateway, otlp::Request::Logs, Form::Json, body, room, Vec::new()).await;
        matches!(stored, Outcome::Stored { rejected: 0, .. })
    })
}

/// Decodes a body, and waits until its rows are stored.
async fn store(
    gateway: &Gateway,
    kind: otlp::Request,
    form: Form,
    body: Bytes,
    room: queue::Room,
    environments: Vec<String>,
) -> Outcome {
    gateway.metrics.received_bytes.many(body.len() as u64);
    let decoded = match decode::decode(kind, form, body, room, environments, gateway.queue.marks()).await {
        Ok(decoded) => decoded,
        Err(outcome) => return outcome,
    };
    gateway.metrics.records.add(&format!("signal=\"{}\",outcome=\"decoded\"", label(kind)), decoded.count);
    let (account, count) = (decoded.account.clone(), decoded.count);
    if count == 0 {
        return Outcome::of(account, count);
    }
    match spread::put(gateway, decoded).await {
        Ok(()) => Outcome::of(account, count),
        Err(outcome) => outcome,
    }
}

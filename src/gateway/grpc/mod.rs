//! gRPC over hyper: messages in frames, and a status in the trailers. What a method does is known by those who answer it.
//!
//! Source: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md. Without tonic: a request of OTLP must reach the
//! core's reader as bytes, since one bad record costs that record alone, and the few other messages are smaller than the
//! code that would be generated.

mod frame;
mod status;

use std::time::Duration;

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Response as HttpResponse, StatusCode};

pub use frame::{frame, unframe};
pub use status::{Code, Status, as_http};

use crate::telemetry::{Outcome, Packing};
use crate::web::{Body, Feed, Request, Response, Unread, read, stream};

/// Whether a request speaks gRPC.
pub fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

/// How the messages of a request are packed.
pub fn packing(headers: &HeaderMap) -> Result<Packing, Status> {
    let named = headers.get("grpc-encoding").map_or(Ok(""), |name| name.to_str()).unwrap_or("?");
    Packing::of(named).map_err(|outcome| Status::of(&outcome))
}

/// The one message of a small request.
pub async fn message(request: Request, limit: usize, within: Duration) -> Result<Bytes, Status> {
    let packing = packing(request.headers())?;
    let body = read(request.into_body(), limit, within).await.map_err(|unread| match unread {
        Unread::TooLong => Status::of(&Outcome::TooLong(limit)),
        Unread::Late => Status::of(&Outcome::Late),
        Unread::Broken => Status::new(Code::Cancelled, "the request broke off"),
    })?;
    let (is_packed, message) = unframe(body)?;
    if !is_packed {
        return Ok(message);
    }
    packing.unpack(message, limit, &mut |_| Ok(())).map_err(|outcome| Status::of(&outcome))
}

/// The answer of a method that has one.
pub fn unary(answer: Result<Vec<u8>, Status>) -> Response {
    match answer {
        Err(status) => failed(&status),
        Ok(message) => with_body(Body::Message(Some(frame(&message)), Some(Status::ok().headers()))),
    }
}

/// An error, which needs no body: the status stands in the head.
pub fn failed(status: &Status) -> Response {
    let mut response = with_body(Body::Whole(None));
    response.headers_mut().extend(status.headers());
    response
}

/// The answer of a method that has many, and where they are put.
pub fn streaming() -> (Feed, Response) {
    let (feed, body) = stream();
    (feed, with_body(body))
}

fn with_body(body: Body) -> Response {
    let mut response = HttpResponse::new(body);
    *response.status_mut() = StatusCode::OK;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

//! Answers.

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderValue};

use super::Body;

/// An answer.
pub type Response = hyper::Response<Body>;

/// An answer with a body of JSON.
pub fn json(status: StatusCode, body: impl Into<Bytes>) -> Response {
    with(status, "application/json", body.into())
}

/// An answer with a body of text.
pub fn plain(status: StatusCode, body: impl Into<Bytes>) -> Response {
    with(status, "text/plain; charset=utf-8", body.into())
}

/// An answer without a body.
pub fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::Whole(None));
    *response.status_mut() = status;
    response
}

fn with(status: StatusCode, kind: &'static str, body: Bytes) -> Response {
    let mut response = Response::new(Body::Whole(Some(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

//! The answer to a request of OTLP, in the form that the request had.

use flagscope_core::otlp;
use flagscope_core::protobuf::{put_bytes, put_integer};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{Response as HttpResponse, StatusCode};
use serde_json::{Map, Value, json};

use super::Outcome;
use crate::web::{Body, Response};

/// What a request is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `application/x-protobuf`.
    Protobuf,
    /// `application/json`.
    Json,
}

impl Form {
    /// The form that the header content-type names.
    pub fn of(headers: &HeaderMap) -> Result<Self, Outcome> {
        let named = headers.get(CONTENT_TYPE).map_or(Ok(""), |name| name.to_str()).unwrap_or("?");
        match named.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
            "application/x-protobuf" => Ok(Self::Protobuf),
            "application/json" => Ok(Self::Json),
            _ => Err(Outcome::Unsupported(format!(
                "content-type is \"{named}\": application/x-protobuf and application/json are read"
            ))),
        }
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Protobuf => "application/x-protobuf",
            Self::Json => "application/json",
        }
    }
}

/// The answer by HTTP.
pub fn http(kind: otlp::Request, form: Form, outcome: &Outcome) -> Response {
    let (status, code, retry) = outcome.status();
    let body = match (form, outcome) {
        (Form::Protobuf, Outcome::Stored { .. }) => export_response(outcome),
        (Form::Protobuf, failed) => status_message(code, &failed.words()),
        (Form::Json, Outcome::Stored { rejected, message }) => json_response(kind, *rejected, message.as_deref()),
        (Form::Json, failed) => json!({"code": code, "message": failed.words()}).to_string().into_bytes(),
    };
    let mut response = HttpResponse::new(Body::Whole(Some(body.into())));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(form.content_type()));
    if status == 401 {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let Some(seconds) = retry {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// `Export*ServiceResponse`: the three have the same fields.
pub fn export_response(outcome: &Outcome) -> Vec<u8> {
    let Outcome::Stored { rejected, message } = outcome else { return Vec::new() };
    if *rejected == 0 && message.is_none() {
        return Vec::new();
    }
    let mut partial = Vec::new();
    if *rejected > 0 {
        put_integer(&mut partial, 1, i64::try_from(*rejected).unwrap_or(i64::MAX));
    }
    if let Some(message) = message {
        put_bytes(&mut partial, 2, message.as_bytes());
    }
    let mut out = Vec::new();
    put_bytes(&mut out, 1, &partial);
    out
}

fn json_response(kind: otlp::Request, rejected: u64, message: Option<&str>) -> Vec<u8> {
    let name = match kind {
        otlp::Request::Traces => "rejectedSpans",
        otlp::Request::Logs => "rejectedLogRecords",
        otlp::Request::Metrics => "rejectedDataPoints",
    };
    let mut partial = Map::new();
    // ProtoJSON writes 64 bits as text.
    partial.extend((rejected > 0).then(|| (name.to_owned(), Value::from(rejected.to_string()))));
    partial.extend(message.map(|message| ("errorMessage".to_owned(), Value::from(message))));
    let body = if partial.is_empty() { json!({}) } else { json!({"partialSuccess": partial}) };
    body.to_string().into_bytes()
}

/// `google.rpc.Status`.
fn status_message(code: u8, message: &str) -> Vec<u8> {
    let mut out = Vec::new();
    put_integer(&mut out, 1, i64::from(code));
    put_bytes(&mut out, 2, message.as_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(rejected: u64, message: Option<&str>) -> Outcome {
        Outcome::Stored { rejected, message: message.map(str::to_owned) }
    }

    #[test]
    fn answers_are_as_the_protocol_says() {
        assert_eq!(export_response(&stored(0, None)), b"");
        assert_eq!(export_response(&stored(3, Some("no"))), b"\x0A\x06\x08\x03\x12\x02no");
        assert_eq!(json_response(otlp::Request::Logs, 0, None), b"{}");
        assert_eq!(
            json_response(otlp::Request::Metrics, 3, Some("no")),
            br#"{"partialSuccess":{"errorMessage":"no","rejectedDataPoints":"3"}}"#
        );
        let response = http(otlp::Request::Traces, Form::Json, &Outcome::Full(7));
        assert_eq!((response.status().as_u16(), response.headers()[RETRY_AFTER].to_str().unwrap()), (429, "7"));
    }
}

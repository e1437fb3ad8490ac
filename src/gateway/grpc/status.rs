//! What became of a call.

use flagscope_core::protobuf::{put_bytes, put_integer};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};

use crate::telemetry::Outcome;

/// gRPC's codes that are used here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // gRPC's own names
pub enum Code {
    Ok = 0,
    Cancelled = 1,
    Unknown = 2,
    InvalidArgument = 3,
    NotFound = 5,
    ResourceExhausted = 8,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    DataLoss = 15,
}

/// What became of a call: a code, words, and after how many seconds to come again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    code: u8,
    message: String,
    retry: Option<u64>,
}

impl Status {
    /// It worked.
    pub fn ok() -> Self {
        Self::new(Code::Ok, "")
    }

    /// It did not.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code: code as u8, message: message.into(), retry: None }
    }

    /// It may work later.
    pub fn later(code: Code, message: impl Into<String>, seconds: u64) -> Self {
        Self { retry: Some(seconds), ..Self::new(code, message) }
    }

    /// What became of a request of telemetry.
    pub fn of(outcome: &Outcome) -> Self {
        let (_, code, retry) = outcome.status();
        Self { code, message: outcome.words(), retry }
    }

    /// As trailers, or as headers of an answer without a message.
    pub fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("grpc-status", HeaderValue::from(u16::from(self.code)));
        let mut put = |name: &'static str, value: String| {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        };
        if !self.message.is_empty() {
            put("grpc-message", percent_encoded(&self.message));
        }
        if let Some(seconds) = self.retry {
            put("grpc-status-details-bin", base64(&self.details(seconds)));
        }
        headers
    }

    /// `google.rpc.Status` with a `google.rpc.RetryInfo`: without it senders of OTLP drop what is refused by
    /// RESOURCE_EXHAUSTED.
    fn details(&self, seconds: u64) -> Vec<u8> {
        let (mut delay, mut info, mut any, mut status) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        put_integer(&mut delay, 1, seconds as i64);
        put_bytes(&mut info, 1, &delay);
        put_bytes(&mut any, 1, b"type.googleapis.com/google.rpc.RetryInfo");
        put_bytes(&mut any, 2, &info);
        put_integer(&mut status, 1, i64::from(self.code));
        put_bytes(&mut status, 2, self.message.as_bytes());
        put_bytes(&mut status, 3, &any);
        status
    }
}

/// The status of HTTP that means the same as a code.
pub fn as_http(code: u16) -> u16 {
    match code {
        0 => 200,
        3 => 400,
        5 => 404,
        7 => 403,
        8 => 429,
        12 => 501,
        14 => 503,
        16 => 401,
        _ => 500,
    }
}

fn percent_encoded(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        match byte {
            b'%' => out.push_str("%25"),
            b' '..=b'~' => out.push(char::from(byte)),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
        out
    })
}

/// Without padding, as gRPC advises.
fn base64(bytes: &[u8]) -> String {
    flagscope_core::protobuf::base64(bytes).trim_end_matches('=').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_headers() {
        let headers = Status::new(Code::NotFound, "no flag \"ü\" 5%").headers();
        assert_eq!(
            (headers["grpc-status"].as_bytes(), headers["grpc-message"].as_bytes()),
            (&b"5"[..], &b"no flag \"%C3%BC\" 5%25"[..])
        );
        let headers = Status::later(Code::ResourceExhausted, "full", 7).headers();
        // 08 08 | 12 04 full | 1a .. (0a 28 type url, 12 04 (0a 02 08 07))
        let wanted = [
            &b"\x08\x08\x12\x04full\x1a\x30\x0a\x28type.googleapis.com/google.rpc.RetryInfo"[..],
            b"\x12\x04\x0a\x02\x08\x07",
        ]
        .concat();
        assert_eq!(headers["grpc-status-details-bin"].as_bytes(), base64(&wanted).as_bytes());
        assert_eq!(Status::ok().headers().len(), 1);
    }
}

//! Answers in the JSON of OFREP 0.3.0 (OpenFeature remote evaluation protocol), written as text: the extension and the
//! gateway give the same bytes for the same answer, but for the order of keys that jsonb chooses.

use serde::Serialize;
use serde_json::{Map, Value};

use super::{Answer, ErrorCode};
use crate::Error;

/// The code of an answer to a context that cannot be read.
pub const INVALID_CONTEXT: &str = "INVALID_CONTEXT";

#[derive(Serialize)]
struct Details<'a> {
    key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a Value>,
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    variant: Option<&'a str>,
    metadata: Option<&'a Map<String, Value>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Failure<'a> {
    key: &'a str,
    error_code: &'a str,
    error_details: &'a str,
}

/// Appends the answer for a flag; without the value where the caller's own default counts.
pub fn write(out: &mut Vec<u8>, key: &str, answer: &Answer) {
    match answer.error {
        Some(error) => write_failure(out, key, error.label(), &words(key, error)),
        None => append(
            out,
            &Details {
                key,
                value: answer.value,
                reason: answer.reason.label(),
                variant: answer.variant,
                metadata: answer.metadata,
            },
        ),
    }
}

/// Appends the answer to a context that cannot be read.
pub fn write_invalid_context(out: &mut Vec<u8>, key: &str, problem: &Error) {
    write_failure(out, key, INVALID_CONTEXT, &problem.message);
}

/// Appends an answer without a value, with OpenFeature's code of the reason and words for people.
pub fn write_failure(out: &mut Vec<u8>, key: &str, code: &str, details: &str) {
    append(out, &Failure { key, error_code: code, error_details: details });
}

/// What went wrong, in words.
pub fn words(key: &str, error: ErrorCode) -> String {
    match error {
        ErrorCode::FlagNotFound => format!("flag \"{key}\" does not exist"),
        ErrorCode::ParseError => format!("the targeting of flag \"{key}\" cannot be read"),
        ErrorCode::TypeMismatch => format!("the value of flag \"{key}\" is of another type"),
        ErrorCode::General => format!("flag \"{key}\" cannot be evaluated"),
    }
}

fn append(out: &mut Vec<u8>, value: &impl Serialize) {
    // Into memory, of values that JSON has: neither can fail.
    let written = serde_json::to_writer(&mut *out, value);
    debug_assert!(written.is_ok());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::targeting::Reason;
    use serde_json::json;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> Value {
        let mut out = Vec::new();
        write(&mut out);
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn answers_are_as_the_protocol_says() {
        let (value, metadata) = (json!({"a": [1]}), Map::from_iter([("team".to_owned(), json!("shop"))]));
        let mut answer = Answer {
            value: Some(&value),
            variant: Some("on"),
            reason: Reason::TargetingMatch,
            error: None,
            metadata: Some(&metadata),
        };
        assert_eq!(
            text(|out| write(out, "f", &answer)),
            json!({"key": "f", "value": {"a": [1]}, "reason": "TARGETING_MATCH", "variant": "on", "metadata": {"team": "shop"}})
        );
        (answer.value, answer.variant, answer.reason) = (None, None, Reason::Disabled);
        assert_eq!(
            text(|out| write(out, "f", &answer)),
            json!({"key": "f", "reason": "DISABLED", "metadata": {"team": "shop"}})
        );
        (answer.error, answer.metadata) = (Some(ErrorCode::FlagNotFound), None);
        assert_eq!(
            text(|out| write(out, "a\"b", &answer)),
            json!({"key": "a\"b", "errorCode": "FLAG_NOT_FOUND", "errorDetails": "flag \"a\"b\" does not exist"})
        );
    }
}

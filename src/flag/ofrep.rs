//! Answers in the JSON of OFREP 0.3.0 (OpenFeature remote evaluation protocol), so that a proxy only has to pass bytes
//! on.

use flagscope_core::Error;
use flagscope_core::targeting::{Answer, ErrorCode};
use pgrx::JsonB;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde_json::{Value, json};

use super::Caller;
use super::evaluate::{details, named};
use crate::pg::jsonb::Jsonb;

fn response(key: &str, answer: Result<Answer, &Error>) -> Value {
    let answer = match answer {
        Ok(answer) => answer,
        Err(problem) => {
            return json!({"key": key, "errorCode": "INVALID_CONTEXT", "errorDetails": problem.message});
        }
    };
    match answer.error {
        Some(error) => json!({"key": key, "errorCode": error.label(), "errorDetails": words(key, error)}),
        None => details(key, &answer),
    }
}

fn words(key: &str, error: ErrorCode) -> String {
    match error {
        ErrorCode::FlagNotFound => format!("flag \"{key}\" does not exist"),
        ErrorCode::ParseError => format!("the targeting of flag \"{key}\" cannot be read"),
        ErrorCode::TypeMismatch => format!("the value of flag \"{key}\" is of another type"),
        ErrorCode::General => format!("flag \"{key}\" cannot be evaluated"),
    }
}

#[pg_extern(stable, parallel_safe)]
fn ofrep_evaluate(
    key: Option<&str>,
    context: default!(Option<Jsonb>, "NULL"),
    environment: default!(Option<&str>, "NULL"),
) -> Result<JsonB, ErrorReport> {
    let (caller, key) = (Caller::by_ofrep(context, environment), named(key));
    caller.answer(key, None, |_, answer| JsonB(response(key, answer)))
}

#[pg_extern(stable, parallel_safe)]
fn ofrep_evaluate_all(
    context: default!(Option<Jsonb>, "NULL"),
    environment: default!(Option<&str>, "NULL"),
) -> Result<JsonB, ErrorReport> {
    let caller = Caller::by_ofrep(context, environment);
    let flags = caller.answers(|key, _, answer| response(key, answer))?;
    Ok(JsonB(json!({"flags": flags})))
}

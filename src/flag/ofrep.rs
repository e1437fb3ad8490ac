//! SQL face of `core::targeting::ofrep`: answers in the JSON of OFREP 0.3.0, for a shim that only moves bytes.

use flagscope_core::Error;
use flagscope_core::targeting::{Answer, ofrep};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use super::Caller;
use super::evaluate::named;
use crate::pg::json_text::JsonText;
use crate::pg::jsonb::Jsonb;

fn write(out: &mut Vec<u8>, key: &str, answer: Result<Answer, &Error>) {
    match answer {
        Ok(answer) => ofrep::write(out, key, &answer),
        Err(problem) => ofrep::write_invalid_context(out, key, problem),
    }
}

#[pg_extern(stable, parallel_safe)]
fn ofrep_evaluate(
    key: Option<&str>,
    context: default!(Option<Jsonb>, "NULL"),
    environment: default!(Option<&str>, "NULL"),
) -> Result<JsonText, ErrorReport> {
    let (caller, key) = (Caller::by_ofrep(context, environment), named(key));
    let mut out = Vec::new();
    caller.answer(key, None, |_, answer| write(&mut out, key, answer))?;
    Ok(JsonText(out))
}

#[pg_extern(stable, parallel_safe)]
fn ofrep_evaluate_all(
    context: default!(Option<Jsonb>, "NULL"),
    environment: default!(Option<&str>, "NULL"),
) -> Result<JsonText, ErrorReport> {
    let caller = Caller::by_ofrep(context, environment);
    let mut out = b"{\"flags\":[".to_vec();
    let mut separator: &[u8] = b"";
    caller.answers(|key, _, answer| {
        out.extend_from_slice(std::mem::replace(&mut separator, b","));
        write(&mut out, key, answer);
    })?;
    out.extend_from_slice(b"]}");
    Ok(JsonText(out))
}

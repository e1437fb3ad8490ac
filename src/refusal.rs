//! Errors raised for SQL: with a message and a hint, and without the context of inner statements.

use flagscope_core::{Error, Kind, names};
use pgrx::PgSqlErrorCode;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::error::{Report, named};
use crate::message::sentence;
use crate::pg::context;

/// Ends a CHECK constraint that is violated, with a better message than PostgreSQL's. Volatile, so that the planner
/// does not evaluate it in advance.
#[pg_extern(volatile, parallel_safe, schema = "_flagscope")]
fn refuse(problem: Option<&str>, hint: Option<&str>) -> Result<bool, ErrorReport> {
    let report = ErrorReport::new(PgSqlErrorCode::ERRCODE_CHECK_VIOLATION, text(problem), "flagscope");
    Err(match hint {
        Some(hint) => report.set_hint(sentence(hint)),
        None => report,
    })
}

/// Raises again an error that a PL/pgSQL function has caught, called by PERFORM in its handler: the caller sees it as
/// an error of the call, so the context of the function and of PERFORM is omitted, and that of the caller's own
/// functions is kept. Returns for an SQLSTATE of a user's own trigger, which is then raised unchanged.
#[pg_extern(stable, parallel_safe, schema = "_flagscope")]
fn raise_for_caller(
    sqlstate: Option<&str>,
    problem: Option<&str>,
    detail: Option<&str>,
    hint: Option<&str>,
) -> Result<(), ErrorReport> {
    let Some(code) = named(sqlstate.unwrap_or_default()) else { return Ok(()) };
    if code == PgSqlErrorCode::ERRCODE_NOT_NULL_VIOLATION {
        context::leave_out(2);
        return Err(missing(code, problem));
    }
    let mut report = ErrorReport::new(code, text(problem), "flagscope");
    if let Some(detail) = detail.filter(|detail| !detail.is_empty()) {
        report = report.set_detail(sentence(detail));
    }
    if let Some(hint) = hint.filter(|hint| !hint.is_empty()) {
        report = report.set_hint(sentence(hint));
    }
    context::leave_out(2);
    Err(report)
}

/// Raises, called by PERFORM in a PL/pgSQL function, the error for a name that does not exist. The hint has similar
/// names, else some existing ones.
#[pg_extern(immutable, parallel_safe, schema = "_flagscope")]
fn unknown(
    what: Option<&str>,
    name: Option<&str>,
    known: Option<Vec<Option<String>>>,
    otherwise: Option<&str>,
) -> Result<(), ErrorReport> {
    let name_shown = name.map_or_else(|| "NULL".to_owned(), |name| format!("\"{}\"", names::shown(name)));
    let message = format!("{} {name_shown} does not exist", text(what));
    context::leave_out(2);
    Err(Error::new(Kind::Undefined, message).hint(names_hint(name, known, otherwise))).report()
}

/// The hint of `unknown`.
#[pg_extern(immutable, parallel_safe, schema = "_flagscope")]
fn names_hint(name: Option<&str>, known: Option<Vec<Option<String>>>, otherwise: Option<&str>) -> String {
    let known: Vec<String> = known.unwrap_or_default().into_iter().flatten().collect();
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    names::hint(name.unwrap_or_default(), &known, otherwise.unwrap_or_default())
}

/// Replaces PostgreSQL's `null value in column "x" of relation ...`, whose detail repeats the whole row, for callers
/// who passed an argument.
fn missing(code: PgSqlErrorCode, problem: Option<&str>) -> ErrorReport {
    let column = problem.and_then(|problem| problem.split('"').nth(1)).unwrap_or("a value");
    ErrorReport::new(code, format!("\"{column}\" cannot be NULL"), "flagscope")
        .set_hint("Give a value, or leave the argument out where it has a default.")
}

fn text(given: Option<&str>) -> String {
    sentence(given.filter(|text| !text.is_empty()).unwrap_or("refused"))
}

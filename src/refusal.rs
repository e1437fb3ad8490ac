//! How SQL refuses something: with a sentence, a hint, and without the statements in between.

use flagscope_core::{Error, Kind, names};
use pgrx::PgSqlErrorCode;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::error::{Report, named};
use crate::message::sentence;
use crate::pg::context;

/// Ends a CHECK constraint that does not hold, in the place of PostgreSQL's own words. Volatile, so that no planner
/// computes it beforehand.
#[pg_extern(volatile, parallel_safe, schema = "_flagscope")]
fn refuse(problem: Option<&str>, hint: Option<&str>) -> Result<bool, ErrorReport> {
    let report = ErrorReport::new(PgSqlErrorCode::ERRCODE_CHECK_VIOLATION, text(problem), "flagscope");
    Err(match hint {
        Some(hint) => report.set_hint(sentence(hint)),
        None => report,
    })
}

/// Raises an error that a PL/pgSQL function has caught, by PERFORM in its handler: for the caller it comes from the
/// call, so the lines of the function and of PERFORM are left out; those of the caller's own functions stay. Returns for
/// an SQLSTATE of a user's own trigger, which goes on as it was.
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

/// Raises, by PERFORM in a PL/pgSQL function: there is no such thing of this name. The hint has the nearest names, else
/// some that there are.
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

/// PostgreSQL's `null value in column "x" of relation ...`, whose detail repeats the whole row, for who passed an argument.
fn missing(code: PgSqlErrorCode, problem: Option<&str>) -> ErrorReport {
    let column = problem.and_then(|problem| problem.split('"').nth(1)).unwrap_or("a value");
    ErrorReport::new(code, format!("\"{column}\" cannot be NULL"), "flagscope")
        .set_hint("Give a value, or leave the argument out where it has a default.")
}

fn text(given: Option<&str>) -> String {
    sentence(given.filter(|text| !text.is_empty()).unwrap_or("refused"))
}

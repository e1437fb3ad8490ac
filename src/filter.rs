//! Filters of metrics before anything is made of them: what is wrong, as rows, and as the error of the table's trigger.

use flagscope_core::Error;
use flagscope_core::telemetry::{Filter, Per, Problem};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde_json::Value;

use crate::error::Report;
use crate::pg::document::Document;

/// What is wrong with a filter; documented in `sql/api/stats.sql`.
#[pg_extern(immutable, strict, parallel_safe)]
#[allow(clippy::type_complexity)] // the columns of one SQL row; pgrx reads their names here
fn check_filter(
    filter: Document,
) -> TableIterator<'static, (name!(path, String), name!(problem, String), name!(hint, String), name!(is_error, bool))>
{
    TableIterator::new(problems(filter, Filter::check))
}

/// What is wrong with a denominator; documented in `sql/api/stats.sql`.
#[pg_extern(immutable, strict, parallel_safe)]
#[allow(clippy::type_complexity)] // the columns of one SQL row
fn check_per(
    per: Document,
) -> TableIterator<'static, (name!(path, String), name!(problem, String), name!(hint, String), name!(is_error, bool))>
{
    TableIterator::new(problems(per, Per::check))
}

fn problems(
    document: Document,
    check: impl FnOnce(&Value) -> Vec<Problem>,
) -> impl Iterator<Item = (String, String, String, bool)> {
    let unread = |error: Error| {
        let (message, hint) = (error.message, error.hint.unwrap_or_default());
        vec![Problem { path: String::new(), message, hint, error: Some(error.kind) }]
    };
    let problems = document.0.map_or_else(unread, |json| check(&json));
    problems.into_iter().map(|p| (p.path, p.message, p.hint, p.error.is_some()))
}

/// Raises unless the JSON is a filter; `what` says in the message which one it is.
#[pg_extern(immutable, strict, parallel_safe, schema = "_flagscope")]
fn require_filter(filter: Document, what: &str) -> Result<(), ErrorReport> {
    required(filter.0.and_then(|json| Filter::parse(&json)), what)
}

/// Raises unless the JSON is a denominator.
#[pg_extern(immutable, strict, parallel_safe, schema = "_flagscope")]
fn require_per(per: Document, what: &str) -> Result<(), ErrorReport> {
    required(per.0.and_then(|json| Per::parse(&json)), what)
}

fn required<T>(parsed: flagscope_core::Result<T>, what: &str) -> Result<(), ErrorReport> {
    let named = |error: Error| Error { message: format!("{what}: {}", error.message), ..error };
    parsed.map_err(named).report().map(|_| ())
}

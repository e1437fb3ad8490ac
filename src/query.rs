//! SQL face of metrics that are queries (`pg::query`); the use of their rows is documented in `sql/api/query.sql`.

use flagscope_core::{Error, Kind, Result as CoreResult};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::error::Report;
use crate::pg::query::{self, Limits};
use crate::pg::reading::Given;

/// Runs a query as its owner. Not for users: its caller could choose any role.
#[pg_extern(schema = "_flagscope")]
#[allow(clippy::type_complexity)] // the columns of one SQL row
fn query_rows(
    owner: &str,
    query: &str,
    since: TimestampWithTimeZone,
    until: TimestampWithTimeZone,
    milliseconds: i32,
    most: i64,
) -> Result<
    TableIterator<
        'static,
        (
            name!(subject, Option<String>),
            name!(variant, Option<String>),
            name!(value, Option<f64>),
            name!(exposure, Option<f64>),
            name!(ts, Option<String>),
        ),
    >,
    ErrorReport,
> {
    rows(Some(owner), query, (since, until), milliseconds, most).map(TableIterator::new).report()
}

/// Runs a query as the caller.
#[pg_extern(stable, schema = "_flagscope")]
#[allow(clippy::type_complexity)] // the columns of one SQL row
fn own_query_rows(
    query: &str,
    since: TimestampWithTimeZone,
    until: TimestampWithTimeZone,
    milliseconds: i32,
    most: i64,
) -> Result<
    TableIterator<
        'static,
        (
            name!(subject, Option<String>),
            name!(variant, Option<String>),
            name!(value, Option<f64>),
            name!(exposure, Option<f64>),
            name!(ts, Option<String>),
        ),
    >,
    ErrorReport,
> {
    rows(None, query, (since, until), milliseconds, most).map(TableIterator::new).report()
}

/// Raises unless the query is valid and returns the wanted columns.
#[pg_extern(stable, strict, schema = "_flagscope")]
fn require_query(query: &str) -> Result<(), ErrorReport> {
    query::check(query).report()
}

fn rows(
    owner: Option<&str>,
    query: &str,
    (since, until): (TimestampWithTimeZone, TimestampWithTimeZone),
    milliseconds: i32,
    most: i64,
) -> CoreResult<Vec<Row>> {
    let limits = Limits { milliseconds, rows: u64::try_from(most).unwrap_or(0) };
    let given = query::run(owner, query, (i64::from(since), i64::from(until)), limits)?;
    given.into_iter().map(row).collect()
}

type Row = (Option<String>, Option<String>, Option<f64>, Option<f64>, Option<String>);

fn row([subject, variant, value, exposure, ts]: Given) -> CoreResult<Row> {
    Ok((subject, variant, number("value", value)?, number("exposure", exposure)?, ts))
}

/// A number or a boolean, as PostgreSQL writes it.
fn number(column: &str, text: Option<String>) -> CoreResult<Option<f64>> {
    let Some(text) = text else { return Ok(None) };
    match text.as_str() {
        "t" => Ok(Some(1.0)),
        "f" => Ok(Some(0.0)),
        number => number.parse().map(Some).map_err(|_| {
            let message = format!("column \"{column}\" of a metric's query is \"{number}\", which is no number");
            Error::new(Kind::InvalidParameter, message).hint("A number or a boolean is wanted.")
        }),
    }
}

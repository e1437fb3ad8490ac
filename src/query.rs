//! SQL face of metrics that are queries (`pg::query`); the use of their rows is documented in `sql/api/query.sql`.

use std::collections::BTreeMap;

use flagscope_core::kind::{MetricKind, QueryRows, State};
use flagscope_core::sketch::{Histogram, Moments};
use flagscope_core::telemetry::BUCKET_MICROS;
use flagscope_core::{Error, Kind, Result as CoreResult};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::argument::given;
use crate::error::Report;
use crate::pg::query::{self, Limits};
use crate::pg::reading::Given;
use crate::pg::value::Stored;

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

/// The states of a metric's rows by a key (of a rollout's arm) and bucket: what telemetry's rows would be as deltas.
#[pg_extern(immutable, schema = "_flagscope")]
#[allow(clippy::type_complexity)] // the columns of one SQL row
fn fold_query(
    kind: Option<&str>,
    cap: Option<f64>,
    keys: Option<Array<'_, i64>>,
    at: Option<Array<'_, TimestampWithTimeZone>>,
    values: Option<Array<'_, f64>>,
    exposures: Option<Array<'_, f64>>,
) -> Result<
    TableIterator<
        'static,
        (
            name!(key, i64),
            name!(bucket, TimestampWithTimeZone),
            name!(n, i64),
            name!(events, i64),
            name!(moments, Option<Stored<Moments>>),
            name!(histogram, Option<Stored<Histogram>>),
            name!(last_ts, TimestampWithTimeZone),
        ),
    >,
    ErrorReport,
> {
    let rows = QueryRows::new(given("a kind of metric", kind).and_then(MetricKind::from_label).report()?, cap);
    let (Some(keys), Some(at), Some(values), Some(exposures)) = (keys, at, values, exposures) else {
        return Ok(TableIterator::empty());
    };
    let mut states: BTreeMap<(i64, i64), State> = BTreeMap::new();
    for (((key, at), value), exposure) in keys.iter().zip(at.iter()).zip(values.iter()).zip(exposures.iter()) {
        let (Some(key), Some(at)) = (key, at.map(i64::from)) else { continue };
        let first = || State { last_ts: at, ..State::default() };
        let state = states.entry((key, at.div_euclid(BUCKET_MICROS))).or_insert_with(first);
        rows.add(state, at, value, exposure);
    }
    Ok(TableIterator::new(states.into_iter().filter_map(|((key, bucket), state)| {
        let time = |micros| TimestampWithTimeZone::try_from(micros).ok();
        let (n, events) = (state.n.min(i64::MAX as u64) as i64, state.events.min(i64::MAX as u64) as i64);
        let (moments, histogram) = (state.moments.map(Stored), state.histogram.map(Stored));
        Some((key, time(bucket.saturating_mul(BUCKET_MICROS))?, n, events, moments, histogram, time(state.last_ts)?))
    })))
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

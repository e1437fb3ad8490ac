//! SQL face of `core::otlp`: an OTLP/JSON payload as rows in the columns of telemetry, and cumulative points as
//! differences.

use flagscope_core::calendar::UNIX_TO_POSTGRES;
use flagscope_core::otlp::{Account, Row, Rows, since};
use flagscope_core::sketch::Histogram;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{JsonB, Uuid};

use crate::argument::given;
use crate::error::Report;
use crate::pg::document::Document;
use crate::pg::value::Stored;

/// One row in the order of [`decode_otlp`]'s columns.
type Columns = (
    Option<TimestampWithTimeZone>,
    i16,
    Option<String>,
    Option<String>,
    Option<f64>,
    Option<Stored<Histogram>>,
    bool,
    Option<String>,
    Option<String>,
    Option<JsonB>,
    Option<String>,
    Option<String>,
    Option<i16>,
    Option<bool>,
    Option<Uuid>,
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    Option<String>,
    Option<JsonB>,
    Option<i64>,
    Option<String>,
    Option<i64>,
);

/// Decodes a payload, one request after the other; documented in `sql/api/otlp.sql`.
#[pg_extern(immutable, strict, parallel_safe, schema = "_flagscope")]
#[allow(clippy::type_complexity)] // the columns of one SQL row; pgrx reads their names here
fn decode_otlp(
    payload: &str,
) -> TableIterator<
    'static,
    (
        name!(ts, Option<TimestampWithTimeZone>),
        name!(ts_nanos, i16),
        name!(signal, Option<String>),
        name!(name, Option<String>),
        name!(value, Option<f64>),
        name!(distribution, Option<Stored<Histogram>>),
        name!(cumulative, bool),
        name!(unit, Option<String>),
        name!(subject, Option<String>),
        name!(flags, Option<JsonB>),
        name!(environment, Option<String>),
        name!(service, Option<String>),
        name!(severity, Option<i16>),
        name!(is_error, Option<bool>),
        name!(trace_id, Option<Uuid>),
        name!(span_id, Option<Vec<u8>>),
        name!(parent_span_id, Option<Vec<u8>>),
        name!(body, Option<String>),
        name!(attributes, Option<JsonB>),
        name!(rejected, Option<i64>),
        name!(first_error, Option<String>),
        name!(replaced, Option<i64>),
    ),
> {
    let mut rows = Some(Rows::new(payload.to_owned()));
    // The last row has no time and contains the account.
    TableIterator::new(std::iter::from_fn(move || match rows.as_mut()?.next() {
        Some(row) => Some(columns(row)),
        None => rows.take().map(|rows| account(rows.account)),
    }))
}

fn columns(row: Row) -> Columns {
    (
        TimestampWithTimeZone::try_from(row.ts - UNIX_TO_POSTGRES).ok(),
        row.nanos as i16,
        Some(row.signal.label().to_owned()),
        Some(row.name),
        row.value,
        row.distribution.map(Stored),
        row.cumulative,
        row.unit,
        row.subject,
        row.flags.map(JsonB),
        row.environment,
        row.service,
        row.severity,
        row.is_error,
        row.trace_id.map(|id| Uuid::from_bytes(*id.as_bytes())),
        row.span_id.map(|id| id.to_vec()),
        row.parent_span_id.map(|id| id.to_vec()),
        row.body,
        row.attributes.map(JsonB),
        None,
        None,
        None,
    )
}

fn account(account: Account) -> Columns {
    let Account { rejected, first_error, replaced } = account;
    let (rejected, replaced) = (Some(rejected as i64), Some(replaced as i64));
    #[rustfmt::skip]
    let columns = (
        None, 0, None, None, None, None, false, None, None, None, None, None, None, None, None, None, None, None, None,
        rejected, first_error, replaced,
    );
    columns
}

/// Compares a cumulative point with the previous one; documented in `sql/api/otlp.sql`.
#[pg_extern(immutable, parallel_safe, schema = "_flagscope")]
#[allow(clippy::type_complexity)] // the columns of one SQL row; pgrx reads their names here
fn otlp_since(
    previous: Option<Document>,
    point: Option<Document>,
    is_new: Option<bool>,
) -> Result<
    TableIterator<
        'static,
        (name!(change, String), name!(value, Option<f64>), name!(distribution, Option<Stored<Histogram>>)),
    >,
    ErrorReport,
> {
    let point = given("a point", point).and_then(|point| point.0).report()?;
    let previous = previous.map(|previous| previous.0).transpose().report()?;
    let since = since(previous.as_ref(), &point, is_new.unwrap_or_default());
    let row = (since.change.label().to_owned(), since.value, since.distribution.map(Stored));
    Ok(TableIterator::once(row))
}

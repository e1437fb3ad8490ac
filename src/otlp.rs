//! SQL face of `core::otlp`: an OTLP/JSON payload, or rows that somebody else decoded, in the columns of telemetry, and
//! cumulative points as differences.

use flagscope_core::calendar::UNIX_TO_POSTGRES;
use flagscope_core::otlp::{Account, Json, Row, Rows, since, unpack};
use flagscope_core::sketch::Histogram;
use flagscope_core::{Error, Kind};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{JsonB, Uuid};

use crate::argument::given;
use crate::error::Report;
use crate::pg::document::Document;
use crate::pg::json_text::JsonText;
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
    Option<String>,
    Option<i16>,
    Option<bool>,
    Option<Uuid>,
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    Option<String>,
    Option<JsonText>,
    Option<i64>,
    Option<String>,
    Option<i64>,
);

/// The longest packed rows that are read: what a gateway sends at once is far shorter.
const LONGEST: usize = 64 << 20;

/// Decodes a payload, one request after the other, or unpacks rows; documented in `sql/api/otlp.sql`.
#[pg_extern(immutable, parallel_safe, schema = "_flagscope")]
#[allow(clippy::type_complexity)] // the columns of one SQL row; pgrx reads their names here
fn decode_otlp(
    payload: Option<&str>,
    packed: Option<&[u8]>,
) -> Result<
    TableIterator<
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
            name!(instance, Option<String>),
            name!(severity, Option<i16>),
            name!(is_error, Option<bool>),
            name!(trace_id, Option<Uuid>),
            name!(span_id, Option<Vec<u8>>),
            name!(parent_span_id, Option<Vec<u8>>),
            name!(body, Option<String>),
            name!(attributes, Option<JsonText>),
            name!(rejected, Option<i64>),
            name!(first_error, Option<String>),
            name!(replaced, Option<i64>),
        ),
    >,
    ErrorReport,
> {
    let unpacked = packed.map(unpacked).transpose().report()?;
    let mut rows = payload.map(|payload| Rows::new(payload.to_owned()));
    // The last row has no time and carries the account.
    let decoded = std::iter::from_fn(move || match rows.as_mut()?.next() {
        Some(row) => Some(columns(row)),
        None => rows.take().map(|rows| account(rows.account)),
    });
    let end = unpacked.is_some().then(|| account(Account::default()));
    Ok(TableIterator::new(unpacked.into_iter().flatten().map(columns).chain(end).chain(decoded)))
}

/// All of the rows, before any is stored: a damaged one costs them all.
fn unpacked(packed: &[u8]) -> flagscope_core::Result<Vec<Row>> {
    if packed.len() > LONGEST {
        let message = format!("packed rows are longer than {} MiB: {} bytes", LONGEST >> 20, packed.len());
        return Err(Error::new(Kind::LimitExceeded, message));
    }
    unpack(packed).collect()
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
        row.instance,
        row.severity,
        row.is_error,
        row.trace_id.map(|id| Uuid::from_bytes(*id.as_bytes())),
        row.span_id.map(|id| id.to_vec()),
        row.parent_span_id.map(|id| id.to_vec()),
        row.body,
        row.attributes.map(Json::into_text).map(|text| JsonText(text.into_bytes())),
        None,
        None,
        None,
    )
}

fn account(account: Account) -> Columns {
    let Account { rejected, first_error, replaced, .. } = account;
    let (rejected, replaced) = (Some(rejected as i64), Some(replaced as i64));
    #[rustfmt::skip]
    let columns = (
        None, 0, None, None, None, None, false, None, None, None, None, None, None, None, None, None, None, None, None,
        None, rejected, first_error, replaced,
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

//! SQL face of `core::otlp`: an OTLP/JSON payload as rows in the columns of telemetry.

use flagscope_core::otlp::decode;
use pgrx::prelude::*;
use pgrx::{JsonB, Uuid};

/// Microseconds from 1970, OTLP's epoch, to 2000, PostgreSQL's.
const EPOCH_SHIFT: i64 = 946_684_800_000_000;

/// Decodes a payload; documented in `sql/api/otlp.sql`.
#[pg_extern(immutable, strict, parallel_safe)]
#[allow(clippy::type_complexity)] // the columns of one SQL row; pgrx reads their names here
fn _decode_otlp(
    payload: &str,
) -> TableIterator<
    'static,
    (
        name!(ts, Option<TimestampWithTimeZone>),
        name!(ts_nanos, i16),
        name!(signal, Option<String>),
        name!(name, Option<String>),
        name!(value, Option<f64>),
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
        name!(replaced_nul, Option<i64>),
    ),
> {
    let decoded = decode(payload);
    let (rejected, replaced_nul) = (decoded.rejected as i64, decoded.replaced_nul as i64);
    let mut first_error = decoded.first_error;
    // The last row has no time and carries the counts.
    let rows = decoded.rows.into_iter().map(Some).chain(std::iter::once(None));
    TableIterator::new(rows.map(move |row| match row {
        Some(row) => (
            TimestampWithTimeZone::try_from(row.ts - EPOCH_SHIFT).ok(),
            row.nanos as i16,
            Some(row.signal.label().to_owned()),
            Some(row.name),
            row.value,
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
        ),
        None => (
            None,
            0,
            None,
            None,
            None,
            None,
            None,
            None,
            None,
            None,
            None,
            None,
            None,
            None,
            None,
            None,
            None,
            Some(rejected),
            first_error.take(),
            Some(replaced_nul),
        ),
    }))
}

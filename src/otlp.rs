//! SQL face of `core::otlp`: an OTLP/JSON payload as rows in the columns of telemetry.

use flagscope_core::otlp::{Row, decode};
use pgrx::prelude::*;
use pgrx::{JsonB, Uuid};

/// Microseconds from 1970, OTLP's epoch, to 2000, PostgreSQL's.
const EPOCH_SHIFT: i64 = 946_684_800_000_000;

/// The columns of one decoded row; the last ones are set only in the last row, which has no time.
type Columns = (
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
);

/// Decodes a payload; documented in `sql/api/otlp.sql`.
#[pg_extern(immutable, strict, parallel_safe)]
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
    let counts = (decoded.rejected as i64, decoded.first_error, decoded.replaced_nul as i64);
    let rows = decoded.rows.into_iter().map(|row| columns(Some(row), None));
    TableIterator::new(rows.chain(std::iter::once_with(move || columns(None, Some(counts)))))
}

fn columns(row: Option<Row>, counts: Option<(i64, Option<String>, i64)>) -> Columns {
    let (rejected, first_error, replaced_nul) = match counts {
        Some((rejected, first_error, replaced_nul)) => (Some(rejected), first_error, Some(replaced_nul)),
        None => (None, None, None),
    };
    let Some(row) = row else {
        return (
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
            rejected,
            first_error,
            replaced_nul,
        );
    };
    (
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
        rejected,
        first_error,
        replaced_nul,
    )
}

//! Stored rows of telemetry, read by a cursor: for rebuilding, verifying and conversion windows.

use std::ffi::CStr;

use flagscope_core::Result;
use pgrx::{IntoDatum, PgMemoryContexts, pg_sys};

use super::row::{Columns, SignalLabels, TelemetryRow};

/// Rows fetched at a time; their memory is released before the next ones.
const ROWS_PER_FETCH: i64 = 1000;

// Operators and types with their schema, because not all callers have a pinned search_path.
const ALL: &CStr = c"SELECT ts, signal, name, value, flags, environment, service, severity, is_error, attributes, \
    subject, distribution, body, instance \
    FROM flagscope.telemetry WHERE ts OPERATOR(pg_catalog.>=) $1 AND ts OPERATOR(pg_catalog.<) $2";

const NAMED: &CStr = c"SELECT ts, signal, name, value, flags, environment, service, severity, is_error, attributes, \
    subject, distribution, body, instance \
    FROM flagscope.telemetry WHERE ts OPERATOR(pg_catalog.>=) $1 AND ts OPERATOR(pg_catalog.<) $2 \
    AND ($3::pg_catalog.text[] IS NULL OR name OPERATOR(pg_catalog.=) ANY ($3))";

const OF_SUBJECTS: &CStr = c"SELECT ts, signal, name, value, flags, environment, service, severity, is_error, attributes, \
    subject, distribution, body, instance \
    FROM flagscope.telemetry WHERE ts OPERATOR(pg_catalog.>=) $1 AND ts OPERATOR(pg_catalog.<) $2 AND subject IS NOT NULL \
    AND ($3::pg_catalog.text[] IS NULL OR name OPERATOR(pg_catalog.=) ANY ($3))";

const TAGGED: &CStr =
    c"SELECT ts, signal, name, value, flags, environment, service, severity, is_error, attributes, \
    CASE WHEN subject IS NOT NULL THEN 's' OPERATOR(pg_catalog.||) subject \
        WHEN trace_id IS NOT NULL THEN 't' OPERATOR(pg_catalog.||) trace_id::pg_catalog.text END AS subject, \
    distribution, body, instance \
    FROM flagscope.telemetry WHERE ts OPERATOR(pg_catalog.>=) $1 AND ts OPERATOR(pg_catalog.<) $2";

/// Which rows are read.
#[derive(Debug, Clone)]
pub enum Wanted {
    /// All of them.
    All,
    /// The same, where the subject is what a row is told apart by: "s" and its subject, else "t" and its trace.
    Tagged,
    /// Those of some names.
    Named(Option<Vec<String>>),
    /// Those with a subject and one of some names.
    OfSubjects(Option<Vec<String>>),
}

/// Calls `fold` for every row from `since` to before `until` (microseconds since 2000) that is visible to the calling
/// query's snapshot.
pub fn for_each_row(since: i64, until: i64, labels: &SignalLabels, mut fold: impl FnMut(i64, &TelemetryRow)) {
    // A fold that cannot fail.
    let _ = for_each_batch(since, until, Wanted::All, labels, |rows| {
        rows.iter().for_each(|(ts, row)| fold(*ts, row));
        Ok(())
    });
}

/// The same in batches of rows, which `fold` may inspect together, also by queries of its own.
///
/// # Errors
/// What `fold` says; no more rows are read then.
pub fn for_each_batch(
    since: i64,
    until: i64,
    wanted: Wanted,
    labels: &SignalLabels,
    mut fold: impl FnMut(&[(i64, TelemetryRow)]) -> Result<()>,
) -> Result<()> {
    // SAFETY: the cursor and the SPI connection are given back before returning; an error unwinds to PostgreSQL, whose
    // abort gives them back. A read-only cursor takes the active snapshot, which is the calling query's. Rows are used
    // only until the next ones are fetched, and what is detoasted for them lies in `memory`.
    unsafe {
        // Created before SPI's own context, which would delete it at SPI_finish.
        let mut memory = PgMemoryContexts::new("flagscope stored rows");
        pg_sys::SPI_connect();
        let portal = open(since, until, wanted);
        let mut folded = Ok(());
        while folded.is_ok() {
            pg_sys::SPI_cursor_fetch(portal, true, ROWS_PER_FETCH);
            let table = pg_sys::SPI_tuptable;
            if pg_sys::SPI_processed == 0 || table.is_null() {
                break;
            }
            let tuples = std::slice::from_raw_parts((*table).vals, pg_sys::SPI_processed as usize);
            let previous = pg_sys::MemoryContextSwitchTo(memory.value());
            folded = batch(tuples, (*table).tupdesc, labels, &mut fold);
            pg_sys::MemoryContextSwitchTo(previous);
            memory.reset();
            pg_sys::SPI_freetuptable(table);
        }
        pg_sys::SPI_cursor_close(portal);
        pg_sys::SPI_finish();
        folded
    }
}

/// # Safety
/// Inside an SPI connection.
unsafe fn open(since: i64, until: i64, wanted: Wanted) -> pg_sys::Portal {
    let (query, count, names) = match wanted {
        Wanted::All => (ALL, 2, None),
        Wanted::Tagged => (TAGGED, 2, None),
        Wanted::Named(names) => (NAMED, 3, names),
        Wanted::OfSubjects(names) => (OF_SUBJECTS, 3, names),
    };
    let mut types = [pg_sys::TIMESTAMPTZOID, pg_sys::TIMESTAMPTZOID, pg_sys::TEXTARRAYOID];
    let arguments = [since.into_datum(), until.into_datum(), names.into_datum()];
    let nulls = arguments.map(|argument| if argument.is_some() { b' ' } else { b'n' } as std::ffi::c_char);
    let mut values = arguments.map(|argument| argument.unwrap_or(pg_sys::Datum::from(0)));
    let (types, values) = (types.as_mut_ptr(), values.as_mut_ptr());
    // SAFETY: as many types, values and null marks as there are parameters; SPI copies them.
    unsafe {
        let (text, nulls) = (query.as_ptr(), nulls.as_ptr());
        pg_sys::SPI_cursor_open_with_args(std::ptr::null(), text, count, types, values, nulls, true, 0)
    }
}

/// # Safety
/// The tuples are of the descriptor.
unsafe fn batch(
    tuples: &[pg_sys::HeapTuple],
    descriptor: pg_sys::TupleDesc,
    labels: &SignalLabels,
    fold: &mut impl FnMut(&[(i64, TelemetryRow)]) -> Result<()>,
) -> Result<()> {
    // SAFETY: as the caller promises; each tuple has room for every column in both arrays.
    unsafe {
        let Some(columns) = Columns::find(descriptor) else { return Ok(()) };
        let n = (*descriptor).natts as usize;
        let (mut values, mut nulls) = (vec![pg_sys::Datum::from(0); n * tuples.len()], vec![false; n * tuples.len()]);
        for (tuple, (values, nulls)) in tuples.iter().zip(values.chunks_mut(n).zip(nulls.chunks_mut(n))) {
            pg_sys::heap_deform_tuple(*tuple, descriptor, values.as_mut_ptr(), nulls.as_mut_ptr());
        }
        let rows = values.chunks(n).zip(nulls.chunks(n));
        let rows: Vec<_> = rows.filter_map(|(v, nulls)| TelemetryRow::new(v, nulls, columns, labels)).collect();
        fold(&rows)
    }
}

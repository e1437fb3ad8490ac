//! Rows of telemetry as they are stored, read by a cursor: what the fold of rebuilding and verifying sees.

use std::ffi::CStr;

use pgrx::{IntoDatum, PgMemoryContexts, pg_sys};

use super::row::{Columns, SignalLabels, TelemetryRow};

/// Rows fetched at a time; their memory is given back before the next.
const ROWS_PER_FETCH: i64 = 1000;

const QUERY: &CStr = c"SELECT ts, signal, name, value, flags, environment, service, severity, is_error, attributes, \
    subject, distribution \
    FROM flagscope.telemetry WHERE ts >= $1 AND ts < $2";

/// Calls `fold` for every row from `since` to before `until` (microseconds since 2000) that the calling query's own
/// snapshot sees.
pub fn for_each_row(since: i64, until: i64, labels: &SignalLabels, mut fold: impl FnMut(i64, &TelemetryRow)) {
    let mut types = [pg_sys::TIMESTAMPTZOID; 2];
    let mut values = [since, until].map(|time| time.into_datum().unwrap_or(pg_sys::Datum::from(0)));
    // SAFETY: the cursor and the SPI connection are given back before returning; an error unwinds to PostgreSQL, whose
    // abort gives them back. A read-only cursor takes the active snapshot, which is the calling query's. A row is used
    // only until the next one is fetched, and what is detoasted for it lies in `memory`.
    unsafe {
        // Made before SPI's own context, which would take it along at SPI_finish.
        let mut memory = PgMemoryContexts::new("flagscope stored rows");
        pg_sys::SPI_connect();
        let (types, values) = (types.as_mut_ptr(), values.as_mut_ptr());
        let portal = pg_sys::SPI_cursor_open_with_args(
            std::ptr::null(),
            QUERY.as_ptr(),
            2,
            types,
            values,
            std::ptr::null(),
            true,
            0,
        );
        loop {
            pg_sys::SPI_cursor_fetch(portal, true, ROWS_PER_FETCH);
            let table = pg_sys::SPI_tuptable;
            if pg_sys::SPI_processed == 0 || table.is_null() {
                break;
            }
            let tuples = std::slice::from_raw_parts((*table).vals, pg_sys::SPI_processed as usize);
            let previous = pg_sys::MemoryContextSwitchTo(memory.value());
            each(tuples, (*table).tupdesc, labels, &mut fold);
            pg_sys::MemoryContextSwitchTo(previous);
            memory.reset();
            pg_sys::SPI_freetuptable(table);
        }
        pg_sys::SPI_cursor_close(portal);
        pg_sys::SPI_finish();
    }
}

/// # Safety
/// The tuples are of the descriptor.
unsafe fn each(
    tuples: &[pg_sys::HeapTuple],
    descriptor: pg_sys::TupleDesc,
    labels: &SignalLabels,
    fold: &mut impl FnMut(i64, &TelemetryRow),
) {
    // SAFETY: as the caller promises; both arrays have room for every column.
    unsafe {
        let Some(columns) = Columns::find(descriptor) else { return };
        let n = (*descriptor).natts as usize;
        let (mut values, mut nulls) = (vec![pg_sys::Datum::from(0); n], vec![false; n]);
        for tuple in tuples {
            pg_sys::heap_deform_tuple(*tuple, descriptor, values.as_mut_ptr(), nulls.as_mut_ptr());
            if let Some((ts, row)) = TelemetryRow::new(&values, &nulls, columns, labels) {
                fold(ts, &row);
            }
        }
    }
}

//! Rows of a table become segments: read as they are stored, in the order in which they lie, which is nearly that of time.

use flagscope_core::frozen::{Head, Rows, Segment};
use flagscope_core::{Error, Kind, Result};
use pgrx::datum::TimestampWithTimeZone;
use pgrx::prelude::*;
use pgrx::{IntoDatum, check_for_interrupts};

use super::convert::{self, EPOCH, Field};
use super::memory::Memory;
use super::store::{Table, damaged};
use crate::error::error_report;

/// Rows after which what was detoasted for them is given back.
const ROWS_AT_A_TIME: usize = 1_000;

/// A table that is being frozen.
struct Freezing {
    table: Option<Table>,
    fields: Vec<Field>,
    /// Times that are wanted, in microseconds since 1970: from the first to before the second.
    times: (i64, i64),
    /// What lasts until the last row, and of it what lasts for some rows.
    home: Memory,
    memory: Memory,
    scratch: pg_sys::StringInfo,
    number: i32,
}

impl Freezing {
    fn begin(table: pg_sys::Oid, times: (i64, i64)) -> Result<Self> {
        // SAFETY: the calling query's snapshot is active until its last row was given.
        let table = unsafe { Table::open(table, pg_sys::GetActiveSnapshot()) };
        // SAFETY: the table is open.
        let (fields, unknown) = unsafe { convert::fields(table.descriptor()) }?;
        if let Some(name) = unknown {
            let message = format!("column \"{name}\" is not one that a segment keeps");
            return Err(Error::new(Kind::Unsupported, message)
                .hint("Only chunks with telemetry's own columns can be frozen."));
        }
        // SAFETY: the transaction outlives the query, whose own memory a function's calls do not see.
        let home = unsafe { Memory::under(pg_sys::CurTransactionContext) };
        // SAFETY: made just now.
        let memory = unsafe { Memory::under(home.context()) };
        // SAFETY: a buffer that lives as long as `home`.
        let scratch = home.inside(|| unsafe { pg_sys::makeStringInfo() });
        Ok(Self { table: Some(table), fields, times, home, memory, scratch, number: 0 })
    }

    /// The next segment; `None`: there are no more rows.
    fn segment(&mut self) -> Result<Option<Segment>> {
        let Some(table) = &mut self.table else { return Ok(None) };
        let (mut rows, mut n) = (Rows::default(), 0);
        while !rows.is_full() {
            let Some((values, nulls, _)) = table.next_row() else { break };
            let (fields, times, scratch) = (&mut self.fields, self.times, self.scratch);
            // SAFETY: a row of the table whose fields they are, used before the next one is read.
            self.memory.inside(|| unsafe { take(fields, values, nulls, times, scratch, &mut rows) })?;
            n += 1;
            if n % ROWS_AT_A_TIME == 0 {
                check_for_interrupts!();
                self.memory.reset();
            }
        }
        if rows.is_empty() {
            self.table.take().into_iter().for_each(Table::close);
            self.home.end();
            return Ok(None);
        }
        self.number += 1;
        rows.freeze().map(Some)
    }
}

/// Adds a row, if its time is wanted.
///
/// # Safety
/// Values of a row of the fields' table.
unsafe fn take(
    fields: &mut [Field],
    values: &[pg_sys::Datum],
    nulls: &[bool],
    (since, until): (i64, i64),
    scratch: pg_sys::StringInfo,
    rows: &mut Rows,
) -> Result<()> {
    let ts = fields.iter().find(|field| field.column == 0).map_or(0, |field| field.attribute);
    let at = (values[ts].value() as i64).wrapping_add(EPOCH);
    if at < since || at >= until {
        return Ok(());
    }
    for field in fields {
        let (column, place) = (field.column, field.attribute);
        if nulls[place] {
            rows.push(column, None)?;
        } else {
            // SAFETY: as the caller promises.
            unsafe { field.read(values[place], scratch, |value| rows.push(column, Some(value))) }?;
        }
    }
    Ok(())
}

type Row = (i32, i32, TimestampWithTimeZone, TimestampWithTimeZone, Vec<u8>, Vec<u8>, Vec<u8>, Vec<u8>);

fn time(micros: i64) -> TimestampWithTimeZone {
    let datum = pg_sys::Datum::from(micros.wrapping_sub(EPOCH));
    // SAFETY: a timestamptz is such a number.
    unsafe { convert::plain(datum, false) }
        .unwrap_or_else(|| raise(Error::new(Kind::Corrupted, "a time is none that PostgreSQL has")))
}

/// Microseconds since 1970.
fn micros(at: TimestampWithTimeZone) -> i64 {
    at.into_datum().map_or(0, |datum| datum.value() as i64).saturating_add(EPOCH)
}

/// The rows of a table whose times are in a range, as segments.
// Volatile, so that no role for readers gets it: it reads any table.
#[pg_extern(
    volatile,
    strict,
    schema = "_flagscope",
    sql = r#"CREATE FUNCTION _flagscope."make_segments"(rows_of oid, since timestamptz, until timestamptz)
RETURNS TABLE (number integer, rows integer, first_ts timestamptz, last_ts timestamptz, traces bytea, subjects bytea,
    seal bytea, parquet bytea) LANGUAGE c VOLATILE STRICT AS '@MODULE_PATHNAME@', '@FUNCTION_NAME@';"#
)]
#[allow(clippy::type_complexity)]
fn make_segments(
    rows_of: pg_sys::Oid,
    since: TimestampWithTimeZone,
    until: TimestampWithTimeZone,
) -> TableIterator<
    'static,
    (
        name!(number, i32),
        name!(rows, i32),
        name!(first_ts, TimestampWithTimeZone),
        name!(last_ts, TimestampWithTimeZone),
        name!(traces, Vec<u8>),
        name!(subjects, Vec<u8>),
        name!(seal, Vec<u8>),
        name!(parquet, Vec<u8>),
    ),
> {
    let begun = Freezing::begin(rows_of, (micros(since), micros(until)));
    let mut freezing = begun.unwrap_or_else(|error| raise(error));
    TableIterator::new(std::iter::from_fn(move || {
        let segment = freezing.segment().unwrap_or_else(|error| raise(error))?;
        let Segment { rows, first, last, traces, subjects, seal, parquet } = segment;
        let row: Row = (freezing.number, rows, time(first), time(last), traces, subjects, seal, parquet);
        Some(row)
    }))
}

/// Ends the call with an error.
pub fn raise(error: Error) -> ! {
    std::panic::panic_any(error_report(error))
}

/// The file of a segment, if it is whole.
#[pg_extern(
    immutable,
    strict,
    schema = "_flagscope",
    sql = r#"CREATE FUNCTION _flagscope."whole_file"(segments text, number integer, rows integer, first_ts timestamptz,
    last_ts timestamptz, traces bytea, subjects bytea, seal bytea, parquet bytea) RETURNS bytea
LANGUAGE c IMMUTABLE STRICT AS '@MODULE_PATHNAME@', '@FUNCTION_NAME@';"#
)]
#[allow(clippy::too_many_arguments)]
fn whole_file(
    segments: &str,
    number: i32,
    rows: i32,
    first_ts: TimestampWithTimeZone,
    last_ts: TimestampWithTimeZone,
    traces: &[u8],
    subjects: &[u8],
    seal: &[u8],
    parquet: &[u8],
) -> Vec<u8> {
    let head = Head { rows, first: micros(first_ts), last: micros(last_ts), traces, subjects, seal };
    let opened = head.check().and_then(|()| head.open(parquet.to_vec()));
    match opened {
        Ok(_) => parquet.to_vec(),
        Err(problem) => raise(damaged(segments, Some(number), &problem)),
    }
}

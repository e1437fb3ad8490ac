//! Attribution of rows that came without flags; what is looked up and how stands in `sql/api/attribution.sql`.

use pgrx::prelude::*;
use pgrx::spi;

use crate::pg::pending::{self, Pending};

/// Rows handed to one look-up: bounds the memory of its arrays.
const ROWS_PER_CALL: usize = 10_000;

/// Trigger of telemetry's rows; see `sql/api/attribution.sql`.
#[pg_trigger]
fn _note_row<'a>(
    trigger: &'a pgrx::PgTrigger<'a>,
) -> Result<Option<PgHeapTuple<'a, AllocatedByPostgres>>, spi::Error> {
    if crate::guc::attribution() {
        pending::note(trigger);
    }
    Ok(None)
}

/// At the end of a statement that inserts telemetry: ties what was noted of its rows.
pub fn attribute_noted() -> Result<(), spi::Error> {
    match pending::take() {
        Some(noted) => pending::as_owner(|| attribute(noted)),
        None => Ok(()),
    }
}

fn attribute(noted: Pending) -> Result<(), spi::Error> {
    let Some((from, to)) = noted.range else { return Ok(()) };
    let time = |micros: i64| TimestampWithTimeZone::try_from(micros).ok();
    let slices = noted.partitions.chunks(ROWS_PER_CALL).zip(noted.places.chunks(ROWS_PER_CALL));
    for (partitions, places) in slices {
        Spi::run_with_args(
            "SELECT flagscope._attribute_rows($1, $2, $3, $4)",
            &[partitions.to_vec().into(), places.to_vec().into(), time(from).into(), time(to).into()],
        )?;
    }
    let mut traces = noted.traces;
    traces.sort_unstable();
    traces.dedup();
    for traces in traces.chunks(ROWS_PER_CALL) {
        Spi::run_with_args(
            "SELECT flagscope._attribute_traces($1, $2, $3)",
            &[traces.to_vec().into(), time(from).into(), time(to).into()],
        )?;
    }
    Ok(())
}

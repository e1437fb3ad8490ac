//! Writing `flagscope.variant_delta`: straight into the heap. The table has no index, no trigger and no constraint
//! beyond NOT NULL, so one tuple a group is all there is to do, and the writing role needs no right on it.

use flagscope_core::telemetry::State;
use pgrx::{IntoDatum, PgRelation, pg_sys};

use super::value::Stored;

/// One row to write: flag, environment, variant, metric, bucket (microseconds since 2000), state.
pub type Delta<'a> = (&'a str, &'a str, &'a str, &'a str, i64, &'a State);

/// Number of columns, in the order of sql/schema/metric.sql.
const COLUMNS: usize = 10;

/// Writes deltas in the transaction of the caller.
pub fn insert<'a>(deltas: impl Iterator<Item = Delta<'a>>) {
    let oid = super::cache::table(c"variant_delta");
    if oid == pg_sys::Oid::INVALID {
        return;
    }
    // SAFETY: the relation is open with the lock that an insert takes, until the end of the transaction; the tuple
    // has the relation's columns in order.
    unsafe {
        let relation = PgRelation::with_lock(oid, pg_sys::RowExclusiveLock as pg_sys::LOCKMODE);
        for delta in deltas {
            let (mut values, mut nulls) = columns(delta);
            let tuple = pg_sys::heap_form_tuple((*relation.as_ptr()).rd_att, values.as_mut_ptr(), nulls.as_mut_ptr());
            pg_sys::simple_heap_insert(relation.as_ptr(), tuple);
            pg_sys::heap_freetuple(tuple);
        }
    }
}

fn columns(
    (flag, environment, variant, metric, bucket, state): Delta,
) -> ([pg_sys::Datum; COLUMNS], [bool; COLUMNS]) {
    let datums: [Option<pg_sys::Datum>; COLUMNS] = [
        flag.into_datum(),
        environment.into_datum(),
        variant.into_datum(),
        metric.into_datum(),
        bucket.into_datum(),
        (state.n as i64).into_datum(),
        (state.events as i64).into_datum(),
        state.moments.as_ref().map(Stored::to_datum),
        state.histogram.as_ref().map(Stored::to_datum),
        state.last_ts.into_datum(),
    ];
    (datums.map(|d| d.unwrap_or(pg_sys::Datum::from(0))), datums.map(|d| d.is_none()))
}

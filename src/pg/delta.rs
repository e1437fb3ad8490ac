//! Writing `flagscope.variant_delta` and `flagscope.unit_delta`: straight into the heap, the former into the slot of this
//! minute. They have no index, no trigger and no constraint beyond NOT NULL, so one tuple a group is all there is to do,
//! and the writing role needs no right on them. Slots take turns so that a consumed one can be truncated: neither vacuum
//! nor old snapshots matter then.

use std::ffi::CStr;

use flagscope_core::telemetry::State;
use pgrx::{IntoDatum, PgRelation, pg_sys};

use super::value::Stored;

/// One row to write: flag, environment, variant, metric, bucket (microseconds since 2000), state.
pub type Delta<'a> = (&'a str, &'a str, &'a str, &'a str, i64, &'a State);

/// Number of columns, in the order of sql/schema/metric.sql.
const COLUMNS: usize = 11;

/// The slots, as in sql/schema/rollup.sql.
const SLOTS: [&CStr; 4] = [c"variant_delta_0", c"variant_delta_1", c"variant_delta_2", c"variant_delta_3"];

/// How long a slot is written before the next one's turn, in microseconds.
const TURN: i64 = 60_000_000;

/// Writes deltas in the transaction of the caller.
pub fn insert<'a>(deltas: impl Iterator<Item = Delta<'a>>) {
    // SAFETY: reads the clock.
    let turn = unsafe { pg_sys::GetCurrentTimestamp() }.div_euclid(TURN);
    write(SLOTS[turn.rem_euclid(SLOTS.len() as i64) as usize], deltas.map(columns));
}

/// Writes exposures (flag, environment, variant, subject, microseconds since 2000) in the transaction of the caller.
pub fn insert_units<'a>(units: impl Iterator<Item = (&'a str, &'a str, &'a str, &'a str, i64)>) {
    write(
        c"unit_delta",
        units.map(|(flag, environment, variant, subject, ts)| {
            filled([
                flag.into_datum(),
                environment.into_datum(),
                variant.into_datum(),
                subject.into_datum(),
                ts.into_datum(),
            ])
        }),
    );
}

/// Values and null marks of one tuple.
type Columns<const N: usize> = ([pg_sys::Datum; N], [bool; N]);

fn write<const N: usize>(table: &CStr, rows: impl Iterator<Item = Columns<N>>) {
    let mut rows = rows.peekable();
    let oid = super::cache::table(table);
    if rows.peek().is_none() || oid == pg_sys::Oid::INVALID {
        return;
    }
    // SAFETY: the relation is open with the lock that an insert takes, until the end of the transaction; the tuple
    // has the relation's columns in order.
    unsafe {
        let relation = PgRelation::with_lock(oid, pg_sys::RowExclusiveLock as pg_sys::LOCKMODE);
        for (mut values, mut nulls) in rows {
            let tuple = pg_sys::heap_form_tuple((*relation.as_ptr()).rd_att, values.as_mut_ptr(), nulls.as_mut_ptr());
            pg_sys::simple_heap_insert(relation.as_ptr(), tuple);
            pg_sys::heap_freetuple(tuple);
        }
    }
}

fn columns((flag, environment, variant, metric, bucket, state): Delta) -> Columns<COLUMNS> {
    filled([
        flag.into_datum(),
        environment.into_datum(),
        variant.into_datum(),
        metric.into_datum(),
        bucket.into_datum(),
        stored(state.n).into_datum(),
        stored(state.events).into_datum(),
        state.moments.as_ref().map(Stored::to_datum),
        state.histogram.as_ref().map(Stored::to_datum),
        state.last_ts.into_datum(),
        false.into_datum(),
    ])
}

/// Counts beyond what a bigint holds come from damaged histograms; they stay large, and never turn negative.
fn stored(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn filled<const N: usize>(datums: [Option<pg_sys::Datum>; N]) -> Columns<N> {
    (datums.map(|d| d.unwrap_or(pg_sys::Datum::from(0))), datums.map(|d| d.is_none()))
}

//! Writes `_flagscope.variant_delta`, `subject_delta`, `uncounted_delta` and `service_delta` directly to the heap, the
//! first into the slot of the current minute and lane. These tables have no index, trigger or constraint except NOT
//! NULL, so inserting one tuple per group is all, and the writing role needs no privilege on them. Slots alternate so
//! that a consumed one can be truncated, which avoids vacuum and does not depend on old snapshots. Lanes let the tick
//! read current data first. The first two wake the worker when they are committed.

use std::ffi::CStr;

use flagscope_core::telemetry::{Group, Lane, Stages};
use pgrx::{IntoDatum, PgRelation, pg_sys};

use super::value::Stored;
use super::wake;

/// Number of columns, in the order of sql/schema/metric.sql.
const COLUMNS: usize = 13;

/// The slots, as in sql/schema/rollup.sql.
const NOW: [&CStr; 4] = [c"variant_delta_0", c"variant_delta_1", c"variant_delta_2", c"variant_delta_3"];
const LATE: [&CStr; 4] =
    [c"variant_delta_late_0", c"variant_delta_late_1", c"variant_delta_late_2", c"variant_delta_late_3"];
const PAST: [&CStr; 4] =
    [c"variant_delta_past_0", c"variant_delta_past_1", c"variant_delta_past_2", c"variant_delta_past_3"];

/// How long a slot is written before the next one is used, in microseconds.
const TURN: i64 = 60_000_000;

/// Writes the deltas of groups in the caller's transaction, into lanes by the running stages; without stages into the
/// first lane.
pub fn insert(groups: &[Group], stages: Option<&Stages>) {
    // SAFETY: reads the clock.
    let now = unsafe { pg_sys::GetCurrentTimestamp() };
    let lane = |Group { watch, bucket, .. }: &Group| {
        stages.map_or(Lane::Now, |s| s.lane(&watch.environment, &watch.flag, *bucket, now))
    };
    let lanes: Vec<_> = groups.iter().map(lane).collect();
    if !lanes.is_empty() {
        wake::on_commit();
    }
    for lane in Lane::ALL {
        let of_lane = groups.iter().zip(&lanes).filter(|(_, of)| **of == lane).map(|(group, _)| columns(group));
        write(slot(lane, now), of_lane);
    }
}

/// The slot of a lane that is written at a time.
fn slot(lane: Lane, now: i64) -> &'static CStr {
    let slots = match lane {
        Lane::Now => &NOW,
        Lane::Late => &LATE,
        Lane::Past => &PAST,
    };
    slots[now.div_euclid(TURN).rem_euclid(slots.len() as i64) as usize]
}

/// Writes exposures (flag, environment, variant, subject, microseconds since 2000) in the transaction of the caller.
pub fn insert_units<'a>(units: impl Iterator<Item = (&'a str, &'a str, &'a str, &'a str, i64)>) {
    let mut units = units.peekable();
    if units.peek().is_some() {
        wake::on_commit();
    }
    write(
        c"subject_delta",
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

/// Blocks of `uncounted_delta` or `service_delta` (8 MB) beyond which nothing more is written to it: if nobody consumes
/// it, it need not grow.
const MOST_BLOCKS: u32 = 1024;

/// Writes rows that do not count (cause, environment, flag, example, number) in the caller's transaction.
pub fn insert_uncounted<'a>(rows: impl Iterator<Item = (&'a str, &'a str, &'a str, &'a str, u64)>) {
    let mut rows = rows.peekable();
    let table = c"uncounted_delta";
    if rows.peek().is_none() || blocks(table) >= MOST_BLOCKS {
        return;
    }
    // SAFETY: reads the clock.
    let now = unsafe { pg_sys::GetCurrentTimestamp() };
    write(
        table,
        rows.map(|(cause, environment, flag, example, n)| {
            filled([
                cause.into_datum(),
                environment.into_datum(),
                flag.into_datum(),
                example.into_datum(),
                stored(n).into_datum(),
                now.into_datum(),
            ])
        }),
    );
}

/// Writes services in the caller's transaction.
pub fn insert_services<'a>(services: impl Iterator<Item = &'a str>) {
    let mut services = services.peekable();
    let table = c"service_delta";
    if services.peek().is_none() || blocks(table) >= MOST_BLOCKS {
        return;
    }
    // SAFETY: reads the clock.
    let now = unsafe { pg_sys::GetCurrentTimestamp() };
    write(table, services.map(|service| filled([service.into_datum(), now.into_datum()])));
}

/// The length of a table in blocks; 0 if it does not exist.
fn blocks(table: &CStr) -> u32 {
    let oid = super::cache::private_table(table);
    if oid == pg_sys::Oid::INVALID {
        return 0;
    }
    // SAFETY: the relation is open with a lock until the end of the transaction.
    unsafe {
        let relation = PgRelation::with_lock(oid, pg_sys::RowExclusiveLock as pg_sys::LOCKMODE);
        pg_sys::RelationGetNumberOfBlocksInFork(relation.as_ptr(), pg_sys::ForkNumber::MAIN_FORKNUM)
    }
}

/// Values and null marks of one tuple.
type Columns<const N: usize> = ([pg_sys::Datum; N], [bool; N]);

fn write<const N: usize>(table: &CStr, rows: impl Iterator<Item = Columns<N>>) {
    let mut rows = rows.peekable();
    if rows.peek().is_none() {
        return;
    }
    let oid = super::cache::private_table(table);
    if oid == pg_sys::Oid::INVALID {
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

fn columns(Group { watch, variant, metric, instance, bucket, first_ts, state }: &Group) -> Columns<COLUMNS> {
    filled([
        watch.flag.as_str().into_datum(),
        watch.environment.as_str().into_datum(),
        variant.as_str().into_datum(),
        (*metric).into_datum(),
        bucket.into_datum(),
        stored(state.n).into_datum(),
        stored(state.events).into_datum(),
        state.moments.as_ref().map(Stored::to_datum),
        state.histogram.as_ref().map(Stored::to_datum),
        state.last_ts.into_datum(),
        false.into_datum(),
        first_ts.into_datum(),
        instance.as_deref().into_datum(),
    ])
}

/// Counts beyond a bigint come from damaged histograms; they are limited and never become negative.
fn stored(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn filled<const N: usize>(datums: [Option<pg_sys::Datum>; N]) -> Columns<N> {
    (datums.map(|d| d.unwrap_or(pg_sys::Datum::from(0))), datums.map(|d| d.is_none()))
}

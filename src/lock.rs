//! Which sessions have a row locked, for status() and for the tick, which does not wait for locks but reports them.

use crate::pg::locker;
use pgrx::prelude::*;

/// The processes whose open transactions have locked a row, given by its table and ctid, against changes.
///
/// 0 stands for a prepared transaction. Volatile, because the answer changes over time.
#[pg_extern(volatile, strict, parallel_unsafe, schema = "_flagscope")]
fn lockers(relation: pg_sys::Oid, place: pg_sys::ItemPointerData) -> Vec<i32> {
    locker::pids(relation, place)
}

//! Who has a row locked, for status() and for the tick, which waits for nobody and says whom it does not wait for.

use crate::pg::locker;
use pgrx::prelude::*;

/// The processes whose open transactions have a row locked against a change: its table and its place there.
///
/// 0 stands for a prepared transaction. Volatile, since the answer changes from one moment to the next.
#[pg_extern(volatile, strict, parallel_unsafe, schema = "_flagscope")]
fn lockers(relation: pg_sys::Oid, place: pg_sys::ItemPointerData) -> Vec<i32> {
    locker::pids(relation, place)
}

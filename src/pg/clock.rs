//! The time of a statement, as PostgreSQL keeps it.

use pgrx::pg_sys;

/// Seconds from 1970, Unix' epoch, to 2000, PostgreSQL's.
const EPOCH_SHIFT: i64 = 946_684_800;

/// Start of the statement in Unix seconds: the same throughout it, as a STABLE function's clock must be.
pub fn unix_seconds() -> i64 {
    // SAFETY: reads a variable of the session.
    let microseconds = unsafe { pg_sys::GetCurrentStatementStartTimestamp() };
    microseconds.div_euclid(1_000_000) + EPOCH_SHIFT
}

//! The time of a statement, as kept by PostgreSQL.

use flagscope_core::calendar::UNIX_TO_POSTGRES;
use pgrx::pg_sys;

/// Start of the statement in Unix seconds: the same throughout it, as a STABLE function's clock must be.
pub fn unix_seconds() -> i64 {
    // SAFETY: reads a variable of the session.
    let microseconds = unsafe { pg_sys::GetCurrentStatementStartTimestamp() };
    (microseconds + UNIX_TO_POSTGRES).div_euclid(1_000_000)
}

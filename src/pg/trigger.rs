//! The call of a trigger function. pgrx's own `pg_trigger` raises an internal error for a call that is not by a
//! trigger.

use flagscope_core::{Error, Kind};
use pgrx::{PgTrigger, pg_sys};

use crate::error::error_report;

/// The running call; an error if it is not by a trigger.
pub fn of<'a>(call: pg_sys::FunctionCallInfo) -> PgTrigger<'a> {
    // SAFETY: PostgreSQL gives every call a valid fcinfo, which lives until it returns; its context is looked at.
    let trigger = unsafe { call.as_ref() }.map(|call| unsafe { PgTrigger::from_fcinfo(call) });
    match trigger {
        Some(Ok(trigger)) => trigger,
        _ => {
            let message = "a trigger function cannot be called by itself";
            std::panic::panic_any(error_report(Error::new(Kind::Unsupported, message)))
        }
    }
}

//! SQL face of the calendar (`core::calendar`): weekly freezes and times in words; comments in `sql/api/freeze.sql`,
//! `progress.sql` and `alert.sql`.

use flagscope_core::calendar::{self, Weekly};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::argument::known;
use crate::error::Report;

/// When the weekly span ends that a local time lies in. Times of day come as microseconds, since pgrx takes 24:00 for 0:00.
#[pg_extern(immutable, strict, parallel_safe, schema = "_flagscope")]
fn week_ends(
    local: Timestamp,
    weekdays: Vec<Option<i32>>,
    from_time: i64,
    to_time: i64,
) -> Result<Option<Timestamp>, ErrorReport> {
    let span = Weekly { weekdays: known(weekdays).report()?, from: from_time, to: to_time };
    Ok(span.ends(local.into_inner()).and_then(|end| Timestamp::try_from(end).ok()))
}

#[pg_extern(immutable, strict, parallel_safe, schema = "_flagscope")]
fn seconds_words(seconds: f64) -> String {
    calendar::span(1e6 * seconds)
}

#[pg_extern(immutable, strict, parallel_safe, schema = "_flagscope")]
fn utc(at: TimestampWithTimeZone) -> String {
    calendar::text(at.into_inner())
}

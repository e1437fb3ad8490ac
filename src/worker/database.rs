//! The life of one worker: sleep, call `flagscope.tick()`, sleep.
//!
//! The worker must never be in anyone's way. It leaves when its database is to be dropped, copied or renamed, skips
//! its turn while DROP EXTENSION runs, ends when the extension is gone, and survives every error of a tick, which it
//! writes down where status() and the view health read it.

use super::Limiter;
use crate::guc;
use crate::pg::process::{self, Extension, Failure};
use pgrx::prelude::*;
use std::time::{Duration, Instant};

/// Longest sleep: however rare the ticks are, the worker sees within this time that its extension is gone or that a
/// statement wants its database (those give up after 5 s).
const NAP_MAX: Duration = Duration::from_secs(2);
/// How often free memory is given back, so that the worker is as small after one large tick as before it.
const TRIM_EVERY: Duration = Duration::from_secs(60);

/// What a turn found.
enum Turn {
    /// There is work here, now or later.
    Stay,
    /// It was time for a tick, and another session is ticking.
    Skipped,
    /// Nothing to work for: no extension, or a statement that wants the database for itself.
    Leave,
}

/// Work for a database until there is nothing to work for (exit code 0) or the process is told to end (1).
pub fn run(database: pg_sys::Oid) {
    process::connect(database);
    if process::claim_database() && !work() {
        process::exit_for_restart();
    }
}

/// Take turns. True: nothing left to do. False: SIGTERM.
fn work() -> bool {
    let mut limiter = Limiter::default();
    let mut last: Option<Instant> = None;
    let mut trimmed = Instant::now();
    loop {
        let now = Instant::now();
        let is_due = last.is_none_or(|last| now - last >= guc::interval());
        if is_due {
            last = Some(now);
        }
        match process::transaction(|| turn(is_due)) {
            Ok(Turn::Stay) => {}
            Ok(Turn::Skipped) => note(None, &mut limiter),
            Ok(Turn::Leave) => return true,
            Err(failure) => {
                report(&failure, &mut limiter, now);
                note(Some(&failure), &mut limiter);
            }
        }
        process::report_idle();
        if trimmed.elapsed() >= TRIM_EVERY {
            process::trim_heap();
            trimmed = Instant::now();
        }
        let left = last.map_or(Duration::ZERO, |last| guc::interval().saturating_sub(last.elapsed()));
        if !process::wait(left.min(NAP_MAX)) {
            return false;
        }
    }
}

/// Take one turn, inside one transaction: look around and, if it is time, tick.
fn turn(is_due: bool) -> Result<Turn, spi::Error> {
    if let Some(turn) = look_around() {
        return Ok(turn);
    }
    if is_due && guc::enabled() {
        process::report_running(c"SELECT flagscope.tick()");
        // With every argument, of its very type: a function that fits a shorter call better is never called.
        if Spi::get_one::<bool>("SELECT flagscope.tick(pg_catalog.clock_timestamp()) IS NULL")? == Some(true) {
            return Ok(Turn::Skipped);
        }
    }
    Ok(Turn::Stay)
}

/// What there is to be done instead of a tick; none: the extension is there, and stays to the end of the transaction.
fn look_around() -> Option<Turn> {
    if !process::database_is_free() {
        return Some(Turn::Leave);
    }
    match process::share_extension() {
        Extension::Absent => return Some(Turn::Leave),
        Extension::Changing => return Some(Turn::Stay),
        Extension::Shared => {}
    }
    // A half-made extension, or an old version without the function, counts as none.
    (!process::function_exists("flagscope.tick(pg_catalog.timestamptz)")).then_some(Turn::Leave)
}

/// Write down that a tick failed, or was skipped, in a transaction of its own: the tick's was rolled back.
fn note(failure: Option<&Failure>, limiter: &mut Limiter) {
    let written = process::transaction(|| {
        if look_around().is_some() {
            return Ok(());
        }
        match failure {
            Some(failure) => {
                let arguments = [failure.message.clone().into(), code(failure).into()];
                Spi::run_with_args("SELECT _flagscope.note_failed_tick($1, $2)", &arguments)
            }
            None => Spi::run("SELECT _flagscope.note_skipped_tick()"),
        }
    });
    if let Err(failure) = written {
        report(&failure, limiter, Instant::now());
    }
}

/// The SQLSTATE of a failure as text: five characters of six bits each.
fn code(failure: &Failure) -> String {
    (0..5).map(|place| char::from(b'0' + ((failure.code as i32 >> (6 * place)) & 0x3f) as u8)).collect()
}

/// Put the error of a tick into the log; the next tick comes all the same.
fn report(failure: &Failure, limiter: &mut Limiter, now: Instant) {
    if limiter.allows(&failure.message, now) {
        ereport!(
            PgLogLevel::WARNING,
            failure.code,
            format!("flagscope.tick() failed: {}", failure.message),
            failure.detail.clone().unwrap_or_else(|| "The worker goes on.".to_owned())
        );
    }
}

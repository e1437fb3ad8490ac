//! The life of one worker: sleep, call `flagscope.tick()`, sleep. When, `core::pace` says.
//!
//! The worker must not be in anyone's way. It leaves when its database is to be dropped, copied or renamed, skips its
//! turn while DROP EXTENSION runs, ends when the extension is gone, and survives every error of a tick, which it
//! records for status() and the view health.

use super::explainer::{self, Explainer};
use super::limiter::Limiter;
use crate::guc;
use crate::pg::process::{self, Extension, Failure, WORKER};
use crate::pg::wake;
use flagscope_core::pace::{Limits, Next, Pace};
use pgrx::prelude::*;
use std::time::{Duration, Instant};

/// How often a worker that does not tick looks whether its extension and its database are still there for it. Whoever
/// takes them away tells it (pg/process/hook.rs); this is for what the hook does not see.
const NAP_MAX: Duration = Duration::from_secs(10);
/// A worker that cannot be woken, since there are more than shared memory has room for, ticks this often.
const UNWOKEN: Duration = Duration::from_millis(400);
/// How often free memory is given back, so that the worker is as small after one large tick as before it.
const TRIM_EVERY: Duration = Duration::from_secs(60);
/// Other sessions' ticks take milliseconds: one that keeps ours from its turn for so long is told.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a turn found.
enum Turn {
    /// It ticked, or looked around; there will be more to do.
    Stay,
    /// The tick decided something.
    Decided,
    /// It was time for a tick, and another session is ticking, or DROP EXTENSION is under way.
    Skipped,
    /// Nothing to do: no extension, or a statement wants the database for itself.
    Leave,
}

/// Work for a database until there is nothing left to do (exit code 0) or the process is told to end (1).
pub fn run(database: pg_sys::Oid) {
    process::connect(database, WORKER);
    if process::claim_database() && !Worker::new(database).work() {
        process::exit_for_restart();
    }
}

/// What a worker remembers.
struct Worker {
    database: pg_sys::Oid,
    explainer: Explainer,
    pace: Pace,
    /// Can commits wake it?
    is_wakeable: bool,
    /// A commit has asked for a tick.
    woken: bool,
    looked: Instant,
    trimmed: Instant,
    /// Since when it was time for a tick and another session ticked.
    skipping: Option<Instant>,
    limiter: Limiter,
}

impl Worker {
    fn new(database: pg_sys::Oid) -> Self {
        let now = Instant::now();
        Worker {
            database,
            explainer: Explainer::new(),
            pace: Pace::default(),
            is_wakeable: wake::claim(),
            woken: false,
            looked: now,
            trimmed: now,
            skipping: None,
            limiter: Limiter::default(),
        }
    }

    /// Take turns. True: nothing left to do. False: SIGTERM.
    fn work(&mut self) -> bool {
        loop {
            let mut left = self.left();
            let nap = NAP_MAX.saturating_sub(self.looked.elapsed());
            if left.is_zero() || nap.is_zero() {
                if self.take_turn(left.is_zero() && guc::enabled()) {
                    return true;
                }
                left = self.left();
            }
            if self.trimmed.elapsed() >= TRIM_EVERY {
                process::trim_heap();
                self.trimmed = Instant::now();
            }
            // Also when there is no time to sleep: signals are served there.
            if !process::wait(left.min(NAP_MAX.saturating_sub(self.looked.elapsed()))) {
                self.explainer.stop();
                return false;
            }
        }
    }

    /// How long to sleep before the next tick.
    fn left(&mut self) -> Duration {
        self.woken |= wake::take();
        if !guc::enabled() {
            self.pace = Pace::default();
            return if self.woken { Duration::ZERO } else { NAP_MAX };
        }
        let longest = if self.is_wakeable { guc::interval() } else { guc::interval().min(UNWOKEN) };
        self.pace.left(Instant::now(), self.woken, Limits { longest, shortest: guc::min_interval() })
    }

    /// Look around and, if it is time, tick. True: nothing left to do.
    fn take_turn(&mut self, is_due: bool) -> bool {
        let (began, since) = (Instant::now(), clock_timestamp());
        self.looked = began;
        if is_due || !guc::enabled() {
            // Before the tick looks: who commits from now on asks for another one.
            wake::take();
            self.woken = false;
        }
        let turn = process::transaction(|| turn(is_due));
        let ended = Instant::now();
        let next = match turn {
            Ok(Turn::Leave) => return true,
            Ok(_) if !is_due => Next::Nothing,
            Ok(turn @ (Turn::Stay | Turn::Decided)) => {
                self.skipping = None;
                if matches!(turn, Turn::Decided) {
                    self.explainer.notice_decision();
                }
                self.explain();
                self.next(since)
            }
            Ok(Turn::Skipped) => {
                if began - *self.skipping.get_or_insert(began) >= PATIENCE {
                    self.note(None);
                }
                Next::Retry
            }
            Err(failure) => {
                report(&failure, &mut self.limiter, began);
                self.note(Some(&failure));
                Next::Retry
            }
        };
        if is_due {
            self.pace.note(began, ended, next);
        }
        process::report_idle();
        false
    }

    /// Have decisions looked into by a process of their own.
    fn explain(&mut self) {
        if self.explainer.is_to_ask() {
            let due = process::transaction(|| if is_ready() { explainer::is_due() } else { Ok(false) });
            self.explainer.take(self.database, due.unwrap_or(false));
        }
    }

    /// What is due after a tick that began then; not asked for when a commit has asked for the next tick already.
    fn next(&mut self, since: TimestampWithTimeZone) -> Next {
        self.woken |= wake::take();
        if self.woken {
            return Next::Nothing;
        }
        match process::transaction(|| due(since)) {
            Ok(Some(ms)) => Next::At(Duration::try_from_secs_f64(ms / 1000.0).unwrap_or(Duration::ZERO)),
            Ok(None) => Next::Nothing,
            Err(failure) => {
                report(&failure, &mut self.limiter, Instant::now());
                Next::Retry
            }
        }
    }

    /// Write down that a tick failed, or was skipped, in a transaction of its own: the tick's was rolled back.
    fn note(&mut self, failure: Option<&Failure>) {
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
            report(&failure, &mut self.limiter, Instant::now());
        }
    }
}

/// Take one turn inside one transaction: check the surroundings and, if it is time, tick.
fn turn(is_due: bool) -> Result<Turn, spi::Error> {
    if let Some(turn) = look_around() {
        return Ok(turn);
    }
    if is_due {
        process::report_running(c"SELECT flagscope.tick()");
        // With every argument and of its exact type, so that no better matching overload can be called instead.
        let decisions = Spi::get_one::<i32>("SELECT _flagscope.take_turn(pg_catalog.clock_timestamp())")?;
        return Ok(match decisions {
            None => Turn::Skipped,
            Some(0) => Turn::Stay,
            Some(_) => Turn::Decided,
        });
    }
    Ok(Turn::Stay)
}

/// Milliseconds from the start of a tick to what is due next by the clock; none: nothing is.
fn due(since: TimestampWithTimeZone) -> Result<Option<f64>, spi::Error> {
    if look_around().is_some() {
        return Ok(None);
    }
    Spi::get_one_with_args("SELECT _flagscope.next_due($1)", &[since.into()])
}

/// May this transaction use the extension: it is there, and stays to its end.
pub fn is_ready() -> bool {
    look_around().is_none()
}

/// What there is to be done instead of a tick; none: the extension is there, and stays to the end of the transaction.
fn look_around() -> Option<Turn> {
    if !process::database_is_free() {
        return Some(Turn::Leave);
    }
    match process::share_extension() {
        Extension::Absent => return Some(Turn::Leave),
        Extension::Changing => return Some(Turn::Skipped),
        Extension::Shared => {}
    }
    // A partly created extension, or an old version without the function, counts as none.
    (!process::function_exists("flagscope.tick(pg_catalog.timestamptz)")).then_some(Turn::Leave)
}

/// The SQLSTATE of a failure as text: five characters of six bits each.
fn code(failure: &Failure) -> String {
    (0..5).map(|place| char::from(b'0' + ((failure.code as i32 >> (6 * place)) & 0x3f) as u8)).collect()
}

/// Write the error of a tick to the log; ticks continue.
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

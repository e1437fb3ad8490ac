//! Limits the time of some work by a timer of its own: statement_timeout belongs to the user and counts from the start
//! of the user's statement.

use std::cell::Cell;
use std::ffi::c_int;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};

use flagscope_core::{Error, Kind, Result};
use pgrx::PgTryBuilder;
use pgrx::pg_sys::panic::{CaughtError, ErrorReportWithLevel};
use pgrx::prelude::*;

/// Does some work for a limited time; `what` names it in the error message. If it fails, the caller must roll back its
/// transaction or subtransaction.
///
/// # Errors
/// [`Kind::LimitExceeded`] when it takes too long, and what the work says.
pub fn within<T>(milliseconds: i32, what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let _alone = Alone::enter()?;
    let _timer = Timer::start(milliseconds);
    // SAFETY: reads a variable of the session.
    let memory = unsafe { pg_sys::CurrentMemoryContext };
    let done = PgTryBuilder::new(AssertUnwindSafe(work))
        .catch_when(PgSqlErrorCode::ERRCODE_QUERY_CANCELED, |error| match error {
            // The tick itself is being cancelled.
            CaughtError::PostgresError(ref report) if is_from_outside(report) => error.rethrow(),
            _ => Err(canceled(what, milliseconds)),
        })
        .execute();
    // SAFETY: the caller's own context; an error leaves the one of where it was raised.
    unsafe { pg_sys::MemoryContextSwitchTo(memory) };
    done
}

/// Whether a cancel came by signal, and not from this timer or the query itself.
fn is_from_outside(report: &ErrorReportWithLevel) -> bool {
    !FIRED.load(Ordering::Relaxed) && report.function_name() == Some("ProcessInterrupts")
}

fn canceled(what: &str, milliseconds: i32) -> Error {
    let message = if FIRED.load(Ordering::Relaxed) {
        format!("{what} took longer than {milliseconds} ms")
    } else {
        format!("{what} was canceled")
    };
    Error::new(Kind::LimitExceeded, message)
        .hint("See the settings query.*; an index on the column of time may help.")
}

/// Number of the first timeout available to extensions (`utils/timeout.h`, which pgrx does not bind).
const USER_TIMEOUT: c_int = if cfg!(any(feature = "pg15", feature = "pg16")) { 12 } else { 13 };

// SAFETY: as declared in utils/timeout.h and storage/latch.h of PostgreSQL 15 to 18. None of them raises an error once a
// timeout is registered, and SetLatch may be called in a signal handler, where pgrx's own wrapper may not.
unsafe extern "C" {
    fn RegisterTimeout(id: c_int, handler: extern "C" fn()) -> c_int;
    fn enable_timeout_every(id: c_int, first: i64, milliseconds: c_int);
    fn disable_timeout(id: c_int, keep_indicator: bool);
    fn SetLatch(latch: *mut pg_sys::Latch);
}

thread_local! {
    static TIMEOUT: Cell<Option<c_int>> = const { Cell::new(None) };
}
static FIRED: AtomicBool = AtomicBool::new(false);

/// A query that catches its cancellation is cancelled again after this time.
const AGAIN_MS: c_int = 100;

/// One query at a time: there is one timer, which a second query would reset.
struct Alone;

thread_local! {
    static RUNNING: Cell<bool> = const { Cell::new(false) };
}

impl Alone {
    fn enter() -> Result<Self> {
        if RUNNING.replace(true) {
            let message = "a metric's query cannot run another one";
            return Err(Error::new(Kind::InvalidParameter, message).hint("Let it read tables and views only."));
        }
        Ok(Self)
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        RUNNING.set(false);
    }
}

/// Cancels the running query when its time is up.
struct Timer(c_int);

impl Timer {
    fn start(milliseconds: i32) -> Self {
        // SAFETY: registered once a backend.
        let id = TIMEOUT.get().unwrap_or_else(|| unsafe { RegisterTimeout(USER_TIMEOUT, on_timeout) });
        TIMEOUT.set(Some(id));
        FIRED.store(false, Ordering::Relaxed);
        // SAFETY: the timeout is registered.
        unsafe {
            let first = pg_sys::GetCurrentTimestamp() + i64::from(milliseconds.max(1)) * 1000;
            enable_timeout_every(id, first, AGAIN_MS);
        }
        Self(id)
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        // SAFETY: the timeout is registered. One that fired at the very end must not cancel what comes next.
        unsafe {
            disable_timeout(self.0, false);
            if FIRED.load(Ordering::Relaxed) {
                pg_sys::QueryCancelPending = 0;
            }
        }
    }
}

/// Called by PostgreSQL's signal handler; does the same as the one of statement_timeout.
extern "C" fn on_timeout() {
    FIRED.store(true, Ordering::Relaxed);
    // SAFETY: plain stores, and a function made for signal handlers.
    unsafe {
        pg_sys::QueryCancelPending = 1;
        pg_sys::InterruptPending = 1;
        SetLatch(pg_sys::MyLatch);
    }
}

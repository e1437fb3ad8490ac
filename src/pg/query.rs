//! Somebody else's query: run with the rights of his role, read only, under a pinned search_path, for a limited time.
//!
//! PostgreSQL does the same for index functions and materialized views (`vacuumlazy.c`, `matview.c`): the role is changed
//! below SQL, where SET ROLE would be refused inside a SECURITY DEFINER function, and marked so that nothing in the query
//! can change it back. What a failing query leaves behind is undone by the caller's subtransaction: role, settings,
//! read-only mode and SPI are part of it.

use std::cell::Cell;
use std::ffi::{CString, c_int};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};

use flagscope_core::{Error, Kind, Result};
use pgrx::pg_sys::panic::{CaughtError, ErrorReportWithLevel};
use pgrx::prelude::*;
use pgrx::{IntoDatum, PgTryBuilder};

/// Where names in a query are looked for: all others are written with their schema.
const SEARCH_PATH: &std::ffi::CStr = c"pg_catalog, pg_temp";

/// The columns that are read; `value` must be there, and one of the first two.
const COLUMNS: [&std::ffi::CStr; 5] = [c"subject", c"variant", c"value", c"exposure", c"ts"];

/// How much of a query is waited for.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long it may run, in milliseconds; at least 1.
    pub milliseconds: i32,
    /// How many rows it may give.
    pub rows: u64,
}

/// One row: the columns of [`COLUMNS`] as text.
pub type Given = [Option<String>; COLUMNS.len()];

/// Runs a query with the parameters $1 and $2, a range of time (microseconds since 2000), as a role (`None`: as the
/// caller). The caller is in a transaction that it rolls back, or a subtransaction, when this fails.
///
/// # Errors
/// [`Kind::LimitExceeded`] for a query that takes too long or gives too many rows, [`Kind::InvalidParameter`] for one that
/// lacks a column; PostgreSQL's own errors are raised.
pub fn run(role: Option<&str>, query: &str, (since, until): (i64, i64), limits: Limits) -> Result<Vec<Given>> {
    let text = text(query)?;
    within(limits.milliseconds, "the query", || {
        let confined = Confined::enter(role)?;
        let rows = execute(&text, since, until, limits.rows)?;
        confined.leave();
        Ok(rows)
    })
}

/// Does some work for a limited time; `what` it is in the error's words. The caller is in a transaction that it rolls
/// back, or a subtransaction, when this fails.
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
            // Somebody cancels the tick itself.
            CaughtError::PostgresError(ref report) if is_from_outside(report) => error.rethrow(),
            _ => Err(canceled(what, milliseconds)),
        })
        .execute();
    // SAFETY: the caller's own context; an error leaves the one of where it was raised.
    unsafe { pg_sys::MemoryContextSwitchTo(memory) };
    done
}

/// Raises unless the query can be read by the caller, and gives the wanted columns.
///
/// # Errors
/// As [`run`].
pub fn check(query: &str) -> Result<()> {
    let text = text(query)?;
    let confined = Confined::enter(None)?;
    let mut types = [pg_sys::TIMESTAMPTZOID; 2];
    // SAFETY: the plan lives until SPI_finish; a plan that is a cursor's has one source, with a result.
    let checked = unsafe {
        pg_sys::SPI_connect();
        let plan = pg_sys::SPI_prepare(text.as_ptr(), 2, types.as_mut_ptr());
        let checked = if !plan.is_null() && pg_sys::SPI_is_cursor_plan(plan) {
            let source = (*(*pg_sys::SPI_plan_get_plan_sources(plan)).elements).ptr_value;
            numbers((*source.cast::<pg_sys::CachedPlanSource>()).resultDesc).map(|_| ())
        } else {
            Err(bad("a metric's query is one SELECT".to_owned()))
        };
        pg_sys::SPI_finish();
        checked
    };
    confined.leave();
    checked
}

fn text(query: &str) -> Result<CString> {
    CString::new(query).map_err(|_| bad("a query cannot hold a NUL byte".to_owned()))
}

fn bad(message: String) -> Error {
    Error::new(Kind::InvalidParameter, message).hint(
        "It gives columns subject or variant, and value (a number or a boolean); for rates exposure; ts if a row has a time. \
         Its parameters $1 and $2 are the range of time; names are written with their schema.",
    )
}

/// Whether a cancel came by signal, and not by this query's timer or its own doing.
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

fn execute(query: &CString, since: i64, until: i64, limit: u64) -> Result<Vec<Given>> {
    let mut types = [pg_sys::TIMESTAMPTZOID; 2];
    let mut values = [since, until].map(|time| time.into_datum().unwrap_or(pg_sys::Datum::from(0)));
    // SAFETY: everything is copied before SPI frees it. Read only: SPI refuses all but SELECT, and takes the active
    // snapshot, which is the calling query's.
    unsafe {
        pg_sys::SPI_connect();
        let count = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
        let (types, values) = (types.as_mut_ptr(), values.as_mut_ptr());
        let code =
            pg_sys::SPI_execute_with_args(query.as_ptr(), 2, types, values, std::ptr::null(), true, count as _);
        let rows = if code != pg_sys::SPI_OK_SELECT as i32 || pg_sys::SPI_tuptable.is_null() {
            Err(bad("a metric's query is one SELECT".to_owned()))
        } else if pg_sys::SPI_processed > limit {
            Err(Error::new(Kind::LimitExceeded, format!("the query gave more than {limit} rows"))
                .hint("Aggregate in the query, or raise the setting query.rows."))
        } else {
            rows()
        };
        pg_sys::SPI_finish();
        rows
    }
}

/// The rows of the last SPI query.
unsafe fn rows() -> Result<Vec<Given>> {
    // SAFETY: the query has just succeeded, so the table is there with SPI_processed rows.
    unsafe {
        let table = &*pg_sys::SPI_tuptable;
        let numbers = numbers(table.tupdesc)?;
        let tuples = match pg_sys::SPI_processed as usize {
            0 => &[],
            n => std::slice::from_raw_parts(table.vals, n),
        };
        let field = |tuple: pg_sys::HeapTuple, number: c_int| {
            let value =
                if number > 0 { pg_sys::SPI_getvalue(tuple, table.tupdesc, number) } else { std::ptr::null_mut() };
            (!value.is_null()).then(|| {
                let text = std::ffi::CStr::from_ptr(value).to_string_lossy().into_owned();
                pg_sys::pfree(value.cast());
                text
            })
        };
        Ok(tuples.iter().map(|&tuple| numbers.map(|number| field(tuple, number))).collect())
    }
}

/// The numbers of [`COLUMNS`] in a result, 0 or less for those it has not.
unsafe fn numbers(descriptor: pg_sys::TupleDesc) -> Result<[c_int; COLUMNS.len()]> {
    if descriptor.is_null() {
        return Err(bad("a metric's query is one SELECT".to_owned()));
    }
    // SAFETY: the descriptor is that of a result; system columns have negative numbers, which no result has.
    let numbers = unsafe { COLUMNS.map(|name| pg_sys::SPI_fnumber(descriptor, name.as_ptr())) };
    match numbers {
        [subject, variant, ..] if subject <= 0 && variant <= 0 => {
            Err(bad("the query gives neither a column \"subject\" nor \"variant\"".to_owned()))
        }
        [_, _, value, ..] if value <= 0 => Err(bad("the query gives no column \"value\"".to_owned())),
        numbers => Ok(numbers),
    }
}

/// What is changed around a query.
struct Confined {
    role: pg_sys::Oid,
    context: c_int,
    settings: c_int,
    read_only: bool,
}

impl Confined {
    fn enter(role: Option<&str>) -> Result<Self> {
        let mut was = Self { role: pg_sys::Oid::INVALID, context: 0, settings: 0, read_only: false };
        // SAFETY: reads and writes the session's variables; names are NUL-terminated.
        unsafe {
            pg_sys::GetUserIdAndSecContext(&raw mut was.role, &raw mut was.context);
            let role = match role {
                Some(name) => named(name)?,
                None => was.role,
            };
            let confined = pg_sys::SECURITY_LOCAL_USERID_CHANGE | pg_sys::SECURITY_RESTRICTED_OPERATION;
            pg_sys::SetUserIdAndSecContext(role, was.context | confined as c_int);
            was.settings = pg_sys::NewGUCNestLevel();
            pg_sys::set_config_option(
                c"search_path".as_ptr(),
                SEARCH_PATH.as_ptr(),
                pg_sys::GucContext::PGC_USERSET,
                pg_sys::GucSource::PGC_S_SESSION,
                pg_sys::GucAction::GUC_ACTION_SAVE,
                true,
                0,
                false,
            );
            was.read_only = pg_sys::XactReadOnly;
            pg_sys::XactReadOnly = true;
        }
        Ok(was)
    }

    /// Puts everything back. After an error the end of the subtransaction does it.
    fn leave(self) {
        // SAFETY: as `enter` found it; settings changed inside the query are rolled back with the nest level.
        unsafe {
            pg_sys::AtEOXact_GUC(false, self.settings);
            // After the settings: transaction_read_only is one of them.
            pg_sys::XactReadOnly = self.read_only;
            pg_sys::SetUserIdAndSecContext(self.role, self.context);
        }
    }
}

fn named(role: &str) -> Result<pg_sys::Oid> {
    let missing = || Error::new(Kind::Undefined, format!("role \"{role}\", which owns the metric, does not exist"));
    let name = CString::new(role).map_err(|_| missing())?;
    // SAFETY: a look-up in the system caches.
    match unsafe { pg_sys::get_role_oid(name.as_ptr(), true) } {
        pg_sys::Oid::INVALID => Err(missing()),
        oid => Ok(oid),
    }
}

/// Number of the first timeout that extensions may register (`utils/timeout.h`, which pgrx does not bind).
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

/// A query that catches its cancellation is cancelled again.
const AGAIN_MS: c_int = 100;

/// One query at a time: there is one timer, which a second one would take from the first.
struct Alone;

thread_local! {
    static RUNNING: Cell<bool> = const { Cell::new(false) };
}

impl Alone {
    fn enter() -> Result<Self> {
        if RUNNING.replace(true) {
            return Err(bad("a metric's query cannot run another one".to_owned()));
        }
        Ok(Self)
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        RUNNING.set(false);
    }
}

/// Cancels the running query when its time is over.
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

/// Called by PostgreSQL's signal handler: does what that of statement_timeout leads to.
extern "C" fn on_timeout() {
    FIRED.store(true, Ordering::Relaxed);
    // SAFETY: plain stores, and a function made for signal handlers.
    unsafe {
        pg_sys::QueryCancelPending = 1;
        pg_sys::InterruptPending = 1;
        SetLatch(pg_sys::MyLatch);
    }
}

//! Somebody else's query: run with the rights of his role, read only, under a pinned search_path, for a limited time.
//!
//! PostgreSQL does the same for index functions and materialized views (`vacuumlazy.c`, `matview.c`): the role is changed
//! below SQL, where SET ROLE would be refused inside a SECURITY DEFINER function, and marked so that nothing in the query
//! can change it back. What the query does is undone, see [`confined`].

use std::cell::Cell;
use std::ffi::{CString, c_int};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};

use flagscope_core::{Error, Kind, Result};
use pgrx::pg_sys::panic::{CaughtError, ErrorReportWithLevel};
use pgrx::prelude::*;
use pgrx::{IntoDatum, PgTryBuilder};

use super::confined::confined;

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
    within(limits.milliseconds, "the query", || confined(role, || execute(&text, since, until, limits.rows)))
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
    confined(None, || {
        let mut types = [pg_sys::TIMESTAMPTZOID; 2];
        // SAFETY: the plan lives until SPI_finish; what can be a cursor's has one source, with a result.
        unsafe {
            pg_sys::SPI_connect();
            let plan = pg_sys::SPI_prepare(text.as_ptr(), 2, types.as_mut_ptr());
            let checked = if !plan.is_null() && pg_sys::SPI_is_cursor_plan(plan) {
                let source = (*(*pg_sys::SPI_plan_get_plan_sources(plan)).elements).ptr_value;
                let source = &*source.cast::<pg_sys::CachedPlanSource>();
                only_reads(source, plan).and_then(|()| numbers(source.resultDesc)).map(|_| ())
            } else {
                Err(bad(NOT_ONE_SELECT.to_owned()))
            };
            pg_sys::SPI_finish();
            checked
        }
    })
}

const NOT_ONE_SELECT: &str = "a metric's query is one SELECT";

/// # Safety
/// The source is that of the plan, of one analysed statement with a result.
unsafe fn only_reads(source: &pg_sys::CachedPlanSource, plan: pg_sys::SPIPlanPtr) -> Result<()> {
    use pg_sys::PortalStrategy::{PORTAL_ONE_MOD_WITH, PORTAL_ONE_SELECT};
    // SAFETY: as the caller promises; what is one SELECT has one planned statement.
    unsafe {
        match pg_sys::ChoosePortalStrategy(source.query_list) {
            PORTAL_ONE_SELECT => {}
            PORTAL_ONE_MOD_WITH => {
                let message = "a metric's query is one SELECT without INSERT, UPDATE or DELETE in its WITH";
                return Err(bad(message.to_owned()));
            }
            _ => return Err(bad(NOT_ONE_SELECT.to_owned())),
        }
        // Planned, since row locks may be anywhere in it. A plan that is not kept has no resource owner.
        let planned = pg_sys::SPI_plan_get_cached_plan(plan);
        if planned.is_null() {
            return Err(bad(NOT_ONE_SELECT.to_owned()));
        }
        let statement = (*(*(*planned).stmt_list).elements).ptr_value.cast::<pg_sys::PlannedStmt>();
        let locks_rows = !(*statement).rowMarks.is_null();
        pg_sys::ReleaseCachedPlan(planned, std::ptr::null_mut());
        if locks_rows {
            return Err(bad("a metric's query is one SELECT without FOR UPDATE or FOR SHARE".to_owned()));
        }
    }
    Ok(())
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
            Err(bad(NOT_ONE_SELECT.to_owned()))
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
        return Err(bad(NOT_ONE_SELECT.to_owned()));
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

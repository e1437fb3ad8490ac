//! Runs a user's query: with the rights of its owner, read only, under a pinned search_path, for a limited time.
//!
//! PostgreSQL does the same for index functions and materialized views (`vacuumlazy.c`, `matview.c`): the role is
//! changed below SQL, where SET ROLE would be refused inside a SECURITY DEFINER function, and marked so that nothing in
//! the query can change it back. What the query does is undone, see [`confined`].

use std::ffi::CString;

use flagscope_core::{Error, Kind, Result};
use pgrx::IntoDatum;
use pgrx::prelude::*;

use super::confined::confined;
use super::reading::{Given, NOT_ONE_SELECT, bad, numbers, rows};
use super::timer::within;

/// Limits of a query.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long it may run, in milliseconds; at least 1.
    pub milliseconds: i32,
    /// How many rows it may give.
    pub rows: u64,
}

/// Runs a query with the parameters $1 and $2, a range of time (microseconds since 2000), as a role (`None`: as the
/// caller). If it fails, the caller must roll back its transaction or subtransaction.
///
/// # Errors
/// [`Kind::LimitExceeded`] for a query that takes too long or gives too many rows, [`Kind::InvalidParameter`] for one that
/// lacks a column; PostgreSQL's own errors are raised.
pub fn run(role: Option<&str>, query: &str, (since, until): (i64, i64), limits: Limits) -> Result<Vec<Given>> {
    let text = text(query)?;
    within(limits.milliseconds, "the query", || confined(role, || execute(&text, since, until, limits.rows)))
}

/// Raises unless the query is valid for the caller and returns the wanted columns.
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
        // Planned, because row locks may be anywhere in the query. A plan that is not kept has no resource owner.
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

//! Reading configuration as it was last committed, whatever the snapshot of the calling query: what fills a cache must
//! not be older than the invalidation that emptied it, or the cache would stay stale until the next change.

use std::ffi::{CStr, CString};

use flagscope_core::{Error, Kind, Result};
use pgrx::{IntoDatum, pg_sys};
use serde_json::Value;

/// Whether this is part of a parallel query, where only the query's own snapshot may be used. What was cached then has
/// to be thrown away afterwards.
pub fn is_parallel() -> bool {
    // SAFETY: reads a variable of the session.
    unsafe { pg_sys::IsInParallelMode() }
}

/// The single text that a query gives, read as JSON; `None` where it gives no row or NULL.
pub fn json(query: &CStr, arguments: &[&str]) -> Result<Option<Value>> {
    let unreadable =
        |what: String| Error::new(Kind::Corrupted, format!("flagscope's configuration cannot be read: {what}"));
    let Some(text) = text(query, arguments).map_err(unreadable)? else { return Ok(None) };
    let text = text.to_str().map_err(|problem| unreadable(problem.to_string()))?;
    serde_json::from_str(text).map_err(|problem| unreadable(problem.to_string()))
}

fn text(query: &CStr, arguments: &[&str]) -> std::result::Result<Option<CString>, String> {
    let mut types = vec![pg_sys::TEXTOID; arguments.len()];
    let mut values: Vec<_> = arguments.iter().map(|a| a.into_datum().unwrap_or(pg_sys::Datum::from(0))).collect();
    // SAFETY: the snapshot and the SPI connection are given back before returning; an error unwinds to PostgreSQL, whose
    // abort gives them back. A read-only execution takes the active snapshot. The text is copied before SPI frees it.
    unsafe {
        let snapshot = if is_parallel() { pg_sys::GetActiveSnapshot() } else { pg_sys::GetLatestSnapshot() };
        pg_sys::PushActiveSnapshot(snapshot);
        pg_sys::SPI_connect();
        let (types, values) = (types.as_mut_ptr(), values.as_mut_ptr());
        let count = arguments.len() as i32;
        let code = pg_sys::SPI_execute_with_args(query.as_ptr(), count, types, values, std::ptr::null(), true, 1);
        let result = if code == pg_sys::SPI_OK_SELECT as i32 { Ok(first()) } else { Err(format!("SPI code {code}")) };
        pg_sys::SPI_finish();
        pg_sys::PopActiveSnapshot();
        result
    }
}

/// The first column of the first row of the last SPI query.
unsafe fn first() -> Option<CString> {
    // SAFETY: the query has just succeeded, so the table is there with SPI_processed rows.
    unsafe {
        if pg_sys::SPI_processed == 0 || pg_sys::SPI_tuptable.is_null() {
            return None;
        }
        let table = &*pg_sys::SPI_tuptable;
        let value = pg_sys::SPI_getvalue(*table.vals, table.tupdesc, 1);
        (!value.is_null()).then(|| CStr::from_ptr(value).to_owned())
    }
}

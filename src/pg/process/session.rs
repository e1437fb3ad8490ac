//! A worker's connection: begin, transactions that survive errors, activity reports, look-ups.

use super::{WORKER, receive_signals};
use pgrx::bgworkers::BackgroundWorker;
use pgrx::pg_sys::panic::CaughtError;
use pgrx::{direct_function_call, prelude::*};
use std::ffi::{CStr, CString};
use std::panic::AssertUnwindSafe;
use std::ptr::null;

/// Settings that the owner of a database or role could set so that no tick works.
const PINNED: [(&CStr, &CStr); 4] = [
    (c"search_path", c"pg_catalog, pg_temp"),
    (c"default_transaction_read_only", c"off"),
    (c"default_transaction_isolation", c"read committed"),
    (c"default_transaction_deferrable", c"off"),
];

/// Why a transaction failed.
pub struct Failure {
    pub code: PgSqlErrorCode,
    pub message: String,
    pub detail: Option<String>,
}

/// Connect a worker to its database as the bootstrap superuser.
pub fn connect(database: pg_sys::Oid) {
    receive_signals();
    BackgroundWorker::connect_worker_to_spi_by_oid(Some(database), None);
    for (name, value) in PINNED {
        pin(name, value);
    }
    if let Ok(name) = CString::new(WORKER) {
        pin(c"application_name", &name);
    }
    report_idle();
}

/// Connect the launcher to the shared catalogs only.
pub fn connect_to_nothing() {
    receive_signals();
    BackgroundWorker::connect_worker_to_spi(None, None);
}

fn pin(name: &CStr, value: &CStr) {
    use pg_sys::{GucContext::PGC_SUSET, GucSource::PGC_S_OVERRIDE};
    // SAFETY: static or live C strings, copied by the callee.
    unsafe { pg_sys::SetConfigOption(name.as_ptr(), value.as_ptr(), PGC_SUSET, PGC_S_OVERRIDE) }
}

/// Run a body in a transaction of its own; an error rolls it back and is returned, the process lives on.
pub fn transaction<R>(body: impl FnOnce() -> Result<R, spi::Error>) -> Result<R, Failure> {
    PgTryBuilder::new(AssertUnwindSafe(|| {
        begin();
        match body() {
            Ok(result) => {
                commit();
                Ok(result)
            }
            Err(error) => Err(abort(Failure::new(error.to_string()))),
        }
    }))
    .catch_others(|error| Err(abort(Failure::from(&error))))
    .catch_rust_panic(|error| Err(abort(Failure::from(&error))))
    .execute()
}

fn begin() {
    // SAFETY: called between transactions. now() is the statement's start, so that is set first; the snapshot
    // serves code that reads outside a query.
    unsafe {
        pg_sys::SetCurrentStatementStartTimestamp();
        pg_sys::StartTransactionCommand();
        pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot());
    }
}

fn commit() {
    // SAFETY: ends what `begin` began. Statistics are sent here because only client sessions send theirs when idle.
    unsafe {
        pg_sys::PopActiveSnapshot();
        pg_sys::CommitTransactionCommand();
        pg_sys::pgstat_report_stat(false);
    }
}

/// Roll back, and pass the reason through.
fn abort(failure: Failure) -> Failure {
    // SAFETY: pgrx has taken the error off PostgreSQL's stack; rolling back frees locks, memory and snapshots.
    unsafe {
        pg_sys::AbortCurrentTransaction();
        pg_sys::pgstat_report_stat(false);
    }
    failure
}

/// Show in pg_stat_activity what runs.
pub fn report_running(query: &CStr) {
    // SAFETY: the text is copied.
    unsafe { pg_sys::pgstat_report_activity(pg_sys::BackendState::STATE_RUNNING, query.as_ptr()) }
}

/// Show in pg_stat_activity that nothing runs.
pub fn report_idle() {
    // SAFETY: without text the last one stays, as for a client's session.
    unsafe { pg_sys::pgstat_report_activity(pg_sys::BackendState::STATE_IDLE, null()) }
}

/// Is there a function of this name and argument types?
pub fn function_exists(signature: &str) -> bool {
    // SAFETY: to_regprocedure takes one text and returns NULL for an unknown function.
    let oid = unsafe { direct_function_call::<pg_sys::Oid>(pg_sys::to_regprocedure, &[signature.into_datum()]) };
    oid.is_some()
}

impl Failure {
    fn new(message: String) -> Self {
        Failure { code: PgSqlErrorCode::ERRCODE_INTERNAL_ERROR, message, detail: None }
    }
}

impl From<&CaughtError> for Failure {
    fn from(error: &CaughtError) -> Self {
        let (CaughtError::PostgresError(report)
        | CaughtError::ErrorReport(report)
        | CaughtError::RustPanic { ereport: report, .. }) = error;
        Failure {
            code: report.sql_error_code(),
            message: report.message().to_owned(),
            detail: report.detail().map(str::to_owned),
        }
    }
}

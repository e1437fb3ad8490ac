//! A worker's connection: transactions that survive errors, activity reports, look-ups.

use super::receive_signals;
use pgrx::bgworkers::BackgroundWorker;
use pgrx::pg_sys::panic::CaughtError;
use pgrx::{direct_function_call, prelude::*};
use std::ffi::{CStr, CString};
use std::panic::AssertUnwindSafe;
use std::ptr::null;

/// Settings of a server, database or role that could keep ticks from working or change their results: a session starts
/// with the settings of ALTER DATABASE, ALTER ROLE and the configuration files.
const PINNED: [(&CStr, &CStr); 32] = [
    // Whose rights, which objects, which triggers.
    (c"role", c"none"),
    (c"search_path", c"pg_catalog, pg_temp"),
    (c"session_replication_role", c"origin"),
    (c"row_security", c"on"),
    (c"flagscope.actor", c""),
    (c"flagscope.reason", c""),
    // Transactions that write, see what is committed, and live as long as they need.
    (c"default_transaction_read_only", c"off"),
    (c"default_transaction_isolation", c"read committed"),
    (c"default_transaction_deferrable", c"off"),
    (c"statement_timeout", c"0"),
    (c"transaction_timeout", c"0"),
    (c"lock_timeout", c"0"),
    (c"idle_in_transaction_session_timeout", c"0"),
    (c"idle_session_timeout", c"0"),
    (c"exit_on_error", c"off"),
    (c"temp_file_limit", c"-1"),
    (c"default_table_access_method", c"heap"),
    // What values look like as text.
    (c"client_encoding", c"UTF8"),
    (c"DateStyle", c"ISO, MDY"),
    (c"IntervalStyle", c"postgres"),
    (c"TimeZone", c"UTC"),
    (c"timezone_abbreviations", c"Default"),
    (c"extra_float_digits", c"1"),
    (c"bytea_output", c"hex"),
    (c"array_nulls", c"on"),
    (c"quote_all_identifiers", c"off"),
    // What a statement means.
    (c"standard_conforming_strings", c"on"),
    (c"transform_null_equals", c"off"),
    (c"plpgsql.variable_conflict", c"error"),
    (c"plpgsql.extra_errors", c"none"),
    (c"plpgsql.check_asserts", c"on"),
    (c"check_function_bodies", c"on"),
];

/// Why a transaction failed.
pub struct Failure {
    pub code: PgSqlErrorCode,
    pub message: String,
    pub detail: Option<String>,
}

/// Connect a process of a kind to its database as the bootstrap superuser.
pub fn connect(database: pg_sys::Oid, kind: &str) {
    receive_signals();
    BackgroundWorker::connect_worker_to_spi_by_oid(Some(database), None);
    // In a transaction, because some settings look up names in the catalogs.
    let pinned = transaction(|| {
        pin_own_user();
        PINNED.iter().filter(|(name, _)| is_known(name)).for_each(|(name, value)| pin(name, value));
        Ok(())
    });
    if let Err(failure) = pinned {
        warning!("flagscope cannot set what its worker depends on: {}", failure.message);
    }
    if let Ok(name) = CString::new(kind) {
        pin(c"application_name", &name);
    }
    report_idle();
}

/// Connect the launcher to the shared catalogs only.
pub fn connect_to_nothing() {
    receive_signals();
    BackgroundWorker::connect_worker_to_spi(None, None);
}

/// Whether the setting exists: later versions have more, and those of plpgsql exist only once they have been used.
fn is_known(name: &CStr) -> bool {
    // SAFETY: a look-up by name; the result is only compared.
    !unsafe { pg_sys::GetConfigOption(name.as_ptr(), true, false) }.is_null()
}

/// Undo a `session_authorization` set for a database or role: the worker keeps the identity it was started with.
fn pin_own_user() {
    // SAFETY: a catalog look-up inside a transaction; the name is a palloc'ed C string that the callee copies.
    unsafe {
        let own = pg_sys::GetAuthenticatedUserId();
        if pg_sys::GetSessionUserId() != own {
            pin(c"session_authorization", CStr::from_ptr(pg_sys::GetUserNameFromId(own, false)));
        }
    }
}

fn pin(name: &CStr, value: &CStr) {
    use pg_sys::{GucContext::PGC_SUSET, GucSource::PGC_S_OVERRIDE};
    // SAFETY: static or live C strings, copied by the callee.
    unsafe { pg_sys::SetConfigOption(name.as_ptr(), value.as_ptr(), PGC_SUSET, PGC_S_OVERRIDE) }
}

/// Run a body in a transaction of its own; an error rolls it back and is returned, and the process continues.
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

/// Roll back and return the reason.
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

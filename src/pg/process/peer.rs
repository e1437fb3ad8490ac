//! Flagscope's processes seen from another backend: find them, signal them. Needs no privilege and no SQL.

use super::{EXPLAINER, LAUNCHER, WORKER};
use pgrx::prelude::*;
use pgrx::{PgXactCallbackEvent, register_xact_callback};
use std::ffi::{CStr, c_int};

// A pid is what the status table gives, and PostgreSQL's own senders of SIGTERM check the privileges of the caller.
unsafe extern "C" {
    safe fn kill(pid: c_int, signal: c_int) -> c_int;
}

/// When this transaction commits, make the launcher look at every database. Nothing happens without a launcher.
pub fn wake_launcher_on_commit() {
    let Some(pid) = pids(LAUNCHER, None).first().copied() else { return };
    // Only what cannot fail runs there: an error after commit would take the cluster down. SIGHUP rather than the
    // latch, because the launcher cannot tell a set latch from the end of a worker.
    register_xact_callback(PgXactCallbackEvent::Commit, move || {
        if has_type(pid, LAUNCHER) {
            kill(pid, pg_sys::SIGHUP as c_int);
        }
    });
}

/// Send SIGTERM to the workers and explainers of a database and return their pids.
pub fn stop_workers(database: pg_sys::Oid) -> Vec<c_int> {
    let mut workers = pids(WORKER, Some(database));
    workers.extend(pids(EXPLAINER, Some(database)));
    for pid in &workers {
        kill(*pid, pg_sys::SIGTERM as c_int);
    }
    workers
}

/// Is a process with this pid still among the backends?
pub fn is_running(pid: c_int) -> bool {
    // SAFETY: the result is only compared, never followed.
    !unsafe { pg_sys::BackendPidGetProc(pid) }.is_null()
}

/// The pids of flagscope's processes of a type, in a database or in any.
fn pids(kind: &str, database: Option<pg_sys::Oid>) -> Vec<c_int> {
    let mut found = Vec::new();
    // SAFETY: entries are copies made for this backend, valid until the snapshot is cleared, which happens last.
    // It is cleared first as well: the transaction may have an old one.
    unsafe {
        pg_sys::pgstat_clear_backend_activity_snapshot();
        for index in 1..=pg_sys::pgstat_fetch_stat_numbackends() {
            #[cfg(feature = "pg15")]
            let entry = pg_sys::pgstat_fetch_stat_local_beentry(index);
            #[cfg(not(feature = "pg15"))]
            let entry = pg_sys::pgstat_get_local_beentry_by_index(index);
            let Some(entry) = entry.as_ref() else { continue };
            let status = &entry.backendStatus;
            let here = database.is_none_or(|database| database == status.st_databaseid);
            if here && status.st_backendType == pg_sys::BackendType::B_BG_WORKER && has_type(status.st_procpid, kind)
            {
                found.push(status.st_procpid);
            }
        }
        pg_sys::pgstat_clear_backend_activity_snapshot();
    }
    found
}

/// Is this the pid of a background worker of that type?
fn has_type(pid: c_int, kind: &str) -> bool {
    // SAFETY: the result is NULL or a C string in a static buffer, compared before any other call.
    unsafe {
        let name = pg_sys::GetBackgroundWorkerTypeByPid(pid);
        !name.is_null() && CStr::from_ptr(name).to_bytes() == kind.as_bytes()
    }
}

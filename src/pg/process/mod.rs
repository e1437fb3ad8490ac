//! Processes: what the background worker needs from PostgreSQL and pgrx does not wrap safely.
//!
//! Here: preloading, registration, signals and sleeping. `child` starts and watches workers, `session` is a worker's
//! connection (transactions, locks, catalog look-ups), `database` lists the databases, `heap` returns memory, `peer`
//! finds flagscope's processes from any backend, and `hook` stops workers for DROP DATABASE and similar statements. No
//! decisions about flags.

mod child;
mod database;
mod heap;
mod hook;
mod lock;
mod peer;
mod session;

pub use child::Child;
pub use database::{Database, databases};
pub use heap::trim as trim_heap;
pub use hook::install as install_hook;
pub use lock::{Extension, claim_database, database_is_free, share_extension};
pub use peer::wake_launcher_on_commit;
pub use session::{Failure, connect, connect_to_nothing, function_exists, report_idle, report_running, transaction};

use pgrx::bgworkers::BackgroundWorkerBuilder;
use pgrx::prelude::*;
use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Types of the processes in pg_stat_activity, by which they are found.
pub const LAUNCHER: &str = "flagscope launcher";
pub const WORKER: &str = "flagscope worker";
pub const EXPLAINER: &str = "flagscope explainer";
/// The name of the shared library.
const LIBRARY: &str = "flagscope";

/// Set in the postmaster before it forks, so that every backend knows.
static PRELOADED: AtomicBool = AtomicBool::new(false);
/// The configuration was reloaded since the last query of this flag.
static RELOADED: AtomicBool = AtomicBool::new(false);

// PostgreSQL's own handlers. pgrx's bindings wrap each function in an error guard; a signal handler must run bare.
unsafe extern "C-unwind" {
    fn die(signal: c_int);
    #[link_name = "SignalHandlerForConfigReload"]
    fn reload(signal: c_int);
}

// Of POSIX's unistd.h.
unsafe extern "C" {
    safe fn nice(increment: c_int) -> c_int;
}

/// Note whether the library is being loaded by `shared_preload_libraries`, and return it.
pub fn note_preload() -> bool {
    // SAFETY: a plain flag of the postmaster, read in the only thread.
    let preloading = unsafe { pg_sys::process_shared_preload_libraries_in_progress };
    PRELOADED.fetch_or(preloading, Ordering::Relaxed);
    preloading
}

/// Was the library loaded by `shared_preload_libraries`?
pub fn preloaded() -> bool {
    PRELOADED.load(Ordering::Relaxed)
}

/// Was the server started by pg_upgrade? Then only pg_upgrade may write.
pub fn in_binary_upgrade() -> bool {
    // SAFETY: a plain flag of the postmaster, read in the only thread.
    unsafe { pg_sys::IsBinaryUpgrade }
}

/// Refuse unknown settings `flagscope.x`, so that typing errors are reported.
pub fn reserve_settings() {
    // SAFETY: the prefix is a static C string; called from `_PG_init`.
    unsafe { pg_sys::MarkGUCPrefixReserved(c"flagscope".as_ptr()) }
}

/// Register the launcher; only while `shared_preload_libraries` are loaded.
pub fn register_launcher(main: &str) {
    // With a restart time, the postmaster restarts it after SIGTERM (exit code 1) and after a crash.
    BackgroundWorkerBuilder::new(LAUNCHER)
        .set_library(LIBRARY)
        .set_function(main)
        .enable_spi_access()
        .set_restart_time(Some(Duration::from_secs(1)))
        .load();
}

/// The OID in a worker's argument.
pub fn oid_argument(argument: pg_sys::Datum) -> pg_sys::Oid {
    // The launcher put a 32-bit OID into the datum, so nothing is lost.
    pg_sys::Oid::from(argument.value() as u32)
}

/// Install PostgreSQL's handlers for SIGTERM and SIGHUP and begin to receive signals.
///
/// `die` lets SIGTERM interrupt a long tick. The other signals have the right handlers from the start.
fn receive_signals() {
    // SAFETY: both are PostgreSQL's own signal handlers; called once, at the start of a background worker.
    unsafe {
        #[cfg(not(feature = "pg18"))]
        use pg_sys::pqsignal;
        #[cfg(feature = "pg18")]
        use pg_sys::pqsignal_be as pqsignal;
        pqsignal(pg_sys::SIGTERM as c_int, Some(die));
        pqsignal(pg_sys::SIGHUP as c_int, Some(reload));
        pg_sys::BackgroundWorkerUnblockSignals();
    }
}

/// Sleep on the latch for at most `time`, then process interrupts and reload the configuration if requested.
///
/// False: SIGTERM was received and the process must end. If the postmaster has died, the process ends here.
pub fn wait(time: Duration) -> bool {
    // Rounded up: a sleep of 0 ms for the last 0.9 ms would be a busy loop.
    let ms = time.as_micros().div_ceil(1000).min(i32::MAX as u128) as i64;
    let events = pg_sys::WL_LATCH_SET | pg_sys::WL_TIMEOUT | pg_sys::WL_EXIT_ON_PM_DEATH;
    // SAFETY: MyLatch is valid all the life of the process; the flags are plain variables set by signal handlers.
    unsafe {
        pg_sys::WaitLatch(pg_sys::MyLatch, events as c_int, ms, pg_sys::PG_WAIT_EXTENSION);
        pg_sys::ResetLatch(pg_sys::MyLatch);
        if (&raw const pg_sys::ProcDiePending).read_volatile() != 0 {
            // Asked while idle: leave without the FATAL that an interrupted tick reports.
            return false;
        }
        check_for_interrupts!();
        if (&raw const pg_sys::ConfigReloadPending).read_volatile() != 0 {
            pg_sys::ConfigReloadPending = 0;
            pg_sys::ProcessConfigFile(pg_sys::GucContext::PGC_SIGHUP);
            RELOADED.store(true, Ordering::Relaxed);
        }
    }
    true
}

/// Give way to all other processes of the machine, to the end of this one.
pub fn give_way() {
    // What is asked for is always allowed.
    nice(10);
}

/// Was the configuration reloaded since the last call?
pub fn take_reload() -> bool {
    RELOADED.swap(false, Ordering::Relaxed)
}

/// End the process with code 1, which tells the postmaster to restart it.
pub fn exit_for_restart() {
    // SAFETY: runs PostgreSQL's exit callbacks and ends the process; nothing in Rust waits to be dropped.
    unsafe { pg_sys::proc_exit(1) }
}

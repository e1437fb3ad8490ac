//! A worker from the launcher's point of view: start, watch, stop.

use super::LIBRARY;
use pgrx::bgworkers::BackgroundWorkerBuilder;
use pgrx::prelude::*;
use std::ptr::{NonNull, null_mut};

/// A worker started by this process. Dropping it forgets the worker and does not stop it.
pub struct Child(NonNull<pg_sys::BackgroundWorkerHandle>);

impl Child {
    /// Start a process of a kind for a database; none if there is no free worker slot.
    pub fn start(database: u32, main: &str, kind: &str) -> Option<Child> {
        // SAFETY: MyProcPid is a plain number. With it as notify_pid the postmaster sets our latch when the worker
        // starts or ends.
        let own_pid = unsafe { pg_sys::MyProcPid };
        let builder = BackgroundWorkerBuilder::new(kind)
            .set_library(LIBRARY)
            .set_function(main)
            .enable_spi_access()
            .set_restart_time(None)
            .set_notify_pid(own_pid)
            .set_argument(Some(pg_sys::Datum::from(database)));
        let mut worker = pg_sys::BackgroundWorker::from(&builder);
        let mut handle = null_mut();
        // SAFETY: both pointers are valid for the call; the handle is palloc'ed in the current context, which in
        // the launcher's main loop is TopMemoryContext.
        let started = unsafe { pg_sys::RegisterDynamicBackgroundWorker(&mut worker, &mut handle) };
        if started { NonNull::new(handle).map(Child) } else { None }
    }

    /// Is the worker running, or about to?
    pub fn is_alive(&self) -> bool {
        let mut pid = 0;
        // SAFETY: the handle is valid until drop.
        let status = unsafe { pg_sys::GetBackgroundWorkerPid(self.0.as_ptr(), &mut pid) };
        status == pg_sys::BgwHandleStatus::BGWH_STARTED || status == pg_sys::BgwHandleStatus::BGWH_NOT_YET_STARTED
    }

    /// Ask the worker to end.
    pub fn stop(&self) {
        // SAFETY: the handle is valid until drop.
        unsafe { pg_sys::TerminateBackgroundWorker(self.0.as_ptr()) }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // SAFETY: palloc'ed by RegisterDynamicBackgroundWorker, freed once, here.
        unsafe { pg_sys::pfree(self.0.as_ptr().cast()) }
    }
}

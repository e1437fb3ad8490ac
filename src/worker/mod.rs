//! The background worker: a launcher for the cluster, one worker for each database that has the extension.
//!
//! It decides nothing about flags: a worker sleeps and calls `flagscope.tick()`. Here are the entry points and what
//! the processes share; `launcher` keeps the workers alive, `database` is the life of one worker, `core::pace` says when
//! it ticks, `explainer` looks into what it decided. The unsafe half (signals, latches, handles, locks) is `pg::process`,
//! and `pg::wake` is what wakes a worker.

mod database;
mod explainer;
mod launcher;
mod limiter;

use crate::pg::{process, trigger, wake};
use pgrx::prelude::*;

/// Prepare the background worker; without `shared_preload_libraries` there is none and this does nothing.
pub fn register() {
    if process::note_preload() {
        if !process::in_binary_upgrade() {
            process::register_launcher("flagscope_launcher_main");
        }
        wake::reserve();
        process::install_hook();
    }
}

/// Was flagscope loaded by `shared_preload_libraries`, so that the launcher exists?
pub fn preloaded() -> bool {
    process::preloaded()
}

/// Tell the launcher to look at every database when this transaction commits, instead of within a minute.
///
/// The install script calls it. Without a launcher it does nothing.
#[pg_extern(volatile, parallel_unsafe, schema = "_flagscope")]
fn wake_launcher() {
    process::wake_launcher_on_commit();
}

/// Trigger of every table whose changes a tick has to see: the worker ticks when they are committed.
#[pg_extern(
    sql = r#"CREATE FUNCTION _flagscope."wake_worker"() RETURNS trigger LANGUAGE c AS '@MODULE_PATHNAME@', '@FUNCTION_NAME@';"#
)]
fn wake_worker(call: pg_sys::FunctionCallInfo) {
    trigger::of(call);
    wake::on_commit();
}

/// The launcher's process starts here.
#[allow(unsafe_code)] // no_mangle: PostgreSQL finds it by name.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn flagscope_launcher_main(_argument: pg_sys::Datum) {
    launcher::run();
}

/// A worker's process starts here; the argument is the OID of its database.
#[allow(unsafe_code)] // no_mangle: PostgreSQL finds it by name.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn flagscope_worker_main(argument: pg_sys::Datum) {
    database::run(process::oid_argument(argument));
}

/// An explainer's process starts here; the argument is the OID of its database.
#[allow(unsafe_code)] // no_mangle: PostgreSQL finds it by name.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn flagscope_explainer_main(argument: pg_sys::Datum) {
    explainer::run(process::oid_argument(argument));
}

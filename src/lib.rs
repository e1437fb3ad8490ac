//! flagscope: feature flags, telemetry and guardrails in one PostgreSQL data model.
//!
//! The entry point: the list of modules (src/README.md is the map), and what happens when PostgreSQL loads the library.

use pgrx::prelude::*;

mod anomaly;
mod argument;
mod attribution;
mod calendar;
mod chart;
mod comparison;
mod correlate;
mod dependence;
mod error;
mod filter;
mod flag;
mod guardrail;
mod guc;
mod health;
mod kind;
mod lock;
mod message;
mod otlp;
mod page;
mod pg;
mod plan;
mod planner;
mod query;
mod refusal;
mod schema;
mod service;
mod sketch;
mod stats;
mod survey;
mod telemetry;
mod uncounted;
mod unit;
mod window;
mod worker;

pgrx::pg_module_magic!();

/// Called once by PostgreSQL when it loads the library.
#[pg_guard]
pub extern "C-unwind" fn _PG_init() {
    error::keep_backtraces_from_clients();
    guc::register();
    pg::process::reserve_settings();
    worker::register();
}

/// Whether the library is in shared_preload_libraries.
#[pg_extern(stable, schema = "_flagscope")]
fn preloaded() -> bool {
    worker::preloaded()
}

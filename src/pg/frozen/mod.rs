//! Frozen chunks as partitions of telemetry: a foreign data wrapper over the segments in an ordinary table, so that every
//! query reads hot and cold rows alike. The planner prunes chunks by `ts` as ever; within one, conditions on `ts`, `trace_id`
//! and `subject` skip segments, and only the columns that a query names are read.
//!
//! Rows are inserted beside the segments (`_flagscope.telemetry_late`), and never updated or deleted. The snapshot of a scan is
//! a new one, not the query's: a chunk is swapped for its segments by DDL, which every transaction sees at once, and an older
//! snapshot would see a chunk without rows.

mod convert;
mod freeze;
mod inline;
mod memory;
mod modify;
mod plan;
mod scan;
mod store;

use pgrx::pg_sys;

/// The wrapper's handler, by PostgreSQL's convention for functions of version 1; made in `sql/schema/frozen.sql`.
#[unsafe(no_mangle)]
extern "C-unwind" fn pg_finfo_frozen_handler() -> *const pg_sys::Pg_finfo_record {
    static RECORD: pg_sys::Pg_finfo_record = pg_sys::Pg_finfo_record { api_version: 1 };
    &raw const RECORD
}

/// Gives the callbacks of the wrapper.
#[unsafe(no_mangle)]
extern "C-unwind" fn frozen_handler(_call: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    let routine = pg_sys::FdwRoutine {
        type_: pg_sys::NodeTag::T_FdwRoutine,
        GetForeignRelSize: Some(plan::size),
        GetForeignPaths: Some(plan::paths),
        GetForeignPlan: Some(plan::plan),
        BeginForeignScan: Some(scan::begin),
        IterateForeignScan: Some(scan::iterate),
        ReScanForeignScan: Some(scan::again),
        EndForeignScan: Some(scan::end),
        ExplainForeignScan: Some(scan::explain),
        ExecForeignInsert: Some(modify::insert),
        ExecForeignUpdate: Some(modify::update),
        ExecForeignDelete: Some(modify::delete),
        ..Default::default()
    };
    // SAFETY: the caller, PostgreSQL, keeps a node of its current memory context.
    unsafe {
        let node = pg_sys::palloc(size_of::<pg_sys::FdwRoutine>()).cast::<pg_sys::FdwRoutine>();
        node.write(routine);
        pg_sys::Datum::from(node)
    }
}

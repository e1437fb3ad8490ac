//! The ingest trigger: from the rows of one statement to deltas, in the same transaction.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use flagscope_core::telemetry::{Filter, Fold, MetricKind, Plan, Signal, Target};
use flagscope_core::{Error, Kind};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{JsonB, PgLogLevel, spi};
use serde_json::Value;

use crate::error::Report;
use crate::pg::document::Document;
use crate::pg::{cache, delta, transition};

/// What is on watch, compiled, and how this database writes the four signals.
struct Compiled {
    generation: u64,
    plan: Plan,
    signals: Vec<(pg_sys::Oid, Signal)>,
}

thread_local! {
    static COMPILED: RefCell<Option<Rc<Compiled>>> = const { RefCell::new(None) };
}

/// Raises unless the JSON is a filter.
#[pg_extern(immutable, strict, parallel_safe)]
fn check_filter(filter: Document) -> Result<(), ErrorReport> {
    filter.0.and_then(|json| Filter::parse(&json)).report().map(|_| ())
}

/// Trigger of telemetry; see `sql/api/telemetry.sql`.
#[pg_trigger]
fn _fold_telemetry<'a>(
    trigger: &'a pgrx::PgTrigger<'a>,
) -> Result<Option<PgHeapTuple<'a, AllocatedByPostgres>>, spi::Error> {
    match compiled() {
        Ok(compiled) if !compiled.plan.is_empty() => fold(trigger, &compiled),
        Ok(_) => {}
        Err(report) => report.report(PgLogLevel::ERROR),
    }
    Ok(None)
}

/// Trigger of every configuration table: caches made before are out of date.
#[pg_trigger]
fn _announce_change<'a>(
    _: &'a pgrx::PgTrigger<'a>,
) -> Result<Option<PgHeapTuple<'a, AllocatedByPostgres>>, spi::Error> {
    cache::invalidate();
    Ok(None)
}

fn fold(trigger: &pgrx::PgTrigger, compiled: &Compiled) {
    let default_environment = crate::guc::environment().unwrap_or_default();
    let mut fold = Fold::new(&compiled.plan);
    // By environment and the bytes of `flags`: a statement's rows share few of them.
    let mut known: HashMap<Vec<u8>, Vec<Target>> = HashMap::new();
    let mut key = Vec::new();
    transition::for_each_row(trigger, &compiled.signals, |ts, row| {
        let Some(flags) = row.flags() else { return };
        let environment = row.environment().unwrap_or(&default_environment);
        key.clear();
        key.extend_from_slice(environment.as_bytes());
        key.push(0); // no text of PostgreSQL holds a NUL, so the two parts stay apart
        key.extend_from_slice(flags.bytes());
        if !known.contains_key(&key) {
            known.insert(key.clone(), fold.targets(environment, flags.text_entries().into_iter()));
        }
        if let Some(targets) = known.get(&key).filter(|targets| !targets.is_empty()) {
            fold.row(targets, ts, row);
        }
    });
    let groups = fold.finish();
    delta::insert(groups.iter().map(|(watch, variant, metric, bucket, state)| {
        (watch.flag.as_str(), watch.environment.as_str(), variant.as_str(), *metric, *bucket, state)
    }));
}

fn compiled() -> Result<Rc<Compiled>, ErrorReport> {
    let generation = cache::generation();
    let cached = COMPILED.with_borrow(|cached| cached.as_ref().filter(|c| c.generation == generation).cloned());
    if let Some(cached) = cached {
        return Ok(cached);
    }
    let fresh = Rc::new(compile(generation)?);
    COMPILED.set(Some(Rc::clone(&fresh)));
    Ok(fresh)
}

fn compile(generation: u64) -> Result<Compiled, ErrorReport> {
    let (mut plan, mut signals) = (Plan::default(), Vec::new());
    Spi::connect(|client| -> Result<(), spi::Error> {
        for row in client.select("SELECT oid, label FROM flagscope._signal_labels()", None, &[])? {
            let label: Option<String> = row.get(2)?;
            if let (Some(oid), Some(Ok(signal))) = (row.get(1)?, label.map(|l| Signal::from_label(&l))) {
                signals.push((oid, signal));
            }
        }
        for row in client.select("SELECT name, key FROM flagscope._environment_names()", None, &[])? {
            if let (Some(name), Some(key)) = (row.get::<String>(1)?, row.get::<String>(2)?) {
                plan.environment(&name, &key);
            }
        }
        Ok(())
    })
    .map_err(unreadable)
    .report()?;
    for watch in watches().map_err(unreadable).report()? {
        watch.add_to(&mut plan).report()?;
    }
    Ok(Compiled { generation, plan, signals })
}

/// One row of `flagscope._watches()`.
struct WatchRow {
    flag: String,
    environment: String,
    metric: String,
    kind: String,
    signal: String,
    filter: Value,
    event: Option<Value>,
}

fn watches() -> Result<Vec<WatchRow>, spi::Error> {
    let query = "SELECT flag, environment, metric, kind, signal, filter, event FROM flagscope._watches()";
    Spi::connect(|client| {
        let mut watches = Vec::new();
        for row in client.select(query, None, &[])? {
            watches.push(WatchRow {
                flag: row.get(1)?.unwrap_or_default(),
                environment: row.get(2)?.unwrap_or_default(),
                metric: row.get(3)?.unwrap_or_default(),
                kind: row.get(4)?.unwrap_or_default(),
                signal: row.get(5)?.unwrap_or_default(),
                filter: row.get::<JsonB>(6)?.map_or(Value::Null, |json| json.0),
                event: row.get::<JsonB>(7)?.map(|json| json.0),
            });
        }
        Ok(watches)
    })
}

impl WatchRow {
    fn add_to(&self, plan: &mut Plan) -> flagscope_core::Result<()> {
        let (kind, signal) = (MetricKind::from_label(&self.kind)?, Signal::from_label(&self.signal)?);
        let event = self.event.as_ref().map(Filter::parse).transpose()?;
        let metric = plan.metric(&self.metric, kind, signal, Filter::parse(&self.filter)?, event);
        plan.watch(&self.flag, &self.environment, metric);
        Ok(())
    }
}

fn unreadable(problem: spi::Error) -> Error {
    Error::new(Kind::Corrupted, format!("flagscope's configuration cannot be read: {problem}"))
}

//! The ingest trigger: from the rows of one statement to deltas, in the same transaction.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use flagscope_core::telemetry::{Filter, Fold, MetricKind, Plan, Signal, Target};
use flagscope_core::{Error, Kind};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{PgLogLevel, spi};
use serde::Deserialize;
use serde_json::Value;

use crate::error::Report;
use crate::pg::before::Before;
use crate::pg::document::Document;
use crate::pg::jsonb::Jsonb;
use crate::pg::{cache, delta, latest, transition};

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
    // What is tied then is counted by this trigger again, as an update.
    crate::attribution::attribute_noted()?;
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
    // Of an UPDATE only what a row is newly tied to counts: the rest was counted before.
    let mut before = Before::of(trigger);
    transition::for_each_row(trigger, &compiled.signals, |ts, row| {
        let counted = before.as_mut().and_then(Before::next);
        let Some(flags) = row.flags() else { return };
        let environment = row.environment().unwrap_or(&default_environment);
        key.clear();
        key.extend_from_slice(environment.as_bytes());
        key.push(0); // no text of PostgreSQL holds a NUL, so the two parts stay apart
        key.extend_from_slice(flags.bytes());
        if let Some(counted) = &counted {
            key.extend_from_slice(counted.bytes());
        }
        if !known.contains_key(&key) {
            let old = counted.as_ref().map(Jsonb::text_entries).unwrap_or_default();
            let tags = flags.text_entries().into_iter().filter(|(flag, _)| old.iter().all(|(key, _)| key != flag));
            known.insert(key.clone(), fold.targets(environment, tags));
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
    let json = latest::json(c"SELECT flagscope._configuration()::text", &[]).report()?.unwrap_or_default();
    let configuration: Configuration = serde_json::from_value(json)
        .map_err(|problem| {
            Error::new(Kind::Corrupted, format!("flagscope's configuration cannot be read: {problem}"))
        })
        .report()?;
    let fresh = Rc::new(configuration.compile(generation).report()?);
    COMPILED.set(Some(Rc::clone(&fresh)));
    Ok(fresh)
}

/// What `flagscope._configuration()` gives.
#[derive(Deserialize)]
struct Configuration {
    signals: HashMap<String, u32>,
    environments: HashMap<String, String>,
    watches: Vec<Watched>,
}

/// A metric of a flag that some guardrail reads.
#[derive(Deserialize)]
struct Watched {
    flag: String,
    environment: String,
    variants: Vec<String>,
    metric: String,
    kind: String,
    signal: String,
    filter: Value,
    event: Option<Value>,
}

impl Configuration {
    fn compile(&self, generation: u64) -> flagscope_core::Result<Compiled> {
        let mut plan = Plan::default();
        for (name, key) in &self.environments {
            plan.environment(name, key);
        }
        for watched in &self.watches {
            watched.add_to(&mut plan)?;
        }
        let signal = |(label, oid): (&String, &u32)| Ok((pg_sys::Oid::from_u32(*oid), Signal::from_label(label)?));
        let signals = self.signals.iter().map(signal).collect::<flagscope_core::Result<_>>()?;
        Ok(Compiled { generation, plan, signals })
    }
}

impl Watched {
    fn add_to(&self, plan: &mut Plan) -> flagscope_core::Result<()> {
        let (kind, signal) = (MetricKind::from_label(&self.kind)?, Signal::from_label(&self.signal)?);
        let event = self.event.as_ref().map(Filter::parse).transpose()?;
        let metric = plan.metric(&self.metric, kind, signal, Filter::parse(&self.filter)?, event);
        plan.watch(&self.flag, &self.environment, &self.variants, metric);
        Ok(())
    }
}

//! The ingest trigger: from the rows of one statement to deltas, in the same transaction.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use flagscope_core::sketch::{Histogram, Moments};
use flagscope_core::telemetry::{
    Definition, EXPOSURE, Exposures, Filter, Fold, MetricKind, Per, Plan, Reach, RolledOut, Row, Signal, State,
    Targets,
};
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
use crate::pg::row::TelemetryRow;
use crate::pg::value::Stored;
use crate::pg::{cache, delta, latest, stored, transition};

/// What is on watch, compiled, and how this database writes the four signals.
pub struct Compiled {
    generation: u64,
    /// Metrics by flag and environment.
    pub plan: Plan,
    /// How far evaluations reach.
    pub reach: Reach,
    rolled_out: RolledOut,
    /// How this database stores the signals.
    pub signals: Vec<(pg_sys::Oid, Signal)>,
}

thread_local! {
    static COMPILED: RefCell<Option<Rc<Compiled>>> = const { RefCell::new(None) };
}

/// Raises unless the JSON is a filter.
#[pg_extern(immutable, strict, parallel_safe)]
fn check_filter(filter: Document) -> Result<(), ErrorReport> {
    filter.0.and_then(|json| Filter::parse(&json)).report().map(|_| ())
}

/// Raises unless the JSON is a denominator.
#[pg_extern(immutable, strict, parallel_safe)]
fn check_per(per: Document) -> Result<(), ErrorReport> {
    per.0.and_then(|json| Per::parse(&json)).report().map(|_| ())
}

/// Trigger of telemetry; see `sql/api/telemetry.sql`.
#[pg_trigger]
fn _fold_telemetry<'a>(
    trigger: &'a pgrx::PgTrigger<'a>,
) -> Result<Option<PgHeapTuple<'a, AllocatedByPostgres>>, spi::Error> {
    match compiled() {
        Ok(compiled) if !compiled.plan.is_empty() || !compiled.rolled_out.is_empty() => fold(trigger, &compiled),
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
    let mut folding = Folding::new(&compiled.plan);
    let mut exposures = Exposures::new(&compiled.rolled_out);
    // Of an UPDATE only what a row is newly tied to counts: the rest was counted before.
    let mut before = Before::of(trigger);
    transition::for_each_row(trigger, &compiled.signals, |ts, row| {
        folding.row(ts, row, before.as_mut().and_then(Before::next));
        // An evaluation is never tied to another, so an UPDATE brings no exposure.
        if before.is_none()
            && row.signal() == Signal::Event
            && row.name() == EXPOSURE
            && let (Some(flags), Some(subject)) = (row.flags(), row.subject())
            && let Some(environment) =
                compiled.plan.environment_key(row.environment().unwrap_or(&folding.default_environment))
        {
            exposures.note(environment, flags.text_entries().into_iter(), subject, ts);
        }
    });
    delta::insert_units(exposures.iter());
    let groups = folding.fold.finish();
    delta::insert(groups.iter().map(|(watch, variant, metric, bucket, state)| {
        (watch.flag.as_str(), watch.environment.as_str(), variant.as_str(), *metric, *bucket, state)
    }));
}

/// The fold of rows of telemetry, new or stored: the only way from rows to states.
struct Folding<'p> {
    fold: Fold<'p>,
    default_environment: String,
    /// By environment and the bytes of `flags`: rows share few of them.
    known: HashMap<Vec<u8>, Targets>,
    key: Vec<u8>,
}

impl<'p> Folding<'p> {
    fn new(plan: &'p Plan) -> Self {
        let default_environment = crate::guc::environment().unwrap_or_default();
        Self { fold: Fold::new(plan), default_environment, known: HashMap::new(), key: Vec::new() }
    }

    /// Folds a row, but for flags that it was counted for before.
    fn row(&mut self, ts: i64, row: &TelemetryRow, counted: Option<Jsonb>) {
        let Some(flags) = row.flags() else { return };
        let environment = row.environment().unwrap_or(&self.default_environment);
        self.key.clear();
        self.key.extend_from_slice(environment.as_bytes());
        self.key.push(0); // no text of PostgreSQL holds a NUL, so the two parts stay apart
        self.key.extend_from_slice(flags.bytes());
        if let Some(counted) = &counted {
            self.key.extend_from_slice(counted.bytes());
        }
        if !self.known.contains_key(&self.key) {
            let old = counted.as_ref().map(Jsonb::text_entries).unwrap_or_default();
            let tags = flags.text_entries().into_iter().filter(|(flag, _)| old.iter().all(|(key, _)| key != flag));
            let targets = self.fold.targets(environment, tags);
            self.known.insert(self.key.clone(), targets);
        }
        if let Some(targets) = self.known.get_mut(&self.key).filter(|targets| !targets.is_empty()) {
            self.fold.row(targets, ts, row);
        }
    }
}

/// Folds stored rows as the trigger folds new ones; documented in `sql/api/rebuild.sql`.
#[pg_extern(stable)]
#[allow(clippy::type_complexity)] // the columns of one SQL row; pgrx reads their names here
fn _fold_stored(
    since: TimestampWithTimeZone,
    until: TimestampWithTimeZone,
    only: Document,
) -> Result<
    TableIterator<
        'static,
        (
            name!(flag, String),
            name!(environment, String),
            name!(variant, String),
            name!(metric, String),
            name!(bucket, Option<TimestampWithTimeZone>),
            name!(n, i64),
            name!(events, i64),
            name!(moments, Option<Stored<Moments>>),
            name!(histogram, Option<Stored<Histogram>>),
            name!(last_ts, Option<TimestampWithTimeZone>),
        ),
    >,
    ErrorReport,
> {
    let only: Vec<WatchKey> = only.0.and_then(watch_keys).report()?;
    let mut configuration = configuration()?;
    configuration.watches.retain(|w| only.iter().any(|key| key.is(w)));
    let compiled = configuration.compile(0).report()?;
    let mut folding = Folding::new(&compiled.plan);
    if !compiled.plan.is_empty() {
        let (since, until) = (i64::from(since), i64::from(until));
        stored::for_each_row(since, until, &compiled.signals, |ts, row| folding.row(ts, row, None));
    }
    let rows: Vec<_> = folding
        .fold
        .finish()
        .into_iter()
        .map(|(watch, variant, metric, bucket, state)| {
            let State { n, events, moments, histogram, last_ts } = state;
            let time = |micros: i64| TimestampWithTimeZone::try_from(micros).ok();
            let (moments, histogram) = (moments.map(Stored), histogram.map(Stored));
            let (flag, environment) = (watch.flag.clone(), watch.environment.clone());
            let (n, events, bucket, last_ts) = (n as i64, events as i64, time(bucket), time(last_ts));
            (flag, environment, variant, metric.to_owned(), bucket, n, events, moments, histogram, last_ts)
        })
        .collect();
    Ok(TableIterator::new(rows))
}

/// A metric of a flag in an environment, by names.
#[derive(Deserialize)]
struct WatchKey {
    flag: String,
    environment: String,
    metric: String,
}

impl WatchKey {
    fn is(&self, watched: &Watched) -> bool {
        (&self.flag, &self.environment, &self.metric) == (&watched.flag, &watched.environment, &watched.metric)
    }
}

fn watch_keys(json: Value) -> flagscope_core::Result<Vec<WatchKey>> {
    serde_json::from_value(json)
        .map_err(|problem| Error::new(Kind::InvalidParameter, format!("not a list of watches: {problem}")))
}

/// The configuration as it was last committed.
pub fn compiled() -> Result<Rc<Compiled>, ErrorReport> {
    let generation = cache::generation();
    let cached = COMPILED.with_borrow(|cached| cached.as_ref().filter(|c| c.generation == generation).cloned());
    if let Some(cached) = cached {
        return Ok(cached);
    }
    let fresh = Rc::new(configuration()?.compile(generation).report()?);
    COMPILED.set(Some(Rc::clone(&fresh)));
    Ok(fresh)
}

fn configuration() -> Result<Configuration, ErrorReport> {
    let json = latest::json(c"SELECT flagscope._configuration()::text", &[]).report()?.unwrap_or_default();
    serde_json::from_value(json)
        .map_err(|problem| {
            Error::new(Kind::Corrupted, format!("flagscope's configuration cannot be read: {problem}"))
        })
        .report()
}

/// What `flagscope._configuration()` gives.
#[derive(Deserialize)]
struct Configuration {
    signals: HashMap<String, u32>,
    environments: HashMap<String, String>,
    watches: Vec<Watched>,
    rollouts: Vec<Rollout>,
    trace_window: f64,
    subject_window: f64,
}

/// A flag with a live rollout, or with one that is on watch after its completion: until when (microseconds since 2000).
#[derive(Deserialize)]
struct Rollout {
    flag: String,
    environment: String,
    treatment: String,
    control: String,
    until: Option<i64>,
}

/// A metric of a flag that some guardrail reads.
#[derive(Deserialize)]
struct Watched {
    flag: String,
    environment: String,
    variants: Vec<String>,
    metric: String,
    #[serde(flatten)]
    defined: Defined,
}

/// A metric as its row says.
#[derive(Deserialize)]
pub struct Defined {
    kind: String,
    signal: String,
    filter: Value,
    event: Option<Value>,
    per: Option<Value>,
    cap: Option<f64>,
    sum_values: bool,
    /// Its conversion window in microseconds, as `flagscope._metric_definition()` gives it.
    window: Option<f64>,
}

impl Defined {
    /// The definition, compiled.
    pub fn compile(&self) -> flagscope_core::Result<Definition> {
        let (kind, signal) = (MetricKind::from_label(&self.kind)?, Signal::from_label(&self.signal)?);
        Ok(Definition {
            event: self.event.as_ref().map(Filter::parse).transpose()?,
            per: self.per.as_ref().map(Per::parse).transpose()?,
            cap: self.cap,
            sum_values: self.sum_values,
            window: self.window.map(|micros| micros as i64),
            ..Definition::new(kind, signal, Filter::parse(&self.filter)?)
        })
    }
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
        let mut rolled_out = RolledOut::default();
        for r in &self.rollouts {
            rolled_out.add(&r.environment, &r.flag, [&r.treatment, &r.control], r.until);
        }
        let signal = |(label, oid): (&String, &u32)| Ok((pg_sys::Oid::from_u32(*oid), Signal::from_label(label)?));
        let signals = self.signals.iter().map(signal).collect::<flagscope_core::Result<_>>()?;
        let micros = |seconds: f64| (seconds * 1e6) as i64;
        let reach = Reach { trace: micros(self.trace_window), subject: micros(self.subject_window) };
        Ok(Compiled { generation, plan, reach, rolled_out, signals })
    }
}

impl Watched {
    fn add_to(&self, plan: &mut Plan) -> flagscope_core::Result<()> {
        let metric = plan.metric(&self.metric, self.defined.compile()?);
        plan.watch(&self.flag, &self.environment, &self.variants, metric);
        Ok(())
    }
}

//! The ingest trigger: from the rows of one statement to deltas, in the same transaction.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use flagscope_core::sketch::{Histogram, Moments};
use flagscope_core::telemetry::{
    Definition, EXPOSURE, Exposures, Filter, Fold, KnownFlags, MetricKind, Per, Plan, Reach, RolledOut, Row, Signal,
    Stages, State, Targets, Uncounted,
};
use flagscope_core::{Error, Kind};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{PgLogLevel, PgTriggerError, spi};
use serde::Deserialize;
use serde_json::Value;

use crate::error::Report;
use crate::pg::before::Before;
use crate::pg::document::Document;
use crate::pg::jsonb::Jsonb;
use crate::pg::restore::is_restoring;
use crate::pg::row::TelemetryRow;
use crate::pg::value::Stored;
use crate::pg::{cache, delta, latest, stored, transition, trigger};

/// What is on watch, compiled, and how this database writes the four signals.
pub struct Compiled {
    generation: cache::Generation,
    /// Metrics by flag and environment.
    pub plan: Plan,
    /// How far evaluations reach.
    pub reach: Reach,
    rolled_out: RolledOut,
    stages: Stages,
    /// How this database stores the signals.
    pub signals: Vec<(pg_sys::Oid, Signal)>,
    /// Flags that are not on watch, as far as rows named them.
    known_flags: RefCell<KnownFlags>,
}

/// What one statement keeps in memory at most: groups (each up to some kilobytes), exposures, and values of `flags`. Then
/// it writes what it has: 30,000 buckets of 20 flags were 654 MB once.
const MOST_GROUPS: usize = 20_000;
const MOST_EXPOSURES: usize = 50_000;
const MOST_KNOWN: usize = 10_000;

thread_local! {
    static COMPILED: RefCell<Option<Rc<Compiled>>> = const { RefCell::new(None) };
}

/// Raises unless the JSON is a filter.
#[pg_extern(immutable, strict, parallel_safe, schema = "_flagscope")]
fn require_filter(filter: Document) -> Result<(), ErrorReport> {
    filter.0.and_then(|json| Filter::parse(&json)).report().map(|_| ())
}

/// Raises unless the JSON is a denominator.
#[pg_extern(immutable, strict, parallel_safe, schema = "_flagscope")]
fn require_per(per: Document) -> Result<(), ErrorReport> {
    per.0.and_then(|json| Per::parse(&json)).report().map(|_| ())
}

/// Trigger of telemetry; see `sql/api/telemetry.sql`.
#[pg_extern(
    sql = r#"CREATE FUNCTION _flagscope."fold_telemetry"() RETURNS trigger LANGUAGE c AS '@MODULE_PATHNAME@', '@FUNCTION_NAME@';"#
)]
fn fold_telemetry(call: pg_sys::FunctionCallInfo) -> Result<(), spi::Error> {
    let trigger = &trigger::of(call);
    if is_restoring() {
        return Ok(()); // a dump brings the states of its rows along
    }
    match compiled() {
        // Also when nothing is on watch: rows that never could count are told.
        Ok(compiled) => fold(trigger, &compiled),
        Err(report) => report.report(PgLogLevel::ERROR),
    }
    // What is tied then is counted by this trigger again, as an update.
    crate::attribution::attribute_noted()
}

/// Trigger of every configuration table: what was cached of the topic that its argument names is out of date.
#[pg_extern(
    sql = r#"CREATE FUNCTION _flagscope."announce_change"() RETURNS trigger LANGUAGE c AS '@MODULE_PATHNAME@', '@FUNCTION_NAME@';"#
)]
fn announce_change(call: pg_sys::FunctionCallInfo) -> Result<(), PgTriggerError> {
    for label in trigger::of(call).extra_args()? {
        if let Some(topic) = cache::Topic::from_label(&label) {
            cache::invalidate(topic);
        }
    }
    Ok(())
}

fn fold(trigger: &pgrx::PgTrigger, compiled: &Compiled) {
    let mut folding = Folding::new(&compiled.plan, Some(&compiled.known_flags));
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
            if exposures.number() >= MOST_EXPOSURES {
                delta::insert_units(exposures.iter());
                exposures.clear();
            }
        }
        if folding.fold.groups() >= MOST_GROUPS {
            delta::insert(&folding.fold.take(), Some(&compiled.stages));
        }
    });
    delta::insert_units(exposures.iter());
    folding.settle_uncounted();
    crate::uncounted::write(&folding.uncounted);
    delta::insert(&folding.fold.finish(), Some(&compiled.stages));
}

/// The fold of rows of telemetry, new or stored: the only way from rows to states.
struct Folding<'p> {
    plan: &'p Plan,
    fold: Fold<'p>,
    default_environment: String,
    /// By environment and the bytes of `flags`: rows share few of them. Beside the targets are the numbers of the tags
    /// that count for nobody.
    known: HashMap<Vec<u8>, (Targets, Vec<usize>)>,
    key: Vec<u8>,
    uncounted: Uncounted,
    /// The environment of the last row without flags, and its number if it is not known.
    untagged: Option<(String, Option<usize>)>,
    /// `None`: nobody is told of tags that do not count, as these rows are stored already.
    known_flags: Option<&'p RefCell<KnownFlags>>,
}

impl<'p> Folding<'p> {
    fn new(plan: &'p Plan, known_flags: Option<&'p RefCell<KnownFlags>>) -> Self {
        Self {
            plan,
            fold: Fold::new(plan),
            default_environment: crate::guc::environment().unwrap_or_default(),
            known: HashMap::new(),
            key: Vec::new(),
            uncounted: Uncounted::default(),
            untagged: None,
            known_flags,
        }
    }

    /// Adds up the tags that count for nobody. Their numbers are void then, so rows are looked at anew.
    fn settle_uncounted(&mut self) {
        if let Some(known_flags) = self.known_flags {
            crate::uncounted::settle(&mut self.uncounted, known_flags);
            self.known.clear();
            self.untagged = None;
        }
    }

    /// A row without flags is told of if its environment is not known. Rows share few environments, mostly one.
    fn untagged(&mut self, row: &TelemetryRow) {
        let (Some(environment), Some(_)) = (row.environment(), self.known_flags) else { return };
        if self.untagged.as_ref().is_none_or(|(last, _)| last != environment) {
            let number = self.uncounted.note_environment(self.plan, environment);
            self.untagged = Some((environment.to_owned(), number));
        }
        if let Some((_, Some(number))) = self.untagged {
            self.uncounted.count(&[number]);
        }
    }

    /// Folds a row, but for flags that it was counted for before.
    fn row(&mut self, ts: i64, row: &TelemetryRow, counted: Option<Jsonb>) {
        if self.uncounted.is_full() {
            self.settle_uncounted();
        }
        let Some(flags) = row.flags() else { return self.untagged(row) };
        let environment = row.environment().unwrap_or(&self.default_environment);
        self.key.clear();
        self.key.extend_from_slice(environment.as_bytes());
        self.key.push(0); // no text of PostgreSQL holds a NUL, so the two parts stay apart
        self.key.extend_from_slice(flags.bytes());
        if let Some(counted) = &counted {
            self.key.extend_from_slice(counted.bytes());
        }
        if !self.known.contains_key(&self.key) {
            if self.known.len() >= MOST_KNOWN {
                self.known.clear();
            }
            let old = counted.as_ref().map(Jsonb::text_entries).unwrap_or_default();
            let is_new = |flag: &str| old.iter().all(|(key, _)| *key != flag);
            let tags = flags.text_entries().into_iter().filter(|(flag, _)| is_new(flag));
            let targets = self.fold.targets(environment, tags);
            let uncounted = self.known_flags.map(|known| {
                let old = counted.as_ref().map(Jsonb::entries).unwrap_or_default();
                let is_new = |flag: &str| old.iter().all(|(key, _)| *key != flag);
                let tags = flags.entries().into_iter().filter(|(flag, _)| is_new(flag));
                self.uncounted.note(self.plan, &known.borrow(), environment, tags)
            });
            self.known.insert(self.key.clone(), (targets, uncounted.unwrap_or_default()));
        }
        if let Some((targets, uncounted)) = self.known.get_mut(&self.key) {
            self.uncounted.count(uncounted);
            if !targets.is_empty() {
                self.fold.row(targets, ts, row);
            }
        }
    }
}

/// Folds stored rows as the trigger folds new ones; documented in `sql/api/rebuild.sql`.
#[pg_extern(stable, schema = "_flagscope")]
#[allow(clippy::type_complexity)] // the columns of one SQL row; pgrx reads their names here
fn fold_stored(
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
    let compiled = configuration.compile(cache::Generation::default()).report()?;
    let mut folding = Folding::new(&compiled.plan, None);
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
    let json = latest::json(c"SELECT _flagscope.configuration()::pg_catalog.text", &[]).report()?.unwrap_or_default();
    serde_json::from_value(json)
        .map_err(|problem| {
            Error::new(Kind::Corrupted, format!("flagscope's configuration cannot be read: {problem}"))
        })
        .report()
}

/// What `_flagscope.configuration()` gives.
#[derive(Deserialize)]
struct Configuration {
    signals: HashMap<String, u32>,
    environments: HashMap<String, String>,
    watches: Vec<Watched>,
    rollouts: Vec<Rollout>,
    trace_window: f64,
    subject_window: f64,
}

/// A flag with a live rollout, or with one that is on watch after its completion: since when its stage runs, and until
/// when it is on watch (microseconds since 2000).
#[derive(Deserialize)]
struct Rollout {
    flag: String,
    environment: String,
    treatment: String,
    control: String,
    since: Option<i64>,
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
    /// Its conversion window in microseconds, as `_flagscope.metric_definition()` gives it.
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
    fn compile(&self, generation: cache::Generation) -> flagscope_core::Result<Compiled> {
        let mut plan = Plan::default();
        for (name, key) in &self.environments {
            plan.environment(name, key);
        }
        for watched in &self.watches {
            watched.add_to(&mut plan)?;
        }
        let mut rolled_out = RolledOut::default();
        let mut stages = Stages::default();
        for r in &self.rollouts {
            stages.add(&r.environment, &r.flag, r.since.unwrap_or(i64::MIN));
            rolled_out.add(&r.environment, &r.flag, [&r.treatment, &r.control], r.until);
        }
        let signal = |(label, oid): (&String, &u32)| Ok((pg_sys::Oid::from_u32(*oid), Signal::from_label(label)?));
        let signals = self.signals.iter().map(signal).collect::<flagscope_core::Result<_>>()?;
        let micros = |seconds: f64| (seconds * 1e6) as i64;
        let reach = Reach { trace: micros(self.trace_window), subject: micros(self.subject_window) };
        Ok(Compiled { generation, plan, reach, rolled_out, stages, signals, known_flags: RefCell::default() })
    }
}

impl Watched {
    fn add_to(&self, plan: &mut Plan) -> flagscope_core::Result<()> {
        let metric = plan.metric(&self.metric, self.defined.compile()?);
        plan.watch(&self.flag, &self.environment, &self.variants, metric);
        Ok(())
    }
}

//! The configuration of telemetry, compiled after each change: which metrics are counted for which flags, the windows
//! of attribution, which flags are being rolled out. SQL face of `core::telemetry::Plan`.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use flagscope_core::telemetry::{
    Definition, Filter, KnownFlags, MetricKind, Per, Plan, Reach, RolledOut, Signal, Stages,
};
use flagscope_core::{Error, Kind};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde::Deserialize;
use serde_json::Value;

use crate::error::Report;
use crate::pg::{cache, latest};

/// The compiled configuration, and how this database stores the four signals.
pub struct Compiled {
    generation: cache::Generation,
    /// Metrics by flag and environment.
    pub plan: Plan,
    /// The windows of attribution.
    pub reach: Reach,
    /// Flags being rolled out, whose exposures are noted.
    pub rolled_out: RolledOut,
    /// Since when the stage of each running rollout runs.
    pub stages: Stages,
    /// How this database stores the signals.
    pub signals: Vec<(pg_sys::Oid, Signal)>,
    /// Known flags without watched metrics, as far as rows have named them.
    pub known_flags: RefCell<KnownFlags>,
}

thread_local! {
    static COMPILED: RefCell<Option<Rc<Compiled>>> = const { RefCell::new(None) };
}

/// The configuration as last committed.
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

/// How this database stores the four signals, without all the rest: who creates a thousand guardrails, each of which
/// looks at rows, would compile the configuration a thousand times.
pub fn signals() -> Result<Vec<(pg_sys::Oid, Signal)>, ErrorReport> {
    let json = latest::json(c"SELECT _flagscope.signal_labels()::pg_catalog.text", &[]).report()?.unwrap_or_default();
    by_oid(&read(json)?).report()
}

fn by_oid(labels: &HashMap<String, u32>) -> flagscope_core::Result<Vec<(pg_sys::Oid, Signal)>> {
    labels.iter().map(|(label, oid)| Ok((pg_sys::Oid::from_u32(*oid), Signal::from_label(label)?))).collect()
}

/// The configuration as last committed, with the wanted metrics only; not cached.
pub fn compiled_of(is_wanted: impl Fn(&Watched) -> bool) -> Result<Compiled, ErrorReport> {
    let mut configuration = configuration()?;
    configuration.watches.retain(is_wanted);
    configuration.rollouts.iter_mut().for_each(|rollout| rollout.cuts.clear()); // a rollup's bucket is whole
    configuration.compile(cache::Generation::default()).report()
}

fn configuration() -> Result<Configuration, ErrorReport> {
    read(latest::json(c"SELECT _flagscope.configuration()::pg_catalog.text", &[]).report()?.unwrap_or_default())
}

fn read<T: serde::de::DeserializeOwned>(json: Value) -> Result<T, ErrorReport> {
    serde_json::from_value(json)
        .map_err(|problem| {
            Error::new(Kind::Corrupted, format!("flagscope's configuration cannot be read: {problem}"))
        })
        .report()
}

/// The result of `_flagscope.configuration()`.
#[derive(Deserialize)]
struct Configuration {
    signals: HashMap<String, u32>,
    environments: HashMap<String, String>,
    watches: Vec<Watched>,
    rollouts: Vec<Rollout>,
    trace_window: f64,
    subject_window: f64,
}

/// A flag with a live rollout, or with a completed one that is still watched: the start of its stage and the end of the
/// watch (microseconds since 2000).
#[derive(Deserialize)]
struct Rollout {
    flag: String,
    environment: String,
    treatment: String,
    control: String,
    since: Option<i64>,
    until: Option<i64>,
    /// When its allocation changed.
    cuts: Vec<i64>,
}

/// A metric of a flag that some guardrail reads.
#[derive(Deserialize)]
pub struct Watched {
    /// The flag.
    pub flag: String,
    /// Its environment.
    pub environment: String,
    variants: Vec<String>,
    /// Do all rows of the environment count, with or without flags.
    of_environment: bool,
    /// The metric.
    pub metric: String,
    #[serde(flatten)]
    defined: Defined,
}

/// A metric as defined by its row.
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
        for r in &self.rollouts {
            plan.cut(&r.flag, &r.environment, r.cuts.iter().copied());
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
        let signals = by_oid(&self.signals)?;
        let micros = |seconds: f64| (seconds * 1e6) as i64;
        let reach = Reach { trace: micros(self.trace_window), subject: micros(self.subject_window) };
        Ok(Compiled { generation, plan, reach, rolled_out, stages, signals, known_flags: RefCell::default() })
    }
}

impl Watched {
    fn add_to(&self, plan: &mut Plan) -> flagscope_core::Result<()> {
        let metric = plan.metric(&self.metric, self.defined.compile()?);
        if self.of_environment {
            plan.watch_environment(&self.flag, &self.environment, metric);
        } else {
            plan.watch(&self.flag, &self.environment, &self.variants, metric);
        }
        Ok(())
    }
}

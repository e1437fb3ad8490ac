//! The ingest trigger: from the rows of one statement to deltas, in the same transaction.

use std::cell::RefCell;
use std::collections::HashMap;

use flagscope_core::sketch::{Histogram, Moments};
use flagscope_core::telemetry::{
    EXPOSURE, Exposures, Fold, Group, KnownFlags, Plan, Row, Signal, State, Targets, Uncounted,
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
use crate::pg::{cache, delta, stored, transition, trigger};
use crate::plan::{self, Compiled, Watched};
use crate::service::Services;

/// Limits of what a statement holds in memory: groups (each up to some kilobytes), exposures, and values of `flags`.
/// When one is reached, it is written: 30,000 buckets of 20 flags were 654 MB once.
const MOST_GROUPS: usize = 20_000;
const MOST_EXPOSURES: usize = 50_000;
const MOST_KNOWN: usize = 10_000;

/// Trigger of telemetry; see `sql/api/telemetry.sql`.
#[pg_extern(
    sql = r#"CREATE FUNCTION _flagscope."fold_telemetry"() RETURNS trigger LANGUAGE c AS '@MODULE_PATHNAME@', '@FUNCTION_NAME@';"#
)]
fn fold_telemetry(call: pg_sys::FunctionCallInfo) -> Result<(), spi::Error> {
    let trigger = &trigger::of(call);
    if is_restoring() {
        return Ok(()); // a dump contains the rollups of its rows
    }
    match plan::compiled() {
        // Also when no metric is watched, because rows that can never count are reported.
        Ok(compiled) => fold(trigger, &compiled),
        Err(report) => report.report(PgLogLevel::ERROR),
    }
    // Rows attributed by this are counted by this trigger again, as an update.
    crate::attribution::attribute_noted()
}

/// Trigger of every configuration table: invalidates what is cached of the topics that its arguments name.
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
    // Of an UPDATE, only newly added flags count: the others were counted before.
    let mut before = Before::of(trigger);
    folding.is_update = before.is_some();
    let mut services = Services::default();
    transition::for_each_row(trigger, &compiled.signals, |ts, row| {
        folding.row(ts, row, before.as_mut().and_then(Before::next));
        if before.is_none() {
            services.note(row.service());
        }
        // Evaluations are never attributed to others, so an UPDATE brings no exposures.
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
    services.write();
    delta::insert(&folding.fold.finish(), Some(&compiled.stages));
}

/// Counts rows of telemetry, new or stored: the only way from rows to states.
struct Folding<'p> {
    plan: &'p Plan,
    fold: Fold<'p>,
    default_environment: String,
    /// By environment, instance and the bytes of `flags`, of which rows share few. With the targets come the numbers of
    /// the tags that do not count.
    known: HashMap<Vec<u8>, (Targets, Vec<usize>)>,
    key: Vec<u8>,
    /// New rows are counted by the exporter instance that sent them, since a tick compares what came the same way; stored
    /// ones only have to add up to rollups.
    by_instance: bool,
    /// Rows that were counted before, but for the flags that were added to them.
    is_update: bool,
    uncounted: Uncounted,
    /// The environment of the last row without flags, and its number if it is unknown.
    untagged: Option<(String, Option<usize>)>,
    /// `None`: tags that do not count are not reported, because these rows were stored earlier.
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
            by_instance: known_flags.is_some(),
            is_update: false,
            uncounted: Uncounted::default(),
            untagged: None,
            known_flags,
        }
    }

    /// Adds up the tags that do not count. Their numbers become invalid, so the cached rows are forgotten.
    fn settle_uncounted(&mut self) {
        if let Some(known_flags) = self.known_flags {
            crate::uncounted::settle(&mut self.uncounted, known_flags);
            self.known.clear();
            self.untagged = None;
        }
    }

    /// A row without flags is reported only if its environment is unknown. Rows share few environments, mostly one.
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

    /// Counts a row, except for flags that it was counted for before.
    fn row(&mut self, ts: i64, row: &TelemetryRow, counted: Option<Jsonb>) {
        if self.uncounted.is_full() {
            self.settle_uncounted();
        }
        let flags = row.flags();
        if flags.is_none() {
            self.untagged(row);
            if self.is_update || !self.plan.counts_untagged() {
                return;
            }
        }
        let environment = row.environment().unwrap_or(&self.default_environment);
        self.key.clear();
        self.key.extend_from_slice(environment.as_bytes());
        self.key.push(0); // PostgreSQL's text never contains NUL, so it separates the parts
        let instance = row.instance().filter(|_| self.by_instance);
        if let Some(instance) = instance {
            self.key.extend_from_slice(instance.as_bytes());
        }
        self.key.push(0);
        if let Some(flags) = &flags {
            self.key.extend_from_slice(flags.bytes());
        }
        if let Some(counted) = &counted {
            self.key.extend_from_slice(counted.bytes());
        }
        if !self.known.contains_key(&self.key) {
            if self.known.len() >= MOST_KNOWN {
                self.known.clear();
            }
            let environment = environment.to_owned();
            let mut known = match &flags {
                Some(flags) => self.targets(&environment, instance, flags, counted.as_ref()),
                None => Default::default(),
            };
            self.add_environment(&mut known.0, &environment);
            self.known.insert(self.key.clone(), known);
        }
        if let Some((targets, uncounted)) = self.known.get_mut(&self.key) {
            self.uncounted.count(uncounted);
            if !targets.is_empty() {
                self.fold.row(targets, ts, row);
            }
        }
    }

    /// What rows with these tags count for, except for flags that they were counted for before, and the numbers of the tags
    /// that do not count.
    fn targets(
        &mut self,
        environment: &str,
        instance: Option<&str>,
        flags: &Jsonb,
        counted: Option<&Jsonb>,
    ) -> (Targets, Vec<usize>) {
        let old = counted.map(Jsonb::text_entries).unwrap_or_default();
        let is_new = |flag: &str| old.iter().all(|(key, _)| *key != flag);
        let tags = flags.text_entries().into_iter().filter(|(flag, _)| is_new(flag));
        let targets = self.fold.targets(environment, instance, tags);
        let uncounted = self.known_flags.map(|known| {
            let old = counted.map(Jsonb::entries).unwrap_or_default();
            let is_new = |flag: &str| old.iter().all(|(key, _)| *key != flag);
            let tags = flags.entries().into_iter().filter(|(flag, _)| is_new(flag));
            self.uncounted.note(self.plan, &known.borrow(), environment, tags)
        });
        (targets, uncounted.unwrap_or_default())
    }

    /// Adds what all rows of the environment count for, once: when they are new.
    fn add_environment(&mut self, targets: &mut Targets, environment: &str) {
        if !self.is_update && self.plan.counts_untagged() {
            self.fold.add_of_environment(targets, environment);
        }
    }
}

/// Counts stored rows as the trigger counts new ones; documented in `sql/api/rebuild.sql`.
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
    let compiled = plan::compiled_of(|watched| only.iter().any(|key| key.is(watched)))?;
    let mut folding = Folding::new(&compiled.plan, None);
    if !compiled.plan.is_empty() {
        let (since, until) = (i64::from(since), i64::from(until));
        stored::for_each_row(since, until, &compiled.signals, |ts, row| folding.row(ts, row, None));
    }
    let rows: Vec<_> = folding
        .fold
        .finish()
        .into_iter()
        .map(|Group { watch, variant, metric, bucket, state, .. }| {
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

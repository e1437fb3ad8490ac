//! The compiled configuration: metrics, and which flags and environments use them.

use std::collections::{HashMap, HashSet};

use super::{Filter, MetricKind, Per, Row, Signal, State};
use crate::kind::{Counting, Match};

/// Width of a rollup bucket, in microseconds.
pub const BUCKET_MICROS: i64 = 10_000_000;

/// What a metric is: which rows it reads, and how.
#[derive(Debug, Clone)]
pub struct Definition {
    /// Its kind.
    pub kind: MetricKind,
    /// The signal of its rows.
    pub signal: Signal,
    /// The filter of its rows; of rates and ratios, of the numerator's rows.
    pub filter: Filter,
    /// Which of these are events; of proportions.
    pub event: Option<Filter>,
    /// The denominator of rates and ratios.
    pub per: Option<Per>,
    /// Of means: values are limited to between 0 and this.
    pub cap: Option<f64>,
    /// Of rates: an event counts its value instead of 1.
    pub sum_values: bool,
    /// How long after its subject's first exposure a row counts, in microseconds; for [`Fold::row_of_subject`] alone.
    pub window: Option<i64>,
}

impl Definition {
    /// A metric of all rows that match a filter.
    pub fn new(kind: MetricKind, signal: Signal, filter: Filter) -> Self {
        Self { kind, signal, filter, event: None, per: None, cap: None, sum_values: false, window: None }
    }

    /// Whether it matches a row.
    pub fn matches(&self, row: &impl Row) -> bool {
        self.examine(row) != Match::No
    }

    /// Whether a row that it matches is an event; `None` if it does not match. For rates and ratios, a row of the
    /// numerator is an event.
    pub fn event_of(&self, row: &impl Row) -> Option<bool> {
        match self.examine(row) {
            Match::No | Match::Unknown => None,
            Match::Row => Some(false),
            Match::Event | Match::Lone => Some(true),
        }
    }

    /// The names that its rows can have; `None`: any.
    fn row_names(&self) -> Option<Vec<&str>> {
        let mut names = self.filter.names()?;
        if let Some(per) = &self.per {
            names.extend(per.filter.names()?);
        }
        Some(names)
    }
}

/// A compiled metric.
#[derive(Debug, Clone)]
pub(super) struct Metric {
    pub name: String,
    pub definition: Definition,
    pub counting: Counting,
    /// Number in [`Plan::row_names`] of the row name that the filter requires.
    pub row_name: Option<u32>,
}

/// One metric of one flag in one environment that some guardrail reads.
#[derive(Debug, Clone)]
pub struct Watch {
    /// Key of the flag.
    pub flag: String,
    /// Key of the environment.
    pub environment: String,
    /// Index of the metric in its [`Plan`].
    pub(super) metric: usize,
    /// When the allocation of its flag changed, in microseconds.
    cuts: Vec<i64>,
}

impl Watch {
    /// The part of its bucket that a time belongs to: from the first time to before the second. A bucket is cut where the
    /// allocation changes.
    pub(super) fn piece(&self, ts: i64) -> (i64, i64) {
        let bucket = ts.div_euclid(BUCKET_MICROS) * BUCKET_MICROS;
        self.cuts.iter().fold((bucket, bucket.saturating_add(BUCKET_MICROS)), |(since, until), cut| {
            if *cut <= ts { (since.max(*cut), until) } else { (since, until.min(*cut)) }
        })
    }
}

/// The watched metrics of one flag.
#[derive(Debug, Default)]
pub(super) struct Watched {
    /// Its variants: telemetry comes from many senders, and unknown names must not become rollups.
    pub variants: HashSet<String>,
    pub watches: Vec<usize>,
}

/// The whole compiled configuration: built when the configuration changes, used by every statement.
#[derive(Debug, Default)]
pub struct Plan {
    pub(super) metrics: Vec<Metric>,
    /// Row names required by some metric, numbered: a row's own name is looked up once, and most metrics are then ruled
    /// out by comparing numbers (measured with 50 metrics: 5 us a row before).
    pub(super) row_names: HashMap<String, u32>,
    pub(super) watches: Vec<Watch>,
    /// environment key -> metrics of which all rows count, with or without flags
    pub(super) of_environment: HashMap<String, Vec<usize>>,
    /// environment key -> flag key -> its watched metrics
    pub(super) by_flag: HashMap<String, HashMap<String, Watched>>,
    /// (environment key, flag key) -> when its allocation changed
    cuts: HashMap<(String, String), Vec<i64>>,
    /// environment key or alias -> environment key
    pub(super) environments: HashMap<String, String>,
}

impl Plan {
    /// Names an environment by its key or an alias.
    pub fn environment(&mut self, name: &str, key: &str) {
        self.environments.insert(name.to_owned(), key.to_owned());
    }

    /// The key of an environment that telemetry names by key or alias.
    pub fn environment_key(&self, name: &str) -> Option<&str> {
        self.environments.get(name).map(String::as_str)
    }

    /// Whether a flag that is watched in an environment, given by its key, has this variant; `None`: it is not watched.
    pub(super) fn has_variant(&self, environment: &str, flag: &str, variant: &str) -> Option<bool> {
        Some(self.by_flag.get(environment)?.get(flag)?.variants.contains(variant))
    }

    /// Adds a metric unless it is known; its index.
    pub fn metric(&mut self, name: &str, definition: Definition) -> usize {
        if let Some(known) = self.metrics.iter().position(|m| m.name == name) {
            return known;
        }
        let next = self.row_names.len() as u32;
        // The rows of a denominator are not those of the filter.
        let wanted = definition.filter.exact_name().filter(|_| definition.per.is_none());
        let row_name = wanted.map(|wanted| *self.row_names.entry(wanted.to_owned()).or_insert(next));
        let counting = Counting::of(&definition);
        self.metrics.push(Metric { name: name.to_owned(), definition, counting, row_name });
        self.metrics.len() - 1
    }

    /// Tells when the allocation of a flag in an environment changed, in microseconds; for the metrics that are added to
    /// it afterwards.
    pub fn cut(&mut self, flag: &str, environment: &str, cuts: impl IntoIterator<Item = i64>) {
        self.cuts.entry((environment.to_owned(), flag.to_owned())).or_default().extend(cuts);
    }

    /// Adds a metric to a flag with these variants in an environment.
    pub fn watch(&mut self, flag: &str, environment: &str, variants: &[String], metric: usize) {
        let (flag_key, environment_key) = (flag.to_owned(), environment.to_owned());
        let cuts = self.cuts.get(&(environment_key.clone(), flag_key.clone())).cloned().unwrap_or_default();
        self.watches.push(Watch { flag: flag_key, environment: environment_key, metric, cuts });
        let flags = self.by_flag.entry(environment.to_owned()).or_default();
        let watched = flags.entry(flag.to_owned()).or_default();
        watched.variants.extend(variants.iter().cloned());
        watched.watches.push(self.watches.len() - 1);
    }

    /// Adds a metric to a flag of which all rows of the environment count, with or without flags.
    pub fn watch_environment(&mut self, flag: &str, environment: &str, metric: usize) {
        let cuts = self.cuts.get(&(environment.to_owned(), flag.to_owned())).cloned().unwrap_or_default();
        self.watches.push(Watch { flag: flag.to_owned(), environment: environment.to_owned(), metric, cuts });
        self.of_environment.entry(environment.to_owned()).or_default().push(self.watches.len() - 1);
    }

    /// Whether rows without flags can count.
    pub fn counts_untagged(&self) -> bool {
        !self.of_environment.is_empty()
    }

    /// Whether nothing is watched, so that no row can count.
    pub fn is_empty(&self) -> bool {
        self.watches.is_empty()
    }

    /// Names of the metrics, in the order in which they were added.
    pub fn metric_names(&self) -> impl Iterator<Item = &str> {
        self.metrics.iter().map(|metric| metric.name.as_str())
    }

    /// The names of all rows that can match a metric; `None`: any.
    pub fn wanted_names(&self) -> Option<Vec<&str>> {
        let names: Option<Vec<_>> = self.metrics.iter().map(|metric| metric.definition.row_names()).collect();
        names.map(|names| names.concat())
    }
}

impl Counting {
    pub(super) fn of(definition: &Definition) -> Self {
        Self {
            kind: definition.kind,
            floor: if definition.cap.is_some() { 0.0 } else { f64::NEG_INFINITY },
            cap: definition.cap.unwrap_or(f64::INFINITY),
            sum_values: definition.sum_values,
            sum_exposure: definition.per.as_ref().is_some_and(|per| per.sum_values),
        }
    }
}

impl State {
    /// Adds a row, as the metric counts it.
    pub(super) fn add(&mut self, counting: &Counting, matched: Match, ts: i64, row: &impl Row) {
        self.last_ts = self.last_ts.max(ts);
        let rules = counting.kind.rules();
        if !rules.reads_values() {
            rules.add(self, counting, matched, f64::NAN);
        } else if let Some(values) = row.distribution() {
            rules.add_many(self, counting, matched, &values);
        } else {
            // A missing value is invalid like NaN: counted apart by the sketch, never a zero.
            rules.add(self, counting, matched, row.value().unwrap_or(f64::NAN));
        }
    }
}

impl Definition {
    /// What a row is to the metric.
    pub(super) fn examine(&self, row: &impl Row) -> Match {
        let Self { signal, filter, event, per, .. } = self;
        let matches = row.signal() == *signal && filter.matches(row);
        match (per, event) {
            (Some(per), _) => {
                let of_signal = row.signal() == per.signal.unwrap_or(*signal);
                Match::of(of_signal && per.filter.matches(row), matches)
            }
            (None, _) if !matches => Match::No,
            (None, Some(event)) if event.matches(row) => Match::Event,
            (None, _) => Match::Row,
        }
    }
}

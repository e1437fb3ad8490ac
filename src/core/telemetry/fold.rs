//! The fold of one statement's rows: from rows to one state per (flag, environment, variant, metric, time bucket).
//!
//! A statement's rows share few distinct `flags` values, so what a value resolves to is found once and kept; what
//! a row costs then is one look-up and the metrics of its flags. Every metric is matched once a row, however many
//! flags watch it.

use std::collections::{HashMap, HashSet};

use super::{Filter, Row, Signal};
use crate::error::{Error, Kind, Result};
use crate::sketch::{Histogram, Moments, Sketch};

/// Width of a rollup bucket, in microseconds.
pub const BUCKET_MICROS: i64 = 10_000_000;

/// What a metric reads from its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// The share of rows that are events.
    Proportion,
    /// The mean of the rows' values.
    Mean,
    /// Quantiles of the rows' values.
    Quantile,
}

impl MetricKind {
    /// Reads the SQL label of a metric kind.
    pub fn from_label(label: &str) -> Result<Self> {
        match label {
            "proportion" => Ok(Self::Proportion),
            "mean" => Ok(Self::Mean),
            "quantile" => Ok(Self::Quantile),
            other => Err(Error::new(Kind::InvalidParameter, format!("there is no metric kind \"{other}\""))),
        }
    }
}

/// A metric, compiled.
#[derive(Debug, Clone)]
struct Metric {
    name: String,
    kind: MetricKind,
    signal: Signal,
    filter: Filter,
    event: Option<Filter>,
    /// Number of the row name that the filter demands, in [`Plan::row_names`].
    row_name: Option<u32>,
}

/// One metric of one flag in one environment that some guardrail reads.
#[derive(Debug, Clone)]
pub struct Watch {
    /// Key of the flag.
    pub flag: String,
    /// Key of the environment.
    pub environment: String,
    /// Index of the metric in its [`Plan`].
    metric: usize,
}

/// What is on watch of one flag.
#[derive(Debug, Default)]
struct Watched {
    /// Its variants: telemetry is written by many, and a name that is none of these must not become a rollup.
    variants: HashSet<String>,
    watches: Vec<usize>,
}

/// Everything that is on watch, compiled: made when configuration changes, used by every statement.
#[derive(Debug, Default)]
pub struct Plan {
    metrics: Vec<Metric>,
    /// Row names that some metric demands, numbered: a row's own is looked up once, and then most metrics are ruled out
    /// by comparing numbers (measured with 50 metrics: 5 us a row before).
    row_names: HashMap<String, u32>,
    watches: Vec<Watch>,
    /// environment key -> flag key -> what is watched of it
    by_flag: HashMap<String, HashMap<String, Watched>>,
    /// environment key or alias -> environment key
    environments: HashMap<String, String>,
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

    /// Adds a metric unless it is known; its index.
    pub fn metric(
        &mut self,
        name: &str,
        kind: MetricKind,
        signal: Signal,
        filter: Filter,
        event: Option<Filter>,
    ) -> usize {
        if let Some(known) = self.metrics.iter().position(|m| m.name == name) {
            return known;
        }
        let next = self.row_names.len() as u32;
        let row_name = filter.exact_name().map(|wanted| *self.row_names.entry(wanted.to_owned()).or_insert(next));
        self.metrics.push(Metric { name: name.to_owned(), kind, signal, filter, event, row_name });
        self.metrics.len() - 1
    }

    /// Puts a metric of a flag, which has these variants, on watch in an environment.
    pub fn watch(&mut self, flag: &str, environment: &str, variants: &[String], metric: usize) {
        self.watches.push(Watch { flag: flag.to_owned(), environment: environment.to_owned(), metric });
        let flags = self.by_flag.entry(environment.to_owned()).or_default();
        let watched = flags.entry(flag.to_owned()).or_default();
        watched.variants.extend(variants.iter().cloned());
        watched.watches.push(self.watches.len() - 1);
    }

    /// Whether nothing is on watch, so that no row can count.
    pub fn is_empty(&self) -> bool {
        self.watches.is_empty()
    }
}

/// The state of one group: what its kind of metric needs and nothing more.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// Rows that match, or the values that they stand for; rows without a finite value do not count.
    pub n: u64,
    /// Rows that are events.
    pub events: u64,
    /// Of the values; only for means.
    pub moments: Option<Moments>,
    /// Of the values; only for quantiles.
    pub histogram: Option<Histogram>,
    /// Latest time among the rows, in microseconds.
    pub last_ts: i64,
}

/// What a row counts for: a watch and the variant that the row is tied to, and the state that its last row went to.
#[derive(Debug)]
struct Target {
    watch: usize,
    metric: usize,
    row_name: Option<u32>,
    variant: u32,
    bucket: i64,
    state: usize,
}

/// What all rows with the same tags count for.
#[derive(Debug, Default)]
pub struct Targets(Vec<Target>);

impl Targets {
    /// Whether such rows count for nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// No state yet.
const NOWHERE: usize = usize::MAX;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Group {
    watch: usize,
    variant: u32,
    bucket: i64,
}

/// Whether a metric matches the row at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Match {
    Unknown,
    No,
    Row,
    Event,
}

/// The fold of one statement.
#[derive(Debug)]
pub struct Fold<'p> {
    plan: &'p Plan,
    groups: HashMap<Group, usize>,
    states: Vec<State>,
    variants: Vec<String>,
    variant_ids: HashMap<String, u32>,
    matched: Vec<Match>,
}

impl<'p> Fold<'p> {
    /// An empty fold.
    pub fn new(plan: &'p Plan) -> Self {
        let matched = vec![Match::Unknown; plan.metrics.len()];
        Self {
            plan,
            groups: HashMap::new(),
            states: Vec::new(),
            variants: Vec::new(),
            variant_ids: HashMap::new(),
            matched,
        }
    }

    /// What rows with these tags count for: every watch of every (flag, variant) in the environment.
    pub fn targets<'a>(&mut self, environment: &str, tags: impl Iterator<Item = (&'a str, &'a str)>) -> Targets {
        let plan = self.plan;
        let flags = plan.environments.get(environment).and_then(|key| plan.by_flag.get(key));
        let Some(flags) = flags else { return Targets::default() };
        let mut targets = Vec::new();
        for (flag, variant) in tags {
            if let Some(watched) = flags.get(flag).filter(|watched| watched.variants.contains(variant)) {
                let variant = self.variant(variant);
                targets.extend(watched.watches.iter().map(|&watch| {
                    let metric = plan.watches[watch].metric;
                    Target {
                        watch,
                        metric,
                        row_name: plan.metrics[metric].row_name,
                        variant,
                        bucket: 0,
                        state: NOWHERE,
                    }
                }));
            }
        }
        Targets(targets)
    }

    fn variant(&mut self, name: &str) -> u32 {
        if let Some(&id) = self.variant_ids.get(name) {
            return id;
        }
        let id = self.variants.len() as u32;
        self.variants.push(name.to_owned());
        self.variant_ids.insert(name.to_owned(), id);
        id
    }

    /// Counts one row for its targets. `ts` is in microseconds; its epoch only has to be a multiple of 10 s.
    pub fn row(&mut self, targets: &mut Targets, ts: i64, row: &impl Row) {
        self.matched.fill(Match::Unknown);
        let bucket = ts.div_euclid(BUCKET_MICROS);
        let row_name = self.plan.row_names.get(row.name()).copied();
        for target in &mut targets.0 {
            if target.row_name.is_some() && target.row_name != row_name {
                continue;
            }
            let metric = &self.plan.metrics[target.metric];
            let matched = &mut self.matched[target.metric];
            if *matched == Match::Unknown {
                *matched = metric.examine(row);
            }
            if *matched == Match::No {
                continue;
            }
            let is_event = *matched == Match::Event;
            // Rows come in time order, mostly: the last row's state is this one's.
            if target.state == NOWHERE || target.bucket != bucket {
                (target.bucket, target.state) = (bucket, self.state(target.watch, target.variant, bucket, ts));
            }
            self.states[target.state].add(metric.kind, is_event, ts, row);
        }
    }

    fn state(&mut self, watch: usize, variant: u32, bucket: i64, ts: i64) -> usize {
        *self.groups.entry(Group { watch, variant, bucket }).or_insert_with(|| {
            self.states.push(State { last_ts: ts, ..State::default() });
            self.states.len() - 1
        })
    }

    /// The groups, in one fixed order: watch, variant, metric, start of the bucket in microseconds, state.
    pub fn finish(mut self) -> Vec<(&'p Watch, String, &'p str, i64, State)> {
        let mut groups: Vec<_> = self.groups.into_iter().collect();
        groups.sort_unstable_by_key(|(group, _)| (group.watch, group.variant, group.bucket));
        groups
            .into_iter()
            .map(|(group, state)| {
                let watch = &self.plan.watches[group.watch];
                let metric = self.plan.metrics[watch.metric].name.as_str();
                let state = std::mem::take(&mut self.states[state]);
                (watch, self.variants[group.variant as usize].clone(), metric, group.bucket * BUCKET_MICROS, state)
            })
            .collect()
    }
}

impl Metric {
    fn examine(&self, row: &impl Row) -> Match {
        if row.signal() != self.signal || !self.filter.matches(row) {
            return Match::No;
        }
        match &self.event {
            Some(event) if event.matches(row) => Match::Event,
            _ => Match::Row,
        }
    }
}

impl State {
    fn add(&mut self, kind: MetricKind, is_event: bool, ts: i64, row: &impl Row) {
        self.last_ts = self.last_ts.max(ts);
        if kind == MetricKind::Proportion {
            self.n += 1;
            self.events += u64::from(is_event);
        } else if let Some(values) = row.distribution() {
            self.add_many(kind, &values);
        } else {
            // A missing value is invalid like NaN: counted apart by the sketch, never a zero.
            let value = row.value().unwrap_or(f64::NAN);
            self.n += u64::from(value.is_finite());
            match kind {
                MetricKind::Mean => self.moments.get_or_insert_default().push(value),
                _ => self.histogram.get_or_insert_default().push(value),
            }
        }
    }

    /// Counts every value of a row that stands for many. One whose counts would not fit is left out as invalid.
    fn add_many(&mut self, kind: MetricKind, values: &Histogram) {
        let (moments, histogram) = (&mut self.moments, &mut self.histogram);
        let fits = match kind {
            MetricKind::Mean => moments.get_or_insert_default().merge(&values.moments()).is_ok(),
            _ => histogram.get_or_insert_default().merge(values).is_ok(),
        };
        if fits {
            self.n += values.count();
        } else {
            moments.iter_mut().for_each(|m| m.push(f64::NAN));
            histogram.iter_mut().for_each(|h| h.push(f64::NAN));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Scalar;
    use super::*;
    use serde_json::json;

    struct Point(Signal, &'static str, Option<f64>, Option<bool>);

    impl Row for Point {
        fn signal(&self) -> Signal {
            self.0
        }
        fn name(&self) -> &str {
            self.1
        }
        fn value(&self) -> Option<f64> {
            self.2
        }
        fn service(&self) -> Option<&str> {
            None
        }
        fn severity(&self) -> Option<i16> {
            None
        }
        fn is_error(&self) -> Option<bool> {
            self.3
        }
        fn has_attribute(&self, _: &str, _: &Scalar) -> bool {
            false
        }
    }

    fn filter(json: serde_json::Value) -> Filter {
        Filter::parse(&json).unwrap()
    }

    fn plan() -> Plan {
        let mut plan = Plan::default();
        plan.environment("production", "production");
        plan.environment("prod", "production");
        let errors = plan.metric(
            "errors",
            MetricKind::Proportion,
            Signal::Span,
            filter(json!({"name": "pay"})),
            Some(filter(json!({"is_error": true}))),
        );
        let latency =
            plan.metric("latency", MetricKind::Quantile, Signal::Span, filter(json!({"name": "pay"})), None);
        let switch = ["off", "on"].map(str::to_owned);
        plan.watch("new-checkout", "production", &switch, errors);
        plan.watch("new-checkout", "production", &switch, latency);
        plan.watch("theme", "production", &["blue".to_owned()], errors);
        plan
    }

    #[test]
    fn rows_count_for_every_flag_they_carry() {
        let plan = plan();
        let mut fold = Fold::new(&plan);
        let tags = [("new-checkout", "on"), ("theme", "blue"), ("other", "x")];
        let mut targets = fold.targets("prod", tags.into_iter());
        assert_eq!(targets.0.len(), 3);
        fold.row(&mut targets, 5, &Point(Signal::Span, "pay", Some(0.2), Some(true)));
        fold.row(&mut targets, 7, &Point(Signal::Span, "pay", Some(f64::NAN), None));
        fold.row(&mut targets, 9, &Point(Signal::Span, "browse", Some(0.2), Some(true)));
        fold.row(&mut targets, 9, &Point(Signal::Log, "pay", Some(0.2), Some(true)));
        fold.row(&mut targets, BUCKET_MICROS, &Point(Signal::Span, "pay", None, None));
        let groups = fold.finish();
        let rows: Vec<_> = groups
            .iter()
            .map(|(watch, variant, metric, bucket, s)| {
                (watch.flag.as_str(), variant.as_str(), *metric, *bucket, s.n, s.events, s.last_ts)
            })
            .collect();
        assert_eq!(
            rows,
            [
                ("new-checkout", "on", "errors", 0, 2, 1, 7),
                ("new-checkout", "on", "errors", BUCKET_MICROS, 1, 0, BUCKET_MICROS),
                ("new-checkout", "on", "latency", 0, 1, 0, 7),
                ("new-checkout", "on", "latency", BUCKET_MICROS, 0, 0, BUCKET_MICROS),
                ("theme", "blue", "errors", 0, 2, 1, 7),
                ("theme", "blue", "errors", BUCKET_MICROS, 1, 0, BUCKET_MICROS),
            ]
        );
        let histogram = groups[2].4.histogram.as_ref().unwrap();
        assert_eq!((histogram.count(), histogram.invalid()), (1, 1));
    }

    #[test]
    fn unknown_environments_flags_and_variants_count_for_nothing() {
        let plan = plan();
        let mut fold = Fold::new(&plan);
        assert!(fold.targets("staging", [("new-checkout", "on")].into_iter()).is_empty());
        assert!(fold.targets("production", [("other", "on")].into_iter()).is_empty());
        assert!(fold.targets("production", [("theme", "no such variant")].into_iter()).is_empty());
        assert!(fold.finish().is_empty());
    }

    #[test]
    fn buckets_before_the_epoch_round_down() {
        let plan = plan();
        let mut fold = Fold::new(&plan);
        let mut targets = fold.targets("production", [("theme", "blue")].into_iter());
        fold.row(&mut targets, -1, &Point(Signal::Span, "pay", None, None));
        assert_eq!(fold.finish()[0].3, -BUCKET_MICROS);
    }
}

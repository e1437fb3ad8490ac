//! Metrics by unit: what the rows of one subject add up to, and the one value that it counts with.
//!
//! Here: which rows a subject's tally takes, and its value. Not here: when a subject's window is over, and storing
//! tallies until then (`sql/api/unit.sql`).

use std::collections::BTreeMap;

use super::window::Counts;
use super::{MetricKind, Plan, Row, Units};
use crate::kind::Match;

/// What the rows of one subject add up to.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Tally {
    /// Rows that match; of a mean those with a finite value.
    pub n: u64,
    /// Those of them that are events.
    pub events: u64,
    /// Sum of their values.
    pub total: f64,
}

impl Tally {
    fn add(&mut self, kind: MetricKind, matched: Match, value: Option<f64>) {
        let value = value.filter(|value| value.is_finite());
        if kind.rules().reads_values() && value.is_none() {
            return; // what is no value is none, and not zero
        }
        self.n += 1;
        self.events += u64::from(matched == Match::Event);
        self.total += value.unwrap_or(0.0);
    }

    /// The value that a subject counts with: of a proportion 1 if any of its rows was an event, else 0; of a mean the sum
    /// of its rows' values if these are summed up (0 without any), else their mean, which is none without rows.
    pub fn value(&self, kind: MetricKind, sum_values: bool) -> Option<f64> {
        match (kind.rules().counts_events(), sum_values) {
            (true, _) => Some(f64::from(u8::from(self.events > 0))),
            (false, true) => Some(self.total),
            (false, false) => (self.n > 0).then(|| self.total / self.n as f64),
        }
    }
}

/// The first row of a subject that no exposure has named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct First {
    /// Its time, in microseconds.
    pub ts: i64,
    /// Whether it was the treatment's.
    pub treated: bool,
}

/// The tallies of a range of time that is shorter than any window.
#[derive(Debug)]
pub struct Tallies<'p> {
    plan: &'p Plan,
    /// By metric, rollout and subject.
    tallies: BTreeMap<(usize, usize, String), Tally>,
    /// By rollout and subject.
    firsts: BTreeMap<(usize, String), First>,
    /// Rows of each metric that match and carry no subject.
    nameless: Vec<u64>,
    counts: Vec<Counts>,
}

impl<'p> Tallies<'p> {
    /// None yet.
    pub fn new(plan: &'p Plan) -> Self {
        let n = plan.metrics.len();
        let (nameless, counts) = (vec![0; n], vec![Counts::default(); n]);
        Self { plan, tallies: BTreeMap::new(), firsts: BTreeMap::new(), nameless, counts }
    }

    /// Whether a row matches any metric of the plan.
    pub fn wants(&self, row: &impl Row) -> bool {
        self.plan.metrics.iter().any(|metric| metric.definition.matches(row))
    }

    /// Counts a row that carries no subject, so that it can be told.
    pub fn nameless_row(&mut self, row: &impl Row) {
        for (metric, nameless) in self.plan.metrics.iter().zip(&mut self.nameless) {
            *nameless += u64::from(metric.definition.matches(row));
        }
    }

    /// Adds one row to the tallies of its subject. A rollout without exposures takes rows that name its flag (`variant_of`),
    /// and a subject's first row for its exposure.
    pub fn row<'v>(
        &mut self,
        units: &Units,
        (environment, subject): (&str, &str),
        ts: i64,
        row: &impl Row,
        variant_of: impl Fn(&str) -> Option<&'v str>,
    ) {
        let plan = self.plan;
        let Some(flags) = plan.by_flag.get(environment) else { return };
        for (number, metric) in plan.metrics.iter().enumerate() {
            let matched = metric.definition.examine(row);
            if matched == Match::No {
                continue;
            }
            self.counts[number].given += 1;
            for (rollout, arms) in units.rollouts.iter().enumerate() {
                let watches = flags.get(arms.flag.as_str()).map(|flag| flag.watches.as_slice()).unwrap_or_default();
                let is_watched = watches.iter().any(|&watch| plan.watches[watch].metric == number);
                if is_watched && arms.environment == environment {
                    let shown = arms.arm_of(variant_of(&arms.flag));
                    let is_within = match (units.unit_of(subject, rollout), shown) {
                        (_, None) if arms.by_rows => false,
                        (Some(unit), _) => unit.is_within(ts, metric.definition.window),
                        (None, Some(treated)) if arms.by_rows => self.came(rollout, subject, First { ts, treated }),
                        _ => false,
                    };
                    if is_within {
                        let tally = self.tallies.entry((number, rollout, subject.to_owned())).or_default();
                        tally.add(metric.definition.kind, matched, row.value());
                        self.counts[number].counted += 1;
                    }
                }
            }
        }
    }

    /// Notes a row of a subject that no exposure has named; its window has begun.
    fn came(&mut self, rollout: usize, subject: &str, first: First) -> bool {
        let known = self.firsts.entry((rollout, subject.to_owned())).or_insert(first);
        if first.ts < known.ts {
            *known = first;
        }
        true
    }

    /// How many rows of each metric there were; those with a subject.
    pub fn counts(&self) -> &[Counts] {
        &self.counts
    }

    /// How many rows of each metric carry no subject.
    pub fn nameless(&self) -> &[u64] {
        &self.nameless
    }

    /// What was tallied: metric, rollout as it was added to [`Units`], subject.
    pub fn tallied(&self) -> impl Iterator<Item = (&str, usize, &str, &Tally)> {
        let names: Vec<_> = self.plan.metric_names().collect();
        self.tallies.iter().filter_map(move |((metric, rollout, subject), tally)| {
            Some((*names.get(*metric)?, *rollout, subject.as_str(), tally))
        })
    }

    /// Subjects that are units from now on: rollout, subject, first row.
    pub fn firsts(&self) -> impl Iterator<Item = (usize, &str, First)> {
        self.firsts.iter().map(|((rollout, subject), first)| (*rollout, subject.as_str(), *first))
    }
}

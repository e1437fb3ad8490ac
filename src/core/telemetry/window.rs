//! Conversion windows: rows that count by their subject, from the subject's first exposure until some time later.
//!
//! Here: which units a row belongs to, and how it is counted. Not here: finding units, and when rows are read
//! (`sql/api/window.sql`, `sql/api/poll.sql`).

use std::collections::HashMap;

use super::{Fold, Row};
use crate::kind::Match;

/// A rollout whose units are counted.
#[derive(Debug, Clone)]
pub struct Arms {
    /// Key of its flag.
    pub flag: String,
    /// Key of its environment.
    pub environment: String,
    /// The variant that is rolled out.
    pub treatment: String,
    /// The variant that it replaces.
    pub control: String,
    /// It has no exposures: a metric by unit takes a subject's first row that names the flag for one.
    pub by_rows: bool,
}

impl Arms {
    /// Whether a variant is the treatment, or the control; `None`: neither.
    pub(super) fn arm_of(&self, variant: Option<&str>) -> Option<bool> {
        let variant = variant?;
        (variant == self.treatment).then_some(true).or_else(|| (variant == self.control).then_some(false))
    }
}

/// A subject that was exposed to a rollout; times in microseconds.
#[derive(Debug, Clone, Copy)]
pub struct Unit {
    /// Which rollout, as it was added to [`Units`].
    pub rollout: usize,
    /// Its first exposure.
    pub first_seen: i64,
    /// Whether that was to the treatment.
    pub began_treated: bool,
    /// Its first exposure to the treatment.
    pub treated_at: Option<i64>,
}

impl Unit {
    /// Whether a time is from its first exposure to before the end of the window, if any.
    pub(super) fn is_within(&self, ts: i64, window: Option<i64>) -> bool {
        ts >= self.first_seen && window.is_none_or(|w| ts.saturating_sub(self.first_seen) < w)
    }
}

/// The units of some rollouts, by subject, as far as they were looked up.
#[derive(Debug, Default)]
pub struct Units {
    pub(super) rollouts: Vec<Arms>,
    by_subject: HashMap<String, Vec<Unit>>,
}

impl Units {
    /// None yet, of these rollouts.
    pub fn new(rollouts: Vec<Arms>) -> Self {
        Self { rollouts, by_subject: HashMap::new() }
    }

    /// Whether a subject was looked up.
    pub fn knows(&self, subject: &str) -> bool {
        self.by_subject.contains_key(subject)
    }

    /// Notes that a subject was looked up, even if it is not a unit.
    pub fn note(&mut self, subject: &str) -> &mut Vec<Unit> {
        self.by_subject.entry(subject.to_owned()).or_default()
    }

    /// A subject as a unit of a rollout, numbered as it was added.
    pub(super) fn unit_of(&self, subject: &str, rollout: usize) -> Option<&Unit> {
        self.by_subject.get(subject)?.iter().find(|unit| unit.rollout == rollout)
    }

    /// Flags and variants that a subject's row of this time counts for: from its first exposure to before the end of
    /// the window, if any, and for the treatment once the subject was exposed to it.
    pub fn tags<'a>(
        &'a self,
        environment: &'a str,
        subject: &str,
        ts: i64,
        window: Option<i64>,
    ) -> impl Iterator<Item = (&'a str, &'a str)> {
        let units = self.by_subject.get(subject).map(Vec::as_slice).unwrap_or_default();
        units.iter().filter_map(move |unit| {
            let arms = self.rollouts.get(unit.rollout).filter(|arms| arms.environment == environment)?;
            let is_treated = unit.began_treated || unit.treated_at.is_some_and(|at| at <= ts);
            let variant = if is_treated { &arms.treatment } else { &arms.control };
            unit.is_within(ts, window).then_some((arms.flag.as_str(), variant.as_str()))
        })
    }
}

/// How many rows of one metric there were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rows that match.
    pub given: u64,
    /// How many of them counted, once for each rollout.
    pub counted: u64,
}

impl Fold<'_> {
    /// Whether a row matches any metric of the plan.
    pub fn wants(&self, row: &impl Row) -> bool {
        self.plan.metrics.iter().any(|metric| metric.definition.matches(row))
    }

    /// Counts one row for its subject's units instead of its own flags, in an environment given by its key; `counts`
    /// has one entry for each metric of the plan.
    pub fn row_of_subject(
        &mut self,
        units: &Units,
        (environment, subject): (&str, &str),
        ts: i64,
        row: &impl Row,
        counts: &mut [Counts],
    ) {
        let plan = self.plan;
        let Some(flags) = plan.by_flag.get(environment) else { return };
        for (number, (metric, counts)) in plan.metrics.iter().zip(counts).enumerate() {
            let matched = metric.definition.examine(row);
            if matched == Match::No {
                continue;
            }
            counts.given += 1;
            for (flag, variant) in units.tags(environment, subject, ts, metric.definition.window) {
                let watches = flags.get(flag).map(|watched| watched.watches.as_slice()).unwrap_or_default();
                for &watch in watches.iter().filter(|&&watch| plan.watches[watch].metric == number) {
                    let variant = self.number(variant);
                    self.add(watch, variant, matched, ts, row);
                    counts.counted += 1;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Definition, Filter, MetricKind, Plan, Signal};
    use super::*;
    use serde_json::json;

    struct Order(f64);

    impl Row for Order {
        fn signal(&self) -> Signal {
            Signal::Event
        }
        fn name(&self) -> &str {
            "order"
        }
        fn value(&self) -> Option<f64> {
            Some(self.0)
        }
        fn service(&self) -> Option<&str> {
            None
        }
        fn severity(&self) -> Option<i16> {
            None
        }
        fn is_error(&self) -> Option<bool> {
            None
        }
    }

    fn arms(flag: &str, environment: &str) -> Arms {
        let [flag, environment, treatment, control] = [flag, environment, "on", "off"].map(str::to_owned);
        Arms { flag, environment, treatment, control, by_rows: false }
    }

    /// ann: in the control of `f` from 100 on, treated at 150; treated in `g` from 120 on.
    fn units() -> Units {
        let mut units = Units::new(vec![arms("f", "production"), arms("g", "production"), arms("f", "staging")]);
        let unit = |rollout, first_seen, treated_at: Option<i64>| Unit {
            rollout,
            first_seen,
            began_treated: treated_at == Some(first_seen),
            treated_at,
        };
        units.note("ann").extend([unit(0, 100, Some(150)), unit(1, 120, Some(120)), unit(2, 0, None)]);
        units.note("eve");
        units
    }

    #[test]
    fn a_window_begins_with_the_first_exposure_and_ends_before_its_end() {
        let units = units();
        let tags = |ts, window| units.tags("production", "ann", ts, window).collect::<Vec<_>>();
        assert_eq!(tags(99, None), []);
        assert_eq!(tags(100, Some(30)), [("f", "off")]);
        assert_eq!(tags(129, Some(30)), [("f", "off"), ("g", "on")]);
        assert_eq!(tags(130, Some(30)), [("g", "on")]);
        assert_eq!(tags(150, Some(30)), []);
        assert_eq!(tags(149, None), [("f", "off"), ("g", "on")]);
        assert_eq!(tags(150, Some(51)), [("f", "on"), ("g", "on")]);
        assert_eq!(tags(i64::MAX, Some(i64::MAX)), [("f", "on"), ("g", "on")]);
        assert_eq!(units.tags("staging", "ann", 5, None).collect::<Vec<_>>(), [("f", "off")]);
        assert_eq!((units.knows("eve"), units.knows("bob")), (true, false));
        assert_eq!(units.tags("production", "eve", 500, None).count(), 0);
    }

    #[test]
    fn each_metric_has_its_own_window_and_rollouts() {
        let mut plan = Plan::default();
        let orders =
            Definition::new(MetricKind::Mean, Signal::Event, Filter::parse(&json!({"name": "order"})).unwrap());
        let short = plan.metric("short", Definition { window: Some(30), ..orders.clone() });
        let long = plan.metric("long", Definition { window: Some(1000), ..orders.clone() });
        let spans = plan.metric("spans", Definition { signal: Signal::Span, window: Some(1000), ..orders });
        let variants = ["on", "off"].map(str::to_owned);
        for (flag, metric) in [("f", short), ("f", long), ("g", long), ("f", spans)] {
            plan.watch(flag, "production", &variants, metric);
        }
        let units = units();
        let mut fold = Fold::new(&plan);
        let mut counts = [Counts::default(); 3];
        assert!(fold.wants(&Order(1.0)));
        for (subject, ts, value) in [("ann", 99, 1.0), ("ann", 129, 2.0), ("ann", 150, 4.0), ("eve", 150, 8.0)] {
            fold.row_of_subject(&units, ("production", subject), ts, &Order(value), &mut counts);
        }
        fold.row_of_subject(&units, ("staging", "ann"), 129, &Order(16.0), &mut counts);
        let of = |given, counted| Counts { given, counted };
        assert_eq!(counts, [of(4, 1), of(4, 4), of(0, 0)]);
        let mut groups: Vec<_> = fold
            .finish()
            .into_iter()
            .map(|g| (g.metric, g.watch.flag.as_str(), g.variant, g.state.n, g.state.moments.unwrap().sum().unwrap()))
            .collect();
        groups.sort_by(|a, b| (a.0, a.1, &a.2).cmp(&(b.0, b.1, &b.2)));
        let [on, off] = variants;
        assert_eq!(
            groups,
            [
                ("long", "f", off.clone(), 1, 2.0),
                ("long", "f", on.clone(), 1, 4.0),
                ("long", "g", on, 2, 6.0),
                ("short", "f", off, 1, 2.0),
            ]
        );
    }
}

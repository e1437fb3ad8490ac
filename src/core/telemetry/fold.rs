//! Counts the rows of one statement: from rows to one state for each flag, environment, variant, metric and time
//! bucket.
//!
//! The rows of a statement have few distinct values of `flags`, so each value is resolved once; a row then costs one
//! look-up and the metrics of its flags. Every metric is matched once for a row, regardless of how many flags use it.

use std::collections::HashMap;

use super::{BUCKET_MICROS, Plan, Row, State, Watch};
use crate::kind::Match;

/// What a row counts for: a watched metric with the variant of the row, and the state that the last row was added to.
#[derive(Debug)]
struct Target {
    watch: usize,
    metric: usize,
    row_name: Option<u32>,
    variant: u32,
    /// Number of the exporter instance among the names.
    instance: Option<u32>,
    /// The times, in microseconds, that belong to the state: from the first one to before the second.
    piece: (i64, i64),
    state: usize,
}

/// What all rows with the same tags count for.
#[derive(Debug, Default)]
pub struct Targets {
    list: Vec<Target>,
    /// How often the fold had been emptied when these states were current.
    taken: u32,
}

impl Targets {
    /// Whether such rows count for nothing.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

/// What one statement brings of a metric, variant, exporter instance and piece of a bucket. A bucket in which the
/// allocation changes comes in pieces, so that no stratum mixes two shares.
#[derive(Debug)]
pub struct Group<'p> {
    /// What it counts for.
    pub watch: &'p Watch,
    /// The variant.
    pub variant: String,
    /// Name of the metric.
    pub metric: &'p str,
    /// Which process sent the rows, if they say so.
    pub instance: Option<String>,
    /// Start of the bucket, in microseconds.
    pub bucket: i64,
    /// Earliest time among the rows, in microseconds; their latest is in the state.
    pub first_ts: i64,
    /// What they add up to.
    pub state: State,
}

/// A longer name of a process names none: it would not fit into an index.
const LONGEST_INSTANCE: usize = 255;

/// So many variants and instances of a statement are told apart: a writer that names each row another process must not
/// take all memory.
const MOST_NAMES: usize = 10_000;

/// What stands for the variant where all rows of an environment count. No variant is called so.
const NO_VARIANT: &str = "";

/// No state yet.
const NOWHERE: usize = usize::MAX;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct GroupKey {
    watch: usize,
    variant: u32,
    instance: Option<u32>,
    /// Start of the piece of a bucket, in microseconds.
    since: i64,
}

/// The fold of one statement.
#[derive(Debug)]
pub struct Fold<'p> {
    pub(super) plan: &'p Plan,
    groups: HashMap<GroupKey, usize>,
    pub(super) states: Vec<State>,
    /// Earliest time among the rows of each state.
    firsts: Vec<i64>,
    /// Variants and exporter instances, by number.
    names: Vec<String>,
    numbers: HashMap<String, u32>,
    matched: Vec<Match>,
    /// How often the groups were taken.
    taken: u32,
}

impl<'p> Fold<'p> {
    /// An empty fold.
    pub fn new(plan: &'p Plan) -> Self {
        let matched = vec![Match::Unknown; plan.metrics.len()];
        Self {
            plan,
            groups: HashMap::new(),
            states: Vec::new(),
            firsts: Vec::new(),
            names: Vec::new(),
            numbers: HashMap::new(),
            matched,
            taken: 0,
        }
    }

    /// What rows with these tags, of this exporter instance, count for: the watched metrics of each flag and variant in
    /// the environment.
    pub fn targets<'a>(
        &mut self,
        environment: &str,
        instance: Option<&str>,
        tags: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Targets {
        let plan = self.plan;
        let flags = plan.environments.get(environment).and_then(|key| plan.by_flag.get(key));
        let Some(flags) = flags else { return Targets::default() };
        let instance = instance.and_then(|instance| self.instance(instance));
        let mut targets = Vec::new();
        for (flag, variant) in tags {
            if let Some(watched) = flags.get(flag).filter(|watched| watched.variants.contains(variant)) {
                let variant = self.number(variant);
                targets.extend(watched.watches.iter().map(|&watch| self.target(watch, variant, instance)));
            }
        }
        Targets { list: targets, taken: self.taken }
    }

    /// Adds what rows of an environment count for with or without flags: metrics of all rows, under no variant. Nothing
    /// compares these by the process that sent them.
    pub fn add_of_environment(&mut self, targets: &mut Targets, environment: &str) {
        let plan = self.plan;
        let watches = plan.environments.get(environment).and_then(|key| plan.of_environment.get(key));
        let Some(watches) = watches else { return };
        let nobody = self.number(NO_VARIANT);
        targets.list.extend(watches.iter().map(|&watch| self.target(watch, nobody, None)));
    }

    fn target(&self, watch: usize, variant: u32, instance: Option<u32>) -> Target {
        let metric = self.plan.watches[watch].metric;
        let row_name = self.plan.metrics[metric].row_name;
        Target { watch, metric, row_name, variant, instance, piece: (0, 0), state: NOWHERE }
    }

    /// The number of an exporter instance; `None`: it is not told apart.
    fn instance(&mut self, name: &str) -> Option<u32> {
        let is_known = self.numbers.contains_key(name);
        let has_room = self.names.len() < MOST_NAMES && (1..=LONGEST_INSTANCE).contains(&name.len());
        (is_known || has_room).then(|| self.number(name))
    }

    /// The number of a variant or an exporter instance.
    pub(super) fn number(&mut self, name: &str) -> u32 {
        if let Some(&number) = self.numbers.get(name) {
            return number;
        }
        let number = self.names.len() as u32;
        self.names.push(name.to_owned());
        self.numbers.insert(name.to_owned(), number);
        number
    }

    /// Counts one row for its targets. `ts` is in microseconds; its epoch only has to be a multiple of 10 s.
    pub fn row(&mut self, targets: &mut Targets, ts: i64, row: &impl Row) {
        self.matched.fill(Match::Unknown);
        let row_name = self.plan.row_names.get(row.name()).copied();
        if targets.taken != self.taken {
            targets.list.iter_mut().for_each(|target| target.state = NOWHERE);
            targets.taken = self.taken;
        }
        for target in &mut targets.list {
            if target.row_name.is_some() && target.row_name != row_name {
                continue;
            }
            let metric = &self.plan.metrics[target.metric];
            let matched = &mut self.matched[target.metric];
            if *matched == Match::Unknown {
                *matched = metric.definition.examine(row);
            }
            if *matched == Match::No {
                continue;
            }
            let matched = *matched;
            // Rows mostly come in the order of time, so this row's state is usually that of the last one.
            if target.state == NOWHERE || ts < target.piece.0 || ts >= target.piece.1 {
                target.piece = self.plan.watches[target.watch].piece(ts);
                target.state = self.state(target.watch, target.variant, target.instance, target.piece.0);
            }
            let first = &mut self.firsts[target.state];
            *first = ts.min(*first);
            self.states[target.state].add(&metric.counting, matched, ts, row);
        }
    }

    /// The state of a piece of a bucket.
    fn state(&mut self, watch: usize, variant: u32, instance: Option<u32>, since: i64) -> usize {
        *self.groups.entry(GroupKey { watch, variant, instance, since }).or_insert_with(|| {
            self.states.push(State { last_ts: i64::MIN, ..State::default() });
            self.firsts.push(i64::MAX);
            self.states.len() - 1
        })
    }

    /// Adds one row to the state of a watch and variant; which process sent it is not known.
    pub(super) fn add(&mut self, watch: usize, variant: u32, matched: Match, ts: i64, row: &impl Row) {
        let state = self.state(watch, variant, None, self.plan.watches[watch].piece(ts).0);
        self.firsts[state] = ts.min(self.firsts[state]);
        let metric = &self.plan.metrics[self.plan.watches[watch].metric];
        self.states[state].add(&metric.counting, matched, ts, row);
    }

    /// The number of groups: each takes some hundred bytes, for a quantile up to some thousand.
    pub fn groups(&self) -> usize {
        self.groups.len()
    }

    /// The groups, in one fixed order.
    pub fn finish(mut self) -> Vec<Group<'p>> {
        self.take()
    }

    /// The groups so far, in a fixed order; the fold continues without them. Newest buckets first, with all variants of
    /// a bucket together, so that a partly consumed list has both arms of a comparison.
    pub fn take(&mut self) -> Vec<Group<'p>> {
        self.taken += 1;
        let mut groups: Vec<_> = std::mem::take(&mut self.groups).into_iter().collect();
        let bucket = |since: i64| since.div_euclid(BUCKET_MICROS);
        groups.sort_unstable_by_key(|(group, _)| {
            (std::cmp::Reverse(bucket(group.since)), group.watch, group.since, group.instance, group.variant)
        });
        let mut states = std::mem::take(&mut self.states);
        let firsts = std::mem::take(&mut self.firsts);
        groups
            .into_iter()
            .map(|(group, state)| {
                let watch = &self.plan.watches[group.watch];
                Group {
                    watch,
                    variant: self.names[group.variant as usize].clone(),
                    metric: self.plan.metrics[watch.metric].name.as_str(),
                    instance: group.instance.map(|number| self.names[number as usize].clone()),
                    bucket: bucket(group.since) * BUCKET_MICROS,
                    first_ts: firsts[state],
                    state: std::mem::take(&mut states[state]),
                }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Definition, Filter, MetricKind, Per, Signal};
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
    }

    fn filter(json: serde_json::Value) -> Filter {
        Filter::parse(&json).unwrap()
    }

    fn plan() -> Plan {
        let mut plan = Plan::default();
        plan.environment("production", "production");
        plan.environment("prod", "production");
        let of = |kind| Definition::new(kind, Signal::Span, filter(json!({"name": "pay"})));
        let event = Some(filter(json!({"is_error": true})));
        let errors = plan.metric("errors", Definition { event, ..of(MetricKind::Proportion) });
        let latency = plan.metric("latency", of(MetricKind::Quantile));
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
        let mut targets = fold.targets("prod", None, tags.into_iter());
        assert_eq!(targets.list.len(), 3);
        fold.row(&mut targets, 5, &Point(Signal::Span, "pay", Some(0.2), Some(true)));
        fold.row(&mut targets, 7, &Point(Signal::Span, "pay", Some(f64::NAN), None));
        fold.row(&mut targets, 9, &Point(Signal::Span, "browse", Some(0.2), Some(true)));
        fold.row(&mut targets, 9, &Point(Signal::Log, "pay", Some(0.2), Some(true)));
        fold.row(&mut targets, BUCKET_MICROS, &Point(Signal::Span, "pay", None, None));
        let groups = fold.finish();
        let rows: Vec<_> = groups
            .iter()
            .map(|g| {
                let s = &g.state;
                (g.watch.flag.as_str(), g.variant.as_str(), g.metric, g.bucket, s.n, s.events, s.last_ts)
            })
            .collect();
        assert_eq!(
            rows,
            [
                ("new-checkout", "on", "errors", BUCKET_MICROS, 1, 0, BUCKET_MICROS),
                ("new-checkout", "on", "latency", BUCKET_MICROS, 0, 0, BUCKET_MICROS),
                ("theme", "blue", "errors", BUCKET_MICROS, 1, 0, BUCKET_MICROS),
                ("new-checkout", "on", "errors", 0, 2, 1, 7),
                ("new-checkout", "on", "latency", 0, 1, 0, 7),
                ("theme", "blue", "errors", 0, 2, 1, 7),
            ]
        );
        let histogram = groups[4].state.histogram.as_ref().unwrap();
        assert_eq!((histogram.count(), histogram.invalid()), (1, 1));
    }

    #[test]
    fn a_fold_goes_on_after_its_groups_were_taken() {
        let plan = plan();
        let mut fold = Fold::new(&plan);
        let mut targets = fold.targets("prod", None, [("theme", "blue")].into_iter());
        let point = || Point(Signal::Span, "pay", None, Some(true));
        (0..3).for_each(|_| fold.row(&mut targets, 5, &point()));
        assert_eq!((fold.groups(), fold.take()[0].state.n, fold.groups()), (1, 3, 0));
        // The same bucket again, from nothing.
        (0..2).for_each(|_| fold.row(&mut targets, 6, &point()));
        let rest = fold.finish();
        assert_eq!((rest.len(), rest[0].state.n, rest[0].state.events, rest[0].state.last_ts), (1, 2, 2, 6));
    }

    /// The one group of a metric over some rows.
    fn folded(definition: Definition, rows: &[Point]) -> State {
        let mut plan = Plan::default();
        plan.environment("production", "production");
        let metric = plan.metric("m", definition);
        plan.watch("f", "production", &["on".to_owned()], metric);
        let mut fold = Fold::new(&plan);
        let mut targets = fold.targets("production", None, [("f", "on")].into_iter());
        rows.iter().for_each(|row| fold.row(&mut targets, 1, row));
        fold.finish().pop().map(|group| group.state).unwrap_or_default()
    }

    #[test]
    fn a_capped_mean_counts_what_lies_beyond_as_the_bound() {
        let values = [Some(-3.0), Some(4.0), Some(1e9), Some(f64::INFINITY), Some(f64::NAN), None];
        let rows = values.map(|value| Point(Signal::Event, "order", value, None));
        let mean = Definition::new(MetricKind::Mean, Signal::Event, filter(json!({})));
        let capped = folded(Definition { cap: Some(8.0), ..mean.clone() }, &rows);
        let moments = capped.moments.unwrap();
        // By hand: 0, 4 and 8.
        assert_eq!((capped.n, moments.sum(), moments.max(), moments.invalid()), (3, Some(12.0), Some(8.0), 3));
        let free = folded(mean, &rows).moments.unwrap();
        assert_eq!((free.min(), free.max(), free.invalid()), (Some(-3.0), Some(1e9), 3));
    }

    #[test]
    fn a_rate_counts_rows_of_two_kinds() {
        let per = |json| Some(Per::parse(&json).unwrap());
        let rate = Definition::new(MetricKind::Rate, Signal::Log, filter(json!({"is_error": true})));
        let rows = [
            Point(Signal::Span, "pay", Some(0.5), Some(true)),
            Point(Signal::Span, "pay", Some(-1.0), None),
            Point(Signal::Span, "browse", Some(2.0), None),
            Point(Signal::Log, "pay", Some(3.0), Some(true)),
            Point(Signal::Log, "pay", Some(0.5), Some(true)),
            Point(Signal::Log, "pay", Some(1.0), None),
        ];
        let per_span = Definition { per: per(json!({"signal": "span", "name": "pay"})), ..rate.clone() };
        let by_rows = folded(per_span.clone(), &rows);
        assert_eq!((by_rows.n, by_rows.events, by_rows.moments), (2, 2, None));
        // A counter's increments are counts; half an event is not one.
        let by_values = folded(Definition { sum_values: true, ..per_span }, &rows);
        assert_eq!((by_values.n, by_values.events, by_values.moments.unwrap().invalid()), (2, 3, 1));
        let seconds = per(json!({"signal": "span", "sum_values": true}));
        let by_time = folded(Definition { per: seconds, ..rate.clone() }, &rows);
        let moments = by_time.moments.unwrap();
        assert_eq!((by_time.n, by_time.events, moments.sum(), moments.invalid()), (2, 2, Some(2.5), 1));
        // The same row may be in both parts.
        let of_logs = folded(Definition { per: per(json!({})), ..rate }, &rows);
        assert_eq!((of_logs.n, of_logs.events), (3, 2));
    }

    #[test]
    fn a_ratio_is_a_sum_per_row() {
        let per = Some(Per::parse(&json!({"name": "session"})).unwrap());
        let orders = Definition::new(MetricKind::Ratio, Signal::Event, filter(json!({"name": "order"})));
        let point = |name, value| Point(Signal::Event, name, value, None);
        let rows = [point("session", None), point("order", Some(5.0)), point("order", None), point("session", None)];
        let state = folded(Definition { per, ..orders }, &rows);
        let moments = state.moments.unwrap();
        assert_eq!((state.n, state.events, moments.sum(), moments.invalid()), (2, 0, Some(5.0), 1));
    }

    #[test]
    fn unknown_environments_flags_and_variants_count_for_nothing() {
        let plan = plan();
        let mut fold = Fold::new(&plan);
        assert!(fold.targets("staging", None, [("new-checkout", "on")].into_iter()).is_empty());
        assert!(fold.targets("production", None, [("other", "on")].into_iter()).is_empty());
        assert!(fold.targets("production", None, [("theme", "no such variant")].into_iter()).is_empty());
        assert!(fold.finish().is_empty());
    }

    #[test]
    fn a_bucket_is_cut_where_the_allocation_changes() {
        let mut plan = Plan::default();
        plan.environment("production", "production");
        plan.cut("f", "production", [15, 12].map(|s| s * 1_000_000));
        let metric = plan.metric("m", Definition::new(MetricKind::Proportion, Signal::Span, filter(json!({}))));
        plan.watch("f", "production", &["on".to_owned()], metric);
        let mut fold = Fold::new(&plan);
        let mut targets = fold.targets("production", None, [("f", "on")].into_iter());
        let point = || Point(Signal::Span, "pay", None, None);
        // A cut is the first moment of what comes after it.
        for second in [19.0, 10.5, 15.0, 14.9, 12.0, 11.9] {
            fold.row(&mut targets, (second * 1e6) as i64, &point());
        }
        let pieces: Vec<_> =
            fold.finish().iter().map(|g| (g.first_ts, g.state.last_ts, g.state.n, g.bucket)).collect();
        let bucket = BUCKET_MICROS;
        assert_eq!(
            pieces,
            [
                (10_500_000, 11_900_000, 2, bucket),
                (12_000_000, 14_900_000, 2, bucket),
                (15_000_000, 19_000_000, 2, bucket)
            ]
        );
    }

    #[test]
    fn each_exporter_instance_has_groups_of_its_own() {
        let plan = plan();
        let mut fold = Fold::new(&plan);
        for (instance, n) in [(Some("pod-2"), 1), (None, 2), (Some("pod-1"), 3)] {
            let mut targets = fold.targets("production", instance, [("theme", "blue")].into_iter());
            (0..n).for_each(|_| fold.row(&mut targets, 5, &Point(Signal::Span, "pay", None, None)));
        }
        let groups = fold.finish();
        let n_of: Vec<_> = groups.iter().map(|g| (g.instance.as_deref(), g.state.n)).collect();
        assert_eq!(n_of, [(None, 2), (Some("pod-2"), 1), (Some("pod-1"), 3)]);
    }

    #[test]
    fn however_many_instances_there_are_the_names_are_few() {
        let plan = plan();
        let mut fold = Fold::new(&plan);
        let long = "x".repeat(LONGEST_INSTANCE + 1);
        let names =
            (0..MOST_NAMES + 500).map(|i| format!("pod-{i}")).chain(["pod-0".to_owned(), long, String::new()]);
        for name in names {
            let mut targets = fold.targets("production", Some(name.as_str()), [("theme", "blue")].into_iter());
            fold.row(&mut targets, 5, &Point(Signal::Span, "pay", None, None));
        }
        let groups = fold.finish();
        let n_of = |name: Option<&str>| groups.iter().find(|g| g.instance.as_deref() == name).map(|g| g.state.n);
        // One name is the variant's.
        assert_eq!((groups.len(), n_of(Some("pod-0")), n_of(None)), (MOST_NAMES, Some(2), Some(503)));
    }

    #[test]
    fn buckets_before_the_epoch_round_down() {
        let plan = plan();
        let mut fold = Fold::new(&plan);
        let mut targets = fold.targets("production", None, [("theme", "blue")].into_iter());
        fold.row(&mut targets, -1, &Point(Signal::Span, "pay", None, None));
        assert_eq!(fold.finish()[0].bucket, -BUCKET_MICROS);
    }
}

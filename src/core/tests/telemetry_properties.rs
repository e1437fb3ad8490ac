//! Rollups do not depend on how rows were split into statements, nor on the order in which they came.

use std::collections::BTreeMap;

use flagscope_core::sketch::{Histogram, Sketch};
use flagscope_core::telemetry::{
    Arms, BUCKET_MICROS, Counts, Definition, Filter, Fold, Group, MetricKind, Per, Plan, Row, Signal, State, Unit,
    Units,
};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::json;

#[derive(Debug, Clone)]
struct Point {
    ts: i64,
    signal: Signal,
    name: &'static str,
    value: Option<f64>,
    distribution: Option<Histogram>,
    is_error: Option<bool>,
    environment: &'static str,
    tags: Vec<(&'static str, &'static str)>,
}

impl Row for Point {
    fn signal(&self) -> Signal {
        self.signal
    }
    fn name(&self) -> &str {
        self.name
    }
    fn value(&self) -> Option<f64> {
        self.value
    }
    fn distribution(&self) -> Option<Histogram> {
        self.distribution.clone()
    }
    fn service(&self) -> Option<&str> {
        None
    }
    fn severity(&self) -> Option<i16> {
        None
    }
    fn is_error(&self) -> Option<bool> {
        self.is_error
    }
}

fn point() -> impl Strategy<Value = Point> {
    let value = prop_oneof![
        4 => (1e-3..1e3).prop_map(Some),
        1 => prop::sample::select(vec![None, Some(f64::NAN), Some(f64::INFINITY), Some(0.0), Some(-2.5)]),
    ];
    let tags =
        prop::sample::subsequence(vec![("cart", "on"), ("theme", "red"), ("cart", "no variant"), ("x", "y")], 0..4);
    (
        -3 * BUCKET_MICROS..3 * BUCKET_MICROS,
        prop::sample::select(vec![Signal::Span, Signal::Log]),
        prop::sample::select(vec!["pay", "browse"]),
        value,
        prop_oneof![3 => Just(None), 1 => vec(1e-3..1e3, 0..5).prop_map(Some)],
        any::<Option<bool>>(),
        prop::sample::select(vec!["production", "prod", "mars"]),
        tags,
    )
        .prop_map(|(ts, signal, name, value, values, is_error, environment, tags)| Point {
            ts,
            signal,
            name,
            value,
            distribution: values.map(histogram),
            is_error,
            environment,
            tags,
        })
}

fn histogram(values: Vec<f64>) -> Histogram {
    let mut histogram = Histogram::default();
    values.into_iter().for_each(|x| histogram.push(x));
    histogram
}

fn plan() -> Plan {
    let mut plan = Plan::default();
    plan.environment("production", "production");
    plan.environment("prod", "production");
    let filter = |json| Filter::parse(&json).expect("a filter");
    let pay = json!({"name": "pay"});
    let error = Some(filter(json!({"is_error": true})));
    let of = |kind| Definition::new(kind, Signal::Span, filter(pay.clone()));
    let per = |json| Some(Per::parse(&json).expect("a denominator"));
    let share = plan.metric("share", Definition { event: error, ..of(MetricKind::Proportion) });
    let mean = plan.metric("mean", of(MetricKind::Mean));
    let capped = plan.metric("capped", Definition { cap: Some(100.0), ..of(MetricKind::Mean) });
    let low = plan.metric("low", Definition { cap: Some(5.0), ..of(MetricKind::Mean) });
    let duration = plan.metric("duration", of(MetricKind::Quantile));
    let browse = |json| Definition {
        filter: filter(json!({"name": "browse"})),
        per: per(json),
        ..Definition::new(MetricKind::Rate, Signal::Span, Filter::default())
    };
    let by_call = plan.metric("by call", browse(json!({"name": "pay"})));
    let by_second = plan.metric("by second", browse(json!({"name": "pay", "sum_values": true})));
    let rate = plan.metric("rate", Definition { per: per(json!({"signal": "log"})), ..of(MetricKind::Rate) });
    let per_second = per(json!({"sum_values": true, "name": "browse"}));
    let counter = plan.metric("counter", Definition { per: per_second, sum_values: true, ..of(MetricKind::Rate) });
    let ratio = plan.metric("ratio", Definition { per: per(json!({"name": "browse"})), ..of(MetricKind::Ratio) });
    for (flag, variant) in [("cart", "on"), ("theme", "red")] {
        for metric in [share, mean, capped, low, duration, rate, counter, ratio, by_call, by_second] {
            plan.watch(flag, "production", &[variant.to_owned()], metric);
        }
    }
    plan
}

type Rollups = BTreeMap<(String, String, String, i64), State>;

/// Folds one statement's rows and adds its states up with those of the statements before, as a tick does.
fn consume(plan: &Plan, rows: &[Point], rollups: &mut Rollups) {
    let mut fold = Fold::new(plan);
    let mut known = BTreeMap::new();
    for row in rows {
        let targets = known
            .entry((row.environment, row.tags.clone()))
            .or_insert_with(|| fold.targets(row.environment, None, row.tags.iter().copied()));
        fold.row(targets, row.ts, row);
    }
    add(fold, rollups);
}

/// Folds rows by units instead of tags: each row has a subject of its own, seen long ago in what the row is tagged with.
fn consume_by_units(plan: &Plan, rows: &[Point], rollups: &mut Rollups) {
    let arms = |flag: &str, treatment: &str| {
        let [flag, treatment, environment, control] = [flag, treatment, "production", "off"].map(str::to_owned);
        Arms { flag, environment, treatment, control, by_rows: false }
    };
    let known = [("cart", "on"), ("theme", "red")];
    let mut units = Units::new(known.map(|(flag, variant)| arms(flag, variant)).to_vec());
    let mut fold = Fold::new(plan);
    let mut counts = vec![Counts::default(); plan.metric_names().count()];
    for (number, row) in rows.iter().enumerate() {
        let subject = number.to_string();
        let seen = |rollout| Unit { rollout, first_seen: i64::MIN, began_treated: false, treated_at: Some(row.ts) };
        units.note(&subject).extend((0..known.len()).filter(|&n| row.tags.contains(&known[n])).map(seen));
        if let Some(environment) = plan.environment_key(row.environment) {
            fold.row_of_subject(&units, (environment, &subject), row.ts, row, &mut counts);
        }
    }
    add(fold, rollups);
}

/// Adds the states of a fold up with those before.
fn add(fold: Fold, rollups: &mut Rollups) {
    for Group { watch, variant, metric, bucket, state, .. } in fold.finish() {
        let key = (watch.flag.clone(), variant, metric.to_owned(), bucket);
        match rollups.entry(key) {
            std::collections::btree_map::Entry::Vacant(entry) => drop(entry.insert(state)),
            std::collections::btree_map::Entry::Occupied(entry) => merge(entry.into_mut(), state),
        }
    }
}

fn merge(into: &mut State, state: State) {
    into.n += state.n;
    into.events += state.events;
    into.last_ts = into.last_ts.max(state.last_ts);
    match (&mut into.moments, state.moments) {
        (Some(a), Some(b)) => a.merge(&b).expect("few values"),
        (a @ None, b) => *a = b,
        (_, None) => {}
    }
    if let (Some(a), Some(b)) = (&mut into.histogram, &state.histogram) {
        a.merge(b).expect("few values");
    }
}

fn near(a: Option<f64>, b: Option<f64>) -> bool {
    a == b || a.zip(b).is_some_and(|(a, b)| (a - b).abs() <= 1e-9 * (1.0 + a.abs()))
}

fn assert_same(a: &Rollups, b: &Rollups) {
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
    for (key, a) in a {
        let b = &b[key];
        assert_eq!((a.n, a.events, a.last_ts), (b.n, b.events, b.last_ts), "{key:?}");
        let bins = |s: &State| s.histogram.as_ref().map(|h| (h.buckets(), h.invalid(), h.min(), h.max()));
        assert_eq!(bins(a), bins(b), "{key:?}");
        let exact = |s: &State| s.moments.as_ref().map(|m| (m.count(), m.invalid(), m.min(), m.max()));
        assert_eq!(exact(a), exact(b), "{key:?}");
        let mean = |s: &State| s.moments.as_ref().and_then(|m| m.mean());
        let deviation = |s: &State| s.moments.as_ref().and_then(|m| m.stddev());
        assert!(near(mean(a), mean(b)) && near(deviation(a), deviation(b)), "{key:?}");
    }
}

proptest! {
    #[test]
    fn any_split_and_any_order_give_the_same_rollups(
        rows in vec(point(), 0..120).prop_shuffle(),
        order in vec(any::<prop::sample::Index>(), 0..60),
        cuts in vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let plan = plan();
        let mut at_once = Rollups::new();
        consume(&plan, &rows, &mut at_once);

        let mut shuffled = rows.clone();
        for (i, index) in order.iter().enumerate().filter(|_| !rows.is_empty()) {
            shuffled.swap(i % rows.len(), index.index(rows.len()));
        }
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(rows.len() + 1)).collect();
        cuts.extend([0, rows.len()]);
        cuts.sort_unstable();
        let mut by_parts = Rollups::new();
        for part in cuts.windows(2) {
            consume(&plan, &shuffled[part[0]..part[1]], &mut by_parts);
        }
        assert_same(&at_once, &by_parts);
    }

    #[test]
    fn a_window_without_an_end_says_what_flags_say(rows in vec(point(), 0..120)) {
        let plan = plan();
        let (mut by_flags, mut by_units) = (Rollups::new(), Rollups::new());
        consume(&plan, &rows, &mut by_flags);
        consume_by_units(&plan, &rows, &mut by_units);
        assert_same(&by_flags, &by_units);
    }
}

#[test]
fn a_point_of_a_histogram_counts_with_every_value_it_stands_for() {
    let mut values = Histogram::default();
    for (x, n) in [(1.0, 98), (10.0, 2)] {
        values.push_n(x, n).expect("counts that fit");
    }
    let point = Point {
        ts: 1,
        signal: Signal::Span,
        name: "pay",
        value: Some(1.18),
        distribution: Some(values),
        is_error: None,
        environment: "production",
        tags: vec![("cart", "on")],
    };
    let mut rollups = Rollups::new();
    consume(&plan(), &[point.clone(), point.clone(), point], &mut rollups);
    let state = |metric: &str| &rollups[&("cart".to_owned(), "on".to_owned(), metric.to_owned(), 0)];
    let histogram = state("duration").histogram.as_ref().expect("a histogram");
    assert_eq!((state("duration").n, histogram.count(), histogram.count_above_value(2.0)), (300, 300, 6));
    let moments = state("mean").moments.as_ref().expect("moments");
    assert_eq!((state("mean").n, moments.count(), moments.min(), moments.max()), (300, 300, Some(1.0), Some(10.0)));
    assert!((moments.mean().expect("values") - 1.18).abs() < 1e-12);
    // By hand: 294 values of 1 and 6 of 10 about 1.18.
    let exact = 294.0 * 0.18_f64.powi(2) + 6.0 * 8.82_f64.powi(2);
    assert!((moments.m2() / exact - 1.0).abs() < 0.03, "{}", moments.m2());
    let low = state("low").moments.as_ref().expect("moments");
    assert_eq!((low.count(), low.min(), low.max()), (300, Some(1.0), Some(5.0)));
    // By hand 1.08, within the width of a bin.
    assert!((low.mean().expect("values") / 1.08 - 1.0).abs() < 0.011, "{low:?}");
    // In a denominator a point is what it stands for, too.
    assert_eq!((state("by call").n, state("by call").events), (300, 0));
    let seconds = state("by second").moments.as_ref().and_then(|m| m.sum()).expect("seconds");
    assert!((seconds - 354.0).abs() < 1e-9, "{seconds}");
    // A proportion counts points.
    assert_eq!(state("share").n, 3);
}

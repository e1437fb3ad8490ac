//! Metrics of which all rows of an environment count, with or without flags.

use flagscope_core::telemetry::{Definition, Filter, Fold, Group, MetricKind, Plan, Row, Signal, Targets};
use serde_json::json;

struct Span(&'static str, Option<bool>);

impl Row for Span {
    fn signal(&self) -> Signal {
        Signal::Span
    }
    fn name(&self) -> &str {
        self.0
    }
    fn value(&self) -> Option<f64> {
        None
    }
    fn service(&self) -> Option<&str> {
        None
    }
    fn severity(&self) -> Option<i16> {
        None
    }
    fn is_error(&self) -> Option<bool> {
        self.1
    }
}

fn plan() -> Plan {
    let mut plan = Plan::default();
    plan.environment("production", "production");
    plan.environment("prod", "production");
    let filter = |json| Filter::parse(&json).unwrap();
    let event = Some(filter(json!({"is_error": true})));
    let of = Definition::new(MetricKind::Proportion, Signal::Span, filter(json!({"name": "pay"})));
    let errors = plan.metric("errors", Definition { event, ..of });
    plan.watch("new-checkout", "production", &["off".to_owned(), "on".to_owned()], errors);
    assert!(!plan.counts_untagged());
    plan.watch_environment("new-checkout", "production", errors);
    assert!(plan.counts_untagged());
    plan
}

/// Three payments, one of them with a flag: that counts for its variant, too. No row counts twice for the environment, and none
/// of another one for it.
#[test]
fn all_rows_of_an_environment_count_with_or_without_flags() {
    let plan = plan();
    let mut fold = Fold::new(&plan);
    let mut tagged = fold.targets("prod", Some("pod-1"), [("new-checkout", "on")].into_iter());
    fold.add_of_environment(&mut tagged, "prod");
    let mut untagged = Targets::default();
    fold.add_of_environment(&mut untagged, "production");
    let mut elsewhere = Targets::default();
    fold.add_of_environment(&mut elsewhere, "staging");
    assert!(elsewhere.is_empty());
    fold.row(&mut tagged, 5, &Span("pay", Some(true)));
    (0..2).for_each(|_| fold.row(&mut untagged, 6, &Span("pay", None)));
    fold.row(&mut untagged, 6, &Span("browse", Some(true)));
    let told = |g: &Group| (g.variant.clone(), g.instance.clone(), g.state.n, g.state.events);
    let counted: Vec<_> = fold.finish().iter().map(told).collect();
    assert_eq!(counted, [("on".to_owned(), Some("pod-1".to_owned()), 1, 1), (String::new(), None, 3, 1)]);
}

//! Every kind of metric, each with a planted country: what its events are, and that the country is the one answer.

#[path = "planted/random.rs"]
mod random;

use flagscope_core::correlate::answer::{answer, named};
use flagscope_core::correlate::gather::Gather;
use flagscope_core::correlate::latency::Values;
use flagscope_core::correlate::operation::Operations;
use flagscope_core::correlate::question::{Question, Seen, Uuid};
use flagscope_core::correlate::search::Search;
use flagscope_core::correlate::strata::Stages;
use flagscope_core::correlate::{Value, words};
use flagscope_core::telemetry::{Definition, Filter, MetricKind, Per, Row, Signal};
use random::Random;
use serde_json::json;

struct Sent {
    name: &'static str,
    user: String,
    variant: &'static str,
    country: &'static str,
    value: f64,
    is_bought: bool,
}

impl Row for Sent {
    fn signal(&self) -> Signal {
        Signal::Event
    }
    fn name(&self) -> &str {
        self.name
    }
    fn value(&self) -> Option<f64> {
        Some(self.value)
    }
    fn service(&self) -> Option<&str> {
        None
    }
    fn severity(&self) -> Option<i16> {
        None
    }
    fn is_error(&self) -> Option<bool> {
        Some(!self.is_bought)
    }
}

impl Seen for Sent {
    fn subject(&self) -> Option<&str> {
        Some(&self.user)
    }
    fn trace(&self) -> Option<Uuid> {
        None
    }
    fn each_attribute(&self, mut visit: impl FnMut(&str, Value<'_>)) {
        visit("country", Value::Text(self.country));
    }
}

/// Visits of 3,000 users in five countries, with a refund of some. Where `is_planted` the treatment is harmed in one country:
/// half of it buys instead of four fifths, ten times as many have a refund, and values are times 1.8.
fn sent(is_planted: bool) -> Vec<Sent> {
    let mut random = Random(16);
    let mut rows = Vec::new();
    for _ in 0..12_000 {
        let user = (3_000.0 * random.share()) as u64;
        let mut of_user = Random(user << 32);
        let variant = if of_user.share() < 0.5 { "on" } else { "off" };
        let country = ["DE", "FR", "US", "AT", "PL"][(5.0 * of_user.share()) as usize];
        let is_hurt = is_planted && variant == "on" && country == "DE";
        let [buys, refunds, times] = if is_hurt { [0.5, 0.2, 1.8] } else { [0.8, 0.02, 1.0] };
        let (is_bought, is_refund) = (random.share() < buys, random.share() < refunds);
        let value = -times * random.share().ln();
        let row = |name, value| Sent { name, user: format!("user-{user}"), variant, country, value, is_bought };
        rows.push(row("visit", value));
        if is_refund {
            rows.push(row("refund", 1.0));
        }
    }
    rows
}

fn filter(json: serde_json::Value) -> Filter {
    Filter::parse(&json).expect("a filter")
}

fn metric(kind: MetricKind) -> Definition {
    let (visits, refunds) = (filter(json!({"name": "visit"})), filter(json!({"name": "refund"})));
    let of_visits = Definition::new(kind, Signal::Event, visits.clone());
    match kind {
        MetricKind::Proportion => Definition { event: Some(filter(json!({"is_error": false}))), ..of_visits },
        MetricKind::Rate | MetricKind::Ratio => {
            let per = Some(Per { signal: None, filter: visits, sum_values: false });
            Definition { per, ..Definition::new(kind, Signal::Event, refunds) }
        }
        _ => of_visits,
    }
}

/// Rows and events, and the segments that are found.
fn ask(rows: &[Sent], kind: MetricKind, harm_is_less: bool) -> ([f64; 4], Vec<String>) {
    let [flag, treatment, control] = ["shop", "on", "off"].map(str::to_owned);
    let (metric, stages) = (metric(kind), Stages::default());
    let question = Question { flag, treatment, control, metric, harm_is_less, attributes: None, stages };
    let tags = |row: &Sent| question.tags([("shop", row.variant)].into_iter());
    let (mut gather, mut operations, mut values) = (Gather::new(64 << 20), Operations::default(), Values::default());
    rows.iter().for_each(|row| question.note_value(row, &tags(row), &mut operations, &mut values));
    let thresholds = question.is_of_values().then(|| values.thresholds(None).expect("thresholds"));
    for (at, row) in (0..).zip(rows) {
        if let Some(event) = question.is_event(row, thresholds.as_ref(), &mut operations) {
            question.gather(at, row, &tags(row), event, &mut gather);
        }
    }
    gather.finish();
    let found = answer(&mut gather, &Search::default()).found.explanations;
    let all = gather.all;
    (
        [all.n_t, all.e_t, all.n_c, all.e_c],
        found.iter().map(|e| words::segment(&named(&gather, &e.predicate))).collect(),
    )
}

fn counted(rows: &[Sent], is_row: impl Fn(&Sent) -> bool, is_event: impl Fn(&Sent) -> bool) -> [f64; 4] {
    let of = |variant: &str, is: &dyn Fn(&Sent) -> bool| {
        rows.iter().filter(|row| row.variant == variant && is_row(row) && is(row)).count() as f64
    };
    [of("on", &|_| true), of("on", &is_event), of("off", &|_| true), of("off", &is_event)]
}

const ASKED: [(MetricKind, bool); 6] = [
    (MetricKind::Proportion, true),
    (MetricKind::Rate, false),
    (MetricKind::Ratio, false),
    (MetricKind::Mean, false),
    (MetricKind::Mean, true),
    (MetricKind::Quantile, false),
];

/// Of a rate or ratio a row of the numerator is an event; of harm that is less its absence; of values what is beyond.
#[test]
fn the_planted_country_is_the_answer_of_every_kind() {
    let rows = sent(true);
    // Where less is harm values must fall.
    let fallen: Vec<Sent> = sent(true).into_iter().map(|row| Sent { value: -row.value, ..row }).collect();
    for (kind, harm_is_less) in ASKED {
        let is_fallen = kind == MetricKind::Mean && harm_is_less;
        let (counts, found) = ask(if is_fallen { &fallen } else { &rows }, kind, harm_is_less);
        assert_eq!(found, ["country = DE"], "{kind:?} {harm_is_less}");
        match kind {
            MetricKind::Proportion => {
                assert_eq!(counts, counted(&rows, |row| row.name == "visit", |row| !row.is_bought));
            }
            MetricKind::Rate | MetricKind::Ratio => {
                assert_eq!(counts, counted(&rows, |_| true, |row| row.name == "refund"));
            }
            _ => assert_eq!([counts[0], counts[2]], {
                let [n_t, _, n_c, _] = counted(&rows, |row| row.name == "visit", |_| true);
                [n_t, n_c]
            }),
        }
    }
}

#[test]
fn without_a_cause_there_is_no_answer() {
    let rows = sent(false);
    for (kind, harm_is_less) in ASKED {
        assert_eq!(ask(&rows, kind, harm_is_less).1, [""; 0], "{kind:?} {harm_is_less}");
    }
}

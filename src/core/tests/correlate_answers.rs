//! The whole way from rows to an answer, on made-up telemetry whose cause is known.

#[path = "planted/random.rs"]
mod random;

use flagscope_core::correlate::answer::{Answer, answer, named};
use flagscope_core::correlate::candidate::Predicate;
use flagscope_core::correlate::condition::Conditions;
use flagscope_core::correlate::gather::Gather;
use flagscope_core::correlate::operation::Operations;
use flagscope_core::correlate::patterns::Patterns;
use flagscope_core::correlate::question::{Question, Seen, Uuid};
use flagscope_core::correlate::search::Search;
use flagscope_core::correlate::strata::Stages;
use flagscope_core::correlate::{Value, mask, words};
use flagscope_core::sketch::Sketch;
use flagscope_core::telemetry::{Definition, Filter, MetricKind, Row, Scalar, Signal};
use random::Random;
use serde_json::json;

const MEMORY: usize = 64 << 20;

#[derive(Debug, Clone)]
struct Request {
    user: String,
    trace: Uuid,
    variant: &'static str,
    failed: bool,
    attributes: Vec<(String, Scalar)>,
}

impl Row for Request {
    fn signal(&self) -> Signal {
        Signal::Span
    }
    fn name(&self) -> &str {
        "pay"
    }
    fn value(&self) -> Option<f64> {
        None
    }
    fn service(&self) -> Option<&str> {
        Some("shop")
    }
    fn severity(&self) -> Option<i16> {
        None
    }
    fn is_error(&self) -> Option<bool> {
        Some(self.failed)
    }
}

impl Seen for Request {
    fn subject(&self) -> Option<&str> {
        Some(&self.user)
    }
    fn trace(&self) -> Option<Uuid> {
        Some(self.trace)
    }
    fn each_attribute(&self, mut visit: impl FnMut(&str, Value<'_>)) {
        self.attributes.iter().for_each(|(name, value)| visit(name, Value::of(value)));
    }
}

/// Requests of 3,000 users. The treatment fails in 30 % of requests of one country and version where `is_planted`, and
/// then says why; else both arms fail in 1 %.
fn requests(n: u64, seed: u64, is_planted: bool) -> Vec<Request> {
    let mut random = Random(seed);
    let text = |name: &str, value: String| (name.to_owned(), Scalar::Text(value));
    (0..n)
        .map(|_| {
            let user = random.below(3000);
            let mut of_user = Random(user);
            let treated = of_user.below(2) == 0;
            let country = ["DE", "FR", "US", "AT", "PL"][of_user.below(5) as usize];
            let version = ["2.3", "2.4", "2.5"][of_user.below(3) as usize];
            let harmed = is_planted && treated && country == "DE" && version == "2.4";
            let failed = random.share() < if harmed { 0.3 } else { 0.01 };
            let mut attributes = vec![
                text("country", country.into()),
                text("app_version", version.into()),
                text("request_id", format!("{:016x}", random.next())),
                text("route", format!("/orders/{}", random.below(100_000))),
                ("payload".to_owned(), Scalar::Number(random.below(10_000) as f64)),
            ];
            if failed {
                attributes.push(text("error.type", if harmed { "CardDeclined" } else { "Timeout" }.into()));
            }
            let trace = Uuid::from_u64_pair(random.next(), random.next());
            Request {
                user: format!("user-{user}"),
                trace,
                variant: if treated { "on" } else { "off" },
                failed,
                attributes,
            }
        })
        .collect()
}

fn question() -> Question {
    let event = Filter::parse(&json!({"is_error": true})).expect("a filter");
    let metric =
        Definition { event: Some(event), ..Definition::new(MetricKind::Proportion, Signal::Span, Filter::default()) };
    let [flag, treatment, control] = ["checkout", "on", "off"].map(str::to_owned);
    let stages = Stages::default();
    Question { flag, treatment, control, metric, harm_is_less: false, attributes: None, stages }
}

fn ask(requests: &[Request], memory: usize) -> (Gather, Answer) {
    let (question, mut gather) = (question(), Gather::new(memory));
    let mut operations = Operations::default();
    for (at, request) in requests.iter().enumerate() {
        let tags = question.tags([("checkout", request.variant)].into_iter());
        let event = question.is_event(request, None, &mut operations).expect("a row of the question");
        question.gather(at as i64, request, &tags, event, &mut gather);
    }
    gather.finish();
    let found = answer(&mut gather, &Search::default());
    (gather, found)
}

fn segments(gather: &Gather, answer: &Answer) -> Vec<String> {
    answer.found.explanations.iter().map(|e| words::segment(&named(gather, &e.predicate))).collect()
}

#[test]
fn a_planted_cause_is_the_one_finding() {
    let requests = requests(40_000, 1, true);
    let (gather, answer) = ask(&requests, MEMORY);
    assert_eq!(segments(&gather, &answer), ["country = DE and app_version = 2.4"]);
    let explanation = &answer.found.explanations[0];
    // What is found can be counted again from its JSON form.
    let json = words::predicate(&named(&gather, &explanation.predicate));
    assert_eq!(json, json!({"attributes": {"country": "DE", "app_version": "2.4"}}));
    let (conditions, question) = (Conditions::parse(&json).expect("a predicate"), question());
    let is_inside = |request: &&Request| {
        conditions.hold(|visit| question.each_value(*request, &Default::default(), |name, value| visit(name, value)))
    };
    let inside = requests.iter().filter(is_inside);
    let [treated, failed] = inside.fold([0.0, 0.0], |[n, e], r| {
        let treated = f64::from(u8::from(r.variant == "on"));
        [n + treated, e + treated * f64::from(u8::from(r.failed))]
    });
    assert_eq!([explanation.counts.n_t, explanation.counts.e_t], [treated, failed]);
    // Examples are requests of it that failed, each of another user; and the symptom is named.
    let shown = &answer.shown[0];
    assert!(shown.examples.len() == 3 && shown.subjects > Some(50) && !shown.is_one_subject, "{shown:?}");
    for example in &shown.examples {
        let request = requests.iter().find(|r| Some(r.trace) == example.trace).expect("a request");
        assert!(request.failed && request.variant == "on" && is_inside(&request));
    }
    let sign = &answer.signs[0];
    assert_eq!(words::segment(&named(&gather, &Predicate(vec![sign.value]))), "error.type = CardDeclined");
    assert_eq!(sign.symptom.e_c, 0.0);
}

#[test]
fn neither_order_nor_memory_changes_what_is_found() {
    let mut requests = requests(40_000, 2, true);
    let found = |requests: &[Request], memory| {
        let (gather, answer) = ask(requests, memory);
        segments(&gather, &answer)
    };
    let whole = found(&requests, MEMORY);
    assert_eq!(whole.len(), 1, "{whole:?}");
    requests.reverse();
    assert_eq!(found(&requests, MEMORY), whole);
    // A fraction of the rows fits into this.
    let small = 2 << 20;
    assert!(ask(&requests, small).0.store.is_sampled());
    assert_eq!(found(&requests, small), whole);
}

/// A client of the control that fails in series says little of a country in which it has no request: by the dispersion of
/// the whole control (some 40) there would be no evidence.
#[test]
fn one_client_that_fails_elsewhere_does_not_hide_a_harm() {
    let (mut requests, mut random) = (requests(20_000, 3, false), Random(4));
    let country = |r: &Request, name: &str| r.attributes.iter().any(|(_, v)| *v == Scalar::Text(name.to_owned()));
    for request in requests.iter_mut().filter(|r| r.variant == "on" && country(r, "AT")) {
        request.failed |= random.share() < 0.15;
    }
    let client = requests.iter().find(|r| r.variant == "off" && country(r, "FR")).cloned().expect("a request");
    requests.extend((0..600).map(|i| Request { failed: i % 6 == 0, trace: Uuid::from_u128(i), ..client.clone() }));
    let (gather, answer) = ask(&requests, MEMORY);
    assert!(answer.found.control_dispersion > 30.0, "{}", answer.found.control_dispersion);
    assert_eq!(segments(&gather, &answer), ["country = AT"]);
    // Nor is it evidence of the client itself, or of its country, as a harm of the treatment.
    for request in requests.iter_mut() {
        request.variant = if request.variant == "on" { "off" } else { "on" };
    }
    let (gather, answer) = ask(&requests, MEMORY);
    let found = segments(&gather, &answer);
    assert!(found.is_empty(), "{found:?}");
}

/// 40 harmless sets: at most 5 % and three standard errors of them, 6, may have any explanation.
#[test]
fn harmless_data_is_not_explained() {
    let explained = (0..40).filter(|seed| {
        let (_, answer) = ask(&requests(4_000, 1000 + seed, false), MEMORY);
        !answer.found.explanations.is_empty()
    });
    let n = explained.count();
    assert!(n <= 6, "{n} of 40");
}

#[test]
fn parts_of_log_lines_add_up_to_the_whole() {
    let mut random = Random(7);
    let lines: Vec<String> = (0..3000)
        .map(|i| match random.below(4) {
            0 => format!("cache miss for key cart:{i}"),
            1 => format!("user u{} logged in", ["a", "b", "c"][random.below(3) as usize]),
            2 => format!("request {:08x}-0000-4000-8000-000000000000 took {i}ms", i),
            _ => "gc pause".to_owned(),
        })
        .collect();
    let fold = |lines: &[String], first: usize| {
        let mut state = Patterns::default();
        for (at, line) in lines.iter().enumerate() {
            let at_time = (first + at) as i64;
            state.add(&mask::template(line), line, at % 2 == 0, (at_time, at_time));
        }
        state
    };
    let whole = fold(&lines, 0);
    let mut parts = fold(&lines[1000..2000], 1000);
    parts.merge(&fold(&lines[2000..], 2000)).expect("a sum");
    parts.merge(&fold(&lines[..1000], 0)).expect("a sum");
    assert_eq!(parts, whole);
    assert_eq!(Patterns::from_parts(whole.entries().map(|(t, e)| (t.to_owned(), e.clone())), 0), whole);
    assert_eq!(whole.templates().iter().map(|t| t.entry.total()).sum::<u64>(), 3000);
}

/// However many different lines come, a state keeps 2,500 at most, and tells how many it forgot.
#[test]
fn a_state_of_log_lines_is_bounded() {
    let mut random = Random(9);
    let mut state = Patterns::default();
    let n = 20_000;
    for at in 0..n {
        let word: String = (0..12).map(|_| char::from(b'g' + (random.below(20)) as u8)).collect();
        state.add(&mask::template(&word), &word, false, (at, at));
    }
    assert!(state.entries().count() <= 2_500);
    let kept: u64 = state.entries().map(|(_, entry)| entry.total()).sum();
    assert_eq!(kept + state.lost(), n as u64);
}

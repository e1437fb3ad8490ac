//! Harmless traces and log lines: how often spans and templates are named where both arms are alike. The bound is alpha and
//! three standard errors.

#[path = "planted/random.rs"]
mod random;

use flagscope_core::correlate::compare::{Comparison, Why};
use flagscope_core::correlate::counts::Counts;
use flagscope_core::correlate::lines::{Line, Lines};
use flagscope_core::correlate::question::Uuid;
use flagscope_core::correlate::spans::{Root, Sent, Spans, TRACES};
use flagscope_core::correlate::store::{Row, Store};
use flagscope_core::correlate::strata::Weights;
use random::Random;

const ALPHA: f64 = 0.05;
const SETS: u64 = 100;
/// 5 % of 100 and three standard errors.
const MOST: usize = 11;

/// Requests of 150 users, some of whom are always slow: three operations below each, one of them called up to four times, one
/// that fails now and then. `slower`: what the treatment adds to the second.
fn traces(seed: u64, slower: f64) -> Spans {
    let (mut random, mut spans) = (Random(seed * 1000), Spans::default());
    for request in 0..600_u64 {
        let user = random.below(150);
        let mut of_user = Random(user + seed * 7919);
        let treated = of_user.below(2) == 0;
        let pace = (-of_user.share().ln()).max(0.1);
        let trace = Uuid::from_u64_pair(seed, request);
        let base = request as i64 * 1_000_000_000;
        let mut at = base + 1_000_000;
        let mut id = 1;
        let mut child = |spans: &mut Spans, operation: u32, seconds: f64, is_error: bool| {
            id += 1;
            let span = Sent { id, parent: 1, operation, start: at, seconds, is_error };
            spans.add(trace, Some(treated), span);
            at += (seconds * 1e9) as i64 + 1_000;
        };
        for _ in 0..=random.below(4) {
            child(&mut spans, 2, 0.002 * pace - 0.002 * random.share().ln(), false);
        }
        child(&mut spans, 3, 0.01 * pace + if treated { slower } else { 0.0 }, false);
        child(&mut spans, 4, 0.005, random.share() < 0.03 * pace);
        let seconds = (at - base) as f64 / 1e9;
        spans.add(trace, None, Sent { id: 1, parent: 0, operation: 1, start: base, seconds, is_error: false });
        spans.add_root(Root { trace, treated, stratum: 0, span: 1, unit: Random(user).next(), at: base });
    }
    spans
}

/// Is an operation named, by its seconds or its failures; which is named first by seconds.
fn named(mut spans: Spans) -> (bool, Option<usize>) {
    let (traces, too_large) = spans.traces(|| {});
    assert!(traces.len() == 600 && too_large == 0 && !spans.is_sampled());
    let comparison = Comparison::new(&traces).expect("both arms");
    let operations = comparison.operations().expect("numbers");
    // Seconds of the operations add up to the requests'.
    let [c, t] = comparison.seconds();
    let delta: f64 = operations.iter().map(|o| o.delta).sum();
    assert!((delta - (t - c)).abs() < 1e-9, "{delta} {}", t - c);
    let slow = operations.iter().find(|o| o.why != Why::NotWorse && o.p_value.is_some_and(|p| p <= ALPHA));
    let fails = comparison.failures().iter().any(|f| f.judged.excess > 0.0 && f.judged.ln_p_adjusted <= ALPHA.ln());
    (slow.is_some() || fails, slow.map(|o| o.operation))
}

#[test]
fn harmless_traces_are_not_explained() {
    // Two families, each at 5 %.
    let n = (0..SETS).filter(|seed| named(traces(1 + seed, 0.0)).0).count();
    assert!(n <= 2 * MOST, "{n} of {SETS}");
}

#[test]
fn a_slow_operation_is_named() {
    let right = (0..20).filter(|seed| named(traces(500 + seed, 0.02)).1 == Some(3)).count();
    assert!(right >= 19, "{right} of 20");
}

#[test]
fn traces_that_are_too_many_go_whole() {
    let mut spans = Spans::default();
    for request in 0..3 * TRACES as u64 {
        let trace = Uuid::from_u64_pair(7, request);
        for id in 1..=3 {
            let span = Sent { id, parent: id - 1, operation: id as u32, start: 0, seconds: 1.0, is_error: false };
            spans.add(trace, (id > 1).then_some(true), span);
        }
        spans.add_root(Root { trace, treated: true, stratum: 0, span: 1, unit: request, at: 0 });
    }
    let (traces, _) = spans.traces(|| {});
    assert!(spans.is_sampled() && traces.len() <= TRACES && traces.len() > TRACES / 4, "{}", traces.len());
    assert!(traces.iter().all(|t| t.path.work.len() == 3 && (t.seconds - 1.0).abs() < 1e-12));
}

/// Lines of 40 templates in bursts of users, alike in both arms.
#[test]
fn harmless_log_lines_are_not_explained() {
    let found = (0..SETS).filter(|seed| {
        let mut random = Random(9000 + seed);
        let (mut store, mut lines, mut requests) = (Store::new(0, 200_000), Lines::default(), Counts::default());
        for _ in 0..3_000 {
            let user = random.below(400);
            let treated = Random(user + seed * 31).below(5) == 0;
            let unit = Random(user).next();
            store.push(Row { subject: unit, treated, event: false, stratum: 0, witness: 0 }, &[]);
            requests.add(treated, false, 1.0);
            if random.share() < 0.05 {
                let body = format!("template {}", char::from(b'a' + random.below(20) as u8));
                // Retries: the same line again and again.
                for at in 0..=random.below(6) {
                    lines.add(Line {
                        body: &body,
                        treated,
                        stratum: 0,
                        unit,
                        is_named: true,
                        at: at as i64,
                        severity: Some(17),
                        trace: None,
                    });
                }
            }
        }
        store.sort();
        let told = lines.judge(&requests, &store, &Weights::default());
        told.iter().any(|t| t.judged.excess > 0.0 && t.judged.ln_p_adjusted <= ALPHA.ln())
    });
    let n = found.count();
    assert!(n <= MOST, "{n} of {SETS}");
}

//! The judge of a guardrail, tick by tick: pairing, evidence, verdicts, failures; and what must hold for any data.

use std::sync::LazyLock;

use flagscope_core::guardrail::{
    Arrived, Before, Comparison, DataState, Evaluation, Rule, Sighting, Stage, Status, Stepped, Stratum, Test, Whose,
    first_share, half, left_at_start, spread, step, try_step,
};
use flagscope_core::kind::{MetricKind, State};
use flagscope_core::sketch::{Histogram, Moments};
use flagscope_core::stats::margin::Margin;
use flagscope_core::stats::tilt::Harm;
use proptest::prelude::*;

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;

static RULE: LazyLock<Rule> = LazyLock::new(|| Rule {
    name: "errors".into(),
    metric: "errors".into(),
    kind: MetricKind::Proportion,
    unit: String::new(),
    harm: Harm::Increase,
    cap: None,
    is_polled: false,
    by_unit: None,
    test: Test::Sequential,
    comparison: Comparison::Control,
    quantile: None,
    design_effect: 1.0,
    safe_margin: 0.2,
    safe_alpha: 0.01,
    breaches: 1,
    of_looks: 1,
    min_sample: 100,
    window: MINUTE,
    pairing: MINUTE,
    copy_after: 15 * MINUTE,
    grace: MINUTE,
    stale_after: 2 * MINUTE,
    retry_after: 10 * SECOND,
    acts: true,
    control: "off".into(),
    whose: Whose::default(),
});

const STAGE: Stage = Stage { started_at: 0, min_sample: 0, is_alone: false, share: 0.5 };

fn begun() -> Status {
    Status { alpha: 0.01, margin: Some(Margin::Relative(0.1)), ..Status::default() }
}

fn limited(limit: f64) -> Status {
    Status { limit: Some(limit), ..Status { alpha: 0.01, ..Status::default() } }
}

fn counts(n: u64, events: u64, at: i64) -> Option<Stratum> {
    Some(Stratum { state: State { n, events, last_ts: at, ..State::default() }, stage_n: n })
}

fn came(treatment: Option<Stratum>, control: Option<Stratum>) -> Arrived {
    Arrived { treatment, control, ..Arrived::default() }
}

fn nothing() -> Arrived {
    Arrived::default()
}

fn n_of(stratum: &Option<Stratum>) -> Option<u64> {
    stratum.as_ref().map(|stratum| stratum.state.n)
}

#[test]
fn an_outage_is_a_breach_in_the_first_stratum() {
    let stepped = step(&RULE, &begun(), &came(counts(50, 50, 1), counts(500, 2, 1)), &STAGE, SECOND);
    assert_eq!(stepped.status.state, DataState::Breached);
    assert!(stepped.status.reason.starts_with("errors: 100 % with the treatment, 0.4 % with the control"));
    assert_eq!((stepped.status.last_stratum, stepped.status.breached_at), (1, Some(SECOND)));
    let evaluation = stepped.evaluation.unwrap();
    assert_eq!((evaluation.n, evaluation.events), ([50, 500], [vec![50], vec![2]]));
    assert_eq!(stepped.status.log_e, stepped.status.max_log_e);
    // Latched: a quiet hour later it is still breached, and not stale.
    let later = step(&RULE, &stepped.status, &nothing(), &STAGE, 3600 * SECOND);
    assert_eq!((later.status.state, later.status.breached_at), (DataState::Breached, Some(SECOND)));
    assert!(!later.is_changed && later.evaluation.is_none());
}

#[test]
fn an_arm_alone_is_evidence_only_where_no_control_is_left() {
    // Against the control data comes in pairs (`strata`); where none is left there is nothing to wait for.
    let stage = Stage { is_alone: true, ..STAGE };
    let last = step(&RULE, &begun(), &came(counts(60, 0, 1), None), &stage, SECOND);
    assert_eq!((last.status.n_treatment, last.status.stage_treatment), (60, 60));
    // It adds nothing to evidence against a control.
    assert_eq!(last.evaluation.map(|e| e.increment), Some(vec![0.0; 8]));
}

#[test]
fn a_rate_and_its_exposure_are_gathered_before_they_are_compared_with_a_limit() {
    let rule = Rule { kind: MetricKind::Rate, comparison: Comparison::Absolute, ..RULE.clone() };
    let events = step(&rule, &limited(0.1), &came(counts(0, 40, 1), None), &STAGE, SECOND);
    assert_eq!((n_of(&events.status.waiting.treatment), events.status.state), (Some(0), DataState::NotEnough));
    let exposure = step(&rule, &events.status, &came(counts(900, 0, 2), None), &STAGE, 10 * SECOND);
    assert_eq!((n_of(&exposure.status.waiting.treatment), exposure.status.n_treatment), (Some(900), 0));
    assert_eq!(exposure.status.last_data_at, Some(10 * SECOND));
    let weighed = step(&rule, &exposure.status, &came(counts(100, 0, 3), None), &STAGE, 61 * SECOND);
    assert_eq!(weighed.evaluation.map(|e| (e.n, e.events)), Some(([1000, 0], [vec![40], vec![]])));
    assert_eq!(weighed.status.state, DataState::Ok);
}

/// A status whose stored evidence is damaged.
fn damaged() -> Status {
    Status { evidence: vec![1.0], ..begun() }
}

#[test]
fn what_fails_keeps_its_data_and_is_tried_later_and_later() {
    let first = step(&RULE, &damaged(), &came(counts(10, 1, 1), counts(90, 1, 1)), &STAGE, SECOND);
    assert_eq!((first.status.state, first.status.failures), (DataState::Error, 1));
    assert_eq!(
        first.status.reason,
        "cannot be judged: stored evidence is damaged: 1 values, wanted 9; its data waits, and it is tried again"
    );
    assert_eq!((first.status.retry_at, first.evaluation.is_none()), (Some(11 * SECOND), true));
    let second = step(&RULE, &first.status, &came(counts(5, 0, 2), None), &STAGE, 2 * SECOND);
    assert_eq!((second.status.failures, second.status.state_since), (2, Some(SECOND)));
    assert_eq!(second.status.retry_at, Some(22 * SECOND));
    assert_eq!((n_of(&second.status.waiting.treatment), n_of(&second.status.waiting.control)), (Some(15), Some(90)));
    assert_eq!(second.status.waiting.since, Some(SECOND));
    // Mended, all of it is one stratum.
    let mended = Status { evidence: Vec::new(), ..second.status };
    let well = step(&RULE, &mended, &came(counts(5, 0, 3), counts(10, 0, 3)), &STAGE, 22 * SECOND);
    assert_eq!(well.evaluation.map(|e| (e.n, e.events)), Some(([20, 100], [vec![1], vec![1]])));
    assert_eq!((well.status.failures, well.status.retry_at, well.status.state), (0, None, DataState::NotEnough));
}

#[test]
fn what_cannot_be_loaded_keeps_its_data_each_time() {
    let mut status = begun();
    for (times, at) in [(1, SECOND), (2, 2 * SECOND), (3, 3 * SECOND)] {
        let lost =
            Arrived { unloaded: Some("a rollup is damaged".into()), ..came(counts(10, 1, at), counts(90, 1, at)) };
        status = step(&RULE, &status, &lost, &STAGE, at).status;
        assert_eq!(
            (status.state, status.failures, status.reason.as_str()),
            (DataState::Error, times, "cannot be judged: a rollup is damaged; its data waits, and it is tried again")
        );
        assert_eq!(n_of(&status.waiting.treatment), Some(10 * times as u64));
    }
    let well = step(&RULE, &status, &nothing(), &STAGE, 40 * SECOND);
    assert_eq!(well.evaluation.map(|e| e.n), Some([30, 270]));
}

#[test]
fn what_is_breached_stays_so_when_its_metric_cannot_be_counted() {
    let breached = step(&RULE, &begun(), &came(counts(50, 50, 1), counts(500, 2, 1)), &STAGE, SECOND).status;
    let lost = Arrived { problem: Some("the query failed".into()), ..nothing() };
    assert_eq!(step(&RULE, &breached, &lost, &STAGE, 2 * SECOND).status.state, DataState::Breached);
    let quiet = step(&RULE, &begun(), &lost, &STAGE, 2 * SECOND).status;
    assert_eq!(
        (quiet.state, quiet.reason.as_str()),
        (DataState::Error, "cannot be judged: the query failed; its data waits, and it is tried again")
    );
}

#[test]
fn a_copy_begins_with_a_stage_and_after_a_while() {
    let data = |at| came(counts(100, 1, at), counts(900, 9, at));
    let first = step(&RULE, &begun(), &data(1), &STAGE, SECOND);
    assert!(!first.evaluation.unwrap().begins_copy);
    let again = step(&RULE, &first.status, &data(2), &STAGE, 2 * SECOND);
    assert!(!again.evaluation.unwrap().begins_copy);
    let next = Stage { started_at: 3 * SECOND, ..STAGE };
    assert!(step(&RULE, &again.status, &data(3), &next, 4 * SECOND).evaluation.unwrap().begins_copy);
    let later = step(&RULE, &again.status, &data(3), &STAGE, SECOND + 15 * MINUTE);
    assert!(later.evaluation.unwrap().begins_copy);
    assert_eq!((later.status.evidence[0], later.status.copied_at), (1.0, Some(SECOND + 15 * MINUTE)));
}

fn threshold(breaches: usize, of_looks: usize) -> Rule {
    Rule {
        kind: MetricKind::Mean,
        test: Test::Threshold,
        comparison: Comparison::Absolute,
        min_sample: 1,
        breaches,
        of_looks,
        ..RULE.clone()
    }
}

fn look(rule: &Rule, status: &Status, value: f64, at: i64) -> Status {
    let came = Arrived { value: Some(value), ..came(counts(10, 0, at), None) };
    step(rule, status, &came, &STAGE, at).status
}

#[test]
fn two_of_three_looks_make_a_breach() {
    let (rule, status) = (threshold(2, 3), limited(5.0));
    let one = look(&rule, &status, 9.0, MINUTE);
    assert_eq!(
        (one.state, one.reason.as_str()),
        (
            DataState::Inconclusive,
            "1 of 1 looks beyond the limit, 2 make a breach; now errors: 9 with the treatment, above the limit of 5"
        )
    );
    // Within the same window it is the same look.
    let same = look(&rule, &one, 4.0, MINUTE + SECOND);
    assert_eq!((same.state, same.looks.as_slice()), (DataState::Ok, [false].as_slice()));
    let two = look(&rule, &look(&rule, &one, 4.0, 2 * MINUTE), 8.0, 3 * MINUTE);
    assert_eq!((two.state, two.looks.as_slice()), (DataState::Breached, [true, false, true].as_slice()));
    let still = look(&rule, &two, 4.0, 3 * MINUTE + SECOND);
    assert_eq!(still.state, DataState::Inconclusive);
    assert_eq!(still.breached_at, None);
    let fourth = look(&rule, &two, 4.0, 4 * MINUTE);
    assert_eq!(fourth.looks, [false, true, false]);
    // No data is no look.
    let blind = step(&rule, &two, &came(None, None), &STAGE, 9 * MINUTE).status;
    assert_eq!((blind.looks.len(), blind.looked_at), (3, Some(3 * MINUTE)));
}

#[test]
fn a_baseline_that_varied_has_a_wider_limit() {
    let rule = Rule { comparison: Comparison::Baseline, ..RULE.clone() };
    let parts = |events: [u64; 8]| events.map(|events| State { n: 1000, events, ..State::default() });
    let limit = |events: [u64; 8]| {
        let spread = spread(MetricKind::Proportion, None, &parts(events));
        let baseline = Some(State { n: 8000, events: events.iter().sum(), ..State::default() });
        let came = Arrived { baseline, baseline_spread: spread, ..came(counts(100, 1, 1), None) };
        (spread, step(&rule, &begun(), &came, &STAGE, SECOND).status.limit.unwrap())
    };
    // What sampling explains is no spread: the limit is Wilson's upper end, and 10 % more of its odds.
    let (still, narrow) = limit([20, 17, 24, 18, 22, 21, 16, 23]);
    assert_eq!(still, 0.0);
    // From 1 to 3 % in eight steps: statsmodels 0.15, combine_effects(log odds, variances, method_re="dl").tau2 is 0.06358816.
    let (grown, wide) = limit([10, 13, 16, 19, 21, 24, 27, 30]);
    assert!((grown * grown - 0.063_588_16).abs() < 1e-8, "{}", grown * grown);
    // So a baseline that goes on to grow for a third of the time more is not beyond it.
    assert!(narrow < 0.03 && wide > 0.037, "{narrow} {wide}");
    // Too few parts tell nothing.
    assert_eq!(spread(MetricKind::Proportion, None, &parts([10, 30, 10, 30, 0, 0, 0, 0])[..3]), 0.0);
}

#[test]
fn a_baseline_is_taken_once_when_there_is_enough_of_it() {
    let rule = Rule { comparison: Comparison::Baseline, min_sample: 50, ..RULE.clone() };
    let before = |n, events| Some(State { n, events, ..State::default() });
    let data = || came(counts(100, 1, 1), None);
    let short = step(&rule, &begun(), &Arrived { baseline: before(49, 1), ..data() }, &STAGE, SECOND).status;
    assert_eq!((short.limit, short.state), (None, DataState::NotEnough));
    assert_eq!(short.reason, "variant \"off\" has too short a past to be a baseline: it takes 50 data points");
    let known = step(&rule, &short, &Arrived { baseline: before(10_000, 100), ..data() }, &STAGE, 2 * SECOND).status;
    // Wilson's upper end of 1 % of 10,000 at z = 3.09 is 1.3608 % (statsmodels 0.14, proportion_confint, alpha 0.002),
    // and 10 % more of its odds 1.4948 %.
    assert!((known.limit.unwrap() - 0.014_948).abs() < 5e-5, "{:?}", known.limit);
    let later =
        step(&rule, &known, &Arrived { baseline: before(10_000, 5_000), ..data() }, &STAGE, 3 * SECOND).status;
    assert_eq!(later.limit, known.limit);
}

#[test]
fn an_anomaly_is_a_breach_as_long_as_it_lasts() {
    let rule = Rule { test: Test::Anomaly, comparison: Comparison::Baseline, window: 10 * MINUTE, ..threshold(1, 1) };
    let status = Status { alarm_score: Some(3.0), ..Status { alpha: 0.01, ..Status::default() } };
    let sighting = |score| Sighting {
        point: 20 * MINUTE,
        line: 3.0,
        value: Some(0.5),
        usual: Some(0.1),
        score,
        alone: false,
        counted_since: i64::MIN,
        has_begun: true,
        in_stage: true,
        days: Some(9.0),
        minutes: 10.0,
    };
    let seen = |score| Arrived { sighting: Some(sighting(score)), ..came(counts(50, 0, 1), None) };
    let at = 31 * MINUTE;
    let own = step(&rule, &status, &seen(Some(4.0)), &STAGE, at).status;
    assert_eq!((own.state, own.point, own.value), (DataState::Breached, Some(20 * MINUTE), Some(4.0)));
    let fading = step(&rule, &own, &seen(Some(2.0)), &STAGE, at + SECOND).status;
    assert_eq!((fading.state, fading.breached_at), (DataState::Inconclusive, None));
    let unknown = step(&rule, &own, &seen(None), &STAGE, at + SECOND).status;
    assert_eq!(unknown.state, DataState::NotEnough);
    // Of 9 days of ten minutes no p is below 0.5 / 1297: one point is 1/4 p^-0.5 + 1/20 p^-0.8 + 1/2 = 40, two are 40 * 41
    // = 1,640; the line is 1,000. So one point is no health, and says when there will be another.
    let quiet = |counted_since| {
        let first = Sighting { counted_since, alone: true, ..sighting(Some(-0.3)) };
        let found =
            step(&rule, &status, &Arrived { sighting: Some(first), ..came(counts(50, 0, 1), None) }, &STAGE, at);
        (found.status.state, found.status.reason)
    };
    let (state, reason) = quiet(15 * MINUTE);
    assert_eq!(state, DataState::Inconclusive);
    let why = "Too early to say: its evidence began anew at 00:15 UTC, when the last of the control was gone, and harm takes 2 \
               points of 10 minutes to be seen at the least; there is 1, the rest comes in 10 minutes";
    assert!(reason.ends_with(why), "{reason}");
    assert_eq!(quiet(10 * MINUTE).0, DataState::Ok);
    // A new point alone is stored, though the verdict is the same.
    let next = Arrived { sighting: Some(Sighting { point: 30 * MINUTE, ..sighting(Some(4.0)) }), ..nothing() };
    let moved = step(&rule, &own, &next, &STAGE, at + SECOND);
    assert_eq!((moved.is_changed, moved.evaluation, moved.status.point), (true, None, Some(30 * MINUTE)));
}

/// Data points and events of treatment and control, and seconds since the tick before.
type Tick = (Option<(u64, u64)>, Option<(u64, u64)>, i64);

/// A tick of random data: each arm may be missing.
fn arm() -> impl Strategy<Value = Option<(u64, u64)>> {
    prop_oneof![1 => Just(None), 4 => (1_u64..400).prop_flat_map(|n| (Just(n), 0..=n)).prop_map(Some)]
}

fn ticks() -> impl Strategy<Value = Vec<Tick>> {
    prop::collection::vec((arm(), arm(), 1_i64..200), 1..30)
}

/// What a metric of each kind makes of some rows and events.
fn stratum(kind: MetricKind, (n, events): (u64, u64), at: i64) -> Stratum {
    let value = |i: u64| 0.05 + (i * 37 % 101) as f64 / 100.0 + if i < events { 1.0 } else { 0.0 };
    let mut state = State { n, events, last_ts: at, ..State::default() };
    if kind == MetricKind::Mean {
        let mut moments = Moments::default();
        (0..n).for_each(|i| moments.push(value(i)));
        state = State { events: 0, moments: Some(moments), ..state };
    } else if kind == MetricKind::Quantile {
        let mut histogram = Histogram::default();
        (0..n).for_each(|i| histogram.push(value(i)));
        state = State { events: 0, histogram: Some(histogram), ..state };
    }
    Stratum { state, stage_n: n }
}

fn rules() -> impl Strategy<Value = (Rule, Status)> {
    let kinds =
        prop::sample::select(vec![MetricKind::Proportion, MetricKind::Mean, MetricKind::Quantile, MetricKind::Rate]);
    let harms = prop::sample::select(vec![Harm::Increase, Harm::Decrease]);
    let margins = prop::sample::select(vec![Margin::Relative(0.1), Margin::Absolute(0.02)]);
    (kinds, harms, margins, any::<bool>()).prop_map(|(kind, harm, margin, is_limit)| {
        let is_limit = is_limit && kind != MetricKind::Mean;
        let rule = Rule {
            kind,
            harm,
            cap: Some(3.0),
            comparison: if is_limit { Comparison::Absolute } else { Comparison::Control },
            quantile: is_limit.then_some(0.9),
            ..RULE.clone()
        };
        (rule, if is_limit { limited(0.3) } else { Status { margin: Some(margin), ..begun() } })
    })
}

/// Steps a rule through ticks, as they come.
fn play(rule: &Rule, mut status: Status, ticks: &[Tick]) -> Vec<(i64, Stepped)> {
    let (mut at, mut past, mut all) = (0, State::default(), Vec::new());
    for (t, c, seconds) in ticks {
        at += seconds * SECOND;
        let [treatment, control] = [t, c].map(|arm| arm.map(|counts| stratum(rule.kind, counts, at)));
        if let Some(control) = &control {
            past.merge(&control.state).unwrap();
        }
        let came = Arrived { reference: Some(past.clone()), ..came(treatment, control) };
        let stepped = step(rule, &status, &came, &STAGE, at);
        status = stepped.status.clone();
        all.push((at, stepped));
    }
    all
}

/// The stored evaluation, as what a replay takes.
fn stored(rule: &Rule, e: &Evaluation) -> Arrived {
    let arm = |i: usize| {
        let state =
            State { n: e.n[i], moments: e.moments[i].clone(), last_ts: e.watermark.unwrap_or(0), ..State::default() };
        Some(Stratum { state, stage_n: e.n[i] })
    };
    let before = Before {
        events: e.events.clone(),
        centre: e.memory.centre,
        begins_copy: Some(e.begins_copy),
        safe_increment: Some(e.safe_increment.clone()),
    };
    Arrived { before: Some(before), ..came(arm(0), arm(1).filter(|_| rule.is_of_control())) }
}

proptest! {
    /// Stored strata are enough: a replay gives the evidence, its e-value and what was said of it.
    #[test]
    fn replaying_stored_strata_gives_the_stored_evidence((rule, begun) in rules(), ticks in ticks()) {
        let mut replayed = begun.clone();
        for (at, stepped) in play(&rule, begun, &ticks) {
            prop_assert!(stepped.status.state != DataState::Error, "{}", stepped.status.reason);
            let Some(evaluation) = &stepped.evaluation else { continue };
            replayed = try_step(&rule, &replayed, &stored(&rule, evaluation), &STAGE, at).unwrap().status;
            prop_assert_eq!(&replayed.evidence, &stepped.status.evidence);
            prop_assert_eq!(replayed.log_e, stepped.status.log_e);
            prop_assert_eq!(replayed.max_log_e, stepped.status.max_log_e);
            prop_assert_eq!(&replayed.events_treatment, &stepped.status.events_treatment);
            let (breached, again) = (stepped.status.state == DataState::Breached, replayed.state == DataState::Breached);
            prop_assert_eq!(breached, again);
            if breached {
                prop_assert_eq!(&replayed.reason, &stepped.status.reason);
            }
        }
    }

    /// Whatever other guardrails see, and whether they fail, is none of this one's business.
    #[test]
    fn a_guardrails_state_depends_on_its_own_data_alone(
        (rule, begun) in rules(), ticks in ticks(), (other, other_begun) in rules(), others in ticks(),
    ) {
        let alone = play(&rule, begun.clone(), &ticks);
        let (mut status, mut beside, mut past, mut at) = (begun, other_begun, State::default(), 0);
        for (i, (t, c, seconds)) in ticks.iter().enumerate() {
            at += seconds * SECOND;
            let (o_t, o_c, _) = &others[i % others.len()];
            let theirs = [o_t, o_c].map(|arm| arm.map(|counts| stratum(other.kind, counts, at)));
            let [o_t, o_c] = theirs;
            beside = step(&other, &beside, &came(o_t, o_c), &STAGE, at).status;
            let [t, c] = [t, c].map(|arm| arm.map(|counts| stratum(rule.kind, counts, at)));
            if let Some(control) = &c {
                past.merge(&control.state).unwrap();
            }
            let stepped = step(&rule, &status, &Arrived { reference: Some(past.clone()), ..came(t, c) }, &STAGE, at);
            prop_assert_eq!(format!("{:?}", &stepped.status), format!("{:?}", &alone[i].1.status));
            status = stepped.status;
        }
    }

    /// No data point is lost on its way: it is weighed, it waits, or it was given up after the time of pairing.
    #[test]
    fn data_of_a_rule_that_fails_is_weighed_once_it_is_mended(ticks in ticks()) {
        let (mut status, mut at, mut sent) = (damaged(), 0, [0, 0]);
        for (t, c, seconds) in &ticks {
            at += seconds * SECOND;
            let [treatment, control] = [t, c].map(|arm| arm.map(|counts| stratum(RULE.kind, counts, at)));
            sent[0] += t.map_or(0, |(n, _)| n);
            sent[1] += c.map_or(0, |(n, _)| n);
            let lost = Arrived { unloaded: Some("lost".into()), ..came(treatment, control) };
            status = step(&RULE, &status, &lost, &STAGE, at).status;
        }
        status.evidence.clear();
        let last = came(counts(1, 0, at), counts(1, 0, at));
        let well = step(&RULE, &status, &last, &STAGE, at + SECOND);
        prop_assert_eq!(well.evaluation.unwrap().n, [sent[0] + 1, sent[1] + 1]);
    }

    /// However guardrails are added, changed and begun anew, their shares add up to the budget at most.
    #[test]
    fn alpha_handed_out_never_exceeds_the_budget(
        alpha in 1e-6_f64..0.5, reserve in 0.0_f64..1.0, weights in prop::collection::vec(1e-3_f64..1e3, 0..20), later in 0_usize..200,
    ) {
        let all: f64 = weights.iter().sum();
        let mut spent: f64 = weights.iter().map(|weight| first_share(alpha, reserve, *weight, all)).sum();
        let mut left = left_at_start(alpha, reserve, !weights.is_empty());
        for _ in 0..later {
            left = half(left);
            spent += left;
            prop_assert!(spent + left <= alpha * (1.0 + 1e-12), "{spent} + {left} of {alpha}");
        }
        prop_assert!(spent + left <= alpha * (1.0 + 1e-12));
    }
}

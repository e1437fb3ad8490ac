//! Verdicts and their words, state by state: what was seen, what it means, what is missing and when it will be there.

use flagscope_core::guardrail::{
    Arrived, Comparison, DataState, Member, Rhythm, Rule, Sighting, Stage, Standing, Status, Stratum, Test, Whose,
    not_fresh, step, together, verdict,
};
use flagscope_core::kind::{MetricKind, State};
use flagscope_core::sketch::{Moments, Sketch};
use flagscope_core::stats::margin::Margin;
use flagscope_core::stats::tilt::Harm;
use std::sync::LazyLock;

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const AT: i64 = 600 * SECOND;
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
    min_sample: 1000,
    window: 5 * MINUTE,
    pairing: MINUTE,
    copy_after: 15 * MINUTE,
    grace: MINUTE,
    stale_after: 2 * MINUTE,
    retry_after: 10 * SECOND,
    acts: true,
    control: "off".into(),
    whose: Whose::default(),
});

/// 1.2 % of 3,000 beside 1.1 % of 9,000.
static STATUS: LazyLock<Status> = LazyLock::new(|| Status {
    alpha: 0.01,
    margin: Some(Margin::Relative(0.05)),
    log_e: -0.5,
    max_log_e: 0.25,
    n_treatment: 3000,
    n_control: 9000,
    events_treatment: vec![36],
    events_control: vec![99],
    stage_treatment: 1500,
    stage_control: 4500,
    last_data_at: Some(AT - SECOND),
    ..Status::default()
});

const STAGE: Stage = Stage { started_at: 0, min_sample: 0, is_alone: false, share: 0.5 };

fn said(
    rule: &Rule,
    status: &Status,
    latest: [Option<f64>; 2],
    anomaly: Option<&Sighting>,
    at: i64,
) -> (&'static str, String) {
    let found = verdict(&Standing { rule, status, stage: &STAGE, anomaly, latest, at });
    (found.state.label(), found.words.text + &found.words.outlook)
}

#[track_caller]
fn says(rule: &Rule, status: &Status, state: &str, words: &str) {
    assert_eq!(said(rule, status, [None; 2], None, AT), (state, words.to_owned()));
}

#[test]
fn ok_tells_both_arms() {
    says(&RULE, &STATUS, "ok", "errors: 1.2 % with the treatment, 1.1 % with the control. No sign of harm yet");
    let limit = Rule { comparison: Comparison::Absolute, ..RULE.clone() };
    let below = Status { limit: Some(0.05), margin: None, ..STATUS.clone() };
    says(&limit, &below, "ok", "errors: 1.2 % with the treatment, the limit is 5 %. No sign of harm yet");
}

#[test]
fn no_event_at_all_is_ok_and_said() {
    let none = Status { events_treatment: vec![0], events_control: vec![0], ..STATUS.clone() };
    says(&RULE, &none, "ok", "no event in either arm so far (is the event right? preview_metric)");
    let limit = Rule { comparison: Comparison::Absolute, ..RULE.clone() };
    let below = Status { limit: Some(0.05), ..none.clone() };
    says(&limit, &below, "ok", "no event of the treatment so far (is the event right? preview_metric)");
    let threshold = Rule { test: Test::Threshold, ..limit };
    says(
        &threshold,
        &Status { value: Some(0.0), ..below },
        "ok",
        "errors: 0 % with the treatment, within the limit of 5 %; no event in the window (is the event right? preview_metric)",
    );
    // Before there is a sample it says nothing.
    let small = Status { stage_treatment: 412, ..none };
    assert_eq!(said(&RULE, &small, [None; 2], None, AT).0, "not_enough");
}

#[test]
fn a_breach_needs_no_sample_and_stays() {
    let breached = Status {
        log_e: 1.0,
        max_log_e: 20.7,
        n_treatment: 998,
        events_treatment: vec![49],
        stage_treatment: 3,
        last_data_at: Some(AT - 9000 * SECOND),
        ..STATUS.clone()
    };
    says(
        &RULE,
        &breached,
        "breached",
        "errors: 4.91 % with the treatment, 1.1 % with the control (odds 4.64 times, beyond the margin of 5 %). Harm is \
         proven (anytime p 1.0e-9)",
    );
    let points = Status { margin: Some(Margin::Absolute(0.005)), ..breached.clone() };
    let words = said(&RULE, &points, [None; 2], None, AT).1;
    assert!(words.contains("(odds 4.64 times, beyond the margin of 0.5 percentage points)"), "{words}");
    let none = Status { margin: Some(Margin::Relative(0.0)), events_control: vec![0], ..breached.clone() };
    let words = said(&RULE, &none, [None; 2], None, AT).1;
    assert!(words.starts_with("errors: 4.91 % with the treatment, 0 % with the control. Harm is proven"), "{words}");
    let limit = Rule { comparison: Comparison::Absolute, ..RULE.clone() };
    says(
        &limit,
        &Status { limit: Some(0.02), margin: None, ..breached },
        "breached",
        "errors: 4.91 % with the treatment, the limit is 2 %. Harm is proven (anytime p 1.0e-9)",
    );
}

#[test]
fn sums_that_say_the_opposite_of_the_strata_are_explained() {
    let turned = Status { max_log_e: 6.0, events_treatment: vec![30], ..STATUS.clone() };
    says(
        &RULE,
        &turned,
        "breached",
        "errors: 1 % with the treatment, 1.1 % with the control (worse where both are compared at the same time, beyond \
         the margin of 5 %). Harm is proven (anytime p 0.00248)",
    );
}

#[test]
fn what_several_said_together_stays_until_one_says_it_alone() {
    let joint = Status { log_e: -3.0, joint: Some("errors and duration".into()), ..STATUS.clone() };
    says(&RULE, &joint, "breached", "errors and duration");
    let alone = Status { max_log_e: 4.7, ..joint };
    assert!(said(&RULE, &alone, [None; 2], None, AT).1.contains("Harm is proven (anytime p 0.0091)"));
}

#[test]
fn means_and_rates_tell_the_latest_values() {
    let rule = Rule { metric: "duration".into(), kind: MetricKind::Mean, unit: "s".into(), ..RULE.clone() };
    let status = Status { max_log_e: 17.8, events_treatment: vec![], events_control: vec![], ..STATUS.clone() };
    let words = said(&rule, &status, [Some(0.754), Some(0.3255)], None, AT);
    let text = "duration: with the treatment above the control (beyond the margin of 5 %). Harm is proven (anytime p 1.9e-8). \
        Latest: 0.754 s with the treatment, 0.326 s with the control";
    assert_eq!(words, ("breached", text.into()));
    let falls = Rule { metric: "basket".into(), unit: "EUR".into(), harm: Harm::Decrease, ..rule.clone() };
    let absolute = Status { margin: Some(Margin::Absolute(2.0)), ..status.clone() };
    let words = said(&falls, &absolute, [None; 2], None, AT).1;
    assert!(
        words.starts_with("basket: with the treatment below the control (beyond the margin of 2 EUR)."),
        "{words}"
    );
    let rate =
        Rule { metric: "logs".into(), kind: MetricKind::Rate, comparison: Comparison::Absolute, ..RULE.clone() };
    let words = said(&rate, &Status { limit: Some(3.0), ..status }, [Some(4.5), None], None, AT).1;
    let text = "logs: with the treatment above the limit of 3. Harm is proven (anytime p 1.9e-8). Latest: 4.5 with the treatment";
    assert_eq!(words, text);
}

#[test]
fn quantiles_tell_what_is_beyond_them() {
    let rule = Rule {
        metric: "duration".into(),
        kind: MetricKind::Quantile,
        unit: "s".into(),
        quantile: Some(0.95),
        ..RULE.clone()
    };
    let status = Status { max_log_e: 10.0, events_treatment: vec![426], events_control: vec![441], ..STATUS.clone() };
    says(
        &rule,
        &status,
        "breached",
        "p95 of duration: 14.2 % of the values with the treatment are above the control's p95 plus the margin of 5 %, 4.9 % \
         of the control's above its p95. Harm is proven (anytime p 4.5e-5)",
    );
    let limit = Rule { comparison: Comparison::Absolute, ..rule.clone() };
    says(
        &limit,
        &Status { limit: Some(0.5), margin: None, ..status.clone() },
        "breached",
        "p95 of duration: 14.2 % of the values with the treatment are above the limit of 0.5 s, 5 % may be. Harm is proven \
         (anytime p 4.5e-5)",
    );
    // Of four at once, the one with the most evidence.
    let four = Rule { quantile: None, ..rule };
    let mut evidence = vec![0.0; 33];
    evidence[17..25].fill(5.0);
    let counts =
        Status { evidence, events_treatment: vec![1, 2, 300, 4], events_control: vec![1, 2, 450, 4], ..status };
    let words = said(&four, &counts, [None; 2], None, AT).1;
    assert!(words.starts_with("p95 of duration: 10 % of the values with the treatment are above"), "{words}");
    let quiet = Status { max_log_e: 0.0, ..counts };
    says(&four, &quiet, "ok", "duration: no sign of harm yet");
}

#[test]
fn missing_data_is_never_ok_and_says_when_it_will_be_there() {
    let never = Status { last_data_at: None, stage_treatment: 0, ..STATUS.clone() };
    assert_eq!(
        said(&RULE, &never, [None; 2], None, 5 * SECOND),
        (
            "not_enough",
            "no data of treatment and control to compare yet; it may take 1 minute from the start of the stage"
                .into()
        )
    );
    says(
        &RULE,
        &never,
        "no_data",
        "no data of treatment and control to compare since the rollout started. Are both served, and does the telemetry \
         name the flag? (preview_metric)",
    );
    let stopped = Status { last_data_at: Some(AT - 121 * SECOND), ..STATUS.clone() };
    says(
        &RULE,
        &stopped,
        "stale",
        "no data of treatment and control to compare since 00:07:59 UTC, longer than 2 minutes. The next data is judged at \
         once",
    );
    says(&RULE, &Status { n_control: 0, ..STATUS.clone() }, "not_enough", "no data of the control yet");
    let mean = Rule { kind: MetricKind::Mean, ..RULE.clone() };
    assert!(
        said(&mean, &Status { n_control: 0, ..STATUS.clone() }, [None; 2], None, AT)
            .1
            .starts_with("the control has no past")
    );
    // 412 in 10 minutes: 588 more take 14.3.
    says(
        &RULE,
        &Status { stage_treatment: 412, ..STATUS.clone() },
        "not_enough",
        "412 of 1,000 data points of the treatment in this stage; at this rate the rest takes about 14 minutes",
    );
    let none = Status { stage_treatment: 0, ..STATUS.clone() };
    says(&RULE, &none, "not_enough", "0 of 1,000 data points of the treatment in this stage");
}

#[test]
fn growing_evidence_is_inconclusive_and_says_how_far_it_is() {
    let status = Status { log_e: 3.0, max_log_e: 3.0, events_treatment: vec![60], ..STATUS.clone() };
    // 1.605 of ln e more at 0.001 a data point and 2.5 data points a second: 642 seconds.
    says(
        &RULE,
        &status,
        "inconclusive",
        "errors: 2 % with the treatment, 1.1 % with the control (odds 1.83 times, the margin is 5 %). Harm is not \
         proven: the evidence is at 65 % of the line; if it goes on so, it is proven in about 11 minutes",
    );
}

#[test]
fn thresholds_wait_for_their_sample() {
    let rule = Rule {
        metric: "queue depth".into(),
        kind: MetricKind::Mean,
        test: Test::Threshold,
        comparison: Comparison::Absolute,
        ..RULE.clone()
    };
    let status = Status { limit: Some(100.0), value: Some(120.5), ..STATUS.clone() };
    says(&rule, &status, "breached", "queue depth: 120 with the treatment, above the limit of 100");
    let small = Status { n_treatment: 5, stage_treatment: 5, ..status.clone() };
    assert_eq!(said(&rule, &small, [None; 2], None, AT).0, "not_enough");
    // Once it is believed, no stage starts blind.
    let next_stage = Status { stage_treatment: 5, ..status.clone() };
    assert_eq!(said(&rule, &next_stage, [None; 2], None, AT).0, "breached");
    let low = Status { value: Some(12.0), ..status.clone() };
    says(&rule, &low, "ok", "queue depth: 12 with the treatment, within the limit of 100");
    let falls = Rule { harm: Harm::Decrease, ..rule.clone() };
    says(&falls, &low, "breached", "queue depth: 12 with the treatment, below the limit of 100");
    let empty = Status { value: None, ..status.clone() };
    says(&rule, &empty, "no_data", "no data of the treatment in the last 5 minutes");
    let before = Rule { comparison: Comparison::Baseline, ..rule };
    says(
        &before,
        &status,
        "breached",
        "queue depth: 120 with the treatment, above the baseline with its margin, 100",
    );
}

fn sighting() -> Sighting {
    Sighting {
        value: Some(0.08),
        usual: Some(0.012),
        score: Some(3.1),
        alone: false,
        counted_since: i64::MIN,
        has_begun: true,
        in_stage: true,
        days: Some(14.0),
        minutes: 10.0,
        point: 51_000 * SECOND,
        line: 3.0,
    }
}

fn of_series(a: &Sighting) -> (&'static str, String) {
    let rule = Rule { test: Test::Anomaly, comparison: Comparison::Baseline, ..RULE.clone() };
    said(&rule, &Status { value: a.score, ..STATUS.clone() }, [None; 2], Some(a), AT)
}

#[test]
fn an_anomaly_of_the_treatment_is_a_breach() {
    let seen = "errors: 8 % where 1.2 % is the control's at the same time.";
    let unusual = format!("{seen} The two differ more than they do by chance (by chance once in 9 days)");
    assert_eq!(of_series(&sighting()), ("breached", unusual));
    let half = Sighting { score: Some(1.5), ..sighting() };
    let reason = format!("{seen} The two may be drifting apart (by chance once in 5 hours)");
    assert_eq!(of_series(&half), ("inconclusive", reason));
    let usual = Sighting { value: Some(0.0125), score: Some(-0.3), ..sighting() };
    let reason = "errors: 1.25 % where 1.2 % is the control's at the same time. The difference is nothing unusual";
    assert_eq!(of_series(&usual), ("ok", reason.into()));
}

#[test]
fn without_a_control_the_series_is_judged() {
    let alone = Sighting { alone: true, ..sighting() };
    let seen = "errors: 8 % where 1.2 % is usual at this time of day.";
    let reason = format!("{seen} That is unusual (by chance once in 9 days)");
    assert_eq!(of_series(&alone), ("breached", reason));
    let half = Sighting { score: Some(1.5), ..alone };
    let reason = format!("{seen} It may be becoming unusual (by chance once in 5 hours)");
    assert_eq!(of_series(&half), ("inconclusive", reason));
    let usual = Sighting { value: Some(0.0125), score: Some(-0.3), ..half };
    let reason = "errors: 1.25 % where 1.2 % is usual at this time of day. Nothing unusual";
    assert_eq!(of_series(&usual), ("ok", reason.into()));
}

#[test]
fn a_past_too_short_is_never_ok() {
    let young = Sighting { score: None, days: Some(2.34), ..sighting() };
    let reason = "errors: 2.34 days of the past are known, 7 say what is usual: in 4.66 days";
    assert_eq!(of_series(&young), ("not_enough", reason.into()));
    let new = Sighting { has_begun: false, score: None, value: None, ..sighting() };
    assert_eq!(of_series(&new).1, "the first 10 minutes of the rollout are not over yet");
    let silent = Sighting { value: None, score: None, ..sighting() };
    assert_eq!(of_series(&silent), ("not_enough", "no data in the 10 minutes from 14:10 UTC".into()));
    let apart = Sighting { score: None, ..sighting() };
    let reason = "nothing to compare at 14:10 UTC: too little data of one arm, or the share was changed";
    assert_eq!(of_series(&apart).1, reason);
    let sparse = Sighting { score: None, alone: true, ..sighting() };
    assert_eq!(of_series(&sparse).1, "too little data at 14:10 UTC on other days to say what is usual");
    let earlier = Sighting { score: Some(0.1), in_stage: false, ..sighting() };
    assert_eq!(of_series(&earlier).1, "the first 10 minutes of this stage are not over yet");
}

#[test]
fn guardrails_together_each_say_what_they_saw() {
    let alike = Status { log_e: 4.6, alpha: 0.005, events_treatment: vec![60], ..STATUS.clone() };
    let queue = Rule { name: "full queue".into(), metric: "queue".into(), kind: MetricKind::Mean, ..RULE.clone() };
    let members = [
        Member { id: 1, rule: &RULE, status: &alike },
        Member { id: 2, rule: &queue, status: &Status { log_e: 4.7, ..alike.clone() } },
    ];
    let found = together(&members, 0.01, false);
    assert_eq!(
        found[0].reason,
        "full queue (queue: with the treatment above the control (the margin is 5 %)); errors: 2 % with the \
         treatment, 1.1 % with the control (odds 1.83 times, the margin is 5 %). By itself neither proves harm, both \
         together do (anytime p 0.00955)"
    );
}

fn means(n: u64, mean: f64) -> Option<Stratum> {
    let moments = Moments::from_text(&format!(
        "{{\"n\":{n},\"mean\":{mean},\"m2\":1.0,\"min\":0.0,\"max\":1.0,\"invalid\":0}}"
    ));
    let state = State { n, moments: moments.ok(), ..State::default() };
    Some(Stratum { state, stage_n: n })
}

#[test]
fn time_alone_rewrites_no_sentence() {
    let rule = Rule { kind: MetricKind::Mean, cap: Some(2.0), stale_after: i64::MAX, ..RULE.clone() };
    let began = Status { alpha: 0.01, margin: Some(Margin::Relative(0.05)), ..Status::default() };
    let came = |n, t, c| Arrived { treatment: means(n, t), control: means(n, c), ..Arrived::default() };
    let first = step(&rule, &began, &came(10, 0.3, 0.3), &STAGE, SECOND).status;
    let second = step(&rule, &first, &came(10, 0.3, 0.3), &STAGE, 2 * SECOND).status;
    assert_eq!(second.state, DataState::NotEnough);
    let words =
        "20 of 1,000 data points of the treatment in this stage; at this rate the rest takes about 98 seconds";
    assert_eq!(second.reason, words);
    let later = step(&rule, &second, &Arrived::default(), &STAGE, 40 * SECOND);
    assert!(!later.is_changed && later.evaluation.is_none());
    assert_eq!(later.status.reason, words);
}

#[test]
fn a_sample_is_one_of_both_arms() {
    let few = Status { stage_treatment: 5000, stage_control: 26, ..STATUS.clone() };
    let (state, words) = said(&RULE, &few, [None; 2], None, AT);
    assert_eq!(state, "not_enough");
    assert!(words.starts_with("26 of 1,000 data points of the control in this stage; at this rate"), "{words}");
    // A limit is compared with no control.
    let limit = Rule { comparison: Comparison::Absolute, ..RULE.clone() };
    let below = Status { limit: Some(0.05), margin: None, ..few };
    assert_eq!(said(&limit, &below, [None; 2], None, AT).0, "ok");
}

/// Data every second of both arms until one of them stops.
fn heard(treatment: i64, control: i64) -> Status {
    let mut status = Status { last_data_at: Some((treatment - 1) * SECOND), ..STATUS.clone() };
    (0..control).for_each(|s| status.rhythm_control.came(s * SECOND));
    (0..treatment).for_each(|s| status.rhythm_treatment.came(s * SECOND));
    status
}

#[test]
fn a_treatment_that_stops_alone_is_silent() {
    let at = 540 * SECOND;
    assert_eq!(said(&RULE, &heard(500, 540), [None; 2], None, at).0, "ok");
    let silent = heard(470, 540);
    let (state, words) = said(&RULE, &silent, [None; 2], None, at);
    assert_eq!(state, "silent");
    assert!(words.starts_with("no data of the treatment since 00:07:49 UTC while the control's goes on."), "{words}");
    // Both stopped: stale, as ever; harm that is proven stays so; nobody waits for what is not served.
    assert_eq!(said(&RULE, &silent, [None; 2], None, at + 130 * SECOND).0, "stale");
    let breached = Status { max_log_e: 20.0, ..silent.clone() };
    assert_eq!(said(&RULE, &breached, [None; 2], None, at).0, "breached");
    let nobody = Stage { share: 0.0, ..STAGE };
    let standing = Standing { rule: &RULE, status: &silent, stage: &nobody, anomaly: None, latest: [None; 2], at };
    assert_eq!(verdict(&standing).state, DataState::Ok);
}

#[test]
fn a_control_that_stops_alone_is_silent() {
    let at = 540 * SECOND;
    assert_eq!(said(&RULE, &heard(540, 500), [None; 2], None, at).0, "ok");
    let (state, words) = said(&RULE, &heard(540, 470), [None; 2], None, at);
    assert_eq!(state, "silent");
    assert!(words.starts_with("no data of the control since 00:07:49 UTC while the treatment's goes on"), "{words}");
    // One that stopped with the stage before: its gaps are not known, two minutes are more than chance explains.
    let (state, words) = said(&RULE, &heard(540, 0), [None; 2], None, at);
    assert!(state == "silent" && words.starts_with("no data of the control in this stage while"), "{words}");
    // One that never came has not stopped, and a limit is compared with none.
    let never = Status { n_control: 0, ..heard(540, 0) };
    assert_eq!(said(&RULE, &never, [None; 2], None, at).0, "not_enough");
    let limit = Rule { comparison: Comparison::Absolute, ..RULE.clone() };
    let below = Status { limit: Some(0.05), margin: None, ..heard(540, 0) };
    assert_eq!(said(&limit, &below, [None; 2], None, at).0, "ok");
}

#[test]
fn without_a_control_nothing_is_ok() {
    let everybody = Stage { is_alone: true, ..STAGE };
    let found = |rule: &Rule, status: &Status| {
        let found = verdict(&Standing { rule, status, stage: &everybody, anomaly: None, latest: [None; 2], at: AT });
        (found.state, found.words.text)
    };
    let (state, words) = found(&RULE, &STATUS);
    assert_eq!(state, DataState::NoControl);
    assert!(words.ends_with("or on_state says {\"no_control\": \"ignore\"}"), "{words}");
    // What the control was is not known; it is; a limit needs none.
    let carried = Rule { comparison: Comparison::Baseline, ..RULE.clone() };
    assert_eq!(found(&carried, &STATUS).0, DataState::NoControl);
    let known = Status { limit: Some(0.05), ..STATUS.clone() };
    assert_eq!(found(&carried, &known).0, DataState::Ok);
    let limit = Rule { comparison: Comparison::Absolute, ..RULE.clone() };
    assert_eq!(found(&limit, &known).0, DataState::Ok);
}

#[test]
fn data_that_is_not_fresh_says_since_when() {
    let mut busy = Rhythm::default();
    (0..500).for_each(|s| busy.came(s * SECOND));
    assert_eq!(not_fresh([Some(&busy), Some(&busy)], "of the treatment", 2 * MINUTE, 509 * SECOND), None);
    let words = not_fresh([Some(&busy), None], "of the treatment", 2 * MINUTE, 600 * SECOND).unwrap();
    assert_eq!(words, "the last data of the treatment came at 00:08:19 UTC; up to 10 seconds without any are usual");
    let words =
        not_fresh([Some(&busy), Some(&Rhythm::default())], "of the treatment", 2 * MINUTE, 500 * SECOND).unwrap();
    assert_eq!(words, "no data of the control in this stage yet");
}

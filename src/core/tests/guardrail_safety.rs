//! Evidence of safety as the judge gathers it, beside the reference implementation of the same tests, and how often it says
//! "no worse than" of a treatment that is worse.

use flagscope_core::guardrail::{
    Arrived, Comparison, DataState, Rule, Stage, Status, Stratum, Test, Whose, try_step,
};
use flagscope_core::kind::{MetricKind, State};
use flagscope_core::sketch::{Histogram, Moments};
use flagscope_core::stats::answer::{self, Question};
use flagscope_core::stats::margin::Margin;
use flagscope_core::stats::rate::Counts;
use flagscope_core::stats::tilt::{Arms, Harm};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

const SECOND: i64 = 1_000_000;
const STAGE: Stage = Stage { started_at: 0, min_sample: 0, is_alone: false, share: 0.5 };

fn rule(kind: MetricKind, comparison: Comparison, safe_margin: f64) -> Rule {
    Rule {
        name: "it".into(),
        metric: "it".into(),
        kind,
        unit: String::new(),
        harm: Harm::Increase,
        cap: Some(4.0),
        is_polled: false,
        by_unit: None,
        test: Test::Sequential,
        comparison,
        quantile: None,
        design_effect: 1.0,
        safe_margin,
        safe_alpha: 0.01,
        breaches: 1,
        of_looks: 1,
        min_sample: 0,
        window: 60 * SECOND,
        pairing: 60 * SECOND,
        copy_after: 900 * SECOND,
        grace: 60 * SECOND,
        stale_after: 3600 * SECOND,
        retry_after: SECOND,
        acts: true,
        control: "off".into(),
        whose: Whose::default(),
    }
}

fn begun() -> Status {
    Status { alpha: 0.01, margin: Some(Margin::Relative(0.1)), ..Status::default() }
}

fn question(margin: f64) -> Question {
    Question {
        harm: Harm::Increase,
        margin: Margin::Relative(0.1),
        safe_margin: Some(margin),
        design_effect: 1.0,
        alpha: 0.01,
    }
}

fn play(rule: &Rule, mut status: Status, strata: &[(State, State)]) -> Status {
    let mut past = State::default();
    for (i, (t, c)) in strata.iter().enumerate() {
        past.merge(c).unwrap();
        let stratum = |state: &State| Some(Stratum { stage_n: state.n, state: state.clone() });
        let came = Arrived {
            treatment: stratum(t),
            control: stratum(c),
            reference: Some(past.clone()),
            ..Arrived::default()
        };
        status = try_step(rule, &status, &came, &STAGE, (i as i64 + 1) * SECOND).unwrap().status;
    }
    status
}

fn counted(n: u64, chance: f64, rng: &mut SmallRng) -> State {
    let events = (0..n).filter(|_| rng.random_bool(chance)).count() as u64;
    State { n, events, ..State::default() }
}

fn values(n: u64, kind: MetricKind, rng: &mut SmallRng) -> State {
    let (mut moments, mut histogram) = (Moments::default(), Histogram::default());
    for _ in 0..n {
        let value = 0.1 - rng.random::<f64>().max(1e-9).ln();
        moments.push(value.min(4.0));
        histogram.push(value);
    }
    match kind {
        MetricKind::Mean => State { n, moments: Some(moments), ..State::default() },
        _ => State { n, histogram: Some(histogram), ..State::default() },
    }
}

#[test]
fn it_is_that_of_the_reference_answers() {
    let mut rng = SmallRng::seed_from_u64(7);
    let counts: Vec<(State, State)> =
        (0..40).map(|_| (counted(80, 0.1, &mut rng), counted(300, 0.1, &mut rng))).collect();
    let arms: Vec<Arms> =
        counts.iter().map(|(t, c)| Arms { n_t: t.n, y_t: t.events, n_c: c.n, y_c: c.events }).collect();
    let rates: Vec<Counts> = arms
        .iter()
        .map(|a| Counts { exposure_t: a.n_t as f64, count_t: a.y_t, exposure_c: a.n_c as f64, count_c: a.y_c })
        .collect();
    let mut of = |kind| -> Vec<(State, State)> {
        (0..40).map(|_| (values(80, kind, &mut rng), values(300, kind, &mut rng))).collect()
    };
    let (means, quantiles) = (of(MetricKind::Mean), of(MetricKind::Quantile));
    let moments: Vec<_> =
        means.iter().map(|(t, c)| (t.moments.clone().unwrap(), c.moments.clone().unwrap())).collect();
    let histograms: Vec<_> =
        quantiles.iter().map(|(t, c)| (t.histogram.clone().unwrap(), c.histogram.clone().unwrap())).collect();
    let asked = question(0.3);
    for (kind, strata, wanted) in [
        (MetricKind::Proportion, &counts, answer::proportion(&arms, &asked)),
        (MetricKind::Rate, &counts, answer::rate(&rates, &asked)),
        (MetricKind::Mean, &means, answer::mean(&moments, 4.0, &asked)),
        (MetricKind::Quantile, &quantiles, answer::quantile(&histograms, None, &asked)),
    ] {
        let status = play(&rule(kind, Comparison::Control, 0.3), begun(), strata);
        let wanted = wanted.unwrap().log_e_safe.unwrap();
        assert!(wanted.abs() > 0.1, "{kind:?}: {wanted}");
        assert!((status.safety.log_e - wanted).abs() < 1e-9, "{kind:?}: {} {wanted}", status.safety.log_e);
    }
}

#[test]
fn ok_says_what_is_shown_or_what_could_hide() {
    let same = |n: u64| {
        vec![(State { n, events: n / 10, ..State::default() }, State { n, events: n / 10, ..State::default() })]
    };
    let errors = rule(MetricKind::Proportion, Comparison::Control, 0.2);
    let few = play(&errors, begun(), &same(1000));
    assert_eq!(few.state, DataState::Ok);
    assert!(few.reason.contains("No sign of harm yet (an effect below 1.95 times could hide)"), "{}", few.reason);
    let many = play(&errors, begun(), &same(20_000));
    assert!(many.reason.ends_with("Shown to be no worse than 20 %"), "{}", many.reason);
    // Of a smaller margin it begins anew, and what refutes that refutes a greater one.
    let anew = play(&Rule { safe_margin: 0.1, ..errors.clone() }, many.clone(), &same(10));
    assert!(anew.safety.log_e < 1.0 && anew.safety.margin == Some(0.1));
    let kept = play(&Rule { safe_margin: 0.3, ..errors }, many.clone(), &same(10));
    assert!(kept.safety.log_e > 4.6, "{}", kept.safety.log_e);
    let limit = Status { limit: Some(0.2), margin: None, ..begun() };
    let within = play(&rule(MetricKind::Proportion, Comparison::Absolute, 0.2), limit, &same(1000));
    assert!(within.reason.ends_with("the limit is 20 %. Shown to be within it"), "{}", within.reason);
}

/// A treatment whose odds are worse by just the margin, looked at after each of 200 strata while its share ramps up: at most
/// alpha of 400 (here 5 %) are ever taken for safe; two standard errors are 2.2 %.
#[test]
fn what_is_worse_is_hardly_ever_shown_to_be_safe() {
    let safe = Rule { safe_alpha: 0.05, ..rule(MetricKind::Proportion, Comparison::Control, 0.5) };
    let line = -safe.safe_alpha.ln();
    let wrong = (0..400).filter(|run| {
        let (mut rng, mut status) = (SmallRng::seed_from_u64(*run), begun());
        (0..200).any(|i| {
            let (share, chance) = (if i < 100 { 20 } else { 100 }, 0.1);
            let worse = 1.5 * chance / (1.0 + 0.5 * chance);
            let stratum = (counted(share, worse, &mut rng), counted(200 - share, chance, &mut rng));
            status = play(&safe, status.clone(), &[stratum]);
            status.safety.log_e >= line
        })
    });
    let wrong = wrong.count();
    assert!(wrong <= 28, "{wrong} of 400");
}

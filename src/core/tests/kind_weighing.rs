//! How each kind of metric weighs a stratum, beside the tests for one look at all strata (`stats::answer`).

use flagscope_core::Kind;
use flagscope_core::guardrail::{gather, log_e};
use flagscope_core::kind::{Against, Counted, Memory, MetricKind, State, Weighing, levels};
use flagscope_core::sketch::{Histogram, Moments};
use flagscope_core::stats::answer::{self, Question};
use flagscope_core::stats::exceedance;
use flagscope_core::stats::margin::Margin;
use flagscope_core::stats::mixture::temper;
use flagscope_core::stats::process::with_reserve;
use flagscope_core::stats::rate::Counts;
use flagscope_core::stats::tilt::{Arms, Harm};

const NONE: Memory = Memory { thresholds: None, centre: None, past: None };

fn against(against: Against, quantile: Option<f64>, memory: &Memory) -> Weighing<'_> {
    Weighing { harm: Harm::Increase, quantile, against, cap: None, memory, design_effect: 1.0 }
}

fn relative(margin: f64) -> Against {
    Against::Control(Margin::Relative(margin))
}

/// What a stratum counts, and what that adds to the evidence.
fn weigh(kind: MetricKind, weighing: &Weighing, t: &State, c: &State) -> ([Vec<u64>; 2], Vec<f64>) {
    let events = kind.rules().count(weighing, t, c).unwrap();
    let counted = [Counted::of(t, &events[0]), Counted::of(c, &events[1])];
    let mut increment = kind.rules().increment(weighing, &counted[0], &counted[1]).unwrap();
    temper(&mut increment, weighing.design_effect).unwrap();
    (events, increment)
}

/// The log e-value of evidence that has seen one stratum.
fn log_e_of(increment: &[f64]) -> f64 {
    log_e(MetricKind::Proportion, &gather(&[], increment, false).unwrap()).unwrap()
}

fn counts(n: u64, events: u64) -> State {
    State { n, events, ..State::default() }
}

fn of_values(histogram: &Histogram) -> State {
    State { n: histogram.count(), histogram: Some(histogram.clone()), ..State::default() }
}

fn of_moments(moments: &Moments) -> State {
    State { n: moments.count(), moments: Some(moments.clone()), ..State::default() }
}

fn values(n: u32, mean: f64) -> Moments {
    let mut moments = Moments::default();
    (0..n).for_each(|i| moments.push(mean * (0.5 + f64::from(i % 11) / 10.0)));
    moments
}

fn question(harm: Harm, margin: f64, design_effect: f64) -> Question {
    Question { harm, margin: Margin::Relative(margin), safe_margin: None, design_effect, alpha: 0.01 }
}

#[test]
fn a_total_outage_is_seen_in_one_small_stratum() {
    let weighing = against(relative(0.0), None, &NONE);
    let (events, increment) = weigh(MetricKind::Proportion, &weighing, &counts(20, 20), &counts(2000, 20));
    assert_eq!(events, [vec![20], vec![20]]);
    // alpha 0.01: ln(1/alpha) = 4.6
    assert!(log_e_of(&increment) > 20.0);
}

#[test]
fn equal_arms_gather_no_evidence_and_an_empty_arm_says_nothing() {
    let weighing = against(relative(0.0), None, &NONE);
    let of = |t, c| weigh(MetricKind::Proportion, &weighing, &t, &c).1;
    assert!(log_e_of(&of(counts(1000, 10), counts(1000, 10))) < 0.0);
    assert_eq!(of(counts(0, 0), counts(1000, 10)), vec![0.0; 8]);
}

#[test]
fn no_thresholds_weigh_nothing() {
    let weighing = against(relative(0.0), None, &NONE);
    let (events, increment) = weigh(MetricKind::Quantile, &weighing, &counts(10, 0), &counts(10, 0));
    assert_eq!((events, increment.len()), ([vec![], vec![]], 0));
    assert_eq!(log_e_of(&increment), 0.0);
}

#[test]
fn a_slow_treatment_exceeds_the_controls_past() {
    let (mut past, mut slow) = (Histogram::default(), Histogram::default());
    for i in 1..=1000 {
        past.push(f64::from(i) / 1000.0);
        slow.push(f64::from(i) / 700.0);
    }
    let memory = Memory { thresholds: exceedance::thresholds(&past, &levels(None)).unwrap(), ..NONE };
    let weighing = against(relative(0.0), None, &memory);
    let (_, worse) = weigh(MetricKind::Quantile, &weighing, &of_values(&slow), &of_values(&past));
    assert_eq!(worse.len(), 32);
    assert!(log_e_of(&worse) > 10.0);
    let (_, equal) = weigh(MetricKind::Quantile, &weighing, &of_values(&past), &of_values(&past));
    assert!(log_e_of(&equal) < 0.0);
}

#[test]
fn a_flat_control_gives_one_threshold_and_no_values_give_none() {
    let (mut flat, mut invalid) = (Histogram::default(), Histogram::default());
    [1.0, 1.0, f64::NAN, 1.0].into_iter().for_each(|value| flat.push(value));
    invalid.push(f64::NAN);
    let weighing = against(relative(0.1), None, &NONE);
    let after = |reference: &Histogram| {
        let (mut memory, reference) = (NONE, of_values(reference));
        let control = Counted::of(&reference, &[]);
        let control = Counted { n: 1, ..control };
        MetricKind::Quantile.rules().remember(&mut memory, &weighing, &control, Some(&reference)).unwrap();
        memory.thresholds
    };
    let mut one = Histogram::default();
    one.push(1.0);
    let bin = exceedance::thresholds(&one, &[0.5]).unwrap().unwrap()[0];
    assert_eq!(after(&flat), Some(vec![bin; 4]));
    assert_eq!(after(&invalid), None);
}

#[test]
fn a_quantile_limit_counts_what_is_above() {
    let mut histogram = Histogram::default();
    (0..1000).for_each(|i| histogram.push(if i % 10 == 0 { 0.2 } else { 0.01 }));
    let weighing = against(Against::Limit(0.05), Some(0.95), &NONE);
    let ([above, _], increment) = weigh(MetricKind::Quantile, &weighing, &of_values(&histogram), &State::default());
    assert_eq!(above, [100]);
    assert!(log_e_of(&increment) > 4.6);
}

#[test]
fn what_has_no_sequential_test_says_so() {
    let (t, c) = (counts(1, 0), counts(0, 0));
    let limit = against(Against::Limit(0.05), None, &NONE);
    let control = against(relative(0.1), None, &NONE);
    let nothing = Counted::default();
    let mean = MetricKind::Mean.rules().increment(&limit, &nothing, &nothing).unwrap_err();
    assert_eq!(
        (mean.kind, mean.message.as_str()),
        (Kind::InvalidParameter, "a mean is tested against the control, and needs a cap")
    );
    let ratio = MetricKind::Ratio.rules().count(&control, &t, &c).unwrap_err();
    assert_eq!((ratio.kind, ratio.message.as_str()), (Kind::InvalidParameter, "a ratio has no sequential test"));
    let events = [1];
    let one = Counted { n: 1, events: &events, moments: None };
    assert_eq!(MetricKind::Quantile.rules().increment(&limit, &one, &one).unwrap_err().kind, Kind::InvalidParameter);
    // More events than data points: stored counts that are damaged.
    let two = Counted { n: 1, events: &[2], moments: None };
    assert!(MetricKind::Proportion.rules().increment(&control, &two, &one).is_err());
}

#[test]
fn means_give_the_evidence_of_test_m() {
    let strata: Vec<_> = (1..=20).map(|k| (values(40 + k, 0.25), values(400, 0.2))).collect();
    for (harm, margin) in [
        (Harm::Increase, Margin::Relative(0.05)),
        (Harm::Decrease, Margin::Relative(0.05)),
        (Harm::Increase, Margin::Absolute(0.02)),
        (Harm::Decrease, Margin::Absolute(0.02)),
    ] {
        let (mut evidence, mut memory) = (Vec::new(), NONE);
        for (t, c) in &strata {
            let now = memory.clone();
            let weighing = Weighing { harm, cap: Some(2.0), ..against(Against::Control(margin), None, &now) };
            let (t, c) = (of_moments(t), of_moments(c));
            let (_, increment) = weigh(MetricKind::Mean, &weighing, &t, &c);
            evidence = gather(&evidence, &increment, false).unwrap();
            MetricKind::Mean.rules().remember(&mut memory, &weighing, &Counted::of(&c, &[]), None).unwrap();
        }
        let answer = answer::mean(&strata, 2.0, &Question { margin, ..question(harm, 0.0, 1.0) }).unwrap();
        let found = log_e(MetricKind::Mean, &evidence).unwrap();
        assert!((found - with_reserve(answer.log_e, 0.0)).abs() < 1e-9, "{found} {}", answer.log_e);
        assert_eq!(found > 4.6, harm == Harm::Increase);
    }
}

#[test]
fn rates_give_the_evidence_of_test_r() {
    let counted = Counts { exposure_t: 500.0, count_t: 30, exposure_c: 4500.0, count_c: 90 };
    for design_effect in [1.0, 2.0] {
        let weighing = Weighing { design_effect, ..against(relative(0.1), None, &NONE) };
        let (events, increment) = weigh(MetricKind::Rate, &weighing, &counts(500, 30), &counts(4500, 90));
        let answer = answer::rate(&[counted], &question(Harm::Increase, 0.1, design_effect)).unwrap();
        let evidence = gather(&[], &increment, false).unwrap();
        assert!((log_e(MetricKind::Rate, &evidence).unwrap() - with_reserve(answer.log_e, 0.0)).abs() < 1e-12);
        assert_eq!(events, [vec![30], vec![90]]);
    }
    // The exposure is the sum of values where there are values.
    let mut seconds = Moments::default();
    (0..10).for_each(|_| seconds.push(50.0));
    let by_time = State { n: 10, events: 30, moments: Some(seconds), ..State::default() };
    let weighing = against(relative(0.1), None, &NONE);
    let rows = weigh(MetricKind::Rate, &weighing, &counts(500, 30), &counts(4500, 90)).1;
    assert_eq!(weigh(MetricKind::Rate, &weighing, &by_time, &counts(4500, 90)).1, rows);
}

#[test]
fn what_came_without_its_exposure_says_nothing() {
    let weighing = against(relative(0.1), None, &NONE);
    assert_eq!(weigh(MetricKind::Rate, &weighing, &counts(0, 7), &counts(100, 1)).1, vec![0.0; 8]);
}

/// The evidence of strata with the past that is kept between them.
fn gathered(kind: MetricKind, harm: Harm, margin: f64, strata: &[(State, State)]) -> f64 {
    let (mut evidence, mut memory) = (Vec::new(), NONE);
    for (t, c) in strata {
        let now = memory.clone();
        let weighing = Weighing { harm, ..against(Against::Control(Margin::Absolute(margin)), None, &now) };
        let (events, increment) = weigh(kind, &weighing, t, c);
        assert_eq!(increment.is_empty(), now == NONE);
        evidence = gather(&evidence, &increment, false).unwrap();
        kind.rules().remember(&mut memory, &weighing, &Counted::of(c, &events[1]), None).unwrap();
    }
    log_e(kind, &evidence).unwrap()
}

#[test]
fn absolute_margins_give_the_evidence_of_the_tests() {
    let strata: Vec<_> = (0..50).map(|k| (counts(100 + k, 6 + k % 5), counts(900, 60 + k % 7))).collect();
    for harm in [Harm::Increase, Harm::Decrease] {
        let question = Question { margin: Margin::Absolute(0.02), ..question(harm, 0.0, 1.0) };
        let arms = |(t, c): &(State, State)| Arms { n_t: t.n, y_t: t.events, n_c: c.n, y_c: c.events };
        let expected = answer::proportion(&strata.iter().map(arms).collect::<Vec<_>>(), &question).unwrap();
        let found = gathered(MetricKind::Proportion, harm, 0.02, &strata);
        assert!((found - with_reserve(expected.log_e, 0.0)).abs() < 1e-12, "{found} {}", expected.log_e);
        let over = |(t, c): &(State, State)| Counts {
            exposure_t: t.n as f64,
            count_t: t.events,
            exposure_c: c.n as f64,
            count_c: c.events,
        };
        let expected = answer::rate(&strata.iter().map(over).collect::<Vec<_>>(), &question).unwrap();
        let found = gathered(MetricKind::Rate, harm, 0.02, &strata);
        assert!((found - with_reserve(expected.log_e, 0.0)).abs() < 1e-12, "{found} {}", expected.log_e);
    }
}

#[test]
fn values_worsened_by_a_margin_stay_what_they_can_be() {
    use MetricKind::{Mean, Proportion, Quantile, Rate, Ratio};
    let worse = |kind: MetricKind, harm, value, margin| kind.rules().worse(value, harm, margin).unwrap();
    let points = Margin::Absolute;
    let cases = [
        (Proportion, Harm::Increase, 0.02, points(0.005), 0.025),
        (Proportion, Harm::Decrease, 0.3, points(0.02), 0.28),
        (Proportion, Harm::Increase, 0.9, points(0.2), 1.0 - 1e-9),
        (Proportion, Harm::Decrease, 0.01, points(0.02), 1e-9),
        (Mean, Harm::Increase, 0.2, points(0.02), 0.22),
        (Quantile, Harm::Decrease, 0.2, points(0.3), -0.1),
        (Rate, Harm::Decrease, 0.1, points(0.3), 1e-300),
        (Ratio, Harm::Increase, -1.0, points(0.5), -0.5),
        // Of the odds: 1/4 times 1.5 is 3/8, and 3/8 is a share of 3/11.
        (Proportion, Harm::Increase, 0.2, Margin::Relative(0.5), 3.0 / 11.0),
        (Rate, Harm::Decrease, 0.3, Margin::Relative(0.5), 0.2),
    ];
    for (kind, harm, value, margin, expected) in cases {
        assert!((worse(kind, harm, value, margin) - expected).abs() < 1e-12, "{kind:?} {value} {margin:?}");
    }
    assert_eq!(Proportion.rules().worse(1.0, Harm::Increase, Margin::Relative(0.1)), None);
}

#[test]
fn the_list_of_kinds_is_in_the_order_of_the_enum() {
    for (place, rules) in flagscope_core::kind::KINDS.iter().enumerate() {
        assert_eq!(rules.kind() as usize, place);
        assert_eq!(MetricKind::from_label(rules.label()).unwrap(), rules.kind());
    }
    assert_eq!(MetricKind::from_label("median").unwrap_err().message, "there is no metric kind \"median\"");
}

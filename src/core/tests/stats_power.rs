//! What a test has been able to see, in closed form, beside the planner, which plays the same tests many times.

use flagscope_core::planner::{Against, Measure, Question, Stage, Watched, forecast, gated};
use flagscope_core::stats::margin::Margin;
use flagscope_core::stats::mean::{Group, Scale};
use flagscope_core::stats::power::{POWER, Sight, Told, of_shares, of_values};
use flagscope_core::stats::tilt::Harm;

/// Smallest effect that the planner finds in one stage.
fn played(measure: Measure, harm: Harm, against: Against, share: f64, rows: f64) -> f64 {
    let watched =
        Watched { measure, harm, against, alpha: 0.009, design_effect: 1.0, rows_per_second: rows / 3600.0 };
    let question =
        Question { effect: 1.5, safe: 1.2, safe_alpha: 0.01, copy_after: 1e9, waits: false, searches: true };
    let plan = forecast(&watched, &[Stage { share, seconds: 3600.0 }], &question).unwrap();
    plan.stages[0].smallest.unwrap()
}

fn sight(harm: Harm, tolerated: f64, told: Told) -> Sight {
    Sight { harm, line: -(0.009_f64).ln(), tolerated, told: vec![told] }
}

/// The effect as the planner counts it, of the value: of odds it is that of the closed form.
fn odds(harm: Harm, chance: f64, times: f64) -> f64 {
    let worse = if harm == Harm::Increase { chance * times } else { chance / times };
    let ratio = worse / (1.0 - worse) / (chance / (1.0 - chance));
    if harm == Harm::Increase { ratio } else { ratio.recip() }
}

fn is_near(name: &str, found: Option<f64>, wanted: f64) {
    let found = found.unwrap();
    // Of what is beyond 1: 10 % of a logarithm, and a hundredth for the search's own step and noise.
    assert!((found.ln() - wanted.ln()).abs() < 0.1 * wanted.ln() + 0.01, "{name}: {found} {wanted}");
}

#[test]
fn the_smallest_effect_of_shares_is_that_of_the_tests() {
    let margin = Against::Control(Margin::Relative(0.1));
    for (chance, share, rows, harm) in [
        (0.01, 0.5, 72_000.0, Harm::Increase),
        (0.01, 0.1, 72_000.0, Harm::Increase),
        (0.01, 0.01, 720_000.0, Harm::Increase),
        (0.3, 0.5, 20_000.0, Harm::Increase),
        (0.3, 0.9, 20_000.0, Harm::Increase),
        (0.1, 0.5, 40_000.0, Harm::Decrease),
        (0.1, 0.05, 100_000.0, Harm::Decrease),
    ] {
        let wanted = played(Measure::Proportion(chance), harm, margin, share, rows);
        let told = Told::Shares(of_shares(rows * chance, share, chance));
        let name = format!("share {chance} at {share}, {harm:?}");
        is_near(&name, sight(harm, 1.1, told).smallest(), odds(harm, chance, wanted));
        let wanted = played(Measure::Rate(chance), harm, margin, share, rows);
        let told = Told::Shares(of_shares(rows * chance, share, 0.0));
        is_near(&format!("rate {chance} at {share}, {harm:?}"), sight(harm, 1.1, told).smallest(), wanted);
    }
}

#[test]
fn the_smallest_effect_beside_a_limit_is_that_of_the_tests() {
    for (chance, rows, harm) in [(0.01, 40_000.0, Harm::Increase), (0.2, 5_000.0, Harm::Decrease)] {
        let limit = Against::Limit(chance);
        let wanted = played(Measure::Proportion(chance), harm, limit, 1.0, rows);
        let told = Told::Trials(rows, chance);
        is_near("limit of a share", sight(harm, 1.0, told).smallest(), odds(harm, chance, wanted));
        let wanted = played(Measure::Rate(chance), harm, limit, 1.0, rows);
        is_near("limit of a rate", sight(harm, 1.0, Told::Expected(rows * chance)).smallest(), wanted);
    }
}

#[test]
fn the_smallest_effect_of_means_is_that_of_the_test() {
    for (share, harm) in [(0.5, Harm::Increase), (0.1, Harm::Increase), (0.5, Harm::Decrease)] {
        let (rows, mean, deviation, cap) = (20_000.0, 0.2, 0.15, 2.0);
        let margin = Margin::Relative(0.05);
        let wanted = played(Measure::Mean { mean, deviation, cap }, harm, Against::Control(margin), share, rows);
        let group = |n: f64| Group { n: n as u64, mean, m2: n * deviation * deviation };
        let (t, c) = (group(rows * share), group(rows * (1.0 - share)));
        let told = Told::Values(of_values(&t, &c, &Scale::new(cap, mean), &margin.line(harm), harm));
        is_near(&format!("mean at {share}, {harm:?}"), sight(harm, 0.05, told).smallest(), wanted);
    }
}

#[test]
fn so_many_times_the_data_find_the_effect() {
    let sums = of_shares(100.0, 0.1, 0.01);
    let few = sight(Harm::Increase, 1.1, Told::Shares(sums));
    let times = few.data_wanted(1.5).unwrap();
    let enough = sight(Harm::Increase, 1.1, Told::Shares(sums.map(|x| x * times)));
    assert!(times > 5.0 && few.chance(1.5) < 0.1);
    assert!((enough.chance(1.5) - POWER).abs() < 1e-5, "{}", enough.chance(1.5));
    assert!((enough.smallest().unwrap() - 1.5).abs() < 1e-3);
    // What is tolerated is never found, and nothing is seen without data.
    assert_eq!(enough.data_wanted(1.1), None);
    let nothing = sight(Harm::Increase, 1.1, Told::Shares([0.0; 4]));
    assert_eq!((nothing.smallest(), nothing.chance(1.5), nothing.data_wanted(1.5)), (None, 0.0, None));
}

/// The default ramp at 20 requests a second and 1 % errors: how long it takes to the last stage with a control, and how many of
/// a treatment with 1.5 times the errors slip through, without and with the gate.
#[test]
fn a_ramp_that_waits_for_power_lets_less_slip_through() {
    let watched = Watched {
        measure: Measure::Proportion(0.01),
        harm: Harm::Increase,
        against: Against::Control(Margin::Relative(0.1)),
        alpha: 0.009,
        design_effect: 1.0,
        rows_per_second: 20.0,
    };
    // 100 rows of the treatment take 500 s at 1 %.
    let ramp: Vec<Stage> = [0.01, 0.05, 0.1, 0.25, 0.5, 1.0].map(|share| Stage { share, seconds: 600.0 }).to_vec();
    let question =
        Question { effect: 1.5, safe: 1.2, safe_alpha: 0.01, copy_after: 900.0, waits: true, searches: false };
    let slips = |ramp: &[Stage]| forecast(&watched, ramp, &question).unwrap().slips;
    let hours = |ramp: &[Stage]| ramp[..5].iter().map(|stage| stage.seconds).sum::<f64>() / 3600.0;
    // 34 of 100 in 50 minutes; at most twice the time: 8 of 100 in 100 minutes.
    let waits = gated(&watched, &ramp, &[1200.0; 6], 1.5).unwrap();
    assert!((0.8..0.9).contains(&hours(&ramp)) && slips(&ramp) > 0.3, "{} {}", hours(&ramp), slips(&ramp));
    assert!(hours(&waits) < 1.7 && slips(&waits) < 0.12, "{} {}", hours(&waits), slips(&waits));
    // As long as it takes.
    let patient = gated(&watched, &ramp, &[1e9; 6], 1.5).unwrap();
    assert!(patient[0].seconds > 6.0 * 3600.0 && slips(&patient) < 0.05, "{patient:?}");
    // Where traffic is thick no stage waits, and everybody's stage never does.
    let thick = Watched { rows_per_second: 5000.0, ..watched.clone() };
    let waits = gated(&thick, &ramp, &[1e9; 6], 1.5).unwrap();
    assert!(waits[1..].iter().all(|stage| stage.seconds == 600.0), "{waits:?}");
}

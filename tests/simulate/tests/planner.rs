//! The planner beside rollouts that are played tick by tick, with another generator and the test itself at every tick.

use flagscope_core::planner::{Against, Forecast, Measure, Question, Stage, Watched, forecast};
use flagscope_core::stats::margin::Margin;
use flagscope_core::stats::tilt::Harm;
use flagscope_simulate::counts::Proportion;
use flagscope_simulate::draws::{HOUR, TICK, Traffic, generator};

const RUNS: usize = 400;
/// Two shares of 400 runs differ by less than this but for a chance of 1 in 50.
const NOISE: f64 = 0.08;

/// The ramp of [`Traffic`]: 1, 5, 25 and 50 %, a quarter of an hour each.
fn ramp() -> Vec<Stage> {
    [0.01, 0.05, 0.25, 0.5].map(|share| Stage { share, seconds: 900.0 }).to_vec()
}

fn planned(rate: f64, base: f64, harm: Harm, alpha: f64, effect: f64, ramp: &[Stage], waits: bool) -> Forecast {
    let watched = Watched {
        measure: Measure::Proportion(base),
        harm,
        against: Against::Control(Margin::Relative(0.1)),
        alpha,
        design_effect: 1.0,
        rows_per_second: rate,
    };
    forecast(
        &watched,
        ramp,
        &Question { effect, safe: 1.5, safe_alpha: alpha, copy_after: 900.0, waits, searches: true },
    )
    .expect("a plan")
}

/// The share of rollouts that found the effect by the end of each stage, and the median seconds.
fn played(rate: f64, base: f64, harm: Harm, own: f64) -> ([f64; 4], Option<f64>) {
    let rollout = Proportion { base, harm, margin: 1.1, wanted: &[1], ..Proportion::errors(None) }.with_rate(own);
    let rollout = Proportion { traffic: Traffic { rate, share: None, swings: false }, ..rollout };
    let mut ticks: Vec<usize> =
        (0..RUNS).map(|run| rollout.play(&mut generator(5, 0, run)).0[1].unwrap_or(usize::MAX)).collect();
    ticks.sort_unstable();
    let by =
        [1, 2, 3, 4].map(|stage| ticks.iter().filter(|tick| **tick <= stage * HOUR / 4).count() as f64 / RUNS as f64);
    let median = ticks[RUNS / 2];
    (by, (median < usize::MAX).then_some(median as f64 * TICK))
}

#[test]
fn a_plan_is_what_is_played_tick_by_tick() {
    for (rate, base, harm, effect) in [
        (20.0, 0.01, Harm::Increase, 1.5),
        (200.0, 0.01, Harm::Increase, 1.3),
        (5.0, 0.02, Harm::Increase, 3.0),
        (40.0, 0.3, Harm::Decrease, 1.15),
    ] {
        let own = if harm == Harm::Increase { base * effect } else { base / effect };
        let (by, median) = played(rate, base, harm, own);
        let plan = planned(rate, base, harm, 0.05, effect, &ramp(), false);
        for (stage, seen) in plan.stages.iter().enumerate() {
            assert!(
                (seen.found - by[stage]).abs() < NOISE,
                "{rate} {base}: {} {} of stage {stage}",
                seen.found,
                by[stage]
            );
        }
        println!("{rate} req/s, {base}, {effect} times: {:?} and {median:?}, planned {:?}", by, plan);
        // Near the last stages' end the median hangs on few runs: half of the noise of a share is a part of a stage.
        if let (Some(median), Some(found)) = (median, plan.found_after) {
            assert!((found / median).ln().abs() < 0.2, "{rate} {base}: {found} {median}");
        } else {
            assert!((by[3] - 0.5).abs() < NOISE, "{rate} {base}: {median:?} {:?}", plan.found_after);
        }
    }
}

/// Rollouts with the default settings, simulated before there was a planner (100 a cell, with another program): what
/// slipped through of an error rate of 1 %.
#[test]
fn what_slips_through_the_default_ramp() {
    for (rate, effect, slipped) in [(20.0, 1.5, 0.36), (20.0, 1.25, 0.95), (5.0, 2.0, 0.24), (200.0, 1.25, 0.33)] {
        // A stage lasts ten minutes and until the treatment has sent 100 rows.
        let ramp: Vec<Stage> = [0.01, 0.05, 0.1, 0.25, 0.5, 1.0]
            .map(|share| Stage { share, seconds: f64::max(600.0, 100.0 / (rate * share)) })
            .to_vec();
        let plan = planned(rate, 0.01, Harm::Increase, 0.01 * 0.9, effect, &ramp, true);
        println!("{rate} req/s, {effect} times: slips {}, simulated {slipped}", plan.slips);
        assert!((plan.slips - slipped).abs() < 0.12, "{rate} {effect}: {} {slipped}", plan.slips);
    }
}

/// A stage's smallest effect, asked for, is found there in about four of five rollouts; a smaller margin or more traffic
/// finds smaller ones; and a treatment that is as good is shown to be so.
#[test]
fn the_smallest_effect_is_found_with_its_chance() {
    let plan = planned(50.0, 0.01, Harm::Increase, 0.01, 1.5, &ramp(), true);
    let smallest: Vec<f64> = plan.stages.iter().map(|seen| seen.smallest.expect("an effect")).collect();
    assert!(smallest.windows(2).all(|pair| pair[1] < pair[0]), "{smallest:?}");
    for (stage, effect) in smallest.iter().enumerate() {
        let found = planned(50.0, 0.01, Harm::Increase, 0.01, *effect, &ramp(), true).stages[stage].found;
        assert!((found - 0.8).abs() < 0.08, "{stage}: {effect} is found in {found}");
    }
    let more = planned(500.0, 0.01, Harm::Increase, 0.01, 1.5, &ramp(), true);
    assert!(more.stages[3].smallest < plan.stages[3].smallest);
    assert!(more.safe_after < plan.safe_after || plan.safe_after.is_none());
    assert!(more.found_after < plan.found_after);
}

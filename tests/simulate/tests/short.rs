//! The short form of the simulation: the same cells with few rollouts and a fixed seed, so that a broken test shows.
//! What the numbers are is the full form's matter (`make simulate`).

use flagscope_core::stats::mixture::ERROR_GRID;
use flagscope_core::stats::process::Process;
use flagscope_core::stats::tilt::{Arms, Harm, fisher_increment};
use flagscope_simulate::cells::{Cell, Rollout, all};
use flagscope_simulate::draws::{Traffic, binomial, generator};
use flagscope_simulate::table::{Result, play, result};

fn cell(name: &str) -> (usize, Cell) {
    all().into_iter().enumerate().find(|(_, c)| c.name.starts_with(name)).expect("a cell of this name")
}

fn results(name: &str, runs: usize) -> Vec<Result> {
    let (index, cell) = cell(name);
    let alarms = play(&cell, index, runs, 7, 2);
    (0..cell.rollout.methods().len()).map(|method| result(&alarms, method, 0)).collect()
}

/// At 40 rollouts a rate of 5 % gives 6 alarms or fewer but for a chance of 1 %.
const FEW: f64 = 15.0;

#[test]
fn a_ramp_on_a_drifting_baseline_fools_pooled_sums_only() {
    let errors = results("A4 errors", 40);
    assert!(errors[0].fired <= FEW && errors[1].fired <= FEW, "test P: {errors:?}");
    assert!(errors[6].fired > 90.0 && errors[7].fired > 90.0, "gbstats: {errors:?}");
}

#[test]
fn healthy_rollouts_are_left_alone() {
    for name in ["A1 errors 1%, share 5%", "A9 assignments in the ramp", "A counts"] {
        assert!(results(name, 40)[0].fired <= FEW, "{name}");
    }
    let (index, mut cell) = cell("A3 Pareto 1.5, share 5%");
    if let Rollout::Latency(latency) = &mut cell.rollout {
        latency.ticks = 60;
    }
    let alarms = play(&cell, index, 10, 7, 2);
    assert!((0..5).all(|method| result(&alarms, method, 0).fired < 50.0), "{alarms:?}");
}

#[test]
fn harm_is_found_in_time() {
    let errors = results("B1 errors 1% -> 3%, share 50%", 40);
    assert!(errors[0].median <= 15.0, "{errors:?}");
    let values = results("B2 latency x1.5, default margins, share 50%", 10);
    assert!(values[0].median <= 10.0 && values[2].median <= 15.0, "{values:?}");
    let lost = results("B5 5% of the treatment lost, 50/50", 20);
    assert!(lost[0].median < 1500.0, "{lost:?}");
}

#[test]
fn threads_change_nothing() {
    let (index, cell) = cell("B1 errors 1% -> 3%, share 10%");
    let [one, two] = [1, 2].map(|threads| play(&cell, index, 20, 3, threads));
    assert!(one.iter().zip(&two).all(|(a, b)| a.0 == b.0));
}

/// A12: the counts of a tick from four nodes, merged, and a worker that restarts in the middle.
#[test]
fn nodes_and_restarts_change_no_evidence() {
    let mut rng = generator(11, 0, 0);
    let traffic = Traffic { rate: 200.0, share: None, swings: true };
    let mut whole = Process::new(ERROR_GRID.log_weight());
    let (mut before, mut after) = (whole.clone(), whole.clone());
    for tick in 0..720 {
        let mut merged = Arms::default();
        let nodes: Vec<Arms> = (0..4)
            .map(|_| {
                let (n_t, n_c) = traffic.arms(&mut rng, tick);
                Arms { n_t, y_t: binomial(&mut rng, n_t, 0.02), n_c, y_c: binomial(&mut rng, n_c, 0.02) }
            })
            .collect();
        for node in [2, 0, 3, 1].map(|i| nodes[i]) {
            merged = Arms {
                n_t: merged.n_t + node.n_t,
                y_t: merged.y_t + node.y_t,
                n_c: merged.n_c + node.n_c,
                y_c: merged.y_c + node.y_c,
            };
        }
        let increment = fisher_increment(&merged, 1.1, Harm::Increase, &ERROR_GRID).unwrap();
        whole.add(&increment).unwrap();
        if tick < 300 { &mut before } else { &mut after }.add(&increment).unwrap();
    }
    before.merge(&after).unwrap();
    for (a, b) in whole.ell().iter().zip(before.ell()) {
        assert!((a - b).abs() <= 1e-9 * a.abs().max(1.0));
    }
}

//! Guardrails of one rollout together, over simulated rollouts with a fixed seed: the rule of `guardrail::together`, the sum of
//! alpha e from 1 on, keeps to the rollout's alpha and is never later than each guardrail's own line.

#[path = "planted/random.rs"]
mod random;

use flagscope_core::stats::mixture::{ERROR_GRID, log_sum_exp};
use flagscope_core::stats::process::Process;
use flagscope_core::stats::tilt::{Arms, Harm, fisher_increment};
use random::Random;

const ALPHA: f64 = 0.05;
const GUARDRAILS: usize = 3;
const TICKS: usize = 60;
/// Rows of an arm in a tick.
const ROWS: u64 = 100;
const USUAL: f64 = 0.05;

impl Random {
    fn events(&mut self, share: f64) -> u64 {
        (0..ROWS).filter(|_| self.share() < share).count() as u64
    }
}

/// What is running of one guardrail: its evidence and its share of alpha.
struct Evidence {
    process: Process,
    alpha: f64,
}

impl Evidence {
    fn begin(alpha: f64) -> Self {
        Self { process: Process::with_reserve(ERROR_GRID.log_weight()), alpha }
    }

    fn part(&self) -> f64 {
        self.process.log_e() + self.alpha.ln()
    }
}

/// The tick in which a guardrail reached its own line, and the one in which the sum reached 1.
#[derive(Default)]
struct Alarms {
    alone: Option<usize>,
    together: Option<usize>,
}

/// A rollout as SQL keeps its books: a tenth of alpha kept back, a stage at tick 20 and one at 40 (copies begin), and one
/// guardrail begun anew at tick 30 with half of what is left, whatever it had.
fn play(random: &mut Random, treatment: f64) -> Alarms {
    let mut left = 0.1 * ALPHA;
    let mut all: Vec<Evidence> =
        (0..GUARDRAILS).map(|_| Evidence::begin((ALPHA - left) / GUARDRAILS as f64)).collect();
    let mut alarms = Alarms::default();
    for tick in 0..TICKS {
        if tick == 30 {
            left /= 2.0;
            all[0] = Evidence::begin(left);
        }
        for evidence in &mut all {
            if tick == 20 || tick == 40 {
                evidence.process.begin_copy();
            }
            let (y_t, y_c) = (random.events(treatment), random.events(USUAL));
            let arms = Arms { n_t: ROWS, y_t, n_c: ROWS, y_c };
            let increment = fisher_increment(&arms, 1.0, Harm::Increase, &ERROR_GRID).expect("counts of trials");
            evidence.process.add(&increment).expect("as many increments as points");
        }
        if all.iter().any(|e| e.part() >= 0.0) {
            alarms.alone = alarms.alone.or(Some(tick));
        }
        if log_sum_exp(all.iter().map(Evidence::part)) >= 0.0 {
            alarms.together = alarms.together.or(Some(tick));
        }
    }
    alarms
}

#[test]
fn healthy_rollouts_are_acted_on_within_alpha() {
    let mut random = Random(2021);
    let rollouts: Vec<Alarms> = (0..600).map(|_| play(&mut random, USUAL)).collect();
    let [alone, together] =
        [|a: &Alarms| a.alone, |a: &Alarms| a.together].map(|of| rollouts.iter().filter(|a| of(a).is_some()).count());
    let share = together as f64 / rollouts.len() as f64;
    assert!(share <= ALPHA, "{share} of healthy rollouts were acted on");
    assert!(alone <= together && together > 0, "{alone} alone, {together} together");
}

#[test]
fn what_hurts_everywhere_is_found_earlier_together() {
    let mut random = Random(1912);
    let rollouts: Vec<Alarms> = (0..150).map(|_| play(&mut random, 1.6 * USUAL)).collect();
    // Whoever alone has reached his line has put the sum above its own: together is never later.
    assert!(
        rollouts.iter().all(|a| a.alone.is_none_or(|alone| a.together.is_some_and(|together| together <= alone)))
    );
    let ticks = |of: fn(&Alarms) -> Option<usize>| -> usize { rollouts.iter().map(|a| of(a).unwrap_or(TICKS)).sum() };
    let (alone, together) = (ticks(|a| a.alone), ticks(|a| a.together));
    assert!(together * 20 < alone * 19, "{together} ticks together, {alone} alone");
}

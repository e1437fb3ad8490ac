//! Rollouts of assignments: test S and its rivals; and of counts: test R.

use flagscope_core::stats::mixture::ERROR_GRID;
use flagscope_core::stats::process::Process;
use flagscope_core::stats::rate::{self, Counts};
use flagscope_core::stats::share::{GRID, dirichlet_log_e, increment};
use flagscope_core::stats::tilt::Harm;
use rand::rngs::SmallRng;

use crate::counts::LINE;
use crate::draws::{Alarms, Series, TICK, Traffic, binomial, poisson};

/// What is watched of assignments.
pub const METHODS: [&str; 4] = ["S", "Dirichlet", "chi2 each tick", "pooled chi2 .001"];

/// A rollout of assignments.
#[derive(Debug, Clone, Copy)]
pub struct Assignment {
    /// New units a second, and the treatment's nominal share.
    pub traffic: Traffic,
    /// Ticks to the horizon.
    pub ticks: usize,
    /// The part of the treatment's units that is lost.
    pub lost: f64,
}

impl Assignment {
    /// One rollout: when each of [`METHODS`] raised its alarm.
    pub fn play(&self, rng: &mut SmallRng) -> Alarms {
        let mut alarms = Alarms::new(METHODS.len());
        let mut process = Process::uniform(GRID.len());
        let (mut epochs, mut epoch, mut all) = (0.0, [0_u64; 2], [0_u64; 2]);
        let dirichlet = |n: &[u64; 2], share: f64| dirichlet_log_e(&[share, 1.0 - share], n, 100.0).expect("shares");
        for tick in 0..self.ticks {
            let share = self.traffic.share(tick);
            if self.traffic.is_step(tick) {
                epochs += dirichlet(&std::mem::take(&mut epoch), self.traffic.share(tick - 1));
            }
            let (n_t, n_c) = self.traffic.arms(rng, tick);
            let kept = n_t - binomial(rng, n_t, self.lost);
            process.add(&increment(share, kept, n_c).expect("counts")).expect("the grid");
            for counts in [&mut epoch, &mut all] {
                counts[0] += kept;
                counts[1] += n_c;
            }
            alarms.note(0, tick, process.log_e() >= LINE);
            alarms.note(1, tick, epochs + dirichlet(&epoch, share) >= LINE);
            alarms.note(2, tick, chi2(&epoch, share) > 3.841);
            alarms.note(3, tick, chi2(&all, share) > 10.828);
            if alarms.is_done(&[0, 1, 2, 3]) {
                break;
            }
        }
        alarms
    }
}

fn chi2(n: &[u64; 2], share: f64) -> f64 {
    let [t, c] = n.map(|n| n as f64);
    let expected = share * (t + c);
    if t + c == 0.0 { 0.0 } else { (t - expected).powi(2) / (expected * (1.0 - share)) }
}

/// A rollout of counts per exposure, which is the traffic.
#[derive(Debug, Clone, Copy)]
pub struct Count {
    /// Exposure a second, and the treatment's share.
    pub traffic: Traffic,
    /// Ticks to the horizon.
    pub ticks: usize,
    /// Events per exposure in the control.
    pub base: f64,
    /// The standard deviation of a common AR(1) noise of the intensity.
    pub drift: f64,
    /// The treatment's rate by the control's.
    pub ratio: f64,
}

impl Count {
    /// One rollout: when test R raised its alarm.
    pub fn play(&self, rng: &mut SmallRng) -> Alarms {
        let mut alarms = Alarms::new(1);
        let mut process = Process::new(ERROR_GRID.log_weight());
        let mut drift = Series::new(rng, 0.995, self.drift);
        for tick in 0..self.ticks {
            let rate = self.base * drift.next(rng).exp();
            let exposure_t = self.traffic.rate * TICK * self.traffic.share(tick);
            let exposure_c = self.traffic.rate * TICK - exposure_t;
            let (count_t, count_c) = (poisson(rng, exposure_t * rate * self.ratio), poisson(rng, exposure_c * rate));
            let counts = Counts { exposure_t, count_t, exposure_c, count_c };
            process
                .add(&rate::increment(&counts, 1.0, Harm::Increase, &ERROR_GRID).expect("counts"))
                .expect("the grid");
            alarms.note(0, tick, process.log_e() >= LINE);
            if alarms.is_done(&[0]) {
                break;
            }
        }
        alarms
    }
}

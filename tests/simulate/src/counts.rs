//! Rollouts of proportions: errors and conversions, test P and its rivals.

use std::sync::LazyLock;

use flagscope_core::stats::mixture::{ERROR_GRID, Grid, temper};
use flagscope_core::stats::process::Process;
use flagscope_core::stats::ratio::Units;
use flagscope_core::stats::share::dirichlet_log_e;
use flagscope_core::stats::tilt::{Arms, Harm, fisher_increment};
use rand::rngs::SmallRng;

use crate::draws::{Alarms, Copies, HOUR, Series, Traffic, binomial, normal};
use crate::rivals::{Arm, Kayenta, Static, absolute};

/// What is watched of a proportion, in the order of [`Proportion::play`]'s alarms.
pub const METHODS: [&str; 11] = [
    "P",
    "P+copies",
    "safe 1.2",
    "safe 1.5",
    "safe 2",
    "Lindon-Malek",
    "gbstats 2s",
    "gbstats 1s",
    "naive z",
    "static x3",
    "Kayenta",
];

/// The margins of the safe processes and their grids.
static SAFE: LazyLock<[(f64, Grid); 3]> =
    LazyLock::new(|| [1.2, 1.5, 2.0].map(|margin| (margin, Grid::safe(margin).expect("a margin"))));

/// log(1 / 0.05).
pub const LINE: f64 = 2.995_732_273_553_991;

/// A rollout of a proportion.
#[derive(Debug, Clone, Copy)]
pub struct Proportion {
    /// Its traffic.
    pub traffic: Traffic,
    /// Ticks to the horizon.
    pub ticks: usize,
    /// The control's rate.
    pub base: f64,
    /// Whether the control's rate triples over the hour.
    pub drifts: bool,
    /// The treatment's odds by the control's.
    pub odds: f64,
    /// The tick at which the effect begins.
    pub begins: usize,
    /// The margin, as an odds ratio.
    pub margin: f64,
    /// Which direction is harmful.
    pub harm: Harm,
    /// Bursts of 5 requests of one user whose log rates differ by this; 0 for none.
    pub bursts: f64,
    /// Whether the evidence is divided by a design effect from ten minutes before the rollout.
    pub is_tempered: bool,
    /// The standard deviation of an AR(1) noise of the treatment's whole arm.
    pub shock: f64,
    /// The share of rows that come one to three ticks late.
    pub late: f64,
    /// Whether the safe processes run too; they cost as much again.
    pub certifies: bool,
    /// The methods that must have alarmed for the rollout to end before its horizon; none: it never does.
    pub wanted: &'static [usize],
}

impl Proportion {
    /// Errors of 1 % at 200 requests a second without any effect.
    pub fn errors(share: Option<f64>) -> Self {
        let traffic = Traffic { rate: 200.0, share, swings: false };
        Self {
            traffic,
            ticks: HOUR,
            base: 0.01,
            drifts: false,
            odds: 1.0,
            begins: 0,
            margin: 1.0,
            harm: Harm::Increase,
            bursts: 0.0,
            is_tempered: false,
            shock: 0.0,
            late: 0.0,
            certifies: false,
            wanted: &[],
        }
    }

    /// The treatment's odds ratio for a rate of its own.
    #[must_use]
    pub fn with_rate(self, rate: f64) -> Self {
        Self { odds: rate / (1.0 - rate) / (self.base / (1.0 - self.base)), ..self }
    }

    fn rates(&self, tick: usize, shock: f64) -> (f64, f64) {
        let base = self.base * if self.drifts { 1.0 + 2.0 * (tick as f64 / HOUR as f64).min(1.0) } else { 1.0 };
        let odds = base / (1.0 - base) * if tick >= self.begins { self.odds } else { 1.0 } * shock.exp();
        (odds / (1.0 + odds), base)
    }

    fn events(&self, rng: &mut SmallRng, n: u64, rate: f64, mut seen: impl FnMut(u64, u64)) -> u64 {
        if self.bursts == 0.0 {
            return binomial(rng, n, rate);
        }
        let (mut left, mut events) = (n, 0);
        while left > 0 {
            let trials = left.min(5);
            let own = rate * (self.bursts * normal(rng) - 0.5 * self.bursts * self.bursts).exp();
            let y = binomial(rng, trials, own);
            seen(trials, y);
            events += y;
            left -= trials;
        }
        events
    }

    fn design_effect(&self, rng: &mut SmallRng) -> f64 {
        if !self.is_tempered {
            return 1.0;
        }
        let mut units = Units::default();
        self.events(rng, (self.traffic.rate * 600.0) as u64, self.base, |n, y| units.push(y as f64, n as f64));
        units.design_effect().unwrap_or(1.0)
    }

    /// One rollout: when each of [`METHODS`] raised its alarm.
    pub fn play(&self, rng: &mut SmallRng) -> Alarms {
        let mut watch = Watch::new(self, self.design_effect(rng));
        let mut shock = Series::new(rng, 0.9, self.shock);
        let mut waiting = [[0_u64; 4]; 3];
        for tick in 0..self.ticks {
            let (n_t, n_c) = self.traffic.arms(rng, tick);
            let (p_t, p_c) = self.rates(tick, shock.next(rng));
            let mut row = [n_t, self.events(rng, n_t, p_t, |_, _| ()), n_c, self.events(rng, n_c, p_c, |_, _| ())];
            if self.late > 0.0 {
                self.delay(rng, &mut row, &mut waiting);
            }
            let arms = Arms { n_t: row[0], y_t: row[1], n_c: row[2], y_c: row[3] };
            watch.tick(tick, &arms, p_c);
            if watch.alarms.is_done(self.wanted) {
                break;
            }
        }
        watch.alarms
    }

    /// Rows that are late are counted with the tick that they come in.
    fn delay(&self, rng: &mut SmallRng, row: &mut [u64; 4], waiting: &mut [[u64; 4]; 3]) {
        let due = waiting[0];
        waiting.rotate_left(1);
        waiting[2] = [0; 4];
        for at in [0, 2] {
            let (n, y) = (row[at], row[at + 1]);
            for later in waiting.iter_mut() {
                let events = binomial(rng, y, self.late / 3.0);
                let others = binomial(rng, n - y, self.late / 3.0);
                (row[at], row[at + 1]) =
                    (row[at] - (events + others).min(row[at]), row[at + 1] - events.min(row[at + 1]));
                later[at] += events + others;
                later[at + 1] += events;
            }
            row[at] = row[at].max(row[at + 1]) + due[at];
            row[at + 1] += due[at + 1];
        }
    }
}

/// The running state of every method.
struct Watch<'a> {
    plan: &'a Proportion,
    effect: f64,
    whole: Process,
    copied: Process,
    copies: Copies,
    safe: [Process; 3],
    epochs: f64,
    epoch: [u64; 2],
    sums: [f64; 4],
    minute: [f64; 5],
    window: Static,
    judge: Kayenta,
    alarms: Alarms,
}

impl<'a> Watch<'a> {
    fn new(plan: &'a Proportion, effect: f64) -> Self {
        Self {
            plan,
            effect,
            copied: Process::with_reserve(ERROR_GRID.log_weight()),
            copies: Copies::default(),
            safe: std::array::from_fn(|i| Process::new(SAFE[i].1.log_weight())),
            whole: Process::new(ERROR_GRID.log_weight()),
            epochs: 0.0,
            epoch: [0; 2],
            sums: [0.0; 4],
            minute: [0.0; 5],
            window: Static::default(),
            judge: Kayenta::default(),
            alarms: Alarms::new(METHODS.len()),
        }
    }

    fn tick(&mut self, tick: usize, arms: &Arms, base: f64) {
        if self.copies.begins(tick, &self.plan.traffic) {
            self.copied.begin_copy();
        }
        self.sequential(tick, arms);
        self.lindon_malek(tick, arms);
        let row = [arms.n_t, arms.y_t, arms.n_c, arms.y_c].map(|n| n as f64);
        self.sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
        let sign = if self.plan.harm == Harm::Increase { 1.0 } else { -1.0 };
        let [n_t, y_t, n_c, y_c] = self.sums;
        if n_t > 1.0 && n_c > 1.0 {
            let verdicts = absolute(&Arm::proportion(n_t, y_t), &Arm::proportion(n_c, y_c)).verdicts(sign);
            for (method, is_alarm) in [8, 6, 7].into_iter().zip(verdicts) {
                self.alarms.note(method, tick, is_alarm);
            }
        }
        self.minute.iter_mut().zip([row[0], row[1], row[2], row[3], base]).for_each(|(sum, x)| *sum += x);
        if tick % 12 == 11 {
            let [n_t, y_t, n_c, y_c, base] = std::mem::take(&mut self.minute);
            let rate = |n: f64, y: f64| (n > 0.0).then(|| sign * y / n);
            let is_alarm = self.window.minute(rate(n_t, y_t), sign * base / 12.0 * (1.0 + 0.25 * sign));
            self.alarms.note(9, tick, is_alarm);
            if self.alarms.0[10].is_none() {
                let is_high = self.judge.minute(rate(n_t, y_t), rate(n_c, y_c));
                self.alarms.note(10, tick, is_high);
            }
        }
    }

    fn sequential(&mut self, tick: usize, arms: &Arms) {
        let plan = self.plan;
        let mut increment = fisher_increment(arms, plan.margin, plan.harm, &ERROR_GRID).expect("a table");
        temper(&mut increment, self.effect).expect("an effect");
        self.whole.add(&increment).expect("the grid");
        self.copied.add(&increment).expect("the grid");
        self.alarms.note(0, tick, self.whole.log_e() >= LINE);
        self.alarms.note(1, tick, self.copied.log_e() >= LINE);
        if !plan.certifies {
            return;
        }
        for (i, (margin, grid)) in SAFE.iter().enumerate() {
            let increment = fisher_increment(arms, margin.recip(), Harm::Decrease, grid).expect("a table");
            self.safe[i].add(&increment).expect("the grid");
            self.alarms.note(2 + i, tick, self.safe[i].log_e() >= LINE);
        }
    }

    /// Their test of the arms' shares of events, two-sided, begun anew with each allocation; an alarm in the harmful
    /// direction counts.
    fn lindon_malek(&mut self, tick: usize, arms: &Arms) {
        let share = self.plan.traffic.share(tick);
        let e =
            |counts: &[u64; 2], share: f64| dirichlet_log_e(&[share, 1.0 - share], counts, 100.0).expect("shares");
        if self.plan.traffic.is_step(tick) {
            self.epochs += e(&std::mem::take(&mut self.epoch), self.plan.traffic.share(tick - 1));
        }
        self.epoch[0] += arms.y_t;
        self.epoch[1] += arms.y_c;
        let more = self.epoch[0] as f64 > share * (self.epoch[0] + self.epoch[1]) as f64;
        let is_harm = more == (self.plan.harm == Harm::Increase);
        self.alarms.note(5, tick, is_harm && self.epochs + e(&self.epoch, share) >= LINE);
    }
}

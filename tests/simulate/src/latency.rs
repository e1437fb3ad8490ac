//! Rollouts of values (latencies): tests Q, M and H and their rivals.

use std::sync::LazyLock;

use flagscope_core::sketch::histogram::DEFAULT_SCALE;
use flagscope_core::stats::combine::combine;
use flagscope_core::stats::exceedance::MIX4;
use flagscope_core::stats::label::{self, Bin, SLOPES};
use flagscope_core::stats::mean::{self, Group, Line, Scale};
use flagscope_core::stats::mixture::{ERROR_GRID, mix, temper};
use flagscope_core::stats::process::Process;
use flagscope_core::stats::ratio::Units;
use flagscope_core::stats::tilt::{Arms, Harm, fisher_increment};
use rand::Rng;
use rand::rngs::SmallRng;

use crate::counts::LINE;
use crate::draws::{Alarms, Copies, HOUR, Series, Traffic, binomial, normal};
use crate::rivals::{Arm, Kayenta, Static, absolute, quantile_ab};

/// What is watched of values, in the order of [`Latency::play`]'s alarms.
pub const METHODS: [&str; 15] = [
    "mix4",
    "p95",
    "M up",
    "M down",
    "H log",
    "five at once",
    "gb quantile 2s",
    "gb quantile 1s",
    "naive p95",
    "Howard-Ramdas",
    "gb mean 2s",
    "gb mean 1s",
    "naive mean",
    "static x3",
    "Kayenta",
];

/// Bins of the dense histograms here: 2^-32 to 2^32 at the default scale.
const BINS: usize = 2048;

/// The logarithms of the bins' upper edges.
static LOGS: LazyLock<Vec<f64>> = LazyLock::new(|| (0..BINS).map(|bin| edge(bin).ln()).collect());

/// Ticks of the reference window, and of the past before the rollout: ten minutes.
const PAST: usize = 120;

/// The law of the values' logarithms.
#[derive(Debug, Clone, Copy)]
pub enum Law {
    /// Normal with this standard deviation.
    Lognormal(f64),
    /// Exponential with this rate: Pareto's law.
    Pareto(f64),
}

/// What the treatment does to the values.
#[derive(Debug, Clone, Copy)]
pub enum Effect {
    /// All are multiplied.
    Scale(f64),
    /// Those above the 80th percentile are stretched, so that p95 is 10 % higher.
    Tail,
}

/// A rollout of values.
#[derive(Debug, Clone, Copy)]
pub struct Latency {
    /// Its traffic.
    pub traffic: Traffic,
    /// Ticks to the horizon.
    pub ticks: usize,
    /// The law of the control's values.
    pub law: Law,
    /// What the treatment does.
    pub effect: Effect,
    /// Whether a common AR(1) noise (sd 0.3, 0.995 from tick to tick) moves all values.
    pub drifts: bool,
    /// By how much the values grow over the hour, as a share.
    pub trend: f64,
    /// The standard deviation of an AR(1) noise of the treatment's whole arm.
    pub shock: f64,
    /// Bursts of 5 requests of one user whose log values differ by this; 0 for none. Test Q is divided by design effects
    /// from before the rollout then, test M reads the users' means.
    pub bursts: f64,
    /// The margin of test Q, in bins.
    pub shift: usize,
    /// The margin of test M, relative.
    pub margin: f64,
    /// Whether errors, conversions and counts are watched too, all five in one budget.
    pub five: bool,
    /// The methods that must have alarmed for the rollout to end before its horizon; none: it never does.
    pub wanted: &'static [usize],
}

impl Latency {
    /// Values of this law at 200 requests a second without any effect.
    pub fn healthy(share: Option<f64>, law: Law) -> Self {
        Self {
            traffic: Traffic { rate: 200.0, share, swings: false },
            ticks: HOUR,
            law,
            effect: Effect::Scale(1.0),
            drifts: false,
            trend: 0.0,
            shock: 0.0,
            bursts: 0.0,
            shift: 0,
            margin: 0.0,
            five: false,
            wanted: &[],
        }
    }

    /// One value's logarithm before drift, of the treatment or the control.
    fn draw(&self, rng: &mut SmallRng, own: f64, is_treated: bool) -> f64 {
        let log = match self.law {
            Law::Lognormal(sigma) => {
                let z = normal(rng);
                let stretched = if is_treated && matches!(self.effect, Effect::Tail) && z > 0.8416 {
                    z + (z - 0.8416) * 0.0953 / (sigma * (1.6449 - 0.8416))
                } else {
                    z
                };
                sigma * stretched
            }
            Law::Pareto(a) => -(1.0 - rng.random::<f64>()).ln() / a,
        };
        match self.effect {
            Effect::Scale(factor) if is_treated => log + factor.ln() + own,
            _ => log + own,
        }
    }

    /// One rollout: when each of [`METHODS`] raised its alarm.
    pub fn play(&self, rng: &mut SmallRng) -> Alarms {
        let mut drift = Series::new(rng, 0.995, if self.drifts { 0.3 } else { 0.0 });
        let mut shock = Series::new(rng, 0.9, self.shock);
        let mut watch = Watch::new(self);
        for _ in 0..PAST {
            let at = drift.next(rng);
            let stratum = Stratum::draw(self, rng, (self.traffic.rate * 5.0) as u64, at, false);
            watch.remember(stratum);
        }
        watch.begin(rng);
        for tick in 0..self.ticks {
            let (n_t, n_c) = self.traffic.arms(rng, tick);
            let at = drift.next(rng) + (self.trend * (tick as f64 / HOUR as f64).min(1.0)).ln_1p();
            let of_arm = at + shock.next(rng);
            let t = Stratum::draw(self, rng, n_t, of_arm, true);
            let c = Stratum::draw(self, rng, n_c, at, false);
            watch.tick(rng, tick, t, c, at);
            if watch.alarms.is_done(self.wanted) {
                break;
            }
        }
        watch.alarms
    }
}

/// One arm of a tick.
struct Stratum {
    bins: Vec<u32>,
    /// Logarithms of values, or of users' mean values where there are bursts.
    units: Vec<f64>,
    n: u64,
    sum: f64,
    squares: f64,
}

/// The dense bin of a logarithm: the core's bin, moved and clipped.
fn dense(log: f64) -> usize {
    let key = (log / std::f64::consts::LN_2 * f64::from(1 << DEFAULT_SCALE)).ceil() as i64 - 1;
    (key + BINS as i64 / 2).clamp(0, BINS as i64 - 1) as usize
}

/// The upper edge of a dense bin.
fn edge(bin: usize) -> f64 {
    ((bin as f64 + 1.0 - BINS as f64 / 2.0) / f64::from(1 << DEFAULT_SCALE)).exp2()
}

impl Stratum {
    fn draw(plan: &Latency, rng: &mut SmallRng, n: u64, at: f64, is_treated: bool) -> Self {
        let mut stratum =
            Self { bins: vec![0; BINS], units: Vec::with_capacity(n as usize), n, sum: 0.0, squares: 0.0 };
        let (mut own, mut user) = (0.0, 0.0);
        for i in 0..n {
            if plan.bursts > 0.0 && i % 5 == 0 {
                own = plan.bursts * normal(rng);
            }
            let log = plan.draw(rng, own, is_treated) + at;
            let value = log.exp();
            stratum.bins[dense(log)] += 1;
            stratum.sum += value;
            stratum.squares += value * value;
            user += value;
            if plan.bursts == 0.0 {
                stratum.units.push(value);
            } else if i % 5 == 4 || i + 1 == n {
                stratum.units.push(user / (i % 5 + 1) as f64);
            }
            user = if plan.bursts == 0.0 || i % 5 == 4 { 0.0 } else { user };
        }
        stratum
    }

    fn above(&self, bin: usize) -> u64 {
        self.bins.get(bin + 1..).unwrap_or(&[]).iter().map(|n| u64::from(*n)).sum()
    }

    fn winsorised(&self, cap: f64) -> Group {
        let n = self.units.len() as f64;
        let mean = self.units.iter().map(|x| x.min(cap)).sum::<f64>() / n;
        let m2 = self.units.iter().map(|x| (x.min(cap) - mean).powi(2)).sum();
        Group { n: self.units.len() as u64, mean: if n > 0.0 { mean } else { 0.0 }, m2 }
    }
}

/// The bin at rank p (n - 1), as `Histogram::quantile_bin`.
fn quantile_bin(bins: &[u64], p: f64) -> usize {
    let total: u64 = bins.iter().sum();
    let rank = p * total.saturating_sub(1) as f64;
    let mut seen = 0;
    bins.iter()
        .position(|n| {
            seen += n;
            seen as f64 > rank
        })
        .unwrap_or(0)
}

/// A quantile by rank, evenly spread within its bin: what a rival without bins would see, nearly.
fn value_at(bins: &[u64], rank: f64) -> f64 {
    let mut below = 0.0;
    for (i, n) in bins.iter().enumerate().filter(|(_, n)| **n > 0) {
        let n = *n as f64;
        if below + n >= rank {
            let low = if i == 0 { 0.0 } else { edge(i - 1) };
            return low + (edge(i) - low) * ((rank - below) / n).clamp(0.0, 1.0);
        }
        below += n;
    }
    edge(bins.len() - 1)
}

/// The running state of every method.
struct Watch<'a> {
    plan: &'a Latency,
    past: Vec<Vec<u32>>,
    oldest: usize,
    window: Vec<u64>,
    cap: f64,
    centre: f64,
    effects: [f64; 4],
    levels: [Process; 4],
    means: [Process; 2],
    labels: Process,
    others: [Process; 2],
    all: [Vec<u64>; 2],
    sums: [[f64; 3]; 2],
    minute: [Vec<u64>; 2],
    limit: f64,
    static_: Static,
    judge: Kayenta,
    copies: Copies,
    alarms: Alarms,
}

impl<'a> Watch<'a> {
    fn new(plan: &'a Latency) -> Self {
        // With copies, as the worker weighs them.
        let process = || Process::with_reserve(ERROR_GRID.log_weight());
        Self {
            plan,
            past: Vec::with_capacity(PAST),
            oldest: 0,
            window: vec![0; BINS],
            cap: 0.0,
            centre: 0.0,
            effects: [1.0; 4],
            levels: std::array::from_fn(|_| process()),
            means: std::array::from_fn(|_| Process::uniform(mean::LAMBDAS.len())),
            labels: Process::uniform(SLOPES.len()),
            others: std::array::from_fn(|_| process()),
            all: std::array::from_fn(|_| vec![0; BINS]),
            sums: Default::default(),
            minute: std::array::from_fn(|_| vec![0; BINS]),
            limit: 0.0,
            static_: Static::default(),
            judge: Kayenta::default(),
            copies: Copies::default(),
            alarms: Alarms::new(METHODS.len()),
        }
    }

    /// Add a closed tick of the control to the past.
    fn remember(&mut self, c: Stratum) {
        self.window.iter_mut().zip(&c.bins).for_each(|(sum, n)| *sum += u64::from(*n));
        if self.past.len() < PAST {
            self.past.push(c.bins);
            return;
        }
        self.window.iter_mut().zip(&self.past[self.oldest]).for_each(|(sum, n)| *sum -= u64::from(*n));
        self.past[self.oldest] = c.bins;
        self.oldest = (self.oldest + 1) % PAST;
    }

    /// What is fixed when the rollout starts, from the past.
    fn begin(&mut self, rng: &mut SmallRng) {
        self.cap = edge(quantile_bin(&self.window, 0.999));
        let n: u64 = self.window.iter().sum();
        let weighed = self.window.iter().enumerate().map(|(i, n)| edge(i).min(self.cap) * *n as f64);
        self.centre = weighed.sum::<f64>() / n as f64;
        self.limit = value_at(&self.window, 0.95 * n as f64);
        if self.plan.bursts > 0.0 {
            let cuts = MIX4.map(|p| quantile_bin(&self.window, p));
            let mut units = [Units::default(); 4];
            for _ in 0..24_000 {
                let user = Stratum::draw(self.plan, rng, 5, 0.0, false);
                units.iter_mut().zip(cuts).for_each(|(u, cut)| u.push(user.above(cut) as f64, 5.0));
            }
            self.effects = units.map(|u| u.design_effect().unwrap_or(1.0));
        }
    }

    fn tick(&mut self, rng: &mut SmallRng, tick: usize, t: Stratum, c: Stratum, at: f64) {
        self.quantiles(tick, &t, &c);
        self.averages(tick, &t, &c);
        self.distribution(tick, &t, &c);
        if self.plan.five {
            self.five(rng, tick, t.n, c.n);
        }
        for (arm, stratum) in [&t, &c].into_iter().enumerate() {
            self.all[arm].iter_mut().zip(&stratum.bins).for_each(|(sum, n)| *sum += u64::from(*n));
            let row = [stratum.n as f64, stratum.sum, stratum.squares];
            self.sums[arm].iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
        }
        for (sum, stratum) in self.minute.iter_mut().zip([&t, &c]) {
            sum.iter_mut().zip(&stratum.bins).for_each(|(sum, n)| *sum += u64::from(*n));
        }
        self.rivals(tick);
        if tick % 12 == 11 {
            self.minute_ends(tick, at);
        }
        self.remember(c);
    }

    fn quantiles(&mut self, tick: usize, t: &Stratum, c: &Stratum) {
        if self.copies.begins(tick, &self.plan.traffic) {
            self.levels.iter_mut().for_each(Process::begin_copy);
        }
        for (i, p) in MIX4.into_iter().enumerate() {
            let cut = quantile_bin(&self.window, p);
            let arms = Arms { n_t: t.n, y_t: t.above(cut + self.plan.shift), n_c: c.n, y_c: c.above(cut) };
            let mut increment = fisher_increment(&arms, 1.0, Harm::Increase, &ERROR_GRID).expect("a table");
            temper(&mut increment, self.effects[i]).expect("an effect");
            self.levels[i].add(&increment).expect("the grid");
        }
        self.alarms.note(0, tick, self.mix4() >= LINE);
        self.alarms.note(1, tick, self.levels[2].log_e() >= LINE);
    }

    fn mix4(&self) -> f64 {
        mix(&self.levels.each_ref().map(Process::log_e)).expect("four")
    }

    fn averages(&mut self, tick: usize, t: &Stratum, c: &Stratum) {
        let scale = Scale::new(self.cap, self.centre);
        let (t, c) = (t.winsorised(self.cap), c.winsorised(self.cap));
        for (i, harm) in [Harm::Increase, Harm::Decrease].into_iter().enumerate() {
            let relative = if harm == Harm::Increase { self.plan.margin } else { -self.plan.margin };
            let margin = Line { relative, absolute: 0.0 };
            let increment = mean::increment(&t, &c, &scale, &margin, harm).expect("a stratum");
            self.means[i].add(&increment).expect("the grid");
            self.alarms.note(2 + i, tick, self.means[i].log_e() >= LINE);
        }
        if c.n > 0 {
            // Half of the past is 86 ticks old, as in the protocol.
            self.centre = 0.992 * self.centre + 0.008 * c.mean;
        }
    }

    fn distribution(&mut self, tick: usize, t: &Stratum, c: &Stratum) {
        let log = |i: usize| LOGS[i];
        let (mut n, mut sum, mut squares) = (0.0, 0.0, 0.0);
        for (i, k) in self.window.iter().enumerate().filter(|(_, k)| **k > 0) {
            let k = *k as f64;
            (n, sum, squares) = (n + k, sum + k * log(i), squares + k * log(i) * log(i));
        }
        let centre = sum / n;
        let spread = (squares / n - centre * centre).max(1e-6).sqrt();
        let bins: Vec<Bin> = t
            .bins
            .iter()
            .zip(&c.bins)
            .enumerate()
            .filter(|(_, (t, c))| **t + **c > 0)
            .map(|(i, (t, c))| Bin { score: (log(i) - centre).clamp(-6.0, 6.0), t: u64::from(*t), c: u64::from(*c) })
            .collect();
        let slopes = SLOPES.map(|l| l / spread);
        self.labels.add(&label::increment(&bins, &slopes).expect("a stratum")).expect("the grid");
        self.alarms.note(4, tick, self.labels.log_e() >= LINE);
    }

    /// Errors of 1 % and conversions of 30 % beside latency by mix4, by mean in both directions: one budget.
    fn five(&mut self, rng: &mut SmallRng, tick: usize, n_t: u64, n_c: u64) {
        for (i, (p, harm)) in [(0.01, Harm::Increase), (0.3, Harm::Decrease)].into_iter().enumerate() {
            let arms = Arms { n_t, y_t: binomial(rng, n_t, p), n_c, y_c: binomial(rng, n_c, p) };
            let increment = fisher_increment(&arms, 1.0, harm, &ERROR_GRID).expect("a table");
            self.others[i].add(&increment).expect("the grid");
        }
        let e = |p: &Process| p.log_e();
        let log_es = [self.mix4(), e(&self.means[0]), e(&self.means[1]), e(&self.others[0]), e(&self.others[1])];
        self.alarms.note(5, tick, combine(&log_es, &[0.2; 5], 0.05).expect("e-values").is_reached);
    }

    fn rivals(&mut self, tick: usize) {
        let [[n_t, sum_t, squares_t], [n_c, sum_c, squares_c]] = self.sums;
        if n_t < 2.0 || n_c < 2.0 {
            return;
        }
        let d = absolute(&Arm::mean(n_t, sum_t, squares_t), &Arm::mean(n_c, sum_c, squares_c));
        for (method, is_alarm) in [12, 10, 11].into_iter().zip(d.verdicts(1.0)) {
            self.alarms.note(method, tick, is_alarm);
        }
        if n_t >= 100.0 {
            let arm = |bins: &[u64], n: f64| {
                let (rank, half) = (0.95 * n, 1.959_964 * (0.95 * 0.05 * n).sqrt());
                let [low, q, high] = [rank - half, rank, rank + half].map(|r| value_at(bins, r));
                Arm::quantile(n, q, low, high)
            };
            let d = absolute(&arm(&self.all[0], n_t), &arm(&self.all[1], n_c));
            for (method, is_alarm) in [8, 6, 7].into_iter().zip(d.verdicts(1.0)) {
                self.alarms.note(method, tick, is_alarm);
            }
        }
        if tick % 6 == 5 && self.alarms.0[9].is_none() {
            let p = quantile_ab(&self.all[0], &self.all[1], 0.95, 1000.0, 0.05);
            let is_worse = value_at(&self.all[0], 0.95 * n_t) > value_at(&self.all[1], 0.95 * n_c);
            self.alarms.note(9, tick, is_worse && p <= 0.05);
        }
    }

    /// Those that read p95 of each minute.
    fn minute_ends(&mut self, tick: usize, at: f64) {
        let [t, c] = self.minute.each_mut().map(|bins| {
            let n: u64 = bins.iter().sum();
            let p95 = (n > 0).then(|| value_at(bins, 0.95 * n as f64));
            bins.fill(0);
            p95
        });
        self.alarms.note(13, tick, self.static_.minute(t, self.limit * at.exp() * 1.05));
        if self.alarms.0[14].is_none() {
            let is_high = self.judge.minute(t, c);
            self.alarms.note(14, tick, is_high);
        }
    }
}

#[cfg(test)]
mod tests {
    use flagscope_core::sketch::histogram::bin;

    use super::*;

    #[test]
    fn dense_bins_are_the_cores() {
        for x in [1e-3, 0.7, 1.0, 1.5, 3.0, 1234.5] {
            let key = bin::key(x, DEFAULT_SCALE);
            assert_eq!(dense(x.ln()) as i32 - BINS as i32 / 2, key, "{x}");
            assert!((bin::range(key, DEFAULT_SCALE).1 - edge(dense(x.ln()))).abs() < 1e-12 * x);
        }
    }
}

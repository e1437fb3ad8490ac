//! How much a test has been able to see: the chance that an effect would have been found by now, in closed form.
//!
//! What is here: what a stratum adds to that (its *information*), and from the sum of it the chance of a breach under an
//! effect, the smallest effect that is found with 80 %, and how many times as much data an effect takes. What is not: which
//! kind of metric has which information (`core::kind`), and what a rollout does with it (`guardrail`, `sql/api/ramp.sql`).
//!
//! # Formulas
//! Under an effect w (times worse: of the odds of a proportion, as its margin is) the sum of the log likelihood ratios of the
//! grid's point d is nearly normal with mean mu_d and deviation s_d, and it is a breach when one of them exceeds the line by
//! what its weight costs. With z = 0.8416 for a chance of 80 %:
//! ```text
//! chance(w)  = max_d  Phi((mu_d(w) - c_d) / s_d(w)),   c_d = log(1 / alpha) - log w_d - log(1 - reserve) [+ log levels]
//! P, Q, R    pi: share of the treatment, q(a) = pi a / (1 - pi + pi a), sign -1 where a decrease hurts
//!            mu_d = X' [sign d q(w^sign) - log(1 - q(m^sign) + q(m^sign) e^(sign d))],   s_d^2 = X' d^2 q (1 - q) at w
//!            X = sum x (1 - x / N), events with the finite population's correction; X' has what w adds to it
//! P1         mu_d = n [sign d p_w - log(1 - p0 + p0 e^(sign d))],   s_d^2 = n d^2 p_w (1 - p_w), p_w: odds w times those of p0
//! limit of R the same with Poisson counts
//! M          mu_l = l A delta - psi(l) V,   s_l^2 = l^2 V,   A = sum n_T n_C / N m / c,  V = sum V / c^2
//! ```
//! pi is taken back from sum X pi (1 - pi) / sum X, so that a ramp's stages add what they told at their own shares.
//!
//! # What is exact and what is not
//! Asymptotic, and of the last look alone: an earlier look may have crossed the line. Copies are left out. Beside the planner's
//! play of the tests themselves the smallest effect is within 10 % (test `stats_power`).

use super::mean::{Group, LAMBDAS, Line, Scale, bernstein, judged};
use super::mixture::{ERROR_GRID, Grid};
use super::process::RESERVE;
use super::tilt::Harm;

/// The chance with which an effect is to be found.
pub const POWER: f64 = 0.8;
/// The normal quantile of [`POWER`].
const Z: f64 = 0.841_621_233_572_914_2;
/// The largest effect that is looked for.
pub const LARGEST: f64 = 100.0;

/// What of a test's data is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Told {
    /// Of P, Q and R: sums of events, of X, of X pi and of X pi (1 - pi) (the module's formulas).
    Shares([f64; 4]),
    /// Of a share against a limit: trials, and the limit.
    Trials(f64, f64),
    /// Of a rate against a limit: what the limit lets expect of events.
    Expected(f64),
    /// Of M: A and V.
    Values([f64; 2]),
}

/// A test with what is known of its data.
#[derive(Debug, Clone, PartialEq)]
pub struct Sight {
    /// Direction in which the metric hurts.
    pub harm: Harm,
    /// log(1 / alpha).
    pub line: f64,
    /// What is tolerated: times worse; of a mean the relative change.
    pub tolerated: f64,
    /// The data, by level of a quantile.
    pub told: Vec<Told>,
}

/// What a stratum of events of both arms tells: events, X, X pi, X pi (1 - pi).
pub fn of_shares(events: f64, share: f64, chance: f64) -> [f64; 4] {
    let x = events * (1.0 - chance);
    [events, x, x * share, x * share * (1.0 - share)]
}

/// What a stratum of values tells: A and V.
pub fn of_values(t: &Group, c: &Group, scale: &Scale, line: &Line, harm: Harm) -> [f64; 2] {
    if t.n == 0 || c.n == 0 {
        return [0.0; 2];
    }
    let (n_t, n_c) = (t.n as f64, c.n as f64);
    let (_, v, bound) = judged(t, c, scale, line, harm);
    [n_t * n_c / (n_t + n_c) * scale.centre / bound, v / (bound * bound)]
}

/// Mean and deviation of a sum of log likelihood ratios under an effect, and what it must reach.
struct Drift {
    mean: f64,
    deviation: f64,
    wanted: f64,
}

impl Sight {
    /// The chance that an effect (so many times worse than the control or the limit) would have been found.
    pub fn chance(&self, effect: f64) -> f64 {
        phi(self.score(effect))
    }

    /// The smallest effect that would have been found with a chance of [`POWER`]; `None`: none below [`LARGEST`].
    pub fn smallest(&self) -> Option<f64> {
        let gap = |log: f64| self.score(log.exp()) - Z;
        let (mut lower, mut upper) = (0.0, LARGEST.ln());
        if gap(upper).is_nan() || gap(upper) < 0.0 {
            return None;
        }
        // 14 halvings leave 0.03 %; what most tests ask lies below 2 times.
        if gap(std::f64::consts::LN_2) >= 0.0 {
            upper = std::f64::consts::LN_2;
        }
        for _ in 0..14 {
            let middle = f64::midpoint(lower, upper);
            if gap(middle) < 0.0 { lower = middle } else { upper = middle }
        }
        Some(upper.exp())
    }

    /// How many times as much data finds an effect with a chance of [`POWER`]; `None`: no data does, or none is there.
    pub fn data_wanted(&self, effect: f64) -> Option<f64> {
        let times = |d: Drift| {
            let root = (Z * d.deviation + (Z * Z * d.deviation * d.deviation + 4.0 * d.mean * d.wanted).sqrt())
                / (2.0 * d.mean);
            (d.mean > 0.0).then_some(root * root)
        };
        self.drifts(effect).filter_map(times).min_by(f64::total_cmp).filter(|times| times.is_finite())
    }

    /// The greatest normal score over the grid.
    fn score(&self, effect: f64) -> f64 {
        let score = |d: Drift| if d.deviation > 0.0 { (d.mean - d.wanted) / d.deviation } else { f64::NEG_INFINITY };
        self.drifts(effect).map(score).fold(f64::NEG_INFINITY, f64::max)
    }

    fn drifts(&self, effect: f64) -> impl Iterator<Item = Drift> + '_ {
        let several = (self.told.len() as f64).ln() - (-RESERVE).ln_1p();
        self.told.iter().flat_map(move |told| {
            let wanted = self.line + several;
            let each: Vec<Drift> = match told {
                Told::Values(sums) => self.of_means(sums, effect, wanted),
                _ => self.of_grid(told, effect, wanted, &ERROR_GRID),
            };
            each
        })
    }

    fn sign(&self) -> f64 {
        if self.harm == Harm::Increase { 1.0 } else { -1.0 }
    }

    fn of_grid(&self, told: &Told, effect: f64, wanted: f64, grid: &Grid) -> Vec<Drift> {
        let worse = effect.powf(self.sign());
        let point = |(d, log_weight): (&f64, &f64)| {
            let d = self.sign() * d;
            let (mean, variance) = match *told {
                Told::Shares(sums) => self.of_shares(sums, worse, d),
                Told::Trials(n, p0) => {
                    let p = odds_times(p0, worse);
                    (n * (d * p - (p0 * d.exp_m1()).ln_1p()), n * d * d * p * (1.0 - p))
                }
                Told::Expected(k) => (k * (worse * d - d.exp_m1()), k * worse * d * d),
                Told::Values(_) => (0.0, 0.0),
            };
            Drift { mean, deviation: variance.max(0.0).sqrt(), wanted: wanted - log_weight }
        };
        grid.log_or().iter().zip(grid.log_weight()).map(point).collect()
    }

    fn of_shares(&self, [events, x, x_share, information]: [f64; 4], worse: f64, d: f64) -> (f64, f64) {
        if x.is_nan() || x <= 0.0 {
            return (0.0, 0.0);
        }
        let half = (0.25 - (information / x).clamp(0.0, 0.25)).sqrt();
        let share = if 2.0 * x_share <= x { 0.5 - half } else { 0.5 + half };
        let chance = 1.0 - x / events;
        // What p (1 - p) of the treatment becomes under the effect.
        let grows = worse / (1.0 - chance + chance * worse).powi(2);
        let x = x * (1.0 - share + share * grows);
        let (margin, found) = (odds_times(share, self.tolerated.powf(self.sign())), odds_times(share, worse));
        (x * (d * found - (margin * d.exp_m1()).ln_1p()), x * d * d * found * (1.0 - found))
    }

    fn of_means(&self, [a, v]: &[f64; 2], effect: f64, wanted: f64) -> Vec<Drift> {
        let change = if self.harm == Harm::Increase { effect - 1.0 } else { 1.0 - effect.recip() };
        let means = bernstein(a * (change - self.tolerated), *v);
        let weight = (LAMBDAS.len() as f64).ln();
        let drift = |(mean, l): (f64, &f64)| Drift { mean, deviation: l * v.sqrt(), wanted: wanted + weight };
        means.into_iter().zip(LAMBDAS.iter()).map(drift).collect()
    }
}

/// A chance with so many times the odds.
fn odds_times(chance: f64, times: f64) -> f64 {
    chance * times / (1.0 - chance + chance * times)
}

/// The normal distribution function, by the error function of Abramowitz and Stegun 7.1.26 (off by at most 1.5e-7).
fn phi(z: f64) -> f64 {
    let x = z.abs() / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * x);
    let series = [1.061_405_429, -1.453_152_027, 1.421_413_741, -0.284_496_736, 0.254_829_592];
    let tail = series.iter().fold(0.0, |sum, a| (sum + a) * t) * (-x * x).exp() / 2.0;
    if z > 0.0 { 1.0 - tail } else { tail }
}

//! What others do with the same draws: gbstats' sequential tests, the naive z-test, Howard and Ramdas' quantile test, and
//! static thresholds.
//!
//! The formulas are those of the packages, checked with their own answers (tests/rivals.rs). All but Howard and Ramdas
//! read sums over the whole rollout.

use flagscope_core::stats::beta_binomial::BetaBinomial;

/// Count, mean and variance of one arm over the whole rollout.
#[derive(Debug, Clone, Copy, Default)]
pub struct Arm {
    /// How many values.
    pub n: f64,
    /// Their mean.
    pub mean: f64,
    /// Their variance.
    pub variance: f64,
}

impl Arm {
    /// An arm of a proportion; gbstats takes p (1 - p) without n - 1.
    pub fn proportion(n: f64, y: f64) -> Self {
        let p = y / n;
        Self { n, mean: p, variance: p * (1.0 - p) }
    }

    /// An arm of a mean, from its sums.
    pub fn mean(n: f64, sum: f64, squares: f64) -> Self {
        Self { n, mean: sum / n, variance: (squares - sum * sum / n) / (n - 1.0) }
    }

    /// An arm of a quantile, from its order-statistic interval of 95 %.
    pub fn quantile(n: f64, quantile: f64, low: f64, high: f64) -> Self {
        let half = (high - low) / (2.0 * 1.959_963_984_540_054);
        Self { n, mean: quantile, variance: (n - 1.0) * half * half }
    }
}

/// A difference of treatment and control with its standard error and the sample of both.
#[derive(Debug, Clone, Copy)]
pub struct Difference {
    /// Treatment minus control, or that by the control.
    pub estimate: f64,
    /// Its standard error.
    pub se: f64,
    /// Values of both arms.
    pub n: f64,
}

/// Treatment minus control.
pub fn absolute(t: &Arm, c: &Arm) -> Difference {
    let variance = t.variance / t.n + c.variance / c.n;
    Difference { estimate: t.mean - c.mean, se: variance.sqrt(), n: t.n + c.n }
}

/// The lift by the delta method.
pub fn relative(t: &Arm, c: &Arm) -> Difference {
    let variance = t.variance / (c.mean.powi(2) * t.n) + c.variance * t.mean.powi(2) / (c.mean.powi(4) * c.n);
    Difference { estimate: t.mean / c.mean - 1.0, se: variance.sqrt(), n: t.n + c.n }
}

/// gbstats tunes its sequential tests for this many values.
pub const TUNING: f64 = 5000.0;

fn rho_squared(alpha: f64, tuning: f64) -> f64 {
    let twice = -2.0 * alpha.ln();
    (twice + twice.ln_1p()) / tuning
}

impl Difference {
    fn half_width(&self, rho2: f64, log: f64) -> f64 {
        self.se * (2.0 * (self.n * rho2 + 1.0) / (self.n * rho2) * log).sqrt()
    }

    /// The interval of gbstats' SequentialTwoSidedTTest.
    pub fn sequential(&self, alpha: f64, tuning: f64) -> (f64, f64) {
        let rho2 = rho_squared(alpha, tuning);
        let half = self.half_width(rho2, ((self.n * rho2 + 1.0).sqrt() / alpha).ln());
        (self.estimate - half, self.estimate + half)
    }

    /// Its p-value.
    pub fn sequential_p(&self, alpha: f64, tuning: f64) -> f64 {
        let rho2 = rho_squared(alpha, tuning);
        let total = self.n * rho2 + 1.0;
        let z2 = (self.estimate / self.se).powi(2);
        (0.5 * total.ln() - 0.5 * z2 * (1.0 - total.recip())).exp().min(1.0)
    }

    /// The lower end of the interval of gbstats' SequentialOneSidedTreatmentGreaterTTest.
    pub fn sequential_lower(&self, alpha: f64, tuning: f64) -> f64 {
        let rho2 = rho_squared(2.0 * alpha, tuning);
        self.estimate - self.half_width(rho2, ((self.n * rho2 + 1.0).sqrt() / (2.0 * alpha)).ln_1p())
    }

    /// Whether each rival sees harm at 5 %: naive z, gbstats two-sided, gbstats one-sided. Harm is an increase for
    /// sign 1, a decrease for -1. An arm without spread tells them nothing.
    pub fn verdicts(&self, sign: f64) -> [bool; 3] {
        if self.se.is_nan() || self.se <= 0.0 {
            return [false; 3];
        }
        let up = Self { estimate: sign * self.estimate, ..*self };
        let naive = up.estimate > 1.644_853_626_951_472 * up.se;
        [naive, up.sequential(0.05, TUNING).0 > 0.0, up.sequential_lower(0.05, TUNING) > 0.0]
    }
}

/// Howard and Ramdas' two-sample test of equal quantiles (confseq's algorithm): the p-value from the counts of both arms
/// in common bins, in the order of values.
pub fn quantile_ab(a: &[u64], b: &[u64], p: f64, sample: f64, alpha: f64) -> f64 {
    let mixture = BetaBinomial::new(p, sample, alpha, false).expect("a share");
    let totals = [a.iter().sum::<u64>() as f64, b.iter().sum::<u64>() as f64];
    let best = totals.map(|n| least(|k| mixture.log_e(k, n), 0.0, n));
    let (mut below, mut least_sum) = ([0.0; 2], f64::INFINITY);
    for (x, y) in a.iter().zip(b).filter(|(x, y)| **x + **y > 0) {
        let upto = [below[0] + *x as f64, below[1] + *y as f64];
        let sum: f64 = (0..2).map(|i| mixture.log_e(best[i].clamp(below[i], upto[i]), totals[i])).sum();
        least_sum = sum.min(least_sum);
        below = upto;
    }
    (-least_sum).exp().min(1.0)
}

/// Where a convex function is least, by golden section.
fn least(f: impl Fn(f64) -> f64, mut low: f64, mut high: f64) -> f64 {
    const GOLD: f64 = 0.618_033_988_749_895;
    for _ in 0..60 {
        let (x, y) = (high - GOLD * (high - low), low + GOLD * (high - low));
        if f(x) < f(y) { high = y } else { low = x }
    }
    0.5 * (low + high)
}

/// A static threshold as Argo and Flagger have it: three one-minute windows in a row beyond a multiple of the true
/// baseline.
#[derive(Debug, Clone, Copy, Default)]
pub struct Static {
    beyond: u32,
}

impl Static {
    /// A minute ends: is its value beyond the limit? Whether it was the third in a row.
    pub fn minute(&mut self, value: Option<f64>, limit: f64) -> bool {
        self.beyond = if value.is_some_and(|v| v > limit) { self.beyond + 1 } else { 0 };
        self.beyond >= 3
    }
}

//! What others do with the same draws: gbstats' sequential tests, the naive z-test, Howard and Ramdas' quantile test,
//! static thresholds, and Kayenta's judge.
//!
//! The formulas are those of the packages, checked with their own answers (tests/rivals.rs); Kayenta's are those of its
//! source. All but Howard and Ramdas, static thresholds and Kayenta read sums over the whole rollout.

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

/// Kayenta's default judge (its MannWhitney and MannWhitneyClassifier, commit a69573be9d8f): one point a minute of each arm,
/// every five minutes from the tenth on, for four hours. A metric is too high when the lower end of the 98 % interval of the shift between
/// the arms is above a quarter of the shift itself.
#[derive(Debug, Clone, Default)]
pub struct Kayenta {
    arms: [Vec<f64>; 2],
    minutes: usize,
}

/// A canary that passed for so long is over.
const MOST_MINUTES: usize = 240;

/// The normal quantile of a two-sided 98 % interval.
const Z_98: f64 = 2.326_347_874_040_841;

impl Kayenta {
    /// A minute ends, with the treatment's and the control's value, or none: does the judge say "high"?
    pub fn minute(&mut self, t: Option<f64>, c: Option<f64>) -> bool {
        self.minutes += 1;
        self.arms[0].extend(t);
        self.arms[1].extend(c);
        let is_due = (10..=MOST_MINUTES).contains(&self.minutes) && self.minutes.is_multiple_of(5);
        is_due && shift(&self.arms[0], &self.arms[1]).is_some_and(|(low, middle)| low > 0.25 * middle.abs())
    }
}

/// The lower end of Mann and Whitney's 98 % interval of the shift of x against y, and Hodges and Lehmann's estimate of it:
/// the shifts that leave a rank sum z standard errors (and half a pair for continuity) above the expected one, and none.
/// They are among the sorted differences of pairs. Ties are those within an arm: between shifted arms there are none but at
/// the differences themselves. None of an arm without values.
pub fn shift(x: &[f64], y: &[f64]) -> Option<(f64, f64)> {
    let (n_x, n_y) = (x.len() as f64, y.len() as f64);
    let n = n_x + n_y;
    let variance = n_x * n_y / 12.0 * (n + 1.0 - (ties(x) + ties(y)) / (n * (n - 1.0)));
    let mut differences: Vec<f64> = x.iter().flat_map(|x| y.iter().map(move |y| x - y)).collect();
    if differences.is_empty() || variance.is_nan() || variance <= 0.0 {
        return None;
    }
    let pairs = n_x * n_y;
    // So many pairs are at or below the lower end.
    let below = pairs / 2.0 - Z_98 * variance.sqrt() - 0.5;
    let last = differences.len() - 1;
    let mut at =
        |rank: f64| *differences.select_nth_unstable_by((rank.max(0.0) as usize).min(last), f64::total_cmp).1;
    let middle = 0.5 * (at((pairs - 1.0) / 2.0) + at(pairs / 2.0));
    let low = if below < 0.0 { f64::NEG_INFINITY } else { at(below) };
    Some((low, middle))
}

/// The sum of t^3 - t over groups of t equal values.
fn ties(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.chunk_by(|a, b| a == b).map(|group| group.len() as f64).map(|t| t * t * t - t).sum()
}

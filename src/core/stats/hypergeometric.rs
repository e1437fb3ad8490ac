//! The hypergeometric law: its probabilities and its moment generating function, for counts up to 10^12.
//!
//! What is here: numbers of one urn. What is not: arms, margins, grids (`tilt`).
//!
//! X ~ Hypergeometric: events among n_t draws of n_t + n_c, of which x are events.
//!
//! # Why not from one mode
//! One could sum exp(delta y) h(y) / h(mode) from the mode of h. That sum itself is exp(L - delta mode)
//! and overflows a float8 from about 1,300 events at odds ratio 10 and equal arms on; a tick of an exceedance test has
//! more. So every sum here starts at the mode of its own tilted law and the probability of that mode is computed
//! directly by Loader's saddle-point expansion (C. Loader, Fast and accurate computation of binomial probabilities,
//! 2000; also R's dbinom and dhyper). It never overflows, and the sum runs over some 18 standard deviations at most.

use std::f64::consts::TAU;

use super::special::stirling_series;

/// A term below this part of the sum ends the sum.
const NEGLIGIBLE: f64 = 1e-18;

/// log n! minus Stirling's n log n - n + log(2 pi n) / 2, for whole n from 1 on.
fn stirling_error(n: f64) -> f64 {
    if n <= 15.0 {
        let factorial: f64 = (1..=n as u32).map(f64::from).product();
        return factorial.ln() - (n * n.ln() - n + 0.5 * (TAU * n).ln());
    }
    stirling_series(n)
}

/// x log(x / np) + np - x without cancellation.
fn deviance(x: f64, np: f64) -> f64 {
    let (difference, sum) = (x - np, x + np);
    if difference.abs() >= 0.1 * sum {
        return x * (x / np).ln() + np - x;
    }
    // With v = difference / sum, log(x / np) = 2 (v + v^3/3 + v^5/5 + ...).
    let v = difference / sum;
    let mut total = difference * v;
    let mut power = 2.0 * x * v;
    let mut odd = 1.0;
    loop {
        power *= v * v;
        odd += 2.0;
        let next = total + power / odd;
        if next == total {
            return total;
        }
        total = next;
    }
}

/// The log probability of k among n at chance p = 1 - q, for whole 0 <= k <= n and 0 < p < 1.
fn log_binomial(k: f64, n: f64, p: f64, q: f64) -> f64 {
    if k == 0.0 {
        return n * if p < 0.5 { (-p).ln_1p() } else { q.ln() };
    }
    if k == n {
        return n * if q < 0.5 { (-q).ln_1p() } else { p.ln() };
    }
    let rest = n - k;
    stirling_error(n) - stirling_error(k) - stirling_error(rest) - deviance(k, n * p) - deviance(rest, n * q)
        + 0.5 * (n / (TAU * k * rest)).ln()
}

/// One urn, with counts as floats (exact up to 2^53).
#[derive(Debug, Clone, Copy)]
pub(super) struct Urn {
    n_t: f64,
    n_c: f64,
    x: f64,
    /// The least and the greatest possible number of events among the n_t.
    pub(super) low: f64,
    pub(super) high: f64,
}

impl Urn {
    /// The urn of x events among n_t + n_c; x is at most that.
    pub(super) fn new(n_t: u64, n_c: u64, x: u64) -> Self {
        let (low, high) = (x.saturating_sub(n_c), n_t.min(x));
        let [n_t, n_c, x, low, high] = [n_t, n_c, x, low, high].map(|n| n as f64);
        Self { n_t, n_c, x, low, high }
    }

    /// log P(X = y).
    pub(super) fn log_probability(&self, y: f64) -> f64 {
        if self.low == self.high {
            return 0.0;
        }
        let n = self.n_t + self.n_c;
        let (p, q) = (self.x / n, (n - self.x) / n);
        log_binomial(y, self.n_t, p, q) + log_binomial(self.x - y, self.n_c, p, q) - log_binomial(self.x, n, p, q)
    }

    /// The mode of the law tilted by exp(theta y), Fisher's noncentral hypergeometric law of odds ratio exp(theta).
    /// Being one off by rounding costs a term of the sums, not their value.
    pub(super) fn mode(&self, theta: f64) -> f64 {
        let odds = theta.exp();
        let a = theta.exp_m1();
        let b = (self.n_t + self.x + 2.0) * odds + self.n_c - self.x;
        let c = (self.n_t + 1.0) * (self.x + 1.0) * odds;
        let root = (b * b - 4.0 * a * c).max(0.0).sqrt();
        // b < 0 costs digits of b + root, but few: then -4 a c is at least some odds b^2, since x <= n_t + n_c.
        (2.0 * c / (b + root)).floor().clamp(self.low, self.high)
    }

    /// The sum of exp(theta (y - mode)) P(X = y) / P(X = mode) over all y, outward from the mode.
    fn sum_around(&self, mode: f64, theta: f64) -> f64 {
        let odds = theta.exp();
        let mut sum = 1.0;
        let (mut y, mut term) = (mode, 1.0);
        while y < self.high {
            let ratio = self.step(y, odds);
            term *= ratio;
            sum += term;
            if ratio < 1.0 && term < NEGLIGIBLE * sum {
                break;
            }
            y += 1.0;
        }
        (y, term) = (mode, 1.0);
        while y > self.low {
            let ratio = y * (self.n_c - self.x + y) / ((self.n_t - y + 1.0) * (self.x - y + 1.0)) / odds;
            term *= ratio;
            sum += term;
            if ratio < 1.0 && term < NEGLIGIBLE * sum {
                break;
            }
            y -= 1.0;
        }
        sum
    }

    /// log E exp(theta (X - origin)). The origin is near X, so that large counts do not drown the result.
    pub(super) fn log_m(&self, theta: f64, origin: f64) -> f64 {
        if theta == 0.0 {
            return 0.0;
        }
        if self.low == self.high {
            return theta * (self.low - origin);
        }
        let mode = self.mode(theta);
        self.log_probability(mode) + theta * (mode - origin) + self.sum_around(mode, theta).ln()
    }

    /// The ratio of the tilted law's probabilities at y + 1 and y.
    fn step(&self, y: f64, odds: f64) -> f64 {
        (self.n_t - y) * (self.x - y) / ((y + 1.0) * (self.n_c - self.x + y + 1.0)) * odds
    }

    /// log P(X >= y) under the law tilted by exp(theta X).
    pub(super) fn log_tail(&self, y: f64, theta: f64) -> f64 {
        if y <= self.low {
            return 0.0;
        }
        if y > self.high {
            return f64::NEG_INFINITY;
        }
        let odds = theta.exp();
        let upper = y > self.mode(theta);
        // The smaller tail is summed from its end nearest to the mode, outward.
        let begin = if upper { y } else { y - 1.0 };
        let (mut sum, mut term, mut at) = (1.0, 1.0, begin);
        while term > NEGLIGIBLE * sum && (if upper { at < self.high } else { at > self.low }) {
            if upper {
                term *= self.step(at, odds);
                at += 1.0;
            } else {
                at -= 1.0;
                term /= self.step(at, odds);
            }
            sum += term;
        }
        let tail = self.log_probability(begin) + theta * begin - self.log_m(theta, 0.0) + sum.ln();
        if upper { tail.min(0.0) } else { (-tail.exp()).min(0.0).ln_1p() }
    }
}

/// log P(X >= y) of Fisher's noncentral hypergeometric law: X events among n_t of n_t + n_c, x of which are events, where
/// the n_t have exp(ln_odds) times the odds of the others.
pub(crate) fn hypergeometric_tail(n_t: u64, n_c: u64, x: u64, y: f64, ln_odds: f64) -> f64 {
    Urn::new(n_t, n_c, x.min(n_t.saturating_add(n_c))).log_tail(y, ln_odds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_sum_to_one() {
        for (n_t, n_c, x) in [(1, 1, 1), (5, 16, 1), (30, 3, 20), (100, 1000, 40), (1000, 1000, 1999)] {
            let urn = Urn::new(n_t, n_c, x);
            let sum: f64 = (urn.low as u64..=urn.high as u64).map(|y| urn.log_probability(y as f64).exp()).sum();
            assert!((sum - 1.0).abs() < 1e-12, "{n_t} {n_c} {x}: {sum}");
        }
    }

    #[test]
    fn no_neighbour_of_a_mode_is_likelier() {
        for (n_t, n_c, x) in [(5, 16, 1), (30, 3, 20), (1000, 10, 1005), (40_000, 1_000_000, 300_000)] {
            let urn = Urn::new(n_t, n_c, x);
            for theta in [-6.9, -0.1, 0.0, 0.05, 2.3, 6.9] {
                let mode = urn.mode(theta);
                let tilted = |y: f64| urn.log_probability(y) + theta * y;
                for y in [mode - 1.0, mode + 1.0] {
                    let possible = (urn.low..=urn.high).contains(&y);
                    assert!(!possible || tilted(y) < tilted(mode) + 1e-6, "{n_t} {n_c} {x} {theta} {mode}");
                }
            }
        }
    }

    #[test]
    fn the_tilt_agrees_with_the_plain_sum() {
        for (n_t, n_c, x) in [(5, 16, 1), (30, 3, 20), (100, 1000, 40), (616, 191, 328)] {
            let urn = Urn::new(n_t, n_c, x);
            for theta in [-2.3_f64, -0.1, 0.05, 0.7, 2.3] {
                let term = |y: u64| (urn.log_probability(y as f64) + theta * y as f64).exp();
                let plain = (urn.low as u64..=urn.high as u64).map(term).sum::<f64>().ln();
                let got = urn.log_m(theta, 0.0);
                assert!((got - plain).abs() < 1e-10 * plain.abs().max(1.0), "{n_t} {n_c} {x} {theta}: {got} {plain}");
            }
        }
    }
}

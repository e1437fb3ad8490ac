//! Special functions on the log scale, as far as the tests need them: exact far into the tails, where the plain
//! functions are 0 and their logarithm is lost.
//!
//! What is here: log beta, the log of the incomplete beta ratio, and the log of the normal and of Student's cdf.
//!
//! What is not: what `statrs` has on the plain scale (log gamma, erfc, quantiles).

use std::f64::consts::{PI, SQRT_2};

use statrs::function::erf::erfc;
use statrs::function::gamma::ln_gamma;

/// From here on Stirling's series of five terms is exact to 1e-15.
const LARGE: f64 = 15.0;

/// log Gamma(x) minus (x - 1/2) log x - x + log(2 pi) / 2, for x > 0.
fn stirling(x: f64) -> f64 {
    if x < LARGE { ln_gamma(x) - ((x - 0.5) * x.ln() - x + 0.5 * (2.0 * PI).ln()) } else { stirling_series(x) }
}

/// The same by Stirling's series, for x from 15 on; for whole x also log x! minus (x + 1/2) log x - x + log(2 pi) / 2.
pub(super) fn stirling_series(x: f64) -> f64 {
    let s = 1.0 / (x * x);
    (1.0 / 12.0 - s * (1.0 / 360.0 - s * (1.0 / 1260.0 - s * (1.0 / 1680.0 - s / 1188.0)))) / x
}

/// log B(a, b) for positive a and b, without the difference of two large log gammas.
pub(super) fn ln_beta(a: f64, b: f64) -> f64 {
    let (small, large) = if a < b { (a, b) } else { (b, a) };
    let sum = small + large;
    let corrections = stirling(large) - stirling(sum);
    if small < LARGE {
        // log Gamma(large) - log Gamma(sum), by Stirling.
        let ratio = -(large - 0.5) * (small / large).ln_1p() - small * sum.ln() + small;
        return ln_gamma(small) + ratio + corrections;
    }
    let main = (small - 0.5) * (small / sum).ln() - large * (small / large).ln_1p() - 0.5 * large.ln();
    main + 0.5 * (2.0 * PI).ln() + stirling(small) + corrections
}

/// The continued fraction of the incomplete beta function by Lentz's method (DLMF 8.17.22).
fn fraction(a: f64, b: f64, x: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let guard = |v: f64| if v.abs() < TINY { TINY } else { v };
    let mut c = 1.0;
    let mut d = 1.0 / guard(1.0 - (a + b) * x / (a + 1.0));
    let mut h = d;
    // It needs about sqrt(max(a, b)) steps; a test with 10^9 degrees of freedom takes 3 10^4.
    for m in 1..200_000 {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / guard(1.0 + even * d);
        c = guard(1.0 + even / c);
        h *= d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / guard(1.0 + odd * d);
        c = guard(1.0 + odd / c);
        let step = d * c;
        h *= step;
        if (step - 1.0).abs() < 1e-16 {
            break;
        }
    }
    h
}

/// log I_x(a, b), the incomplete beta ratio, from log x and log(1 - x).
pub(crate) fn ln_beta_ratio(a: f64, b: f64, ln_x: f64, ln_rest: f64) -> f64 {
    if ln_x >= 0.0 {
        return 0.0;
    }
    let x = ln_x.exp();
    let front = a * ln_x + b * ln_rest - ln_beta(a, b);
    if x < (a + 1.0) / (a + b + 2.0) {
        return front - a.ln() + fraction(a, b, x).ln();
    }
    let other = (front - b.ln() + fraction(b, a, ln_rest.exp()).ln()).exp();
    (-other).ln_1p()
}

/// log P(T <= t) of Student's law with nu degrees of freedom.
pub(super) fn ln_student_cdf(t: f64, nu: f64) -> f64 {
    let square = t * t / nu;
    let ln_x = -square.ln_1p();
    let ln_rest = if square > 0.0 { -square.recip().ln_1p() } else { f64::NEG_INFINITY };
    let ln_tail = if t == 0.0 { 0.0 } else { ln_beta_ratio(nu / 2.0, 0.5, ln_x, ln_rest) } - 2.0_f64.ln();
    if t <= 0.0 { ln_tail } else { (-ln_tail.exp()).ln_1p() }
}

/// log P(Z <= z) of the standard normal law.
pub(super) fn ln_normal_cdf(z: f64) -> f64 {
    if z > -10.0 {
        return (0.5 * erfc(-z / SQRT_2)).ln();
    }
    // Mills' ratio as Laplace's continued fraction: 40 terms are exact to 1e-16 from 10 standard deviations on.
    let x = -z;
    let mills = (1..=40).rev().fold(x, |rest, k| x + f64::from(k) / rest);
    -0.5 * x * x - 0.5 * (2.0 * PI).ln() - mills.ln()
}

/// The root of a function that changes its sign once between `low` and `high`, by bisection to the last bits.
pub(super) fn root(mut low: f64, mut high: f64, f: impl Fn(f64) -> f64) -> f64 {
    let rising = f(high) > 0.0;
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            break;
        }
        if (f(middle) > 0.0) == rising { high = middle } else { low = middle }
    }
    0.5 * (low + high)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against closed forms; the vectors of scipy and mpmath go through the tests that use these.
    #[test]
    fn logs_are_exact_in_the_tails() {
        let near = |got: f64, want: f64| assert!((got - want).abs() <= 1e-11 * want.abs().max(1.0), "{got} {want}");
        near(ln_beta(0.5, 0.5), PI.ln());
        near(ln_beta(2.0, 3.0), (1.0_f64 / 12.0).ln());
        near(ln_normal_cdf(0.0), 0.5_f64.ln());
        for z in [-9.999, -10.001] {
            near(ln_normal_cdf(z), (0.5 * erfc(-z / SQRT_2)).ln());
        }
        // Cauchy's law: 1/2 + atan(t) / pi.
        near(ln_student_cdf(-1e6, 1.0), (1e-6_f64 / PI).ln());
        near(ln_student_cdf(1.0, 1.0), 0.75_f64.ln());
        // Two degrees of freedom: (1 + t / sqrt(2 + t^2)) / 2.
        near(ln_student_cdf(-3.0, 2.0), (0.5 * (1.0 - 3.0 / 11.0_f64.sqrt())).ln());
        near(ln_student_cdf(0.0, 7.0), 0.5_f64.ln());
    }

    #[test]
    fn students_law_of_many_degrees_is_the_normal_one() {
        for t in [-30.0, -5.0, -1.0, 0.5, 3.0] {
            let (student, normal) = (ln_student_cdf(t, 1e9), ln_normal_cdf(t));
            assert!((student - normal).abs() < 1e-3 * normal.abs().max(1e-3), "{t}: {student} {normal}");
        }
    }
}

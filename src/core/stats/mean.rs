//! Test M: means of bounded values, by an empirical Bernstein bound for two samples (README.md, section 4).
//!
//! What is here: the increments of one stratum. What is not: winsorising, which must happen when a value comes in (a sum
//! cannot be winsorised later), and the choice of the centre, which must come from earlier strata.
//!
//! # Formula
//! Values lie in [0, U]. The null is mu_T <= (1 + r) mu_C + D. With realised counts and a predictable centre m,
//! u_T = n_C / N, u_C = n_T / N, m_T = (1 + r) m + D:
//! ```text
//! S = u_T n_T (ybar_T - m_T) - (1 + r) u_C n_C (ybar_C - m)
//! V = u_T^2 [M2_T + n_T (ybar_T - m_T)^2] + (1 + r)^2 u_C^2 [M2_C + n_C (ybar_C - m)^2]
//! c = max(u_T m_T, (1 + r) u_C (U - m))          for an increase
//! c = max(u_T (U - m_T), (1 + r) u_C m)          for a decrease, and S changes its sign
//! increment_j = l_j S / c - psi(l_j) V / c^2,    psi(l) = -log(1 - l) - l
//! ```
//! Every weighted deviation divided by c is at least -1, and exp(l x - psi(l) x^2) <= 1 + l x there (Fan, Grama, Liu
//! 2015; Howard et al., arXiv 1810.08240), so the mean e-value is at most 1 whatever the two laws, the allocation and
//! the baseline are. What is tested is the mean of the winsorised values.

use std::sync::LazyLock;

use super::tilt::{Harm, MAX_TRIALS};
use crate::sketch::Moments;
use crate::{Error, Kind, Result};

/// The effects of the mixture, as shares of the greatest bet; their weights are equal.
pub static LAMBDAS: LazyLock<[f64; 8]> = LazyLock::new(|| std::array::from_fn(|j| 0.5_f64.powi(j as i32 + 1)));

/// Count, mean and centred sum of squares of one arm's winsorised values.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Group {
    /// How many values.
    pub n: u64,
    /// Their mean.
    pub mean: f64,
    /// The sum of squared distances from it.
    pub m2: f64,
}

impl From<&Moments> for Group {
    fn from(moments: &Moments) -> Self {
        Self { n: moments.count(), mean: moments.mean().unwrap_or(0.0), m2: moments.m2() }
    }
}

impl Group {
    /// The sum of squared distances from a centre.
    fn squares_around(&self, centre: f64) -> f64 {
        self.m2 + self.n as f64 * (self.mean - centre).powi(2)
    }

    /// Add the values of another group (Chan, Golub, LeVeque 1982).
    pub fn merge(&mut self, other: &Self) {
        if other.n == 0 {
            return;
        }
        let (a, b) = (self.n as f64, other.n as f64);
        let delta = other.mean - self.mean;
        self.m2 += other.m2 + delta * delta * a * b / (a + b);
        self.mean += delta * b / (a + b);
        self.n += other.n;
    }
}

/// The scale that one stratum is judged on. Both numbers must come from before the stratum.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    /// U: no winsorised value is above it.
    pub cap: f64,
    /// m: about the control's mean, strictly between 0 and the cap. A bad one costs power and never validity.
    pub centre: f64,
}

impl Scale {
    /// A scale with the centre moved inside the cap, to where the bounds on both sides stay useful.
    pub fn new(cap: f64, centre: f64) -> Self {
        Self { cap, centre: centre.max(cap * 1e-6).min(cap * (1.0 - 1e-6)) }
    }
}

/// Beyond this and its inverse squares of 10^12 values leave the range of a float.
const LEAST_CAP: f64 = 1e-140;

/// The line between harmless and harmful: mu_T = (1 + relative) mu_C + absolute.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Line {
    /// Tolerated change as a share of the control's mean; negative when a decrease is harmful.
    pub relative: f64,
    /// Tolerated change in the metric's unit; negative when a decrease is harmful.
    pub absolute: f64,
}

fn check(t: &Group, c: &Group, scale: &Scale, margin: &Line) -> Result<()> {
    let bad = |message: String| Err(Error::new(Kind::InvalidParameter, message));
    if !(LEAST_CAP..=LEAST_CAP.recip()).contains(&scale.cap) {
        return bad(format!("the cap of a mean must be between 1e-140 and 1e140, got \"{}\"", scale.cap));
    }
    if !(scale.centre > 0.0 && scale.centre < scale.cap) {
        return bad(format!("the centre must be between 0 and the cap \"{}\", got \"{}\"", scale.cap, scale.centre));
    }
    if !(margin.relative > -1.0 && margin.relative <= 1e3 && margin.absolute.abs() <= 1e3 * scale.cap) {
        return bad(format!("margin is out of range, got \"{}\" and \"{}\"", margin.relative, margin.absolute));
    }
    for group in [t, c] {
        if group.n > MAX_TRIALS {
            let message = format!("an arm of a stratum has at most \"{MAX_TRIALS}\" values, got \"{}\"", group.n);
            return Err(Error::new(Kind::LimitExceeded, message).hint("Use shorter ticks."));
        }
        let slack = 1e-9 * scale.cap;
        if group.n > 0 && !(-slack..=scale.cap + slack).contains(&group.mean) {
            let message = format!("mean \"{}\" is not between 0 and the cap \"{}\"", group.mean, scale.cap);
            return Err(Error::new(Kind::InvalidParameter, message).hint("Winsorise each value to [0, cap] first."));
        }
        if !(group.m2 >= 0.0 && group.m2.is_finite()) {
            return bad(format!("m2 must be a finite number of at least 0, got \"{}\"", group.m2));
        }
    }
    Ok(())
}

/// The increments of test M of one stratum, one for each of [`LAMBDAS`]; exact zeros for an empty arm. The e-value is
/// their plain mean ([`super::mixture::mix`]).
///
/// [`Harm::Increase`] tests the null "mu_T at most the margin's line", [`Harm::Decrease`] "at least".
///
/// # Errors
/// [`Kind::InvalidParameter`] for a mean outside [0, cap] or a scale or margin out of range,
/// [`Kind::LimitExceeded`] beyond [`MAX_TRIALS`] values.
pub fn increment(t: &Group, c: &Group, scale: &Scale, margin: &Line, harm: Harm) -> Result<Vec<f64>> {
    check(t, c, scale, margin)?;
    if t.n == 0 || c.n == 0 {
        return Ok(vec![0.0; LAMBDAS.len()]);
    }
    let (s, v, bound) = judged(t, c, scale, margin, harm);
    Ok(bernstein(s / bound, v / (bound * bound)).to_vec())
}

/// S, V and c of a stratum of which both arms have values.
pub(super) fn judged(t: &Group, c: &Group, scale: &Scale, margin: &Line, harm: Harm) -> (f64, f64, f64) {
    let (n_t, n_c, q) = (t.n as f64, c.n as f64, 1.0 + margin.relative);
    let (u_t, u_c) = (n_c / (n_t + n_c), q * n_t / (n_t + n_c));
    let (m_t, m_c) = (q * scale.centre + margin.absolute, scale.centre);
    let s = u_t * n_t * (t.mean - m_t) - u_c * n_c * (c.mean - m_c);
    let v = u_t * u_t * t.squares_around(m_t) + u_c * u_c * c.squares_around(m_c);
    match harm {
        Harm::Increase => (s, v, (u_t * m_t).max(u_c * (scale.cap - m_c))),
        Harm::Decrease => (-s, v, (u_t * (scale.cap - m_t)).max(u_c * m_c)),
    }
}

/// l S - psi(l) V for each of [`LAMBDAS`], with S and V in units of the bound.
pub fn bernstein(s: f64, v: f64) -> [f64; 8] {
    LAMBDAS.map(|l| l * s - (-(-l).ln_1p() - l) * v)
}

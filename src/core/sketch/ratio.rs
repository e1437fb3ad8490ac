//! Sums over units of a numerator and a denominator: a ratio whose error is judged by units, not by rows.
//!
//! What is here: the state and what it answers about one arm. What is not: comparing two arms (`stats::ratio`).
//!
//! A unit is what was randomised (a user); each adds its totals once. Requests of one user resemble each other, so the
//! variance of errors per request must be estimated between users: by the delta method, from means and centred
//! products (src/core/stats/README.md, section 7), merged as in `moments`.

use serde::{Deserialize, Serialize};

use super::Sketch;
use super::codec::{self, Check, Reader, Writer};
use crate::Result;

const EXAMPLE: &str = r#"{"n":2,"mean_x":1.5,"mean_y":3.0,"xx":0.5,"yy":2.0,"xy":1.0,"invalid":0}"#;

/// Count of units, means of numerator x and denominator y, and their centred sums of products.
///
/// A unit with a number that is NaN or infinite is counted in `invalid` and touches nothing else. Sums saturate at the
/// largest float.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ratio {
    n: u64,
    mean_x: f64,
    mean_y: f64,
    xx: f64,
    yy: f64,
    xy: f64,
    invalid: u64,
}

impl Ratio {
    /// Add one unit.
    pub fn push(&mut self, x: f64, y: f64) {
        if x.is_finite() && y.is_finite() {
            self.include(&Self { n: 1, mean_x: x, mean_y: y, ..Self::default() });
        } else {
            self.invalid += 1;
        }
    }

    /// Add a group by Chan's formula.
    fn include(&mut self, other: &Self) {
        let (ours, theirs) = (self.n as f64, other.n as f64);
        let share = theirs / (ours + theirs);
        let (dx, dy) = (other.mean_x - self.mean_x, other.mean_y - self.mean_y);
        let weight = ours * share;
        self.n += other.n;
        self.mean_x = step(self.mean_x, other.mean_x, share);
        self.mean_y = step(self.mean_y, other.mean_y, share);
        self.xx = finite(finite(self.xx + other.xx) + between(dx, dx, weight));
        self.yy = finite(finite(self.yy + other.yy) + between(dy, dy, weight));
        self.xy = finite(finite(self.xy + other.xy) + between(dx, dy, weight));
    }

    /// How many units there were.
    pub fn count(&self) -> u64 {
        self.n
    }

    /// How many units had a number that was NaN or infinite.
    pub fn invalid(&self) -> u64 {
        self.invalid
    }

    /// The mean of the numerator by unit; None of no units.
    pub fn mean_x(&self) -> Option<f64> {
        (self.n > 0).then_some(self.mean_x)
    }

    /// The mean of the denominator by unit; None of no units.
    pub fn mean_y(&self) -> Option<f64> {
        (self.n > 0).then_some(self.mean_y)
    }

    /// The ratio of the two sums; None when the denominators sum to 0.
    pub fn value(&self) -> Option<f64> {
        (self.n > 0 && self.mean_y != 0.0).then(|| self.mean_x / self.mean_y)
    }

    /// The variance of the ratio by the delta method, (s_xx - 2 R s_xy + R^2 s_yy) / (n ybar^2) with sample (n - 1)
    /// variances; None of fewer than two units, without a ratio, and where it is beyond a double.
    pub fn variance(&self) -> Option<f64> {
        let ratio = self.value().filter(|_| self.n > 1)?;
        let spread = self.xx - 2.0 * ratio * self.xy + ratio * ratio * self.yy;
        let variance = spread / (self.n - 1) as f64 / (self.n as f64 * self.mean_y * self.mean_y);
        variance.is_finite().then(|| variance.max(0.0))
    }

    /// The standard error of the ratio.
    pub fn standard_error(&self) -> Option<f64> {
        self.variance().map(f64::sqrt)
    }

    /// For x events among y trials of a unit: how much larger the variance of the event rate is than if all trials
    /// were independent, [`Ratio::variance`] over p (1 - p) / trials, and at least 1 (src/core/stats/README.md, section 7). None of
    /// fewer than two units, and when no or every trial was an event.
    pub fn design_effect(&self) -> Option<f64> {
        let rate = self.value().filter(|p| 0.0 < *p && *p < 1.0)?;
        let independent = rate * (1.0 - rate) / (self.n as f64 * self.mean_y);
        let effect = self.variance()? / independent;
        effect.is_finite().then(|| effect.max(1.0))
    }

    fn fields(&self) -> [f64; 5] {
        [self.mean_x, self.mean_y, self.xx, self.yy, self.xy]
    }

    /// Check a content that came from outside.
    fn checked(self) -> Check<Self> {
        codec::check_count("n", self.n)?;
        codec::check_count("invalid", self.invalid)?;
        if self.n == 0 && self.fields() != [0.0; 5] {
            return Err("no units, but a mean or a spread".into());
        }
        if let Some(bad) = self.fields().iter().find(|x| !x.is_finite()) {
            return Err(format!("\"{bad}\" is not finite"));
        }
        let single = self.n == 1 && [self.xx, self.yy, self.xy] != [0.0; 3];
        // Cauchy-Schwarz, up to rounding; sums that saturated or lost digits at the lower end say too little to judge.
        let (least, most) = (f64::MIN_POSITIVE / f64::EPSILON, f64::MAX);
        let unclear = self.xy.abs() == most || [self.xx, self.yy].iter().any(|sum| *sum < least || *sum == most);
        let possible = unclear || self.xy.abs() <= self.xx.sqrt() * self.yy.sqrt() * (1.0 + 1e-6);
        if self.xx < 0.0 || self.yy < 0.0 || single || !possible {
            return Err(format!("\"{}\", \"{}\" and \"{}\" are no sums of products", self.xx, self.yy, self.xy));
        }
        Ok(self)
    }

    fn read(bytes: &[u8]) -> Check<Self> {
        let mut reader = Reader::new(bytes)?;
        let mut state = Self { invalid: reader.varint()?, n: reader.varint()?, ..Self::default() };
        if state.n > 0 {
            for field in [&mut state.mean_x, &mut state.mean_y, &mut state.xx, &mut state.yy, &mut state.xy] {
                *field = reader.f64()?;
            }
        }
        reader.finish()?;
        state.checked()
    }
}

fn finite(x: f64) -> f64 {
    x.clamp(f64::MIN, f64::MAX)
}

/// From one mean towards another; their distance may be more than the largest float.
fn step(from: f64, to: f64, share: f64) -> f64 {
    let distance = to - from;
    if distance.is_finite() { from + distance * share } else { from * (1.0 - share) + to * share }
}

/// What the distance of two means adds; 0 for the first group, where the distance may be infinite.
fn between(dx: f64, dy: f64, weight: f64) -> f64 {
    if weight == 0.0 || dx == 0.0 || dy == 0.0 { 0.0 } else { finite(dx * dy * weight) }
}

impl Sketch for Ratio {
    const NAME: &'static str = "ratio";

    fn merge(&mut self, other: &Self) -> Result<()> {
        let invalid = codec::add_counts(Self::NAME, self.invalid, other.invalid)?;
        codec::add_counts(Self::NAME, self.n, other.n)?;
        self.invalid = invalid;
        if other.n > 0 {
            self.include(other);
        }
        Ok(())
    }

    fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.varint(self.invalid);
        writer.varint(self.n);
        if self.n > 0 {
            self.fields().into_iter().for_each(|field| writer.f64(field));
        }
        writer.finish()
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        codec::binary(Self::read(bytes))
    }

    fn to_text(&self) -> String {
        codec::json(self)
    }

    fn from_text(s: &str) -> Result<Self> {
        codec::text(s, EXAMPLE, Self::checked)
    }
}

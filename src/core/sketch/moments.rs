//! Moments: count, mean, variance, extremes of a group of values.
//!
//! What is not here: winsorising (the caller caps a value before it is pushed) and intervals (`stats`).
//!
//! A plain sum of squares would cancel: for mean 1e5, sd 1 and n = 1e6 its variance loses 10 digits. So the centred sum `m2` is kept, by Welford (Technometrics 4, 1962) for one value and by Chan, Golub
//! and LeVeque (COMPSTAT 1982) for a merge.

use serde::{Deserialize, Serialize};

use super::codec::{self, Check, Reader, Writer};
use super::{MAX_COUNT, Sketch};
use crate::Result;

const EXAMPLE: &str = r#"{"n":2,"mean":1.5,"m2":0.5,"min":1.0,"max":2.0,"invalid":0}"#;

/// Count, mean, centred sum of squares and extremes.
///
/// NaN and infinities are counted in `invalid` and touch nothing else. Every float inside is finite: `m2` saturates at
/// the largest float (values around 1e154 and more).
#[derive(Debug, Clone, PartialEq)]
pub struct Moments {
    n: u64,
    mean: f64,
    m2: f64,
    min: f64,
    max: f64,
    invalid: u64,
}

/// The text form; an empty group has neither mean nor extremes.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    n: u64,
    mean: Option<f64>,
    m2: f64,
    min: Option<f64>,
    max: Option<f64>,
    invalid: u64,
}

impl Default for Moments {
    fn default() -> Self {
        Self { n: 0, mean: 0.0, m2: 0.0, min: f64::INFINITY, max: f64::NEG_INFINITY, invalid: 0 }
    }
}

impl Moments {
    /// Add one value.
    pub fn push(&mut self, x: f64) {
        if x.is_finite() {
            self.include(1, x, 0.0, x, x);
        } else {
            self.invalid += 1;
        }
    }

    /// The moments of values that another sketch holds.
    pub(super) fn of_group(n: u64, mean: f64, m2: f64, (min, max): (f64, f64), invalid: u64) -> Self {
        let mut moments = Self { invalid, ..Self::default() };
        if n > 0 {
            moments.include(n, mean.clamp(min, max), if n > 1 { m2 } else { 0.0 }, min, max);
        }
        moments
    }

    /// Add a group of `n` values by Chan's formula; with n = 1 and m2 = 0 it is Welford's step.
    fn include(&mut self, n: u64, mean: f64, m2: f64, min: f64, max: f64) {
        let (ours, theirs) = (self.n as f64, n as f64);
        let share = theirs / (ours + theirs);
        let delta = mean - self.mean;
        self.n += n;
        self.min = self.min.min(min);
        self.max = self.max.max(max);
        // delta overflows when the two means are more than the largest float apart.
        let step = if delta.is_finite() { delta * share } else { mean * share - self.mean * share };
        self.mean = (self.mean + step).clamp(self.min, self.max);
        let between = if ours > 0.0 { delta * delta * (ours * share) } else { 0.0 };
        self.m2 = (self.m2 + m2 + between).min(f64::MAX);
    }

    /// How many finite values there were.
    pub fn count(&self) -> u64 {
        self.n
    }

    /// How many values were NaN or infinite.
    pub fn invalid(&self) -> u64 {
        self.invalid
    }

    /// The arithmetic mean; None of no values.
    pub fn mean(&self) -> Option<f64> {
        (self.n > 0).then_some(self.mean)
    }

    /// The sum, n times the mean; None of no values.
    pub fn sum(&self) -> Option<f64> {
        self.mean().map(|mean| mean * self.n as f64)
    }

    /// The sum of squared distances from the mean (0 of no values).
    pub fn m2(&self) -> f64 {
        self.m2
    }

    /// The sample variance, with n - 1; None of fewer than two values.
    pub fn variance(&self) -> Option<f64> {
        (self.n > 1).then(|| self.m2 / (self.n - 1) as f64)
    }

    /// The sample standard deviation; None of fewer than two values.
    pub fn stddev(&self) -> Option<f64> {
        self.variance().map(f64::sqrt)
    }

    /// The least value.
    pub fn min(&self) -> Option<f64> {
        (self.n > 0).then_some(self.min)
    }

    /// The greatest value.
    pub fn max(&self) -> Option<f64> {
        (self.n > 0).then_some(self.max)
    }

    /// Check a content that came from outside.
    fn checked(self) -> Check<Self> {
        codec::check_count("n", self.n)?;
        codec::check_count("invalid", self.invalid)?;
        if self.n == 0 {
            return if self == (Self { invalid: self.invalid, ..Self::default() }) {
                Ok(self)
            } else {
                Err("no values, but a mean, an extreme or a spread".into())
            };
        }
        codec::check_range(self.min, self.max)?;
        if !(self.min..=self.max).contains(&self.mean) {
            return Err(format!("mean \"{}\" is outside the values", self.mean));
        }
        let spread = self.m2.is_finite() && self.m2 >= 0.0 && (self.m2 == 0.0 || self.n > 1);
        if spread {
            Ok(self)
        } else {
            Err(format!("m2 \"{}\" is no sum of squares of \"{}\" values", self.m2, self.n))
        }
    }

    fn from_form(form: Form) -> Check<Self> {
        let Form { n, mean, m2, min, max, invalid } = form;
        match (mean, min, max) {
            (Some(mean), Some(min), Some(max)) => Self { n, mean, m2, min, max, invalid },
            (None, None, None) if n == 0 => Self { m2, invalid, ..Self::default() },
            _ => return Err("mean, min and max must be all null or all numbers".into()),
        }
        .checked()
    }

    fn read(bytes: &[u8]) -> Check<Self> {
        let mut reader = Reader::new(bytes)?;
        let (invalid, n) = (reader.varint()?, reader.varint()?);
        let mut state = Self { n, invalid, ..Self::default() };
        if n > 0 {
            for field in [&mut state.mean, &mut state.m2, &mut state.min, &mut state.max] {
                *field = reader.f64()?;
            }
        }
        reader.finish()?;
        state.checked()
    }
}

impl Sketch for Moments {
    const NAME: &'static str = "moments";

    fn merge(&mut self, other: &Self) -> Result<()> {
        let invalid = codec::add_counts(Self::NAME, self.invalid, other.invalid)?;
        codec::add_counts(Self::NAME, self.n, other.n)?;
        self.invalid = invalid;
        if other.n > 0 {
            self.include(other.n, other.mean, other.m2, other.min, other.max);
        }
        Ok(())
    }

    fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.varint(self.invalid);
        writer.varint(self.n);
        if self.n > 0 {
            for field in [self.mean, self.m2, self.min, self.max] {
                writer.f64(field);
            }
        }
        writer.finish()
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        codec::binary(Self::read(bytes))
    }

    fn to_text(&self) -> String {
        let (mean, min, max) = (self.mean(), self.min(), self.max());
        codec::json(&Form { n: self.n, mean, m2: self.m2, min, max, invalid: self.invalid })
    }

    fn from_text(s: &str) -> Result<Self> {
        codec::text(s, EXAMPLE, Self::from_form)
    }
}

// A count above 2^53 would no longer be exact in the formulas above.
const _: () = assert!(MAX_COUNT == 1 << f64::MANTISSA_DIGITS);

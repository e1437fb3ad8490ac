//! The histogram with fixed bins: counts per logarithmic bin, the state that sequential quantile tests read.
//!
//! What is here: push, merge and every question. `bin` maps values to bins, `form` holds the two written forms.
//!
//! What is not: tests (`stats::exceedance`), and collapsing: a bin, once fixed, never moves, because edges that depend
//! on the data break the exactness of the counts (statistics.md section 6). Only a merge with a coarser histogram
//! coarsens, and the coarse edges are some of the fine ones.
//!
//! Bins are one vector sorted by key. A group mostly has 50 to 300 bins and often just a few, which 64 bytes hold.
//! Measured (AMD EPYC, release, 10,000 lognormal values over 292 bins): 34 ns for a push, of which finding and counting
//! the bin takes 11 ns (a B-tree map: 32 ns); 3.4 us for a merge. The worst input, all 131,000 bins of scale 5 from the
//! top down, takes 25 us for a push, since every new bin moves the others.

pub mod bin;
mod form;

pub use bin::{DEFAULT_SCALE, MAX_SCALE, MIN_SCALE, ZERO_KEY};

use super::{codec, quantile};
use crate::{Error, Kind, Result};

const NAME: &str = "histogram";

/// Counts of values per bin, exact extremes, and the sum.
///
/// NaN and infinities are counted in `invalid` and nowhere else. The sum saturates at the largest float.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    scale: i32,
    /// (key, count) in the order of keys; no count is 0.
    bins: Vec<(i32, u64)>,
    count: u64,
    invalid: u64,
    min: f64,
    max: f64,
    sum: f64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self::empty(DEFAULT_SCALE)
    }
}

impl Histogram {
    /// An empty histogram.
    ///
    /// # Errors
    /// [`Kind::InvalidParameter`] when the scale is not between [`MIN_SCALE`] and [`MAX_SCALE`].
    pub fn new(scale: i32) -> Result<Self> {
        bin::check_scale(scale).map(Self::empty)
    }

    fn empty(scale: i32) -> Self {
        let (min, max) = (f64::INFINITY, f64::NEG_INFINITY);
        Self { scale, bins: Vec::new(), count: 0, invalid: 0, min, max, sum: 0.0 }
    }

    /// Add one value.
    pub fn push(&mut self, x: f64) {
        self.add(x, 1);
    }

    /// Add the same value `n` times.
    ///
    /// # Errors
    /// [`Kind::LimitExceeded`] when more than [`super::MAX_COUNT`] values would be counted.
    pub fn push_n(&mut self, x: f64, n: u64) -> Result<()> {
        codec::add_counts(NAME, self.count.max(self.invalid), n)?;
        if n > 0 {
            self.add(x, n);
        }
        Ok(())
    }

    fn add(&mut self, x: f64, n: u64) {
        if !x.is_finite() {
            self.invalid += n;
            return;
        }
        let key = bin::key(x, self.scale);
        match self.bins.binary_search_by_key(&key, |b| b.0) {
            Ok(at) => self.bins[at].1 += n,
            Err(at) => self.bins.insert(at, (key, n)),
        }
        self.count += n;
        self.min = self.min.min(x);
        self.max = self.max.max(x);
        self.sum = saturate(self.sum + x * n as f64);
    }

    /// Put the exact sum of the values in place of the one that the pushed values have: they may have stood for others.
    /// Of no values there is none, and a sum that is not finite is none.
    pub fn set_sum(&mut self, sum: f64) {
        if self.count > 0 && sum.is_finite() {
            self.sum = sum;
        }
    }

    /// Add the counts of `other`; the finer of two different scales is coarsened to the other.
    fn absorb(&mut self, other: &Self) -> Result<()> {
        codec::add_counts(NAME, self.count, other.count)?;
        codec::add_counts(NAME, self.invalid, other.invalid)?;
        let scale = self.scale.min(other.scale);
        self.coarsen(scale);
        self.bins.extend(other.bins.iter().map(|(key, n)| (bin::coarser(*key, other.scale - scale), *n)));
        // The sort of the standard library sees the two sorted runs and merges them.
        self.bins.sort_by_key(|b| b.0);
        self.join_equal();
        self.count += other.count;
        self.invalid += other.invalid;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.sum = saturate(self.sum + other.sum);
        Ok(())
    }

    fn coarsen(&mut self, scale: i32) {
        let steps = self.scale - scale;
        if steps > 0 {
            self.bins.iter_mut().for_each(|b| b.0 = bin::coarser(b.0, steps));
            self.join_equal();
            self.scale = scale;
        }
    }

    /// Make one bin of neighbours with the same key.
    fn join_equal(&mut self) {
        self.bins.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            kept.1 += if same { next.1 } else { 0 };
            same
        });
    }

    /// The scale of the bins.
    pub fn scale(&self) -> i32 {
        self.scale
    }

    /// How many finite values there were.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// How many values were NaN or infinite.
    pub fn invalid(&self) -> u64 {
        self.invalid
    }

    /// How many values were zero or subnormal.
    pub fn zero(&self) -> u64 {
        self.bins.iter().find(|b| b.0 == ZERO_KEY).map_or(0, |b| b.1)
    }

    /// The least value, exactly.
    pub fn min(&self) -> Option<f64> {
        (self.count > 0).then_some(self.min)
    }

    /// The greatest value, exactly.
    pub fn max(&self) -> Option<f64> {
        (self.count > 0).then_some(self.max)
    }

    /// The sum; None of no values.
    pub fn sum(&self) -> Option<f64> {
        (self.count > 0).then_some(self.sum)
    }

    /// The key of the bin that holds the quantile at rank p (n - 1), counted from 0; None of no values.
    ///
    /// # Errors
    /// [`Kind::InvalidParameter`] when `p` is not between 0 and 1.
    pub fn quantile_bin(&self, p: f64) -> Result<Option<i32>> {
        let rank = quantile::check(p)? * self.count.saturating_sub(1) as f64;
        let mut seen = 0;
        Ok(self.bins.iter().find_map(|(key, n)| {
            seen += n;
            (seen as f64 > rank).then_some(*key)
        }))
    }

    /// The quantile: the middle of its bin, within the extremes. It is off by at most (base - 1) / (base + 1),
    /// 1.08 % at the default scale. None of no values.
    ///
    /// # Errors
    /// [`Kind::InvalidParameter`] when `p` is not between 0 and 1.
    pub fn quantile(&self, p: f64) -> Result<Option<f64>> {
        let key = self.quantile_bin(p)?;
        Ok(key.map(|key| bin::middle(key, self.scale).clamp(self.min, self.max)))
    }

    /// How many values lie in bins strictly above the bin `key`; exact, and any key may be asked for.
    pub fn count_above(&self, key: i32) -> u64 {
        let first = self.bins.partition_point(|b| b.0 <= key);
        self.bins[first..].iter().map(|b| b.1).sum()
    }

    /// How many values lie in bins strictly above the one that holds `x`; all of them for minus infinity.
    pub fn count_above_value(&self, x: f64) -> u64 {
        match self.key(x) {
            Some(key) => self.count_above(key),
            None if x == f64::NEG_INFINITY => self.count,
            None => 0,
        }
    }

    /// The key of the bin that the value falls into; None for NaN and infinities.
    pub fn key(&self, x: f64) -> Option<i32> {
        x.is_finite().then(|| bin::key(x, self.scale))
    }

    /// The lower bound of a bin, base^key for positive values; None when no value falls into such a bin.
    pub fn lower_bound(&self, key: i32) -> Option<f64> {
        bin::exists(key, self.scale).then(|| bin::range(key, self.scale).0)
    }

    /// The upper bound of a bin, base^(key + 1) for positive values; None when no value falls into such a bin.
    pub fn upper_bound(&self, key: i32) -> Option<f64> {
        bin::exists(key, self.scale).then(|| bin::range(key, self.scale).1)
    }

    /// The bins as (lower bound, upper bound, count), in the order of values.
    pub fn buckets(&self) -> Vec<(f64, f64, u64)> {
        let bucket = |(key, n): &(i32, u64)| {
            let (lower, upper) = bin::range(*key, self.scale);
            (lower, upper, *n)
        };
        self.bins.iter().map(bucket).collect()
    }
}

fn saturate(sum: f64) -> f64 {
    sum.clamp(f64::MIN, f64::MAX)
}

/// How many bins a relative margin is wide: ceil(log(1 + margin) / log(base)). Rounding up is conservative, it adds at
/// most one bin to the margin (statistics.md section 6).
///
/// # Errors
/// [`Kind::InvalidParameter`] for a margin that is negative or not finite, and for an unknown scale.
pub fn shift_for_margin(margin: f64, scale: i32) -> Result<i32> {
    bin::check_scale(scale)?;
    if !(0.0..f64::INFINITY).contains(&margin) {
        let message = format!("margin must be a number of at least 0, got \"{margin}\"");
        return Err(Error::new(Kind::InvalidParameter, message).hint("A margin of 5 % is 0.05."));
    }
    let bins = margin.ln_1p() / std::f64::consts::LN_2 * 2_f64.powi(scale);
    // base^3 - 1 must give 3, although it comes with an error of some 1e-16, which the logarithm magnifies.
    let nearest = bins.round();
    Ok(if (bins - nearest).abs() < 1e-9 { nearest } else { bins.ceil() } as i32)
}

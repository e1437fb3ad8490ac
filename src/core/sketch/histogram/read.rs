//! The questions that a histogram answers.
//!
//! What is not here: tests. Exact are the counts, the extremes and everything in units of bins; what is interpolated
//! inside a bin is for people (src/core/stats/README.md, section 5).

use super::{Histogram, ZERO_KEY, bin};
use crate::sketch::{Moments, quantile};
use crate::{Error, Kind, Result};

impl Histogram {
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

    /// The values' moments: count, mean and extremes are exact, the spread is that of the bins' middles (1 % off at most
    /// at the default scale, but for what lies within one bin).
    pub fn moments(&self) -> Moments {
        let mean = self.sum / self.count as f64;
        let spread = self.bins.iter().map(|(key, n)| (self.middle(*key) - mean).powi(2) * *n as f64).sum();
        Moments::of_group(self.count, mean, spread, (self.min, self.max), self.invalid)
    }

    /// The same of values that are counted as a bound when they lie beyond it. Where some do, the mean is that of the
    /// bins' middles, too.
    ///
    /// The spread is at least the largest that is possible where all values but the extremes are the same: mostly that
    /// is a sender's count and sum, and nothing is known of the spread. The test of means is valid with any that is not
    /// less than the true one.
    pub fn bounded_moments(&self, floor: f64, cap: f64) -> Moments {
        let within = |x: f64| x.clamp(floor, cap);
        let n = self.count as f64;
        let (mean, spread) = if self.count == 0 || (self.min >= floor && self.max <= cap) {
            let moments = self.moments();
            (moments.mean().unwrap_or_default(), moments.m2())
        } else {
            let bounded = |key| within(self.middle(key));
            let mean = self.bins.iter().map(|(key, count)| bounded(*key) * *count as f64).sum::<f64>() / n;
            (mean, self.bins.iter().map(|(key, count)| (bounded(*key) - mean).powi(2) * *count as f64).sum())
        };
        let (min, max) = (within(self.min), within(self.max));
        let alike = self.count > 1 && self.bins.iter().any(|bin| bin.1 + 2 >= self.count);
        let most = if alike && floor.is_finite() && cap.is_finite() {
            let (least, most) = if min == max { (floor, cap) } else { (min, max) };
            n * (mean - least) * (most - mean)
        } else {
            0.0
        };
        Moments::of_group(self.count, mean, spread.max(most), (min, max), self.invalid)
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
        Ok(key.map(|key| self.middle(key)))
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

    /// The bins as (key, count), in the order of values.
    pub fn bins(&self) -> &[(i32, u64)] {
        &self.bins
    }

    /// The key here of a bin of a histogram that is not coarser.
    pub fn key_from(&self, finer: &Self, key: i32) -> i32 {
        bin::coarser(key, (finer.scale - self.scale).max(0))
    }

    /// The bins as (lower bound, upper bound, count), in the order of values.
    pub fn buckets(&self) -> Vec<(f64, f64, u64)> {
        let bucket = |(key, n): &(i32, u64)| {
            let (lower, upper) = bin::range(*key, self.scale);
            (lower, upper, *n)
        };
        self.bins.iter().map(bucket).collect()
    }

    /// The share of values at or below `x`, interpolated inside a bin; None of no values.
    ///
    /// # Errors
    /// [`Kind::InvalidParameter`] when `x` is NaN.
    pub fn rank(&self, x: f64) -> Result<Option<f64>> {
        if x.is_nan() {
            return Err(Error::new(Kind::InvalidParameter, "rank needs a number, got \"NaN\""));
        }
        if self.count == 0 || x < self.min || x >= self.max {
            return Ok((self.count > 0).then(|| f64::from(x >= self.max)));
        }
        let (key, mut below) = (bin::key(x, self.scale), 0.0);
        for (k, n) in &self.bins {
            if *k > key {
                break;
            }
            let (low, high) = self.range(*k);
            let share = if *k < key || low == high { 1.0 } else { ((x - low) / (high - low)).clamp(0.0, 1.0) };
            below += share * *n as f64;
        }
        Ok(Some(below / self.count as f64))
    }

    /// The mean of the values between two quantiles, each value taken as the middle of its bin; without trimming the
    /// exact mean. None of no values.
    ///
    /// # Errors
    /// As [`quantile::check_order`].
    pub fn trimmed_mean(&self, lower: f64, upper: f64) -> Result<Option<f64>> {
        quantile::check_order(lower, upper)?;
        let n = self.count as f64;
        if self.count == 0 || (lower, upper) == (0.0, 1.0) {
            return Ok(self.sum().map(|sum| (sum / n).clamp(self.min, self.max)));
        }
        let (from, to) = (lower * n, upper * n);
        let (mut below, mut weight, mut mean) = (0.0, 0.0, 0.0);
        for (key, count) in &self.bins {
            let above = below + *count as f64;
            let inside = above.min(to) - below.max(from);
            if inside > 0.0 {
                weight += inside;
                // The mean step by step: a sum of values can pass the largest float.
                let share = inside / weight;
                mean = mean * (1.0 - share) + self.middle(*key) * share;
            }
            below = above;
        }
        Ok((weight > 0.0).then(|| mean.clamp(self.min, self.max)))
    }

    /// An interval that covers the population's quantile with at least this confidence, once, at a sample size fixed
    /// beforehand (order statistics: [`quantile::ranks`]). The bounds are the outer edges of bins, so binning only
    /// widens it. A bound is None when the sample is too small to give one.
    ///
    /// # Errors
    /// [`Kind::InvalidParameter`] when `p` or `confidence` is not between 0 and 1.
    pub fn quantile_interval(&self, p: f64, confidence: f64) -> Result<(Option<f64>, Option<f64>)> {
        let (lower, upper) = quantile::ranks(self.count, p, confidence)?;
        let bin = |rank: u64| {
            let mut seen = 0;
            self.bins.iter().find_map(|(key, n)| {
                seen += n;
                (seen >= rank).then(|| self.range(*key))
            })
        };
        Ok((lower.and_then(bin).map(|b| b.0), upper.and_then(bin).map(|b| b.1)))
    }

    /// The bounds of a bin, within the extremes.
    fn range(&self, key: i32) -> (f64, f64) {
        let (low, high) = bin::range(key, self.scale);
        (low.clamp(self.min, self.max), high.clamp(self.min, self.max))
    }

    /// What stands for the values of a bin.
    pub(super) fn middle(&self, key: i32) -> f64 {
        bin::middle(key, self.scale).clamp(self.min, self.max)
    }
}

//! The t-digest: quantiles for people, with tails better per byte than a histogram's.
//!
//! What is here: a checked state around the crate `tdigest` (Dunning and Ertl, arXiv 1902.04023).
//!
//! What is not: anything a test may read. The centroids depend on the data and on the merge order, so a t-digest has
//! no exact count at any edge (src/core/stats/README.md, section 5); `Histogram` has.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use tdigest::Centroid;

use super::codec::{self, Check, Reader, Writer};
use super::{MAX_COUNT, Sketch, quantile};
use crate::{Error, Kind, Result};

/// The compression when nothing else is asked for.
pub const DEFAULT_COMPRESSION: usize = 100;
/// The least and the greatest compression: below 10 there is no tail, above 10,000 no compression.
pub const COMPRESSIONS: std::ops::RangeInclusive<usize> = 10..=10_000;

const EXAMPLE: &str =
    r#"{"compression":100,"count":2,"min":1.0,"max":2.0,"centroids":[[1.0,1],[2.0,1]],"invalid":0}"#;

/// Centroids, exact extremes and the count. NaN and infinities are counted in `invalid` and nowhere else.
///
/// The crate's sum of values is no part of the state: it is not asked for, and large values overflow it.
#[derive(Debug, Clone)]
pub struct TDigest {
    inner: tdigest::TDigest,
    /// Values wait in the crate's buffer; its questions must not be asked before a flush.
    pending: bool,
    invalid: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    compression: usize,
    count: u64,
    min: Option<f64>,
    max: Option<f64>,
    /// (mean, weight); weights are numbers of values, hence integers.
    centroids: Vec<(f64, u64)>,
    invalid: u64,
}

impl Default for TDigest {
    fn default() -> Self {
        Self::empty(DEFAULT_COMPRESSION)
    }
}

impl PartialEq for TDigest {
    fn eq(&self, other: &Self) -> bool {
        let (a, b) = (self.flushed(), other.flushed());
        a.centroids() == b.centroids()
            && (a.max_size(), a.min(), a.max()) == (b.max_size(), b.min(), b.max())
            && self.invalid == other.invalid
    }
}

impl TDigest {
    /// An empty digest that keeps at most `compression` centroids.
    ///
    /// # Errors
    /// [`Kind::InvalidParameter`] when the compression is outside [`COMPRESSIONS`].
    pub fn new(compression: i64) -> Result<Self> {
        if let Some(size) = usize::try_from(compression).ok().filter(|size| COMPRESSIONS.contains(size)) {
            return Ok(Self::empty(size));
        }
        let (least, most) = (COMPRESSIONS.start(), COMPRESSIONS.end());
        let message = format!("tdigest compression must be between {least} and {most}, got \"{compression}\"");
        Err(Error::new(Kind::InvalidParameter, message).hint("100 is a good start."))
    }

    fn empty(compression: usize) -> Self {
        Self { inner: tdigest::TDigest::new_with_size(compression), pending: false, invalid: 0 }
    }

    /// Add one value.
    pub fn push(&mut self, x: f64) {
        if x.is_finite() {
            self.inner.push(x);
            self.pending = true;
        } else {
            self.invalid += 1;
        }
    }

    /// The digest with nothing waiting in its buffer.
    fn flushed(&self) -> Cow<'_, tdigest::TDigest> {
        if !self.pending {
            return Cow::Borrowed(&self.inner);
        }
        let mut copy = self.inner.clone();
        copy.flush();
        Cow::Owned(copy)
    }

    /// Compress the waiting values. Questions are right without it, but each of them would do this work again.
    pub fn flush(&mut self) {
        self.inner.flush();
        self.pending = false;
    }

    /// How many finite values there were.
    pub fn count(&self) -> u64 {
        self.inner.count() as u64
    }

    /// How many values were NaN or infinite.
    pub fn invalid(&self) -> u64 {
        self.invalid
    }

    /// The most centroids that are kept.
    pub fn compression(&self) -> usize {
        self.inner.max_size()
    }

    /// The least value, exactly.
    pub fn min(&self) -> Option<f64> {
        self.inner.min()
    }

    /// The greatest value, exactly.
    pub fn max(&self) -> Option<f64> {
        self.inner.max()
    }

    /// The estimated quantile; None of no values.
    ///
    /// # Errors
    /// [`Kind::InvalidParameter`] when `p` is not between 0 and 1.
    pub fn quantile(&self, p: f64) -> Result<Option<f64>> {
        Ok(self.flushed().estimate_quantile(quantile::check(p)?))
    }

    /// The estimated share of values at or below `x`; None of no values.
    ///
    /// # Errors
    /// [`Kind::InvalidParameter`] when `x` is NaN.
    pub fn rank(&self, x: f64) -> Result<Option<f64>> {
        if x.is_nan() {
            return Err(Error::new(Kind::InvalidParameter, "rank needs a number, got \"NaN\""));
        }
        Ok(self.flushed().estimate_rank(x))
    }

    /// The estimated mean of the values between two quantiles; None of no values.
    ///
    /// # Errors
    /// [`Kind::InvalidParameter`] when a bound is not between 0 and 1, or when they are not in order.
    pub fn trimmed_mean(&self, lower: f64, upper: f64) -> Result<Option<f64>> {
        quantile::check_order(lower, upper)?;
        Ok(self.flushed().trimmed_mean(lower, upper))
    }

    /// An interval that covers the population's quantile with about this confidence, once, at a sample size fixed
    /// beforehand (order statistics: [`quantile::ranks`]). A bound is None when the sample is too small to give one.
    ///
    /// # Errors
    /// [`Kind::InvalidParameter`] when `p` or `confidence` is not between 0 and 1.
    pub fn quantile_interval(&self, p: f64, confidence: f64) -> Result<(Option<f64>, Option<f64>)> {
        let n = self.count();
        let (lower, upper) = quantile::ranks(n, p, confidence)?;
        let flushed = self.flushed();
        // The crate puts the value of rank r in the middle of its share of the weight.
        let value = |rank: u64| flushed.estimate_quantile((rank as f64 - 0.5) / n as f64);
        Ok((lower.and_then(value), upper.and_then(value)))
    }

    fn form(&self) -> Form {
        let flushed = self.flushed();
        Form {
            compression: flushed.max_size(),
            count: self.count(),
            min: flushed.min(),
            max: flushed.max(),
            centroids: flushed.centroids().iter().map(|c| (c.mean(), c.weight() as u64)).collect(),
            invalid: self.invalid,
        }
    }

    /// Check a content that came from outside, and build the digest of it.
    fn from_form(form: Form) -> Check<Self> {
        let empty = Self { invalid: codec::check_count("invalid", form.invalid)?, ..Self::checked_size(&form)? };
        let (Some(min), Some(max)) = (form.min, form.max) else {
            let nothing = form.centroids.is_empty() && form.count == 0 && form.min.is_none() && form.max.is_none();
            return if nothing { Ok(empty) } else { Err("min and max must be numbers when there are values".into()) };
        };
        codec::check_range(min, max)?;
        let mut count = 0;
        for (mean, weight) in &form.centroids {
            if !(min..=max).contains(mean) || *weight == 0 {
                return Err(format!("centroid [{mean}, {weight}] is outside the values or has no weight"));
            }
            count = codec::check_count("count", weight.saturating_add(count))?;
        }
        if count != form.count || count == 0 {
            return Err(format!("count \"{}\" is not the sum of weights \"{count}\"", form.count));
        }
        let centroids =
            Vec::from_iter(form.centroids.iter().map(|(mean, weight)| Centroid::new(*mean, *weight as f64)));
        if !centroids.is_sorted() {
            return Err("the centroids are not in order".into());
        }
        let sum = centroids.iter().map(|c| c.mean() * c.weight()).sum();
        let inner = tdigest::TDigest::new(centroids, sum, count as f64, Some(max), Some(min), form.compression);
        Ok(Self { inner, ..empty })
    }

    fn checked_size(form: &Form) -> Check<Self> {
        let empty = Self::new(i64::try_from(form.compression).unwrap_or(i64::MAX)).map_err(|e| e.message)?;
        let n = form.centroids.len();
        if n <= form.compression {
            Ok(empty)
        } else {
            Err(format!("\"{n}\" centroids are more than the compression"))
        }
    }

    fn read(bytes: &[u8]) -> Check<Self> {
        let mut reader = Reader::new(bytes)?;
        let compression = usize::try_from(reader.varint()?).map_err(|e| e.to_string())?;
        let (invalid, count) = (reader.varint()?, reader.varint()?);
        let mut form = Form { compression, count, min: None, max: None, centroids: Vec::new(), invalid };
        if count > 0 {
            // A centroid is a float and a weight of at least one byte.
            let n = reader.length(9)?;
            form.min = Some(reader.f64()?);
            form.max = Some(reader.f64()?);
            form.centroids.reserve_exact(n);
            for _ in 0..n {
                form.centroids.push((reader.f64()?, reader.varint()?));
            }
        }
        reader.finish()?;
        Self::from_form(form)
    }
}

impl Sketch for TDigest {
    const NAME: &'static str = "tdigest";

    /// Add the values of `other`; the larger compression of the two is kept.
    fn merge(&mut self, other: &Self) -> Result<()> {
        let invalid = codec::add_counts(Self::NAME, self.invalid, other.invalid)?;
        codec::add_counts(Self::NAME, self.count(), other.count())?;
        self.invalid = invalid;
        self.flush();
        let ours = std::mem::take(&mut self.inner);
        self.inner = tdigest::TDigest::merge_digests(vec![ours, other.flushed().into_owned()]);
        Ok(())
    }

    fn encode(&self) -> Vec<u8> {
        let form = self.form();
        let mut writer = Writer::new();
        writer.varint(form.compression as u64);
        writer.varint(form.invalid);
        writer.varint(form.count);
        if let (Some(min), Some(max)) = (form.min, form.max) {
            writer.varint(form.centroids.len() as u64);
            writer.f64(min);
            writer.f64(max);
        }
        for (mean, weight) in form.centroids {
            writer.f64(mean);
            writer.varint(weight);
        }
        writer.finish()
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        codec::binary(Self::read(bytes))
    }

    fn to_text(&self) -> String {
        codec::json(&self.form())
    }

    fn from_text(s: &str) -> Result<Self> {
        codec::text(s, EXAMPLE, Self::from_form)
    }
}

// Weights are kept by the crate as floats; up to this count they are exact integers.
const _: () = assert!(MAX_COUNT == 1 << f64::MANTISSA_DIGITS);

//! The difference of two cumulative points of an exponential histogram, made coarser where necessary: an SDK halves its
//! scale, and widens its zero bucket, when new values would need too many buckets. Neither is a restart.
//!
//! Source: OpenTelemetry's data model, "Exponential Histogram: Zero Count and Zero Threshold" and "Merging".

use serde_json::{Map, Value, json};

use super::buckets::counts;

/// Scales beyond these have a base that a double cannot represent or distinguish from 1; they are limited to these. In
/// use are -10 to 20.
const SCALES: std::ops::RangeInclusive<i64> = -12..=60;

/// Adds scale, zeros and buckets of `current` minus `previous`; None if a count decreased.
pub(super) fn put_difference(
    news: &mut Map<String, Value>,
    previous: &Map<String, Value>,
    current: &Map<String, Value>,
) -> Option<()> {
    let scale = scale(previous).min(scale(current));
    let threshold = threshold(previous).max(threshold(current));
    let (before, after) = (Point::read(previous, scale, threshold), Point::read(current, scale, threshold));
    news.insert("scale".to_owned(), json!(scale));
    news.insert("zero_count".to_owned(), json!(after.zeros.checked_sub(before.zeros)?));
    let sides = [("positive", &before.positive, &after.positive), ("negative", &before.negative, &after.negative)];
    for (side, before, after) in sides {
        let less = before.taken_from(after)?;
        news.insert(side.to_owned(), json!({"offset": less.offset, "bucket_counts": less.counts}));
    }
    Some(())
}

/// The scale of a point, limited to meaningful ones.
pub(super) fn scale(point: &Map<String, Value>) -> i64 {
    let scale = point.get("scale").and_then(Value::as_i64).unwrap_or_default();
    scale.clamp(*SCALES.start(), *SCALES.end())
}

/// The threshold up to which values count as zeros.
fn threshold(point: &Map<String, Value>) -> f64 {
    point.get("zero_threshold").and_then(Value::as_f64).filter(|x| *x > 0.0).unwrap_or_default()
}

/// What is counted in a point, at a scale and a zero threshold that are not finer than its own.
struct Point {
    zeros: u64,
    positive: Buckets,
    negative: Buckets,
}

impl Point {
    fn read(point: &Map<String, Value>, scale: i64, threshold: f64) -> Self {
        let (mut positive, mut negative) = (buckets(point, "positive", scale), buckets(point, "negative", scale));
        let mut zeros = point.get("zero_count").and_then(Value::as_u64).unwrap_or_default();
        if threshold > 0.0 {
            let first = first_above(threshold, scale);
            zeros = zeros.saturating_add(positive.take_below(first)).saturating_add(negative.take_below(first));
        }
        Self { zeros, positive, negative }
    }
}

/// The first bucket that lies completely above a threshold. The bucket that contains the threshold counts as zeros with
/// those below it, as in the data model's rules for merging.
fn first_above(threshold: f64, scale: i64) -> i64 {
    let place = threshold.log2() * (scale as f64).exp2();
    // A logarithm may be off by a few units in the last place: at a bound, the bucket above it is meant.
    let nearest = place.round();
    let first = if (place - nearest).abs() < 1e-6 { nearest } else { place.ceil() };
    first as i64
}

/// One side of an exponential histogram.
struct Buckets {
    offset: i64,
    counts: Vec<u64>,
}

/// One side of a point, at a scale that is coarser than its own or the same.
fn buckets(point: &Map<String, Value>, side: &str, wanted: i64) -> Buckets {
    let empty = Map::new();
    let side = point.get(side).and_then(Value::as_object).unwrap_or(&empty);
    let steps = scale(point).saturating_sub(wanted).clamp(0, 63);
    let offset = side.get("offset").and_then(Value::as_i64).unwrap_or_default();
    let mut coarse = Buckets { offset: offset >> steps, counts: Vec::new() };
    for (index, n) in counts(side).into_iter().enumerate() {
        let at = (offset.saturating_add(index as i64) >> steps).saturating_sub(coarse.offset) as usize;
        if coarse.counts.len() <= at {
            coarse.counts.resize(at + 1, 0);
        }
        coarse.counts[at] = coarse.counts[at].saturating_add(n);
    }
    coarse
}

impl Buckets {
    /// Takes out what lies in buckets before this one.
    fn take_below(&mut self, first: i64) -> u64 {
        let below = first.saturating_sub(self.offset).clamp(0, self.counts.len() as i64) as usize;
        self.counts[..below].iter_mut().map(std::mem::take).fold(0, u64::saturating_add)
    }

    /// `later` minus these; None if a count decreased.
    fn taken_from(&self, later: &Self) -> Option<Self> {
        let mut left = Self { offset: later.offset, counts: later.counts.clone() };
        for (index, n) in self.counts.iter().enumerate().filter(|(_, n)| **n > 0) {
            let at = self.offset.checked_add(index as i64)?.checked_sub(later.offset)?;
            let count = left.counts.get_mut(usize::try_from(at).ok()?)?;
            *count = count.checked_sub(*n)?;
        }
        Some(left)
    }
}

#[cfg(test)]
mod tests {
    use super::super::change::{Change, since};
    use super::*;

    #[test]
    fn exponential_histograms_meet_at_the_coarser_scale() {
        let point = |scale: i64, offset: i64, counts: Value, zero: u64| {
            let count = zero + counts.as_array().unwrap().iter().filter_map(Value::as_u64).sum::<u64>();
            json!({"type": "exponential_histogram", "start": "1", "count": count, "sum": 100.0, "scale": scale,
                "zero_count": zero, "positive": {"offset": offset, "bucket_counts": counts}})
        };
        // Buckets -3, -2, -1, 0 of scale 1 are -2, -1, -1, 0 of scale 0.
        let before = point(1, -3, json!([1, 2, 3, 4]), 1);
        let news = since(Some(&before), &point(0, -2, json!([1, 6, 4, 2]), 2), false);
        assert_eq!((news.change, news.distribution.map(|d| (d.count(), d.zero()))), (Change::Delta, Some((4, 1))));
        assert_eq!(since(Some(&before), &point(0, -2, json!([1, 4, 4, 2]), 2), false).change, Change::Reset);
        assert_eq!(since(Some(&before), &point(0, -1, json!([9, 9]), 2), false).change, Change::Reset);
    }

    #[test]
    fn a_wider_zero_bucket_is_no_restart() {
        let point = |zero: u64, threshold: f64, offset: i64, counts: Value| {
            let count = zero + counts.as_array().unwrap().iter().filter_map(Value::as_u64).sum::<u64>();
            json!({"type": "exponential_histogram", "start": "1", "count": count, "sum": 1.0, "scale": 0,
                "zero_count": zero, "zero_threshold": threshold, "positive": {"offset": offset, "bucket_counts": counts}})
        };
        let of = |before: &Value, after: &Value| {
            let since = since(Some(before), after, false);
            (since.change, since.distribution.map(|d| (d.count(), d.zero())))
        };
        // Buckets (1/8, 1/4], (1/4, 1/2], (1/2, 1], (1, 2]; then zeros are up to 1/4, then up to 1/2.
        let first = point(1, 0.0, -3, json!([2, 3, 4, 5]));
        let quarter = point(4, 0.25, -2, json!([3, 5, 5]));
        let half = point(9, 0.5, -1, json!([5, 6]));
        assert_eq!(of(&first, &quarter), (Change::Delta, Some((2, 1))));
        assert_eq!(of(&quarter, &half), (Change::Delta, Some((3, 2))));
        assert_eq!(of(&first, &half), (Change::Delta, Some((5, 3))));
        // Within a bucket: all of it counts as zeros, on both sides.
        assert_eq!(of(&first, &point(6, 0.3, -1, json!([4, 5]))), (Change::Delta, None));
        // Fewer than before are still fewer.
        assert_eq!(of(&first, &point(5, 0.5, -1, json!([5, 6]))).0, Change::Reset);
    }

    #[test]
    fn every_scale_has_a_distribution() {
        for scale in [i64::MIN, -2000, -12, -11, -10, 0, 20, 60, 61, 2000, i64::MAX] {
            let point = json!({"type": "exponential_histogram", "count": 3, "scale": scale, "zero_count": 0,
                "positive": {"offset": -1, "bucket_counts": [1, 2]}});
            let since = since(None, &point, true);
            let distribution = since.distribution.unwrap();
            assert_eq!((distribution.count(), distribution.invalid()), (3, 0), "{scale}");
        }
    }
}

//! The point of a histogram in the fixed bins of [`Histogram`], so that points can be merged to get quantiles.
//!
//! Counts are kept exactly. Positions within a bucket are known only as precisely as the bucket is narrow:
//! - an exponential histogram of scale 5 or more has buckets within our bins: nothing is lost;
//! - a coarser one is spread evenly over the logarithm, and explicit bounds evenly over the values, like Prometheus'
//!   `histogram_quantile`; the outermost buckets end at the point's minimum and maximum if known;
//! - for a point with count and sum only, which OpenTelemetry's data model allows, every value is taken to be the mean.
//!
//! What is not here: the choice of counts (`change` computes differences of cumulative points).

use serde_json::{Map, Value};

use super::buckets::{bounds, counts};
use super::exponential;
use crate::sketch::Histogram;

/// The bins of a default histogram: 2^5 to an octave.
const CELLS_PER_OCTAVE: f64 = 32.0;
/// The largest number of cells that one bucket is spread over; more would not be visible in a quantile.
const MOST_CELLS: f64 = 64.0;
/// The logarithms of the least normal and the largest double, which limit the range.
const LEAST: f64 = -1022.0;
const LARGEST: f64 = 1_023.999_999;

/// The distribution of a point, as stored in `attributes.otlp`; None for other points, for one without observations,
/// and for counts beyond the limits of a histogram.
pub(super) fn distribution(point: &Map<String, Value>) -> Option<Histogram> {
    let cells = match point.get("type")?.as_str()? {
        "histogram" => explicit(point)?,
        "exponential_histogram" => exponential(point)?,
        _ => return None,
    };
    fill(cells, number(point, "min"), number(point, "max"), number(point, "sum"))
}

/// Values and how often each occurs, in any order.
type Cells = Vec<(f64, u64)>;

fn fill(mut cells: Cells, min: Option<f64>, max: Option<f64>, sum: Option<f64>) -> Option<Histogram> {
    let count = cells.iter().fold(0, |all: u64, cell| all.saturating_add(cell.1));
    if count == 0 {
        return None; // an empty point may have extremes, which nobody observed
    }
    cells.sort_by(|a, b| a.0.total_cmp(&b.0));
    // The extremes are known exactly: one value of each outermost cell is placed there.
    if let Some(min) = min {
        take_one(cells.iter_mut());
        cells.insert(0, (min, 1));
    }
    if let Some(max) = max.filter(|_| count > 1) {
        take_one(cells.iter_mut().rev());
        cells.push((max, 1));
    }
    let mut histogram = Histogram::default();
    for (value, n) in cells {
        histogram.push_n(value, n).ok()?;
    }
    if let Some(sum) = sum {
        histogram.set_sum(sum);
    }
    (histogram.count() > 0).then_some(histogram)
}

fn take_one<'c>(mut cells: impl Iterator<Item = &'c mut (f64, u64)>) {
    if let Some(cell) = cells.find(|cell| cell.1 > 0) {
        cell.1 -= 1;
    }
}

fn exponential(point: &Map<String, Value>) -> Option<Cells> {
    let width = (-exponential::scale(point) as f64).exp2();
    let (min, max) = bounds_of_values(point);
    let mut cells = Vec::new();
    let mut side = |key: &str, sign: f64, least: Option<f64>, most: Option<f64>| {
        let (least, most) = (least.map_or(LEAST, f64::log2), most.map_or(LARGEST, f64::log2));
        let Some(buckets) = point.get(key).and_then(Value::as_object) else { return };
        let offset = buckets.get("offset").and_then(Value::as_i64).unwrap_or_default();
        for (index, n) in counts(buckets).into_iter().enumerate().filter(|(_, n)| *n > 0) {
            let lower = (offset.saturating_add(index as i64) as f64 * width).clamp(LEAST, LARGEST);
            let bounds = (lower.max(least), (lower + width).min(most).min(LARGEST));
            spread(bounds, (width * CELLS_PER_OCTAVE).min(MOST_CELLS), n, |log, n| {
                cells.push((sign * log.exp2(), n))
            });
        }
    };
    let negated = |x: Option<f64>| x.map(|x| -x).filter(|x| *x > 0.0);
    side("positive", 1.0, min.filter(|x| *x > 0.0), max.filter(|x| *x > 0.0));
    side("negative", -1.0, negated(max), negated(min));
    let zero = point.get("zero_count").and_then(Value::as_u64).unwrap_or_default();
    cells.extend((zero > 0).then_some((0.0, zero)));
    Some(if cells.is_empty() { means(point)? } else { cells })
}

/// As many values as were counted, each the mean: count and sum tell no more.
fn means(point: &Map<String, Value>) -> Option<Cells> {
    let count = point.get("count").and_then(Value::as_u64).filter(|count| *count > 0)?;
    Some(vec![(number(point, "sum")? / count as f64, count)])
}

fn explicit(point: &Map<String, Value>) -> Option<Cells> {
    let bounds = bounds(point);
    let counted = counts(point);
    let finite = |x: &&f64| x.is_finite();
    let (first, last) = (bounds.iter().find(finite), bounds.iter().rfind(finite));
    if counted.iter().all(|n| *n == 0) || (first.is_none() && number(point, "sum").is_some()) {
        return means(point);
    }
    // As many counts as bounds: the last bound is infinite, and there is no bucket beyond (checked when it was read).
    if counted.len() != bounds.len() + 1 && bounds.last() != Some(&f64::INFINITY) {
        return None;
    }
    let (min, max) = bounds_of_values(point);
    let mut cells = Vec::new();
    for (index, n) in counted.into_iter().enumerate().filter(|(_, n)| *n > 0) {
        // A bucket with an infinite end is as open as the outermost ones; nothing lies beyond all finite bounds.
        let upper = bounds
            .get(index)
            .filter(|x| **x < f64::INFINITY)
            .and_then(|x| if x.is_finite() { Some(x) } else { first });
        let upper = upper.copied();
        let lower = index.checked_sub(1).and_then(|before| bounds.get(before)).filter(|x| **x > f64::NEG_INFINITY);
        let lower = lower.and_then(|x| if x.is_finite() { Some(x) } else { last }).copied();
        // Outside of all bounds: from the minimum or 0, up to the maximum; else at the bound itself.
        let lower = lower.or(min).or(upper.filter(|upper| *upper > 0.0).map(|_| 0.0)).or(upper);
        let upper = upper.or(max).or(lower);
        let lower = lower.or(upper)?;
        let lower = min.map_or(lower, |min| lower.max(min));
        let upper = upper.map_or(lower, |upper| max.map_or(upper, |max| upper.min(max)));
        spread((lower, upper.max(lower)), MOST_CELLS, n, |value, n| cells.push((value, n)));
    }
    Some(cells)
}

/// Spreads `n` over the middles of up to `most` equal cells between two bounds, as evenly as whole numbers allow.
fn spread((lower, upper): (f64, f64), most: f64, n: u64, mut put: impl FnMut(f64, u64)) {
    let cells = (most.ceil() as u64).clamp(1, n.max(1));
    let part = |cell: u64| (u128::from(n) * u128::from(cell) / u128::from(cells)) as u64;
    for cell in 0..cells {
        let middle = (cell as f64 + 0.5) / cells as f64;
        put(lower + (upper - lower) * middle, part(cell + 1) - part(cell));
    }
}

/// The range of the values: their extremes, or else the extremes of a larger set of values.
fn bounds_of_values(point: &Map<String, Value>) -> (Option<f64>, Option<f64>) {
    let either = |extreme, bound| number(point, extreme).or_else(|| number(point, bound));
    (either("min", "least"), either("max", "most"))
}

fn number(point: &Map<String, Value>, key: &str) -> Option<f64> {
    point.get(key).and_then(Value::as_f64).filter(|x| x.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sketch::histogram::bin;
    use serde_json::json;

    fn of(point: Value) -> Option<Histogram> {
        distribution(point.as_object().unwrap())
    }

    #[test]
    fn fine_exponential_buckets_lie_within_our_bins() {
        // The same values counted by scale 8 of our own histogram, whose buckets are OpenTelemetry's, and directly.
        let mut fine = Histogram::new(8).unwrap();
        let mut direct = Histogram::default();
        for i in 1..=1000 {
            let x = f64::from(i) * 0.0037 * if i % 3 == 0 { -1.0 } else { 1.0 };
            fine.push(x);
            direct.push(x);
        }
        let side = |negative: bool| {
            let index = |x| bin::index_of(bin::key(x, 8)).filter(|(_, side)| *side == negative).map(|(i, _)| i);
            let bins = fine.buckets().into_iter().map(|(lower, upper, n)| (index((lower + upper) / 2.0), n));
            let bins: Vec<(i32, u64)> = bins.filter_map(|(index, n)| Some((index?, n))).collect();
            let first = bins.iter().map(|b| b.0).min().unwrap();
            let last = bins.iter().map(|b| b.0).max().unwrap();
            let counts: Vec<u64> =
                (first..=last).map(|i| bins.iter().find(|b| b.0 == i).map_or(0, |b| b.1)).collect();
            json!({"offset": first, "bucket_counts": counts})
        };
        let point = json!({"type": "exponential_histogram", "scale": 8, "zero_count": 0, "sum": direct.sum(),
            "min": direct.min(), "max": direct.max(), "positive": side(false), "negative": side(true)});
        assert_eq!(of(point), Some(direct));
    }

    #[test]
    fn coarse_buckets_are_spread_between_the_extremes() {
        let point = json!({"type": "exponential_histogram", "scale": 0, "zero_count": 2,
            "positive": {"offset": 0, "bucket_counts": [64]}, "min": 0.0, "max": 2.0, "sum": 90.0});
        let histogram = of(point).unwrap();
        assert_eq!((histogram.count(), histogram.zero(), histogram.sum()), (66, 2, Some(90.0)));
        assert_eq!((histogram.min(), histogram.max()), (Some(0.0), Some(2.0)));
        assert!((histogram.quantile(0.5).unwrap().unwrap() - 2_f64.sqrt()).abs() < 0.05);
    }

    #[test]
    fn explicit_bounds_are_interpolated() {
        let point = json!({"type": "histogram", "bucket_counts": [0, 100, 0, 10], "explicit_bounds": [1.0, 2.0, 4.0],
            "max": 6.0});
        let histogram = of(point).unwrap();
        assert_eq!((histogram.count(), histogram.max()), (110, Some(6.0)));
        assert!((histogram.quantile(0.5).unwrap().unwrap() - 1.55).abs() < 0.04);
        assert_eq!(histogram.count_above_value(3.0), 10);
        // The first bucket begins at 0, the last one ends at its bound, when nothing better is known.
        let open = of(json!({"type": "histogram", "bucket_counts": [3, 4], "explicit_bounds": [1.0]})).unwrap();
        assert_eq!((open.count(), open.min(), open.max()), (7, Some(1.0 / 6.0), Some(1.0)));
    }

    #[test]
    fn infinite_bounds_are_open_ends() {
        let of = |counts: Value, bounds: Value| {
            of(
                json!({"type": "histogram", "count": 3, "sum": 4.0, "bucket_counts": counts, "explicit_bounds": bounds}),
            )
        };
        let plain = of(json!([1, 2]), json!([1.0]));
        assert_eq!(plain.as_ref().map(|h| (h.count(), h.sum(), h.max())), Some((3, Some(4.0), Some(1.0))));
        for (counts, bounds) in [
            (json!([1, 2, 0]), json!([1.0, "Infinity"])),
            (json!([1, 0, 2]), json!([1.0, "Infinity"])),
            (json!([1, 2]), json!([1.0, "Infinity"])),
            (json!([0, 1, 2]), json!(["-Infinity", 1.0])),
            (json!([1, 0, 2]), json!(["-Infinity", 1.0])),
            (json!([0, 1, 2, 0]), json!(["-Infinity", 1.0, "Infinity"])),
        ] {
            assert_eq!(of(counts.clone(), bounds.clone()), plain, "{counts} {bounds}");
        }
    }

    #[test]
    fn count_and_sum_alone_are_values_of_the_mean() {
        let point = |rest: Value| {
            let mut point = json!({"type": "histogram", "count": 4, "sum": 6.0});
            point.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
            of(point).map(|h| (h.count(), h.sum(), h.min(), h.max()))
        };
        let four = Some((4, Some(6.0), Some(1.5), Some(1.5)));
        assert_eq!(point(json!({})), four);
        assert_eq!(point(json!({"bucket_counts": [4]})), four);
        assert_eq!(point(json!({"bucket_counts": [4], "explicit_bounds": ["Infinity"]})), four);
        assert_eq!(point(json!({"bucket_counts": [0, 0], "explicit_bounds": [1.0]})), four);
        assert_eq!(point(json!({"type": "exponential_histogram", "scale": 3, "zero_count": 0})), four);
        // The extremes are exact where they are known.
        let known = point(json!({"bucket_counts": [4], "min": 1.0, "max": 3.0}));
        assert_eq!(known, Some((4, Some(6.0), Some(1.0), Some(3.0))));
        // A count alone tells of no value.
        assert_eq!(of(json!({"type": "histogram", "count": 4, "bucket_counts": [4]})), None);
    }

    #[test]
    fn nothing_observed_has_no_extremes() {
        let empty = json!({"type": "histogram", "count": 0, "sum": 0.0, "min": 0.0, "max": 0.0,
            "bucket_counts": [0, 0], "explicit_bounds": [1.0]});
        assert_eq!(of(empty), None);
        let exponential = json!({"type": "exponential_histogram", "count": 0, "scale": 2, "min": 0.0, "max": 0.0});
        assert_eq!(of(exponential), None);
    }

    #[test]
    fn what_is_no_distribution_has_none() {
        assert_eq!(of(json!({"type": "gauge"})), None);
        assert_eq!(of(json!({"type": "histogram", "bucket_counts": [1], "explicit_bounds": [1.0]})), None);
        assert_eq!(of(json!({"type": "histogram", "count": 3})), None);
        let huge = json!({"type": "histogram", "bucket_counts": [u64::MAX, u64::MAX], "explicit_bounds": [1.0]});
        assert_eq!(of(huge), None);
        let far = json!({"type": "exponential_histogram", "scale": -10, "positive": {"offset": i64::MAX,
            "bucket_counts": [1, 1]}, "negative": {"offset": i64::MIN, "bucket_counts": [1]}});
        assert_eq!(of(far).unwrap().count(), 3);
    }
}

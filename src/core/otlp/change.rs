//! Cumulative points as what happened since the point before: OpenTelemetry's SDKs count from their start on (the
//! default of most), and a total says nothing of the minute it was sent in.
//!
//! The rules are those of OpenTelemetry's data model ("Resets and gaps") and of Prometheus' `increase`:
//! - another start, or a count that went down, is a reset: the process began anew, all of the total is news;
//! - of the first point of a series all is news if the series is, else it only is where the next one begins.
//!
//! What is not here: the point before (the caller keeps it), and points out of order.

use serde_json::{Map, Value, json};

use super::distribution::distribution;
use crate::sketch::Histogram;

/// How a cumulative point relates to the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The first point of a new series: all of it is news.
    First,
    /// The first point seen of an old series: nothing is known of when its total came to be.
    Baseline,
    /// The difference to the point before.
    Delta,
    /// The series began anew: all of it is news.
    Reset,
}

impl Change {
    /// The change as it is written to `attributes.otlp.change`.
    pub fn label(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Baseline => "baseline",
            Self::Delta => "delta",
            Self::Reset => "reset",
        }
    }
}

/// What a cumulative point says of the time since the one before.
#[derive(Debug, Clone, PartialEq)]
pub struct Since {
    /// How it was found.
    pub change: Change,
    /// A sum's increase; the mean of a histogram's new observations; none of a baseline and of no observation.
    pub value: Option<f64>,
    /// A histogram's new observations.
    pub distribution: Option<Histogram>,
}

/// What happened from `previous` to `current`, two points as they stand in `attributes.otlp`. Of a first point all is
/// news if the series is known to be `new`.
pub fn since(previous: Option<&Value>, current: &Value, new: bool) -> Since {
    let empty = Map::new();
    let current = current.as_object().unwrap_or(&empty);
    let previous = previous.and_then(Value::as_object);
    let difference = previous.and_then(|previous| difference(previous, current));
    let change = match (previous, &difference) {
        (None, _) if new => Change::First,
        (None, _) => return Since { change: Change::Baseline, value: None, distribution: None },
        (Some(_), Some(_)) => Change::Delta,
        (Some(_), None) => Change::Reset,
    };
    let news = difference.unwrap_or_else(|| current.clone());
    Since { change, value: value(&news), distribution: distribution(&news) }
}

fn value(news: &Map<String, Value>) -> Option<f64> {
    let number = |key: &str| news.get(key).and_then(Value::as_f64);
    match news.get("count") {
        Some(count) => number("sum").zip(count.as_f64().filter(|n| *n > 0.0)).map(|(sum, n)| sum / n),
        None => number("total"),
    }
}

/// The later point less the earlier one; none when the series began anew between them.
fn difference(previous: &Map<String, Value>, current: &Map<String, Value>) -> Option<Map<String, Value>> {
    let same = |key: &str| previous.get(key) == current.get(key);
    let restarted = previous.contains_key("start") && current.contains_key("start") && !same("start");
    if restarted || !same("type") {
        return None;
    }
    let mut news = Map::from_iter([("type".to_owned(), current.get("type")?.clone())]);
    match current.get("type")?.as_str()? {
        "sum" => {
            news.insert("total".to_owned(), json!(total(current)?.less(total(previous)?)?));
        }
        "histogram" => {
            if !same("explicit_bounds") {
                return None;
            }
            put_counts(&mut news, previous, current, &["count"])?;
            news.insert("explicit_bounds".to_owned(), current.get("explicit_bounds").cloned().unwrap_or_default());
            let less = each_less(&counts(previous), &counts(current))?;
            news.insert("bucket_counts".to_owned(), json!(less));
        }
        _ => {
            put_counts(&mut news, previous, current, &["count", "zero_count"])?;
            let scale = scale(previous).min(scale(current));
            news.insert("scale".to_owned(), json!(scale));
            for side in ["positive", "negative"] {
                let less = buckets(previous, side, scale).taken_from(&buckets(current, side, scale))?;
                news.insert(side.to_owned(), json!({"offset": less.offset, "bucket_counts": less.counts}));
            }
        }
    }
    // The extremes since the start bound what is new, and may not be among it.
    for (bound, extreme) in [("least", "min"), ("most", "max")] {
        news.extend(current.get(extreme).map(|value| (bound.to_owned(), value.clone())));
    }
    let sums = || Some((previous.get("sum")?.as_f64()?, current.get("sum")?.as_f64()?));
    if let Some((before, after)) = sums() {
        news.insert("sum".to_owned(), json!(after - before));
    }
    Some(news)
}

/// A sum's total: integers keep every digit.
#[derive(Clone, Copy)]
enum Total {
    Int(i64),
    Double(f64),
}

impl Total {
    /// The increase since `before`; none if there is a decrease.
    fn less(self, before: Self) -> Option<f64> {
        match (self, before) {
            (Self::Int(after), Self::Int(before)) => after.checked_sub(before).filter(|d| *d >= 0).map(|d| d as f64),
            (after, before) => Some(after.double() - before.double()).filter(|d| *d >= 0.0),
        }
    }

    fn double(self) -> f64 {
        match self {
            Self::Int(x) => x as f64,
            Self::Double(x) => x,
        }
    }
}

fn total(point: &Map<String, Value>) -> Option<Total> {
    let int = point.get("int").and_then(Value::as_str).and_then(|digits| digits.parse().ok());
    int.map(Total::Int).or_else(|| point.get("total")?.as_f64().map(Total::Double))
}

fn put_counts(
    news: &mut Map<String, Value>,
    previous: &Map<String, Value>,
    current: &Map<String, Value>,
    keys: &[&str],
) -> Option<()> {
    let count = |point: &Map<String, Value>, key: &str| point.get(key).and_then(Value::as_u64).unwrap_or_default();
    for key in keys {
        let less = count(current, key).checked_sub(count(previous, key))?;
        news.insert((*key).to_owned(), json!(less));
    }
    Some(())
}

fn counts(buckets: &Map<String, Value>) -> Vec<u64> {
    let list = buckets.get("bucket_counts").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    list.iter().map(|n| n.as_u64().unwrap_or_default()).collect()
}

fn each_less(before: &[u64], after: &[u64]) -> Option<Vec<u64>> {
    if before.len() != after.len() {
        return None;
    }
    after.iter().zip(before).map(|(after, before)| after.checked_sub(*before)).collect()
}

fn scale(point: &Map<String, Value>) -> i64 {
    point.get("scale").and_then(Value::as_i64).unwrap_or_default()
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
    /// `later` less these; none when a count went down.
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
    use super::*;

    fn sum(total: f64, start: &str) -> Value {
        json!({"type": "sum", "start": start, "total": total})
    }

    #[test]
    fn sums_give_increases() {
        let of = |previous: Option<&Value>, current: Value, new| {
            let since = since(previous, &current, new);
            (since.change.label(), since.value)
        };
        let before = sum(10.0, "1");
        assert_eq!(of(None, sum(10.0, "1"), true), ("first", Some(10.0)));
        assert_eq!(of(None, sum(10.0, "1"), false), ("baseline", None));
        assert_eq!(of(Some(&before), sum(12.5, "1"), false), ("delta", Some(2.5)));
        assert_eq!(of(Some(&before), sum(10.0, "1"), false), ("delta", Some(0.0)));
        assert_eq!(of(Some(&before), sum(12.5, "2"), false), ("reset", Some(12.5)));
        assert_eq!(of(Some(&before), sum(3.0, "1"), false), ("reset", Some(3.0)));
        assert_eq!(of(Some(&before), json!({"type": "sum", "total": 11.0}), false), ("delta", Some(1.0)));
        // A double cannot tell these two apart.
        let big = |int: &str| json!({"type": "sum", "int": int, "total": 9_007_199_254_740_993_f64});
        assert_eq!(of(Some(&big("9007199254740993")), big("9007199254740994"), false), ("delta", Some(1.0)));
    }

    #[test]
    fn histograms_give_their_new_observations() {
        let point = |counts: [u64; 3], sum: f64| {
            let count: u64 = counts.iter().sum();
            json!({"type": "histogram", "start": "1", "count": count, "sum": sum, "bucket_counts": counts,
                "explicit_bounds": [1.0, 2.0], "min": 0.5, "max": 9.0})
        };
        let news = since(Some(&point([4, 0, 1], 11.0)), &point([4, 3, 1], 15.5), false);
        assert_eq!((news.change, news.value), (Change::Delta, Some(1.5)));
        let distribution = news.distribution.unwrap();
        assert_eq!((distribution.count(), distribution.sum()), (3, Some(4.5)));
        assert!(distribution.min().unwrap() > 1.0 && distribution.max().unwrap() < 2.0);
        // A bucket is no wider than from the least value ever to the largest.
        let open = since(Some(&point([4, 0, 1], 11.0)), &point([6, 0, 3], 30.0), false).distribution.unwrap();
        assert!(open.min().unwrap() > 0.5 && open.max().unwrap() < 9.0 && open.count_above_value(5.0) == 1);
        let nothing = since(Some(&point([4, 0, 1], 11.0)), &point([4, 0, 1], 11.0), false);
        assert_eq!(nothing, Since { change: Change::Delta, value: None, distribution: None });
        assert_eq!(since(Some(&point([4, 0, 1], 11.0)), &point([5, 0, 0], 9.0), false).change, Change::Reset);
        let other =
            json!({"type": "histogram", "start": "1", "count": 9, "bucket_counts": [9, 0], "explicit_bounds": [7.0]});
        assert_eq!(since(Some(&point([4, 0, 1], 11.0)), &other, false).change, Change::Reset);
    }

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
    fn hostile_points_are_answered() {
        for previous in [json!(null), json!({}), json!({"type": "sum"}), json!({"type": 5, "count": "x"})] {
            let point = json!({"type": "exponential_histogram", "scale": i64::MIN, "count": u64::MAX,
                "positive": {"offset": i64::MAX, "bucket_counts": [1, 2, u64::MAX]}});
            since(Some(&previous), &point, false);
            since(Some(&point), &previous, true);
            since(Some(&point), &point, true);
        }
    }
}

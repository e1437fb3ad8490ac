//! Cumulative points as what happened since the previous point: by default, OpenTelemetry's SDKs count from their
//! start, and such a total does not tell what happened in the minute when it was sent.
//!
//! The rules are those of OpenTelemetry's data model ("Resets and gaps") and of Prometheus' `increase`:
//! - another start, or a count that decreased, is a reset: the process restarted, and the whole total is new;
//! - the first point of a new series is new as a whole; the first point seen of an old series is only the baseline of
//!   the next.
//!
//! What is not here: the previous point (the caller keeps it), points out of order, and totals that are not numbers,
//! which cannot be compared in either direction and never become the previous point (`metric`).

use serde_json::{Map, Value, json};

use super::buckets::{bounds, counts};
use super::distribution::distribution;
use super::exponential;
use crate::sketch::Histogram;

/// How a cumulative point relates to the previous one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The first point of a new series: the whole total is new.
    First,
    /// The first point seen of an old series: it is unknown when its total came about.
    Baseline,
    /// The difference to the previous point.
    Delta,
    /// The series restarted: the whole total is new.
    Reset,
}

impl Change {
    /// The change as written to `attributes.otlp.change`.
    pub fn label(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Baseline => "baseline",
            Self::Delta => "delta",
            Self::Reset => "reset",
        }
    }
}

/// What happened since the previous point.
#[derive(Debug, Clone, PartialEq)]
pub struct Since {
    /// The kind of change.
    pub change: Change,
    /// A sum's increase; the mean of a histogram's new observations; None for a baseline and without observations.
    pub value: Option<f64>,
    /// A histogram's new observations.
    pub distribution: Option<Histogram>,
}

/// What happened between `previous` and `current`, two points as stored in `attributes.otlp`. The total of a first
/// point is new if the series is known to be `new`.
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
        // A monotonic total is never negative.
        None => number("total").filter(|total| *total >= 0.0),
    }
}

/// The later point minus the earlier one; None if the series restarted between them.
fn difference(previous: &Map<String, Value>, current: &Map<String, Value>) -> Option<Map<String, Value>> {
    let same = |key: &str| previous.get(key) == current.get(key);
    let restarted = previous.contains_key("start") && current.contains_key("start") && !same("start");
    if restarted || !same("type") {
        return None;
    }
    if previous.get("count").and_then(Value::as_u64) == Some(0) {
        // Its buckets may be missing, and the extremes are those of the new observations.
        return Some(current.clone());
    }
    let mut news = Map::from_iter([("type".to_owned(), current.get("type")?.clone())]);
    match current.get("type")?.as_str()? {
        "sum" => {
            news.insert("total".to_owned(), json!(total(current)?.less(total(previous)?)?));
        }
        "histogram" => {
            // Compared as numbers, because jsonb writes 1e16 without a decimal point.
            if bounds(previous) != bounds(current) {
                return None;
            }
            put_counts(&mut news, previous, current, &["count"])?;
            news.insert("explicit_bounds".to_owned(), current.get("explicit_bounds").cloned().unwrap_or_default());
            let less = each_less(&counts(previous), &counts(current))?;
            news.insert("bucket_counts".to_owned(), json!(less));
        }
        _ => {
            put_counts(&mut news, previous, current, &["count"])?;
            exponential::put_difference(&mut news, previous, current)?;
        }
    }
    // The extremes since the start are bounds for the new observations, but may not be among them.
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

fn each_less(before: &[u64], after: &[u64]) -> Option<Vec<u64>> {
    if before.len() != after.len() {
        return None;
    }
    after.iter().zip(before).map(|(after, before)| after.checked_sub(*before)).collect()
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
    fn a_histogram_without_sum_is_a_difference_too() {
        let point = |n: u64| {
            json!({"type": "histogram", "start": "1", "count": n, "bucket_counts": [n, 0],
                "explicit_bounds": [1.0]})
        };
        let news = since(Some(&point(10)), &point(25), false);
        assert_eq!((news.change, news.value, news.distribution.map(|d| d.count())), (Change::Delta, None, Some(15)));
        // What is no number stands between two points without a sum of their difference, and never is one.
        let with = |n: u64, sum: Value| {
            let mut point = point(n);
            point["sum"] = sum;
            point
        };
        let broken = since(Some(&with(10, json!(5.0))), &with(12, json!("NaN")), false);
        assert_eq!(
            (broken.change, broken.value, broken.distribution.map(|d| d.count())),
            (Change::Delta, None, Some(2))
        );
        let after = since(Some(&with(12, json!("NaN"))), &with(14, json!(7.0)), false);
        assert_eq!(
            (after.change, after.value, after.distribution.map(|d| d.count())),
            (Change::Delta, None, Some(2))
        );
    }

    #[test]
    fn after_a_point_without_observations_all_is_new() {
        let empty = json!({"type": "histogram", "start": "1", "count": 0, "sum": 0.0});
        let five = json!({"type": "histogram", "start": "1", "count": 5, "sum": 2.5, "bucket_counts": [5, 0],
            "explicit_bounds": [1.0], "min": 0.25, "max": 0.75});
        let news = since(Some(&empty), &five, false);
        let distribution = news.distribution.unwrap();
        assert_eq!((news.change, news.value, distribution.count()), (Change::Delta, Some(0.5), 5));
        assert_eq!((distribution.min(), distribution.max()), (Some(0.25), Some(0.75)));
        let nothing = Since { change: Change::Delta, value: None, distribution: None };
        assert_eq!(since(Some(&empty), &empty, false), nothing);
    }

    #[test]
    fn count_and_sum_alone_give_so_many_values_of_the_mean() {
        let point = |n: u64, sum: f64| json!({"type": "histogram", "count": n, "sum": sum, "bucket_counts": [n]});
        let news = since(Some(&point(10, 5.0)), &point(14, 13.0), false);
        let distribution = news.distribution.unwrap();
        assert_eq!((news.value, distribution.count(), distribution.sum()), (Some(2.0), 4, Some(8.0)));
        assert_eq!((distribution.min(), distribution.max()), (Some(2.0), Some(2.0)));
    }

    #[test]
    fn bounds_are_compared_as_numbers() {
        let point = |n: u64, bounds: Value| {
            json!({"type": "histogram", "count": n, "bucket_counts": [n, 0, 0],
                "explicit_bounds": bounds})
        };
        let (float, whole) = (json!([1e16, "Infinity"]), json!([10_000_000_000_000_000_u64, "Infinity"]));
        assert_eq!(since(Some(&point(1, whole)), &point(2, float), false).change, Change::Delta);
        let other = json!([1e17, "Infinity"]);
        assert_eq!(since(Some(&point(1, other)), &point(2, json!([1e16, "Infinity"])), false).change, Change::Reset);
    }

    #[test]
    fn what_only_grows_is_never_negative() {
        let since = since(None, &sum(-5.0, "1"), true);
        assert_eq!((since.change, since.value), (Change::First, None));
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

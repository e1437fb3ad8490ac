//! The specific part of each kind of metric point: one number for the `value` column, and the whole point as JSON for
//! `attributes.otlp`, so that percentiles and rates can still be computed.
//!
//! Absent fields: protobuf omits zeros, so an absent `count` or `scale` is 0. Fields marked `optional` (sum, min and
//! max of histograms) are really absent.

use super::context::{put, put_object};
use super::fault::{Fault, Result};
use super::field::{Fields, double, number, signed, unsigned};
use super::id;
use super::tree::Tree;
use super::value;
use serde_json::{Map, Value};

/// The first integer after which a double skips one.
const EXACT_INTEGERS: u64 = 1 << 53;

/// A point's number, and its own part of `attributes.otlp`.
pub(super) struct Point {
    pub(super) value: Option<f64>,
    pub(super) otlp: Map<String, Value>,
}

/// A point of a sum or gauge. An integer that a double cannot hold also stays exactly, as `otlp.int`.
pub(super) fn number_point(point: Fields) -> Result<Point> {
    let int = point.read("asInt", signed)?;
    let value = point.read("asDouble", double)?.or(int.map(|int| int as f64));
    let mut otlp = Map::new();
    put(&mut otlp, "int", int.filter(|int| int.unsigned_abs() > EXACT_INTEGERS).map(|int| int.to_string()));
    Ok(Point { value, otlp })
}

/// A histogram with bounds. Its number is the mean.
pub(super) fn histogram(point: Fields) -> Result<Point> {
    let sum = point.read("sum", double)?;
    let mut distribution = distribution(point, sum)?;
    extremes(point, &mut distribution.otlp)?;
    let (counts, bounds) = (point.each("bucketCounts", unsigned)?, point.each("explicitBounds", double)?);
    check_bounds(&bounds, counts.len())?;
    check_counts(&counts).map_err(|fault| fault.at("bucketCounts"))?;
    put_numbers(&mut distribution.otlp, "bucket_counts", counts);
    put_numbers(&mut distribution.otlp, "explicit_bounds", bounds.into_iter().map(number).collect());
    Ok(distribution)
}

/// Bounds must increase. Two equal ones have nothing between them (Go's SDK sorts its bounds and keeps both). An
/// infinite bound at the end may stand for the open bucket, as in Prometheus, or be followed by one.
fn check_bounds(bounds: &[f64], counts: usize) -> Result<()> {
    for (index, bound) in bounds.iter().enumerate() {
        let before = index.checked_sub(1).map_or(f64::NEG_INFINITY, |before| bounds[before]);
        // A NaN is not above anything.
        if bound.partial_cmp(&before).is_none_or(|order| order.is_lt()) {
            let reason = format!("not above the bound before it, {before}: {bound}");
            return Err(Fault::new(reason).within("explicitBounds", index));
        }
    }
    let infinite = usize::from(bounds.last() == Some(&f64::INFINITY));
    if counts != 0 && counts != bounds.len() + 1 && counts + infinite != bounds.len() + 1 {
        let reason = format!("{counts} counts do not fit {} bounds: there is one more than bounds", bounds.len());
        return Err(Fault::new(reason).at("bucketCounts"));
    }
    Ok(())
}

/// Counts that a double cannot represent exactly come from a broken sender, and could not be added to others.
fn check_counts(counts: &[u64]) -> Result<()> {
    let all = counts.iter().fold(0, |all: u64, n| all.saturating_add(*n));
    if all <= EXACT_INTEGERS { Ok(()) } else { Err(Fault::new(format!("more than 2^53 observations: {all}"))) }
}

/// A histogram whose bounds are powers of 2^(2^-scale). Its number is the mean.
pub(super) fn exponential_histogram(point: Fields) -> Result<Point> {
    let sum = point.read("sum", double)?;
    let mut distribution = distribution(point, sum)?;
    let otlp = &mut distribution.otlp;
    extremes(point, otlp)?;
    put(otlp, "scale", Some(point.read("scale", signed)?.unwrap_or_default()));
    put(otlp, "zero_count", Some(point.read("zeroCount", unsigned)?.unwrap_or_default()));
    put(otlp, "zero_threshold", point.read("zeroThreshold", exact)?);
    for side in ["positive", "negative"] {
        put_object(otlp, side, point.read(side, buckets)?.unwrap_or_default());
    }
    Ok(distribution)
}

/// A summary: quantiles made by the sender. Its number is the mean; here the sum is not `optional`.
pub(super) fn summary(point: Fields) -> Result<Point> {
    let sum = point.read("sum", double)?.unwrap_or_default();
    let mut distribution = distribution(point, Some(sum))?;
    put_numbers(&mut distribution.otlp, "quantiles", point.each("quantileValues", quantile)?);
    Ok(distribution)
}

/// An example measurement, with the trace it was taken in.
pub(super) fn exemplar(exemplar: &Tree) -> Result<Value> {
    let fields = Fields::of(exemplar)?;
    let mut exemplar = Map::new();
    put(&mut exemplar, "time", fields.read("timeUnixNano", id::nanos)?.flatten().map(|time| time.to_string()));
    put(&mut exemplar, "value", fields.read("asInt", signed)?);
    put(&mut exemplar, "value", fields.read("asDouble", exact)?);
    put(&mut exemplar, "trace_id", fields.read("traceId", id::trace)?.flatten().map(|id| id::hex(id.as_bytes())));
    put(&mut exemplar, "span_id", fields.read("spanId", id::span)?.flatten().map(|id| id::hex(&id)));
    put_object(
        &mut exemplar,
        "attributes",
        fields.read("filteredAttributes", value::attributes)?.unwrap_or_default(),
    );
    Ok(Value::Object(exemplar))
}

/// Count and sum, and their mean; there is none without observations or for a sum that is not finite.
fn distribution(point: Fields, sum: Option<f64>) -> Result<Point> {
    let count = point.read("count", unsigned)?.unwrap_or_default();
    check_counts(&[count]).map_err(|fault| fault.at("count"))?;
    let mut otlp = Map::new();
    put(&mut otlp, "count", Some(count));
    put(&mut otlp, "sum", sum.map(number));
    let mean = sum.filter(|_| count > 0).map(|sum| sum / count as f64);
    Ok(Point { value: mean.filter(|mean| mean.is_finite()), otlp })
}

fn extremes(point: Fields, otlp: &mut Map<String, Value>) -> Result<()> {
    for key in ["min", "max"] {
        put(otlp, key, point.read(key, exact)?);
    }
    Ok(())
}

fn buckets(buckets: &Tree) -> Result<Map<String, Value>> {
    let fields = Fields::of(buckets)?;
    let counts = fields.each("bucketCounts", unsigned)?;
    check_counts(&counts).map_err(|fault| fault.at("bucketCounts"))?;
    let mut buckets = Map::new();
    if !counts.is_empty() {
        put(&mut buckets, "offset", Some(fields.read("offset", signed)?.unwrap_or_default()));
        put_numbers(&mut buckets, "bucket_counts", counts);
    }
    Ok(buckets)
}

fn quantile(quantile: &Tree) -> Result<Value> {
    let fields = Fields::of(quantile)?;
    let mut quantile = Map::new();
    for key in ["quantile", "value"] {
        put(&mut quantile, key, Some(number(fields.read(key, double)?.unwrap_or_default())));
    }
    Ok(Value::Object(quantile))
}

fn exact(value: &Tree) -> Result<Value> {
    double(value).map(number)
}

fn put_numbers(otlp: &mut Map<String, Value>, key: &str, list: Vec<impl Into<Value>>) {
    put(otlp, key, (!list.is_empty()).then_some(list));
}

//! The two lists of a histogram's point as they stand in `attributes.otlp`: the counts of its buckets, and the bounds
//! between them.

use serde_json::{Map, Value};

/// The counts of buckets, in order.
pub(super) fn counts(buckets: &Map<String, Value>) -> Vec<u64> {
    let list = buckets.get("bucket_counts").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    list.iter().map(|n| n.as_u64().unwrap_or_default()).collect()
}

/// The bounds of a point. An infinite one is text, since JSON has no number for it.
pub(super) fn bounds(point: &Map<String, Value>) -> Vec<f64> {
    let bound = |bound: &Value| bound.as_f64().or_else(|| bound.as_str()?.parse().ok());
    let list = point.get("explicit_bounds").and_then(Value::as_array);
    list.map_or_else(Vec::new, |bounds| bounds.iter().filter_map(bound).collect())
}

//! Metric points as SDKs and Collectors write them: what is a difference, what is a distribution, what is refused.

use flagscope_core::otlp::{Decoded, Row, decode};
use serde_json::{Value, json};

/// What points of one kind give, sent alone.
fn points(kind: &str, data: Value) -> Decoded {
    let metric = json!({"name": "m", kind: data});
    decode(&json!({"resourceMetrics": [{"scopeMetrics": [{"metrics": [metric]}]}]}).to_string())
}

fn timed(point: Value) -> Value {
    let mut point = point;
    point["timeUnixNano"] = json!("1700000000000000000");
    point
}

fn point(kind: &str, temporality: i64, point: Value) -> Decoded {
    points(kind, json!({"aggregationTemporality": temporality, "isMonotonic": true, "dataPoints": [timed(point)]}))
}

fn row(decoded: Decoded) -> Row {
    assert_eq!((decoded.rejected, decoded.first_error), (0, None));
    decoded.rows.into_iter().next().unwrap()
}

fn count(row: &Row) -> Option<u64> {
    row.distribution.as_ref().map(|distribution| distribution.count())
}

#[test]
fn every_cumulative_histogram_is_a_total() {
    for kind in ["histogram", "exponentialHistogram"] {
        for given in [
            json!({"count": "10", "sum": 5, "bucketCounts": ["10", "0"], "explicitBounds": [1], "zeroCount": 10}),
            // The sum is optional; count and buckets of 0 are left out by protobuf.
            json!({"count": "10", "bucketCounts": ["10", "0"], "explicitBounds": [1], "zeroCount": 10}),
            json!({"count": "0", "sum": 0, "bucketCounts": ["0", "0"], "explicitBounds": [1]}),
            json!({"sum": "NaN", "count": 3}),
            json!({}),
        ] {
            let row = self::row(point(kind, 2, given.clone()));
            assert!(row.cumulative && row.distribution.is_none(), "{kind} {given}");
        }
        let nothing = row(point(kind, 2, json!({"flags": 1})));
        assert!(!nothing.cumulative && nothing.value.is_none() && nothing.distribution.is_none());
        let delta = row(point(kind, 1, json!({"count": 2, "sum": 3, "zeroCount": 2, "bucketCounts": [2]})));
        assert_eq!((delta.cumulative, delta.value, count(&delta)), (false, Some(1.5), Some(2)));
    }
}

#[test]
fn a_total_that_is_no_number_is_never_the_point_before() {
    for total in ["NaN", "Infinity", "-Infinity"] {
        let row = self::row(point("sum", 2, json!({"asDouble": total})));
        assert_eq!((row.cumulative, row.value), (false, None));
        let otlp = &row.attributes.unwrap().value()["otlp"];
        assert_eq!((&otlp["total"], &otlp["change"]), (&json!(total), &json!("invalid")));
    }
    // A delta that is no number stays as it was sent: metrics count it as invalid.
    let delta = row(point("sum", 1, json!({"asDouble": "NaN"})));
    assert!(delta.value.is_some_and(f64::is_nan) && !delta.cumulative);
    // Nor is one without a value a total of 0.
    let absent = row(point("sum", 2, json!({})));
    assert_eq!((absent.cumulative, absent.value), (false, None));
    let zero = row(point("sum", 2, json!({"asInt": "0"})));
    assert_eq!((zero.cumulative, zero.value), (true, Some(0.0)));
}

#[test]
fn integers_come_as_text_or_number() {
    let of = |number: Value, buckets: Value, bounds: Value| {
        let row = self::row(point(
            "histogram",
            1,
            json!({"count": number, "sum": "6", "bucketCounts": buckets, "explicitBounds": bounds}),
        ));
        (row.value, count(&row))
    };
    let wanted = (Some(2.0), Some(3));
    assert_eq!(of(json!("3"), json!(["1", "2"]), json!([1])), wanted);
    assert_eq!(of(json!(3), json!([1, 2]), json!(["1.0"])), wanted);
    assert_eq!(of(json!(3.0), json!([1.0, "2"]), json!([1e0])), wanted);
    for (given, value) in [(json!("9223372036854775807"), i64::MAX), (json!(i64::MIN), i64::MIN)] {
        let row = self::row(point("sum", 2, json!({"asInt": given})));
        assert_eq!(row.value, Some(value as f64));
        assert_eq!(row.attributes.unwrap().value()["otlp"]["int"], json!(value.to_string()));
    }
}

#[test]
fn bounds_that_cannot_be_are_refused_with_a_reason() {
    let refused = |buckets: Value, bounds: Value| {
        let decoded =
            point("histogram", 1, json!({"count": 3, "sum": 4, "bucketCounts": buckets, "explicitBounds": bounds}));
        assert_eq!((decoded.rows.len(), decoded.rejected), (0, 1));
        decoded
            .first_error
            .unwrap()
            .replace("line 1: resourceMetrics[0].scopeMetrics[0].metrics[0].histogram.dataPoints[0].", "")
    };
    let three = || json!([1, 1, 1]);
    assert_eq!(refused(three(), json!([2, 1])), "explicitBounds[1]: not above the bound before it, 2: 1");
    assert_eq!(refused(three(), json!([1, "NaN"])), "explicitBounds[1]: not above the bound before it, 1: NaN");
    assert_eq!(refused(three(), json!(["Infinity", 1])), "explicitBounds[1]: not above the bound before it, inf: 1");
    assert_eq!(
        refused(three(), json!([1])),
        "bucketCounts: 3 counts do not fit 1 bounds: there is one more than bounds"
    );
    let huge = refused(json!(["9007199254740993", 0]), json!([1]));
    assert_eq!(huge, "bucketCounts: more than 2^53 observations: 9007199254740993");
    // Equal bounds have nothing between them; infinite ones are open ends, with or without a bucket beyond.
    for (buckets, bounds) in [
        (three(), json!([1, 1])),
        (json!([1, 2, 0]), json!([1, "Infinity"])),
        (json!([1, 2]), json!([1, "Infinity"])),
        (json!([0, 1, 2]), json!(["-Infinity", 1])),
        (json!([]), json!([1])),
        (json!([3]), json!([])),
        (json!([]), json!([])),
    ] {
        let row = self::row(point(
            "histogram",
            1,
            json!({"count": 3, "sum": 4, "bucketCounts": buckets, "explicitBounds": bounds}),
        ));
        assert_eq!((count(&row), row.distribution.unwrap().sum()), (Some(3), Some(4.0)), "{bounds}");
    }
}

#[test]
fn an_empty_point_has_no_observation() {
    // SDKs write extremes of nothing: 0 (protobuf's default), or infinities (Python).
    for (min, max) in [(json!(0), json!(0)), (json!("Infinity"), json!("-Infinity"))] {
        for kind in ["histogram", "exponentialHistogram"] {
            let row =
                self::row(point(kind, 1, json!({"count": 0, "sum": 0, "min": min, "max": max, "bucketCounts": [0]})));
            assert_eq!((row.value, count(&row)), (None, None));
        }
    }
}

#[test]
fn a_mean_is_finite_or_absent() {
    for sum in ["NaN", "Infinity", "-Infinity"] {
        let row = self::row(point(
            "histogram",
            1,
            json!({"count": 2, "sum": sum, "bucketCounts": [2, 0], "explicitBounds": [1]}),
        ));
        assert_eq!((row.value, count(&row)), (None, Some(2)), "{sum}");
        let alone = self::row(point("histogram", 1, json!({"count": 2, "sum": sum, "bucketCounts": [2]})));
        assert_eq!((alone.value, count(&alone)), (None, None), "{sum}");
    }
}

#[test]
fn a_summary_is_one_value() {
    let row = self::row(points(
        "summary",
        json!({"dataPoints": [timed(json!({"count": "4", "sum": 6,
        "quantileValues": [{"quantile": 0.5, "value": "NaN"}]}))]}),
    ));
    assert_eq!((row.value, row.cumulative, count(&row)), (Some(1.5), false, None));
    assert_eq!(row.attributes.unwrap().value()["otlp"]["quantiles"], json!([{"quantile": 0.5, "value": "NaN"}]));
}

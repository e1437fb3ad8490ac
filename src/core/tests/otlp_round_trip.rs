//! Everything that OTLP knows and we store: requests in which every field of opentelemetry-proto 1.11.0 is set, each
//! to a value that stands nowhere else, and every one of these values is found again in the rows.
//!
//! Not stored, since they are in development: `entityRefs` of resources, `keyStrindex` and the profiles signal.

use flagscope_core::otlp::{Row, decode};
use serde_json::{Value, json};
use std::collections::HashSet;

/// Every text, number and key of the rows, times put together again from their parts.
fn found(rows: &[Row]) -> HashSet<String> {
    // The two attributes of a resource that are columns of ours.
    let mut found = HashSet::from(["service.name".to_owned(), "deployment.environment.name".to_owned()]);
    for row in rows {
        let nanos = row.ts as u64 * 1000 + u64::from(row.nanos);
        found.insert(nanos.to_string());
        // The end of a span; of what is no span it is a number too many, and may be too large.
        found.extend(row.value.map(|value| nanos.saturating_add((value * 1e9).round() as u64).to_string()));
        found.extend(row.value.map(|value| Value::from(value).to_string()));
        found.extend(row.severity.map(|severity| severity.to_string()));
        found.extend(row.trace_id.map(|id| id.simple().to_string()));
        found.extend(
            [row.span_id, row.parent_span_id]
                .into_iter()
                .flatten()
                .map(|id| id.iter().map(|byte| format!("{byte:02x}")).collect()),
        );
        let texts = [&row.unit, &row.subject, &row.environment, &row.service, &row.body, &Some(row.name.clone())];
        found.extend(texts.into_iter().flatten().cloned());
        for json in [row.attributes.as_ref().map(|json| json.value()), row.flags.clone()].into_iter().flatten() {
            leaves(&json, true, &mut |leaf| _ = found.insert(leaf));
        }
        if let Some(Ok(body)) = row.body.as_ref().map(|body| serde_json::from_str(body)) {
            leaves(&body, true, &mut |leaf| _ = found.insert(leaf));
        }
    }
    found
}

/// The scalars of a value as text, and the keys of its objects if asked; booleans and zeros say too little.
fn leaves(value: &Value, keys: bool, put: &mut impl FnMut(String)) {
    match value {
        Value::Null | Value::Bool(_) => {}
        Value::Number(number) => put(number.to_string()),
        Value::String(text) => put(text.clone()),
        Value::Array(values) => values.iter().for_each(|value| leaves(value, keys, put)),
        Value::Object(map) => map.iter().for_each(|(key, value)| {
            if keys {
                put(key.clone());
            }
            leaves(value, keys, put);
        }),
    }
}

/// Every value of the request is in its rows.
fn check(request: &Value) -> Vec<Row> {
    let decoded = decode(&request.to_string());
    assert_eq!((decoded.rejected, decoded.first_error), (0, None));
    let found = found(&decoded.rows);
    let mut missing = Vec::new();
    leaves(request, false, &mut |leaf| {
        // A double that is whole loses its point in our columns and keeps its value.
        if !found.contains(&leaf) && !found.contains(&format!("{leaf}.0")) {
            missing.push(leaf);
        }
    });
    assert_eq!(missing, Vec::<String>::new(), "{:#?}", decoded.rows);
    decoded.rows
}

fn attribute(key: &str, value: &str) -> Value {
    json!([{"key": key, "value": {"stringValue": value}}])
}

fn resource(dropped: u32) -> Value {
    json!({"droppedAttributesCount": dropped, "attributes": [
        {"key": "service.name", "value": {"stringValue": "the service"}},
        {"key": "deployment.environment.name", "value": {"stringValue": "the environment"}},
        {"key": "host.id", "value": {"stringValue": "the host"}}]})
}

fn scope(dropped: u32) -> Value {
    json!({"name": "the scope", "version": "the version", "attributes": attribute("scope.key", "scope value"),
        "droppedAttributesCount": dropped})
}

#[test]
fn spans() {
    let rows = check(
        &json!({"resourceSpans": [{"resource": resource(101), "schemaUrl": "https://resource", "scopeSpans": [{
        "scope": scope(102), "schemaUrl": "https://scope", "spans": [{
            "traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174",
            "parentSpanId": "eee19b7ec3c1b173", "traceState": "state=1", "flags": 771, "name": "the span", "kind": 5,
            "startTimeUnixNano": "1544712660123456789", "endTimeUnixNano": "1544712661987654321",
            "attributes": [
                {"key": "text", "value": {"stringValue": "a text"}}, {"key": "int", "value": {"intValue": "-9223372036854775807"}},
                {"key": "double", "value": {"doubleValue": 0.1234567890123}}, {"key": "bytes", "value": {"bytesValue": "AP8="}},
                {"key": "nan", "value": {"doubleValue": "NaN"}}, {"key": "empty", "value": {}},
                {"key": "list", "value": {"arrayValue": {"values": [{"stringValue": "in a list"}, {"intValue": 8301}]}}},
                {"key": "map", "value": {"kvlistValue": {"values": attribute("in.map", "in a map")}}}],
            "droppedAttributesCount": 103, "droppedEventsCount": 104, "droppedLinksCount": 105,
            "events": [
                {"timeUnixNano": "1544712660200000001", "name": "exception", "droppedAttributesCount": 106,
                    "attributes": attribute("exception.stacktrace", "at line 1\nat line 2")},
                {"timeUnixNano": "1544712660200000002", "name": "feature_flag.evaluation", "droppedAttributesCount": 107,
                    "attributes": [{"key": "feature_flag.key", "value": {"stringValue": "the flag"}},
                        {"key": "feature_flag.result.variant", "value": {"stringValue": "the variant"}}]}],
            "links": [{"traceId": "5b8efff798038103d269b633813fc60d", "spanId": "eee19b7ec3c1b175", "flags": 259,
                "traceState": "state=2", "attributes": attribute("link.key", "link value"), "droppedAttributesCount": 108}],
            "status": {"code": 2, "message": "the status"}}]}]}]}),
    );
    assert_eq!((rows.len(), rows[0].is_error), (2, Some(true)));
    assert_eq!(rows[1].flags, Some(json!({"the flag": "the variant"})));
}

#[test]
fn spans_with_ends_that_a_duration_does_not_tell() {
    for (start, end) in [("1544712660000000009", "1544712660000000001"), ("1", "1544712660123456789")] {
        check(&json!({"resourceSpans": [{"scopeSpans": [{"spans": [{"name": "s", "startTimeUnixNano": start,
            "endTimeUnixNano": end}]}]}]}));
    }
}

#[test]
fn logs() {
    let record = |body: Value| {
        json!({"resourceLogs": [{"resource": resource(201), "schemaUrl": "https://resource", "scopeLogs": [{
            "scope": scope(202), "schemaUrl": "https://scope", "logRecords": [{
                "timeUnixNano": "1544712660300000123", "observedTimeUnixNano": "1544712660300000456", "severityNumber": 18,
                "severityText": "ERROR2", "body": body, "attributes": attribute("log.key", "log value"),
                "droppedAttributesCount": 203, "flags": 301, "traceId": "5b8efff798038103d269b633813fc60c",
                "spanId": "eee19b7ec3c1b174", "eventName": "the event"}]}]}]})
    };
    let body = json!({"kvlistValue": {"values": [{"key": "count", "value": {"intValue": "4711"}}]}});
    let rows = check(&record(body));
    assert_eq!(rows[0].body.as_deref(), Some("{\"count\":4711}"));
    // A number and its text are two bodies.
    let (number, text) = (check(&record(json!({"intValue": "5"}))), check(&record(json!({"stringValue": "5"}))));
    assert_eq!(number[0].body, text[0].body);
    assert_ne!(number[0].attributes, text[0].attributes);
}

#[test]
fn metrics() {
    let exemplar = |n: u64, value: Value| {
        let mut exemplar = json!({"timeUnixNano": (1_544_712_660_400_000_000 + n).to_string(),
            "filteredAttributes": attribute(&format!("filtered{n}"), "filtered value"),
            "spanId": "eee19b7ec3c1b174", "traceId": "5b8efff798038103d269b633813fc60c"});
        exemplar.as_object_mut().unwrap().extend(value.as_object().unwrap().clone());
        exemplar
    };
    let times = |n: u64, rest: Value| {
        let mut point = json!({"startTimeUnixNano": (1_544_712_660_000_000_000 + n).to_string(),
            "timeUnixNano": (1_544_712_661_000_000_000 + n).to_string(), "attributes": attribute(&format!("key{n}"), "v")});
        point.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        point
    };
    let rows = check(
        &json!({"resourceMetrics": [{"resource": resource(301), "schemaUrl": "https://resource", "scopeMetrics": [{
        "scope": scope(302), "schemaUrl": "https://scope", "metrics": [
            {"name": "a gauge", "description": "what a gauge is", "unit": "By", "metadata": attribute("meta", "data"),
                "gauge": {"dataPoints": [times(1, json!({"asInt": "9223372036854775807", "exemplars": [exemplar(1, json!({"asInt": "31"}))]})),
                    times(2, json!({"asDouble": 0.25, "exemplars": [exemplar(2, json!({"asDouble": 0.375}))]}))]}},
            {"name": "a sum", "unit": "{request}", "sum": {"aggregationTemporality": 2, "isMonotonic": true,
                "dataPoints": [times(3, json!({"asDouble": 17.125})), times(4, json!({"flags": 1}))]}},
            {"name": "a histogram", "unit": "s", "histogram": {"aggregationTemporality": 1, "dataPoints": [times(5, json!({
                "count": "1007", "sum": 1234.5, "bucketCounts": ["1001", "4", "2"], "explicitBounds": [0.625, 1.375],
                "min": 0.0625, "max": 77.5, "exemplars": [exemplar(5, json!({"asDouble": 0.9375}))]}))]}},
            {"name": "an exponential one", "exponentialHistogram": {"aggregationTemporality": 1, "dataPoints": [times(6, json!({
                "count": "2010", "sum": 2345.5, "scale": 6, "zeroCount": "2001", "zeroThreshold": 0.0078125, "min": -3.5,
                "max": 88.5, "positive": {"offset": -44, "bucketCounts": ["6"]}, "negative": {"offset": 55, "bucketCounts": ["3"]}}))]}},
            {"name": "a summary", "summary": {"dataPoints": [times(7, json!({"count": "3009", "sum": 3456.5,
                "quantileValues": [{"quantile": 0.99, "value": 5.75}]}))]}}]}]}]}),
    );
    let counts: Vec<_> = rows.iter().map(|row| row.distribution.as_ref().map(|d| d.count())).collect();
    assert_eq!(counts, [None, None, None, None, Some(1007), Some(2010), None]);
    assert_eq!(
        rows.iter().map(|row| row.cumulative).collect::<Vec<_>>(),
        [false, false, true, false, false, false, false]
    );
}

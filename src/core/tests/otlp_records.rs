//! Records built by hand: shapes of other SDKs, the choice of subject, reserved names, and what is rejected.

use flagscope_core::otlp::{Decoded, EVALUATION, Row, Signal, decode};
use serde_json::{Value, json};

/// Attributes in OTLP's form, of texts and whatever else AnyValue is given as an object.
fn attributes(map: Value) -> Value {
    let pair = |(key, value): (&String, &Value)| match value {
        Value::String(text) => json!({"key": key, "value": {"stringValue": text}}),
        any => json!({"key": key, "value": any}),
    };
    map.as_object().unwrap().iter().map(pair).collect()
}

fn request(signal: [&str; 3], resource: Value, records: Value) -> Decoded {
    let scope = json!({signal[2]: records});
    let group = json!({"resource": {"attributes": attributes(resource)}, signal[1]: [scope]});
    decode(&json!({signal[0]: [group]}).to_string())
}

fn spans(records: Value) -> Decoded {
    request(["resourceSpans", "scopeSpans", "spans"], json!({}), records)
}

fn logs(records: Value) -> Decoded {
    request(["resourceLogs", "scopeLogs", "logRecords"], json!({}), records)
}

fn metrics(records: Value) -> Decoded {
    request(["resourceMetrics", "scopeMetrics", "metrics"], json!({}), records)
}

fn first(decoded: Decoded) -> Row {
    assert_eq!((decoded.rejected, decoded.first_error), (0, None));
    decoded.rows.into_iter().next().unwrap()
}

/// How many rows, how many rejected, and the first reason without the place of the list.
fn account(decoded: Decoded) -> (usize, u64, String) {
    let reason = decoded.first_error.unwrap_or_default();
    let reason = ["line 1: resourceSpans[0].scopeSpans[0].", "line 1: resourceLogs[0].scopeLogs[0]."]
        .iter()
        .chain(&["line 1: resourceMetrics[0].scopeMetrics[0]."])
        .fold(reason, |reason, place| reason.replace(place, ""));
    (decoded.rows.len(), decoded.rejected, reason)
}

#[test]
fn the_span_hook_of_javascript_is_an_event() {
    let row = first(spans(json!([{
        "traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174",
        "parentSpanId": "eee19b7ec3c1b173", "name": "feature_flag.evaluation", "kind": 1,
        "startTimeUnixNano": "1700000000000000001", "endTimeUnixNano": "1700000000000900001",
        "attributes": attributes(json!({
            "feature_flag.key": "theme", "feature_flag.result.variant": "dark",
            "feature_flag.result.value": {"boolValue": true}, "feature_flag.result.reason": "SPLIT",
            "feature_flag.context.id": "u1", "feature_flag.set.id": "shop", "feature_flag.version": "3",
        })),
        "events": [], "links": [], "status": {"code": 0}, "droppedAttributesCount": 0,
    }])));
    assert_eq!(
        (row.signal, row.name.as_str(), row.ts, row.nanos),
        (Signal::Event, EVALUATION, 1_700_000_000_000_000, 1)
    );
    assert_eq!((row.value, row.unit, row.is_error), (None, None, Some(false)));
    assert_eq!((row.flags, row.subject.as_deref()), (Some(json!({"theme": "dark"})), Some("u1")));
    assert_eq!(row.span_id, Some(0xeee1_9b7e_c3c1_b174_u64.to_be_bytes()));
    assert_eq!(row.parent_span_id, Some(0xeee1_9b7e_c3c1_b173_u64.to_be_bytes()));
    let wanted = json!({
        "feature_flag.key": "theme", "feature_flag.result.variant": "dark", "feature_flag.result.value": true,
        "feature_flag.result.reason": "split", "feature_flag.context.id": "u1", "feature_flag.set.id": "shop",
        "feature_flag.version": "3", "otlp": {"kind": 1, "end": "1700000000000900001"},
    });
    assert_eq!(row.attributes, Some(wanted.into()));
}

/// A log event of an evaluation with these attributes and this body.
fn evaluation(map: Value, body: Value) -> Row {
    let record = json!({"eventName": "feature_flag", "timeUnixNano": 1, "attributes": attributes(map), "body": body});
    first(logs(json!([record])))
}

#[test]
fn a_value_stands_for_a_missing_variant() {
    let flags = |value: Value| {
        evaluation(json!({"feature_flag.key": "f", "feature_flag.result.value": value}), json!({})).flags
    };
    assert_eq!(flags(json!({"boolValue": true})), Some(json!({"f": "true"})));
    assert_eq!(flags(json!({"doubleValue": 0.5})), Some(json!({"f": "0.5"})));
    assert_eq!(flags(json!("\"quoted\"")), Some(json!({"f": "quoted"})));
    assert_eq!(flags(json!("plain text")), Some(json!({"f": "plain text"})));
    // Text that no JSON number gives back digit by digit stays text.
    assert_eq!(flags(json!("12345678901234567890123")), Some(json!({"f": "12345678901234567890123"})));
    // A NUL within the text's own JSON is seen by nobody else: it stays an escape in a text.
    assert_eq!(flags(json!("\"a\\u0000b\"")), Some(json!({"f": "\"a\\u0000b\""})));
    assert_eq!(flags(json!("[1]")), None);
    assert_eq!(flags(json!("null")), None);
    assert_eq!(flags(json!({})), None);
}

#[test]
fn evaluations_that_name_no_flag_are_still_events() {
    let row = evaluation(json!({"feature_flag.variant": "on"}), json!({}));
    assert_eq!((row.name.as_str(), row.flags), (EVALUATION, None));
    let row = evaluation(json!({"feature_flag.key": "f", "feature_flag.evaluation.reason": "ERROR"}), json!({}));
    assert_eq!((row.flags, row.is_error), (None, Some(true)));
    let row = evaluation(json!({"feature_flag.key": "f", "feature_flag.variant": "", "error.type": "e"}), json!({}));
    assert_eq!((row.flags, row.is_error), (None, Some(true)));
}

#[test]
fn new_names_win_over_old_ones() {
    let names = json!({
        "feature_flag.key": "f", "feature_flag.variant": "old", "feature_flag.result.variant": "new",
        "error.message": "second", "feature_flag.evaluation.error.message": "first",
    });
    let row = evaluation(
        names,
        json!({"kvlistValue": {"values": [
        {"key": "value", "value": {"intValue": 3}}, {"key": "more", "value": {"boolValue": true}}]}}),
    );
    let wanted = json!({
        "feature_flag.key": "f", "feature_flag.result.variant": "new", "feature_flag.error.message": "first",
        "feature_flag.result.value": 3, "otlp": {"body": "json"},
    });
    assert_eq!((row.flags, row.attributes), (Some(json!({"f": "new"})), Some(wanted.into())));
    assert_eq!(row.body.as_deref(), Some("{\"more\":true}"));
}

#[test]
fn an_evaluation_serves_whom_its_span_serves() {
    let event = json!({"name": "feature_flag", "timeUnixNano": 5, "attributes": attributes(json!({
        "feature_flag.key": "f", "feature_flag.variant": "on", "feature_flag.provider_name": "p"}))});
    let span = json!({"startTimeUnixNano": 1, "attributes": attributes(json!({"user.id": {"intValue": "42"}})),
        "events": [event, {"name": "feature_flag", "timeUnixNano": 6, "attributes":
            attributes(json!({"feature_flag.context.id": "43"}))}]});
    let decoded = spans(json!([span]));
    assert_eq!(decoded.rows[2].subject.as_deref(), Some("43"));
    let row = &decoded.rows[1];
    assert_eq!((row.name.as_str(), row.subject.as_deref(), row.ts, row.nanos), (EVALUATION, Some("42"), 0, 5));
    assert_eq!(decoded.rows[0].name, "span");
}

#[test]
fn subjects_are_asked_of_the_record_first() {
    let of = |resource: Value, record: Value| {
        let record = json!([{"timeUnixNano": 1, "attributes": attributes(record)}]);
        first(request(["resourceLogs", "scopeLogs", "logRecords"], resource, record)).subject
    };
    let everything = json!({"session.id": "5", "user.id": "4", "enduser.pseudo.id": "3", "enduser.id": "2"});
    assert_eq!(of(json!({}), everything.clone()).as_deref(), Some("2"));
    assert_eq!(of(everything.clone(), json!({"session.id": "own"})).as_deref(), Some("own"));
    assert_eq!(of(everything, json!({"session.id": ""})).as_deref(), Some("2"));
    assert_eq!(of(json!({}), json!({})), None);
}

#[test]
fn resource_attributes_become_columns() {
    let of = |resource: Value| {
        let row = first(request(["resourceLogs", "scopeLogs", "logRecords"], resource, json!([{"timeUnixNano": 1}])));
        (row.service, row.environment, row.attributes.map(|json| json.value()))
    };
    let (service, environment, attributes) = of(json!({"service.name": "s", "deployment.environment": "old"}));
    assert_eq!((service.as_deref(), environment.as_deref(), attributes), (Some("s"), Some("old"), None));
    let (_, environment, attributes) =
        of(json!({"deployment.environment.name": "e", "deployment.environment": "old"}));
    assert_eq!(environment.as_deref(), Some("e"));
    assert_eq!(attributes, Some(json!({"resource": {"deployment.environment": "old"}})));
}

#[test]
fn reserved_names_move_aside() {
    let record =
        json!([{"timeUnixNano": 1, "attributes": attributes(json!({"resource": "r", "otlp": "o", "a": "b"}))}]);
    let row = first(request(["resourceLogs", "scopeLogs", "logRecords"], json!({"host.name": "h"}), record));
    let wanted =
        json!({"a": "b", "resource": {"host.name": "h"}, "otlp": {"attributes": {"resource": "r", "otlp": "o"}}});
    assert_eq!(row.attributes, Some(wanted.into()));
}

#[test]
fn logs_have_three_sources_of_a_name() {
    let names = |record: Value| {
        let row = first(logs(json!([record])));
        (row.signal, row.name)
    };
    let old = attributes(json!({"event.name": "old"}));
    assert_eq!(names(json!({"timeUnixNano": 1})), (Signal::Log, "log".into()));
    assert_eq!(names(json!({"timeUnixNano": 1, "attributes": old})), (Signal::Event, "old".into()));
    assert_eq!(
        names(json!({"timeUnixNano": 1, "attributes": old, "eventName": "new"})),
        (Signal::Event, "new".into())
    );
}

#[test]
fn spans_without_a_sound_end_have_no_duration() {
    for end in [json!(null), json!(0), json!("4")] {
        let row = first(spans(json!([{"startTimeUnixNano": 5, "endTimeUnixNano": end}])));
        assert_eq!((row.value, row.unit), (None, None));
    }
}

#[test]
fn means_need_a_count_and_a_sum() {
    let value = |kind: &str, point: Value| {
        let mut point = point;
        point["timeUnixNano"] = json!(1);
        first(metrics(json!([{"name": "m", kind: {"dataPoints": [point]}}]))).value
    };
    assert_eq!(value("histogram", json!({"count": 4, "sum": 2})), Some(0.5));
    assert_eq!(value("histogram", json!({"count": 4})), None);
    assert_eq!(value("histogram", json!({"sum": 0})), None);
    // A summary's sum is not `optional` in protobuf: left out it is 0.
    assert_eq!(value("summary", json!({"count": "4"})), Some(0.0));
    assert!(value("gauge", json!({"asDouble": "NaN"})).is_some_and(f64::is_nan));
    assert_eq!(value("sum", json!({"asDouble": 1, "flags": 1})), None);
    assert_eq!(value("sum", json!({})), None);
}

#[test]
fn old_names_tag_metric_points_too() {
    let tags = attributes(json!({"feature_flag.key": "f", "feature_flag.variant": "on"}));
    let row =
        first(metrics(json!([{"name": "m", "gauge": {"dataPoints": [{"timeUnixNano": 1, "attributes": tags}]}}])));
    assert_eq!(row.flags, Some(json!({"f": "on"})));
}

#[test]
fn a_bad_record_is_rejected_alone() {
    let good = json!({"startTimeUnixNano": 1});
    for (bad, reason) in [
        (json!(5), "spans[1]: not an object: 5"),
        (json!({}), "spans[1].startTimeUnixNano: missing time"),
        (
            json!({"startTimeUnixNano": "soon"}),
            "spans[1].startTimeUnixNano: not an unsigned 64-bit integer: \"soon\"",
        ),
        (json!({"startTimeUnixNano": 1, "traceId": "5b"}), "spans[1].traceId: not 32 hexadecimal digits: \"5b\""),
        (json!({"startTimeUnixNano": 1, "name": 5}), "spans[1].name: not a string: 5"),
        (json!({"startTimeUnixNano": 1, "events": {}}), "spans[1].events: not an array: an object"),
        (
            json!({"startTimeUnixNano": 1, "links": [{}, {"spanId": "x"}]}),
            "spans[1].links[1].spanId: not 16 hexadecimal digits: \"x\"",
        ),
        (
            json!({"startTimeUnixNano": 1, "attributes": [{"key": "a", "value": {"boolValue": 1}}]}),
            "spans[1].attributes[0].value.boolValue: not a boolean: 1",
        ),
    ] {
        assert_eq!(account(spans(json!([good, bad, good]))), (2, 1, reason.into()));
    }
    let record = |severity: Value| json!([{"timeUnixNano": 1, "severityNumber": severity}]);
    assert_eq!(account(logs(record(json!(24)))), (1, 0, String::new()));
    let reason = "logRecords[0].severityNumber: not a severity from 0 to 24: 25";
    assert_eq!(account(logs(record(json!(25)))), (0, 1, reason.into()));
    assert_eq!(account(logs(json!([{}]))), (0, 1, "logRecords[0].timeUnixNano: missing time".into()));
}

#[test]
fn faults_of_a_container_cost_what_is_below() {
    let evaluation = json!({"name": "feature_flag", "timeUnixNano": 1});
    let exception = json!({"name": "exception", "timeUnixNano": 1});
    let span = json!([{"events": [evaluation, exception, evaluation]}]);
    assert_eq!(account(spans(span)), (0, 3, "spans[0].startTimeUnixNano: missing time".into()));
    let late = json!([{"startTimeUnixNano": 1, "events": [evaluation, {"name": "feature_flag"}]}]);
    assert_eq!(account(spans(late)), (2, 1, "spans[0].events[1].timeUnixNano: missing time".into()));

    let points = json!([{"timeUnixNano": 1}, {"timeUnixNano": "0"}, {"timeUnixNano": 1}]);
    let reason = "metrics[0].gauge.dataPoints[1].timeUnixNano: missing time";
    assert_eq!(account(metrics(json!([{"name": "m", "gauge": {"dataPoints": points}}]))), (2, 1, reason.into()));
    let nameless = metrics(json!([{"gauge": {"dataPoints": points}}]));
    assert_eq!(account(nameless), (0, 3, "metrics[0].name: missing name".into()));
    let temporality = json!([{"name": "m", "sum": {"aggregationTemporality": "DELTA", "dataPoints": points}}]);
    let reason = "metrics[0].sum.aggregationTemporality: not a signed 64-bit integer: \"DELTA\"";
    assert_eq!(account(metrics(temporality)), (0, 3, reason.into()));

    let group = json!({"resource": 5, "scopeLogs": [{"logRecords": [{}, {}]}, {"logRecords": [{}]}]});
    let decoded = decode(&json!({"resourceLogs": [group]}).to_string());
    let reason = "line 1: resourceLogs[0].resource: not an object: 5";
    assert_eq!((decoded.rejected, decoded.first_error.as_deref()), (3, Some(reason)));
}

#[test]
fn arrays_and_pretty_printed_requests() {
    let request = json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [{"timeUnixNano": 1}]}]}]});
    let pretty = serde_json::to_string_pretty(&request).unwrap();
    assert_eq!(decode(&pretty).rows.len(), 1);
    assert_eq!(decode(&format!("{pretty}\n\n{request}\n{pretty}")).rows.len(), 3);
    let decoded = decode(&json!([request, 5, request]).to_string());
    assert_eq!((decoded.rows.len(), decoded.rejected), (2, 1));
    assert_eq!(decoded.first_error.as_deref(), Some("line 1: [1]: not an object: 5"));
}

#[test]
fn depth_costs_its_record_only() {
    let deep = |levels| {
        let pair = |inner: Value| json!({"kvlistValue": {"values": [{"key": "k", "value": inner}]}});
        (0..levels).fold(json!({"boolValue": true}), |inner, _| pair(inner))
    };
    let records = json!([{"timeUnixNano": 1, "body": deep(25)}, {"timeUnixNano": 1, "body": deep(24)}]);
    let (rows, rejected, reason) = account(logs(records));
    assert_eq!((rows, rejected), (1, 1));
    assert!(reason.ends_with("nested deeper than 24 levels"), "{reason}");
    let too_deep_for_json = logs(json!([{"timeUnixNano": 1, "body": deep(60)}]));
    let reason = too_deep_for_json.first_error.unwrap();
    assert!(reason.starts_with("line 1: not JSON: recursion limit exceeded"), "{reason}");
}

//! What standards allow and SDKs rarely write: every line of edge_cases.jsonl, and the examples of
//! opentelemetry-proto field by field (tests/data/otlp/README.md).

use flagscope_core::otlp::{Decoded, EVALUATION, Row, Signal, decode};
use serde_json::{Value, json};
use uuid::Uuid;

const EDGES: &str = include_str!("../../../tests/data/otlp/edge_cases.jsonl");

const TRACE: Uuid = Uuid::from_u128(0x5B8E_FFF7_9803_8103_D269_B633_813F_C60C);
const SPAN: [u8; 8] = 0xEEE1_9B7E_C3C1_B174_u64.to_be_bytes();
const TIME: i64 = 1_544_712_660_300_000;

/// What edge case number `line` gives, alone.
fn edge(line: usize) -> Decoded {
    decode(EDGES.lines().nth(line - 1).unwrap())
}

fn accepted(decoded: Decoded) -> Vec<Row> {
    assert_eq!((decoded.rejected, decoded.first_error), (0, None));
    decoded.rows
}

/// The one row of a payload, its attributes apart.
fn single(decoded: Decoded) -> (Row, Value) {
    let mut rows = accepted(decoded);
    assert_eq!(rows.len(), 1);
    let mut row = rows.remove(0);
    let attributes = row.attributes.take().map(|json| json.value()).unwrap_or_default();
    (row, attributes)
}

/// A row with nothing but what every row has.
fn bare(signal: Signal, ts: i64, name: &str) -> Row {
    Row {
        signal,
        ts,
        nanos: 0,
        name: name.into(),
        value: None,
        distribution: None,
        cumulative: false,
        unit: None,
        subject: None,
        flags: None,
        environment: None,
        service: None,
        instance: None,
        severity: None,
        is_error: None,
        trace_id: None,
        span_id: None,
        parent_span_id: None,
        body: None,
        attributes: None,
    }
}

#[test]
fn the_file_as_a_whole() {
    let decoded = decode(EDGES);
    assert_eq!((decoded.rows.len(), decoded.rejected, decoded.replaced), (7, 1, 1));
    let reason = "line 8: not JSON: expected ident (line 8 column 2)";
    assert_eq!(decoded.first_error.as_deref(), Some(reason));
}

#[test]
fn line_1_upper_case_ids_and_numeric_times() {
    let (row, attributes) = single(edge(1));
    let name = "UPPERCASE hex ids, numeric (not string) nanos, unknown field";
    let wanted = Row {
        value: Some(1.0),
        unit: Some("s".into()),
        is_error: Some(false),
        trace_id: Some(TRACE),
        span_id: Some(SPAN),
        ..bare(Signal::Span, 1_544_712_660_000_000, name)
    };
    assert_eq!(row, wanted);
    assert_eq!(attributes, json!({"otlp": {"kind": 2}}));
}

#[test]
fn line_2_no_resources() {
    assert!(accepted(edge(2)).is_empty());
}

#[test]
fn line_3_observed_time_stands_in() {
    let (row, attributes) = single(edge(3));
    let wanted = Row {
        severity: Some(17),
        is_error: Some(true),
        body: Some("timeUnixNano 0 = unknown: use observedTimeUnixNano".into()),
        ..bare(Signal::Log, TIME, "log")
    };
    assert_eq!((row, attributes), (wanted, Value::Null));
}

#[test]
fn line_4_every_kind_of_value() {
    let decoded = edge(4);
    assert_eq!(decoded.replaced, 1);
    let (row, attributes) = single(decoded);
    let body = "{\"nested\":[1,\"NaN\",\"-Infinity\",\"AP8=\",false,\"a\u{FFFD}b\",null]}";
    let wanted = Row { is_error: Some(false), body: Some(body.into()), ..bare(Signal::Event, TIME, EVALUATION) };
    assert_eq!((row, attributes), (wanted, json!({"feature_flag.key": "f", "otlp": {"body": "json"}})));
}

#[test]
fn line_5_exponential_histogram_with_negative_scale() {
    let (mut row, attributes) = single(edge(5));
    let distribution = row.distribution.take().unwrap();
    assert_eq!((distribution.count(), distribution.zero(), distribution.sum()), (7, 2, Some(30.5)));
    assert_eq!((distribution.min(), distribution.max()), (Some(-8.0), Some(15.0)));
    let wanted = Row {
        value: Some(30.5 / 7.0),
        unit: Some("ms".into()),
        ..bare(Signal::Metric, 1_544_712_661_000_000, "exp")
    };
    assert_eq!(row, wanted);
    let otlp = json!({
        "type": "exponential_histogram", "temporality": 1, "start": "1544712660000000000",
        "count": 7, "sum": 30.5, "min": -8.0, "max": 15.0, "scale": -1, "zero_count": 2, "zero_threshold": 0.001,
        "positive": {"offset": -2, "bucket_counts": [1, 0, 3]}, "negative": {"offset": 1, "bucket_counts": [1]},
    });
    assert_eq!(attributes, json!({"otlp": otlp}));
}

#[test]
fn line_6_last_time_largest_integer_no_value_summary_and_no_data() {
    let rows = accepted(edge(6));
    let names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names, ["big", "big", "quantiles"]);
    assert_eq!((rows[0].ts, rows[0].nanos), (18_446_744_073_709_551, 615));
    assert_eq!(rows[0].value, Some(9_223_372_036_854_775_807_f64));
    let sum = json!({"type": "sum", "temporality": 2, "monotonic": true, "int": "9223372036854775807",
        "total": 9_223_372_036_854_775_807_f64});
    assert!(rows[0].cumulative && !rows[1].cumulative && !rows[2].cumulative);
    assert_eq!(rows[0].attributes, Some(json!({"otlp": sum}).into()));
    let nothing = json!({"type": "sum", "temporality": 2, "monotonic": true, "no_recorded_value": true});
    assert_eq!((rows[1].value, rows[1].attributes.clone()), (None, Some(json!({"otlp": nothing}).into())));
    let quantiles = json!([{"quantile": 0.0, "value": 1.0}, {"quantile": 1.0, "value": 3.0}]);
    let summary = json!({"type": "summary", "count": 3, "sum": 6.0, "quantiles": quantiles});
    assert_eq!((rows[2].value, rows[2].attributes.clone()), (Some(2.0), Some(json!({"otlp": summary}).into())));
}

#[test]
fn line_7_snake_case_is_not_understood() {
    let decoded = edge(7);
    assert_eq!((decoded.rows.len(), decoded.rejected), (0, 0));
    let reason = decoded.first_error.unwrap();
    assert!(reason.starts_with("line 1: not understood: \"resource_"), "{reason}");
    assert!(reason.ends_with("(OTLP/JSON has names in lowerCamelCase)"), "{reason}");
}

#[test]
fn where_nothing_is_understood_it_is_said_what() {
    let told = |request: Value| {
        let decoded = decode(&request.to_string());
        assert_eq!((decoded.rows.len(), decoded.rejected), (0, 0), "{request}");
        decoded.first_error.map(|error| error.replace("line 1: ", ""))
    };
    for good in [
        json!({}),
        json!({"resourceSpans": []}),
        json!({"foo": null}),
        json!([]),
        json!({"resourceLogs": [{"resource": {}, "schemaUrl": ""}]}),
        json!({"resourceMetrics": [{"scopeMetrics": [{"scope": {}, "metrics": [{"name": "m"}, {"name": "m", "sum": {"isMonotonic": true}}]}]}]}),
    ] {
        assert_eq!(told(good), None);
    }
    let camel = " (OTLP/JSON has names in lowerCamelCase)";
    let request = r#"expected "resourceSpans" or "resourceLogs" or "resourceMetrics""#;
    let metric = r#"expected "sum" or "gauge" or "histogram" or "exponentialHistogram" or "summary""#;
    for (bad, reason) in [
        (json!({"resource_logs": []}), format!(r#"not understood: "resource_logs"; {request}{camel}"#)),
        (json!({"a": 1, "b": 2, "c": 3, "d": 4}), format!(r#"not understood: "a", "b", "c", ...; {request}"#)),
        (json!([{}, {"resourceProfiles": []}]), format!(r#"[1]: not understood: "resourceProfiles"; {request}"#)),
        // The names of OTLP before 1.0.
        (
            json!({"resourceSpans": [{"instrumentationLibrarySpans": [{"spans": []}]}]}),
            r#"resourceSpans[0]: not understood: "instrumentationLibrarySpans"; expected "scopeSpans""#.to_owned(),
        ),
        (
            json!({"resourceLogs": [{"scopeLogs": [{"log_records": [{}]}]}]}),
            format!(r#"resourceLogs[0].scopeLogs[0]: not understood: "log_records"; expected "logRecords"{camel}"#),
        ),
        (
            json!({"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"name": "m", "exponential_histogram": {}}]}]}]}),
            format!(
                r#"resourceMetrics[0].scopeMetrics[0].metrics[0]: not understood: "exponential_histogram"; {metric}{camel}"#
            ),
        ),
        (
            json!({"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"name": "m", "sum": {"data_points": [{}]}}]}]}]}),
            format!(
                r#"resourceMetrics[0].scopeMetrics[0].metrics[0].sum: not understood: "data_points"; expected "dataPoints"{camel}"#
            ),
        ),
    ] {
        assert_eq!(told(bad), Some(reason));
    }
    // A record that is rejected is told first, wherever it stands.
    let both = decode("{\"a\": 1}\nnot json\n");
    assert_eq!(
        (both.rejected, both.first_error.as_deref()),
        (1, Some("line 2: not JSON: expected ident (line 2 column 2)"))
    );
}

#[test]
fn line_8_not_json() {
    let decoded = edge(8);
    assert_eq!((decoded.rows.len(), decoded.rejected), (0, 1));
}

/// What the four examples have in common: service and scope.
fn example(signal: Signal, ts: i64, name: &str) -> Row {
    Row { service: Some("my.service".into()), ..bare(signal, ts, name) }
}

fn in_scope(attributes: Value) -> Value {
    let mut attributes = attributes;
    let scope = json!({"my.scope.attribute": "some scope attribute"});
    attributes["scope"] = json!({"name": "my.library", "version": "1.0.0", "attributes": scope});
    attributes
}

#[test]
fn proto_example_trace() {
    let (row, attributes) = single(decode(include_str!("../../../tests/data/otlp/proto_examples/trace.json")));
    let wanted = Row {
        value: Some(1.0),
        unit: Some("s".into()),
        is_error: Some(false),
        trace_id: Some(TRACE),
        span_id: Some(SPAN),
        parent_span_id: Some(0xEEE1_9B7E_C3C1_B173_u64.to_be_bytes()),
        ..example(Signal::Span, 1_544_712_660_000_000, "I'm a server span")
    };
    assert_eq!(row, wanted);
    assert_eq!(attributes, in_scope(json!({"my.span.attr": "some value", "otlp": {"kind": 2}})));
}

#[test]
fn proto_example_logs() {
    let (row, attributes) = single(decode(include_str!("../../../tests/data/otlp/proto_examples/logs.json")));
    let wanted = Row {
        severity: Some(10),
        is_error: Some(false),
        trace_id: Some(TRACE),
        span_id: Some(SPAN),
        body: Some("Example log record".into()),
        ..example(Signal::Log, TIME, "my.library")
    };
    assert_eq!(row, wanted);
    let own = json!({
        "string.attribute": "some string", "boolean.attribute": true, "int.attribute": 10,
        "double.attribute": 637.704, "array.attribute": ["many", "values"],
        "map.attribute": {"some.map.key": "some value"}, "otlp": {"severity_text": "Information"},
    });
    assert_eq!(attributes, in_scope(own));
}

#[test]
fn proto_example_events() {
    let (row, attributes) = single(decode(include_str!("../../../tests/data/otlp/proto_examples/events.json")));
    let body = row.body.as_deref().map(serde_json::from_str::<Value>).unwrap().unwrap();
    let page = json!({
        "type": 0, "url": "https://www.guidgenerator.com/online-guid-generator.aspx",
        "referrer": "https://wwww.google.com", "title": "Free Online GUID Generator",
    });
    assert_eq!(body, page);
    let wanted = Row {
        severity: Some(9),
        is_error: Some(false),
        body: row.body.clone(),
        ..example(Signal::Event, TIME, "browser.page_view")
    };
    assert_eq!(row, wanted);
    let own = json!({"event.attribute": "some event attribute", "otlp": {
        "severity_text": "test severity text", "body": "json"}});
    assert_eq!(attributes, in_scope(own));
}

fn describe(name: &str) -> &'static str {
    match name {
        "my.counter" => "I am a Counter",
        "my.gauge" => "I am a Gauge",
        "my.histogram" => "I am a Histogram",
        _ => "I am an Exponential Histogram",
    }
}

#[test]
fn proto_example_metrics() {
    let rows = accepted(decode(include_str!("../../../tests/data/otlp/proto_examples/metrics.json")));
    let start = "1544712660300000000";
    let points = [
        ("my.counter", 5.0, json!({"type": "sum", "temporality": 1, "monotonic": true, "start": start})),
        ("my.gauge", 10.0, json!({"type": "gauge"})),
        (
            "my.histogram",
            1.0,
            json!({
                "type": "histogram", "temporality": 1, "start": start, "count": 2, "sum": 2.0,
                "min": 0.0, "max": 2.0, "bucket_counts": [1, 1], "explicit_bounds": [1.0],
            }),
        ),
        (
            "my.exponential.histogram",
            10.0 / 3.0,
            json!({
                "type": "exponential_histogram", "temporality": 1, "start": start, "count": 3, "sum": 10.0,
                "min": 0.0, "max": 5.0, "scale": 0, "zero_count": 1, "zero_threshold": 0.0,
                "positive": {"offset": 1, "bucket_counts": [0, 2]},
            }),
        ),
    ];
    assert_eq!(rows.len(), points.len());
    for (mut row, (name, value, otlp)) in rows.into_iter().zip(points) {
        let mut own = json!({"otlp": otlp});
        let count = own["otlp"]["count"].as_u64();
        assert_eq!(row.distribution.take().map(|distribution| distribution.count()), count);
        own["otlp"]["description"] = json!(describe(name));
        own[format!("{name}.attr")] = json!("some value");
        let wanted = Row {
            value: Some(value),
            unit: Some("1".into()),
            attributes: Some(in_scope(own).into()),
            ..example(Signal::Metric, TIME, name)
        };
        assert_eq!(row, wanted);
    }
}

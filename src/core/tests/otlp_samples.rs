//! Real output of the Python SDK (tests/data/otlp/README.md): how many rows each file gives, and what is in them.
//!
//! The counts were made without this code, by a Python script over the same JSON: 80 spans (40 of each name) with
//! 112 evaluations and 26 exceptions among their events; 40 application logs (10 of severity 17) and 112 evaluation
//! logs; 89 metric points in 5 exports: 5 inflight, 25 evaluation requests, 18 requests, 18 + 18 durations, 5 depths.

use flagscope_core::otlp::{Decoded, EVALUATION, Row, Signal, decode};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use uuid::Uuid;

const TRACES: &str = include_str!("../../../tests/data/otlp/traces.jsonl");
const LOGS: &str = include_str!("../../../tests/data/otlp/logs.jsonl");
const METRICS: &str = include_str!("../../../tests/data/otlp/metrics.jsonl");

const TRACE: Uuid = Uuid::from_u128(0xa6a3_a450_6513_270e_269e_0d37_f2a7_4de4);
const SPAN: [u8; 8] = 0x128b_2f33_0c5c_7fd0_u64.to_be_bytes();

fn accepted(payload: &str) -> Vec<Row> {
    let Decoded { rows, rejected, first_error, replaced } = decode(payload);
    assert_eq!((rejected, first_error, replaced), (0, None, 0));
    rows
}

fn count(rows: &[Row], signal: Signal, name: &str) -> usize {
    rows.iter().filter(|row| row.signal == signal && row.name == name).count()
}

fn at(row: &Row, pointer: &str) -> &'static Value {
    let attributes = row.attributes.as_ref().map(|json| json.value()).unwrap_or_default();
    // For the rest of the test: a reference is compared with what the test writes.
    attributes.pointer(pointer).map_or(&Value::Null, |found| Box::leak(Box::new(found.clone())))
}

/// Flag evaluations by what they served: (flags, reason, value) and how often.
fn served(rows: &[Row]) -> BTreeMap<String, usize> {
    let mut served = BTreeMap::new();
    for row in rows.iter().filter(|row| row.name == EVALUATION) {
        let flags = row.flags.clone().unwrap_or_default();
        let (reason, value) = (at(row, "/feature_flag.result.reason"), at(row, "/feature_flag.result.value"));
        *served.entry(format!("{flags} {reason} {value} {:?}", row.is_error.unwrap())).or_default() += 1;
    }
    served
}

fn expected(list: &[(&str, usize)]) -> BTreeMap<String, usize> {
    list.iter().map(|&(text, count)| (text.to_owned(), count)).collect()
}

#[test]
fn traces_give_spans_and_evaluations() {
    let rows = accepted(TRACES);
    assert_eq!(rows.len(), 80 + 112);
    assert_eq!(count(&rows, Signal::Span, "POST /checkout"), 40);
    assert_eq!(count(&rows, Signal::Span, "charge card"), 40);
    assert_eq!(count(&rows, Signal::Event, EVALUATION), 112);
    let spans = || rows.iter().filter(|row| row.signal == Signal::Span);
    assert_eq!(spans().filter(|row| row.is_error == Some(true)).count(), 20);
    assert_eq!(spans().filter(|row| at(row, "/otlp/links/0/attributes") == &json!({"why": "retry"})).count(), 40);
    let events = spans().filter_map(|row| at(row, "/otlp/events").as_array());
    let names: Vec<&Value> = events.flatten().map(|event| &event["name"]).collect();
    assert_eq!(names, ["exception"; 26]);
}

#[test]
fn the_hook_of_traces_writes_values_as_json_text() {
    let wanted = [
        (r#"{"new-checkout":"on"} "targeting_match" true false"#, 19),
        (r#"{"new-checkout":"off"} "targeting_match" false false"#, 21),
        (r##"{"theme":"blue"} "static" "#00f" false"##, 40),
        (r#"{"limits":"std"} "static" {"max":10,"überschrift":"größe"} false"#, 8),
        (r#"{"retired":"true"} "disabled" true false"#, 8),
        (r#"null "error" false true"#, 8),
        (r#"null "error" 3 true"#, 8),
    ];
    assert_eq!(served(&accepted(TRACES)), expected(&wanted));
}

#[test]
fn the_event_of_logs_has_old_names_and_its_value_in_the_body() {
    let wanted = [
        (r#"{"new-checkout":"on"} "targeting_match" null false"#, 19),
        (r#"{"new-checkout":"off"} "targeting_match" null false"#, 21),
        (r#"{"theme":"blue"} "static" null false"#, 40),
        (r#"{"limits":"std"} "static" null false"#, 8),
        (r#"{"retired":"true"} "disabled" true false"#, 8),
        (r#"null "error" false true"#, 8),
        (r#"null "error" 3 true"#, 8),
    ];
    let rows = accepted(LOGS);
    assert_eq!(rows.len(), 40 + 112);
    assert_eq!(served(&rows), expected(&wanted));
    assert_eq!(count(&rows, Signal::Log, "checkout"), 40);
    assert_eq!(rows.iter().filter(|row| row.signal == Signal::Log && row.is_error == Some(true)).count(), 10);
    assert!(rows.iter().filter(|row| row.name == EVALUATION).all(|row| row.body.is_none()));
}

#[test]
fn a_span_in_full() {
    let rows = accepted(TRACES);
    let child = Row {
        signal: Signal::Span,
        ts: 1_795_341_117_070_601,
        nanos: 989,
        name: "charge card".into(),
        value: Some(41_822e-9),
        distribution: None,
        cumulative: false,
        unit: Some("s".into()),
        subject: None,
        flags: None,
        environment: Some("production".into()),
        service: Some("checkout".into()),
        instance: Some("checkout-7d9f".into()),
        severity: None,
        is_error: Some(false),
        trace_id: Some(TRACE),
        span_id: Some(0x1600_a35a_0999_50d8_u64.to_be_bytes()),
        parent_span_id: Some(SPAN),
        body: None,
        attributes: Some(
            json!({
                "amount_cents": 9_007_199_254_740_993_i64,
                "ratio": 0.21820931996521561,
                "scope": {"name": "checkout.tracer", "version": "1.0"},
                "resource": {
                    "telemetry.sdk.language": "python", "telemetry.sdk.name": "opentelemetry",
                    "telemetry.sdk.version": "1.45.2", "service.instance.id": "checkout-7d9f",
                    "service.version": "2.4.1", "host.name": "node-3", "flags": ["a", "b"],
                },
                "otlp": {"kind": 3, "flags": 256, "links": [{
                    "trace_id": "a6a3a4506513270e269e0d37f2a74de4", "span_id": "128b2f330c5c7fd0",
                    "flags": 256, "attributes": {"why": "retry"},
                }]},
            })
            .into(),
        ),
    };
    assert_eq!(rows[0], child);
    let parent = &rows[1];
    assert_eq!((parent.span_id, parent.parent_span_id), (Some(SPAN), None));
    assert_eq!(parent.subject.as_deref(), Some("user-6"));
    assert_eq!(at(parent, "/http.route"), "/checkout");
    assert_eq!(at(parent, "/otlp/events/0/time"), "1795341117069371453");
    assert_eq!(at(parent, "/otlp/events/0/attributes/feature_flag.key"), "nope");
}

#[test]
fn an_evaluation_of_a_span_in_full() {
    let row = &accepted(TRACES)[2];
    assert_eq!((row.signal, row.name.as_str()), (Signal::Event, EVALUATION));
    assert_eq!((row.ts, row.nanos), (1_795_341_117_063_138, 54));
    assert_eq!((row.trace_id, row.span_id, row.parent_span_id), (Some(TRACE), Some(SPAN), None));
    assert_eq!(row.subject.as_deref(), Some("user-6"));
    assert_eq!(row.flags, Some(json!({"new-checkout": "on"})));
    assert_eq!((row.value, row.severity, row.is_error), (None, None, Some(false)));
    assert_eq!((row.service.as_deref(), row.environment.as_deref()), (Some("checkout"), Some("production")));
    assert_eq!(at(row, "/feature_flag.provider.name"), "flagd");
}

#[test]
fn a_log_and_an_evaluation_log_in_full() {
    let rows = accepted(LOGS);
    let log = rows.iter().find(|row| row.signal == Signal::Log).unwrap();
    assert_eq!((log.name.as_str(), log.body.as_deref()), ("checkout", Some("checkout ok in 0.218s")));
    assert_eq!((log.ts, log.nanos, log.severity, log.is_error), (1_795_341_117_071_163, 136, Some(9), Some(false)));
    assert_eq!((log.subject.as_deref(), log.trace_id, log.span_id), (Some("user-6"), Some(TRACE), Some(SPAN)));
    assert_eq!(at(log, "/code.line.number"), 103);
    assert_eq!(at(log, "/otlp"), &json!({"severity_text": "INFO", "flags": 3, "observed": "1795341117071271313"}));

    let Some(Value::Object(mut attributes)) = rows[0].attributes.as_ref().map(|json| json.value()) else {
        panic!("no attributes")
    };
    attributes.remove("resource");
    let wanted = json!({
        "feature_flag.key": "new-checkout", "feature_flag.result.variant": "on",
        "feature_flag.result.reason": "targeting_match", "feature_flag.provider.name": "flagd",
        "feature_flag.context.id": "user-6", "feature_flag.set.id": "shop/prod", "feature_flag.version": "17",
        "scope": {"name": "openfeature", "version": "0.10.0"},
        "otlp": {"severity_text": "INFO", "flags": 3, "observed": "1795341117062915884"},
    });
    assert_eq!(Value::Object(attributes), wanted);
    let failed = rows.iter().find(|row| at(row, "/error.type") == "flag_not_found").unwrap();
    assert_eq!((failed.flags.as_ref(), failed.is_error), (None, Some(true)));
    assert_eq!(at(failed, "/feature_flag.error.message"), "Flag with key nope not present in flag store.");
}

#[test]
fn metrics_give_a_row_per_point() {
    let rows = accepted(METRICS);
    assert_eq!(rows.len(), 89);
    for (name, points) in [
        ("app.inflight", 5),
        ("feature_flag.evaluation_requests_total", 25),
        ("app.requests", 18),
        ("http.server.request.duration", 18),
        ("http.server.request.duration.exp", 18),
        ("app.queue.depth", 5),
    ] {
        assert_eq!(count(&rows, Signal::Metric, name), points, "{name}");
    }
    // Key and variant stand on the three metrics of 18 points; the hook's counter has no variant.
    assert_eq!(rows.iter().filter(|row| row.flags.is_some()).count(), 54);
}

#[test]
fn metric_points_in_full() {
    let rows = accepted(METRICS);
    let first = |name| rows.iter().find(|row| row.name == name).unwrap();
    let inflight = first("app.inflight");
    assert_eq!((inflight.value, inflight.unit.as_deref(), inflight.flags.as_ref()), (Some(0.0), None, None));
    let wanted = json!({
        "type": "sum", "temporality": 2, "monotonic": false, "start": "1795341117062629429",
        "exemplars": [{
            "time": "1795341117365438873", "value": -1,
            "trace_id": "0fef792866836886a260cd0b7b45145c", "span_id": "113db17d30cbc97d",
        }],
    });
    assert_eq!(at(inflight, "/otlp"), &wanted);

    let requests = first("app.requests");
    assert_eq!((requests.value, requests.unit.as_deref()), (Some(2.0), Some("{request}")));
    assert_eq!(requests.flags, Some(json!({"new-checkout": "on"})));
    assert_eq!((requests.ts, requests.nanos), (1_795_341_117_461_482, 874));
    assert_eq!((at(requests, "/otlp/monotonic"), at(requests, "/otlp/int")), (&json!(true), &Value::Null));

    let depth = first("app.queue.depth");
    assert_eq!((depth.value, at(depth, "/otlp/type")), (Some(5.0), &json!("gauge")));
    assert_eq!(at(depth, "/otlp/monotonic"), &Value::Null);

    let duration = first("http.server.request.duration");
    assert_eq!(duration.value, Some(0.5809689235350824 / 2.0));
    assert_eq!(at(duration, "/otlp/bucket_counts"), &json!([0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]));
    assert_eq!(at(duration, "/otlp/explicit_bounds/14"), 10_000.0);
    assert_eq!(at(duration, "/otlp/max"), 0.3627596035698668);
    assert_eq!(at(duration, "/otlp/exemplars/0/value"), 0.3627596035698668);

    let exponential = first("http.server.request.duration.exp");
    assert_eq!((exponential.value, exponential.unit.as_deref()), (duration.value, Some("s")));
    assert_eq!(at(exponential, "/otlp/type"), "exponential_histogram");
    assert_eq!((at(exponential, "/otlp/scale"), at(exponential, "/otlp/positive/offset")), (&json!(7), &json!(-282)));
    let counts = at(exponential, "/otlp/positive/bucket_counts").as_array().unwrap();
    assert_eq!(counts.iter().filter_map(Value::as_u64).sum::<u64>(), 2);
}

//! Spans, and the flag evaluations among their events.

use super::context::{Context, Record, put, put_dropped, put_flags, put_object};
use super::evaluation;
use super::fault::{Fault, Result};
use super::field::{Fields, signed, text};
use super::id;
use super::row::Row;
use super::tree::Tree;
use super::value;
use super::walk::{Emit, each, reject};
use crate::telemetry::Signal;
use serde_json::{Map, Value};

/// Status code 2 is ERROR; 0 (unset) and 1 (ok) are not.
const STATUS_ERROR: i64 = 2;

/// Reads a span: its own row, then a row per flag evaluation. Without its span an evaluation has no trace, so both
/// are rejected together.
pub(super) fn read(span: Fields, context: Context, emit: Emit) {
    match span_row(span, context) {
        Err(fault) => {
            let events = span.list("events").unwrap_or_default();
            let evaluations = events.iter().filter_map(|event| Fields::of(event).ok()).filter(|&e| is_evaluation(e));
            reject(1 + evaluations.count(), &fault, emit);
        }
        Ok(record) => {
            let parent = record.row.clone();
            emit(Ok(record));
            each(span, "events", emit, |event, emit| {
                if is_evaluation(event) {
                    emit(evaluation_row(event, &parent, context));
                }
            });
        }
    }
}

/// The value is the duration in seconds. A span without end (still open) or with an end before its start (a clock
/// was set back) is a true observation without one, not a fault.
fn span_row(span: Fields, context: Context) -> Result<Record> {
    let start = span.read("startTimeUnixNano", id::nanos)?.flatten();
    let start = start.ok_or_else(|| Fault::new("missing time").at("startTimeUnixNano"))?;
    let end = span.read("endTimeUnixNano", id::nanos)?.flatten();
    let mut row = Row::new(Signal::Span, span.text("name")?.unwrap_or("span"), start);
    let nanos = end.and_then(|end| end.checked_sub(start));
    row.value = nanos.map(|nanos| nanos as f64 / 1e9);
    row.unit = row.value.map(|_| "s".to_owned());
    row.trace_id = span.read("traceId", id::trace)?.flatten();
    row.span_id = span.read("spanId", id::span)?.flatten();
    row.parent_span_id = span.read("parentSpanId", id::span)?.flatten();
    let (status, failed) = span.read("status", status)?.unwrap_or_default();
    row.is_error = Some(failed);
    let mut otlp = Map::new();
    // What the duration does not tell: an end before the start, one whose digits a double does not hold, and the end
    // of an evaluation, whose duration is not kept.
    let told = row.name != evaluation::NAME && nanos.is_some_and(|n| n == (n as f64 / 1e9 * 1e9).round() as u64);
    put(&mut otlp, "end", end.filter(|_| !told).map(|end| end.to_string()));
    put(&mut otlp, "kind", span.read("kind", signed)?.filter(|&kind| kind != 0));
    put_object(&mut otlp, "status", status);
    put(&mut otlp, "trace_state", span.text("traceState")?);
    put_flags(&mut otlp, span)?;
    put_dropped(&mut otlp, span, &["droppedAttributesCount", "droppedEventsCount", "droppedLinksCount"])?;
    put_list(&mut otlp, "links", span.each("links", link)?);
    put_list(&mut otlp, "events", span.each("events", event)?.into_iter().flatten().collect());
    let mut attributes = span.read("attributes", value::attributes)?.unwrap_or_default();
    if row.name == evaluation::NAME {
        // The SpanHook of OpenFeature's JS SDK: the span's duration is the SDK's, not the application's.
        (row.value, row.unit) = (None, None);
        evaluation::complete(&mut row, &mut attributes, &mut None);
    }
    Ok(context.complete(row, attributes, otlp))
}

/// An evaluation within a span: whoever the span served is its subject, unless it says better.
fn evaluation_row(event: Fields, span: &Row, context: Context) -> Result<Record> {
    let time = event.read("timeUnixNano", id::nanos)?.flatten();
    let time = time.ok_or_else(|| Fault::new("missing time").at("timeUnixNano"))?;
    let mut row = Row::new(Signal::Event, evaluation::NAME, time);
    (row.trace_id, row.span_id, row.subject) = (span.trace_id, span.span_id, span.subject.clone());
    let mut attributes = event.read("attributes", value::attributes)?.unwrap_or_default();
    evaluation::complete(&mut row, &mut attributes, &mut None);
    let mut otlp = Map::new();
    put_dropped(&mut otlp, event, &["droppedAttributesCount"])?;
    Ok(context.complete(row, attributes, otlp))
}

fn is_evaluation(event: Fields) -> bool {
    event.get("name").and_then(Tree::as_str).is_some_and(evaluation::is_event)
}

fn status(status: &Tree) -> Result<(Map<String, Value>, bool)> {
    let fields = Fields::of(status)?;
    let code = fields.read("code", signed)?.filter(|&code| code != 0);
    let mut status = Map::new();
    put(&mut status, "code", code);
    put(&mut status, "message", fields.text("message")?);
    Ok((status, code == Some(STATUS_ERROR)))
}

fn link(link: &Tree) -> Result<Value> {
    let fields = Fields::of(link)?;
    let mut link = Map::new();
    put(&mut link, "trace_id", fields.read("traceId", id::trace)?.flatten().map(|id| id::hex(id.as_bytes())));
    put(&mut link, "span_id", fields.read("spanId", id::span)?.flatten().map(|id| id::hex(&id)));
    put(&mut link, "trace_state", fields.text("traceState")?);
    put_object(&mut link, "attributes", fields.read("attributes", value::attributes)?.unwrap_or_default());
    put_flags(&mut link, fields)?;
    put_dropped(&mut link, fields, &["droppedAttributesCount"])?;
    Ok(Value::Object(link))
}

/// Any event but a flag evaluation. Its time stays text: nanoseconds have more digits than a double.
fn event(event: &Tree) -> Result<Option<Value>> {
    let fields = Fields::of(event)?;
    if is_evaluation(fields) {
        return Ok(None);
    }
    let mut event = Map::new();
    put(&mut event, "name", fields.read("name", text)?);
    put(&mut event, "time", fields.read("timeUnixNano", id::nanos)?.flatten().map(|time| time.to_string()));
    put_object(&mut event, "attributes", fields.read("attributes", value::attributes)?.unwrap_or_default());
    put_dropped(&mut event, fields, &["droppedAttributesCount"])?;
    Ok(Some(Value::Object(event)))
}

fn put_list(map: &mut Map<String, Value>, key: &str, list: Vec<Value>) {
    put(map, key, (!list.is_empty()).then_some(list));
}

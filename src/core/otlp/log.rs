//! Log records, and events: log records with a name.

use super::context::{Context, Record, put, put_dropped, put_flags};
use super::evaluation;
use super::fault::{Fault, Result};
use super::field::{Fields, unsigned};
use super::id;
use super::row::Row;
use super::tree::Tree;
use super::value::{self, named};
use super::walk::Emit;
use crate::telemetry::Signal;
use serde_json::{Map, Value};

/// OTel's severity numbers: 17 is the first of ERROR, 24 the last of FATAL.
const SEVERITY_ERROR: i16 = 17;
const SEVERITY_MAX: i16 = 24;

/// Where events had their name before log records got a field for it.
const OLD_EVENT_NAME: &str = "event.name";

/// Reads a log record.
pub(super) fn read(record: Fields, context: Context, emit: Emit) {
    emit(log_row(record, context));
}

fn log_row(record: Fields, context: Context) -> Result<Record> {
    let mut attributes = record.read("attributes", value::attributes)?.unwrap_or_default();
    let event = match record.text("eventName")? {
        Some(name) => Some(name.to_owned()),
        None => attributes.get(OLD_EVENT_NAME).and_then(named),
    };
    let signal = if event.is_some() { Signal::Event } else { Signal::Log };
    let name = event.as_deref().or(context.scope.name.as_deref()).unwrap_or("log");
    let mut row = Row::new(signal, name, time(record)?);
    row.severity = record.read("severityNumber", severity)?.filter(|&severity| severity != 0);
    row.is_error = row.severity.map(|severity| severity >= SEVERITY_ERROR);
    row.trace_id = record.read("traceId", id::trace)?.flatten();
    row.span_id = record.read("spanId", id::span)?.flatten();
    let mut body = record.read("body", value::any)?.filter(|body| !body.is_null());
    if event.as_deref().is_some_and(evaluation::is_event) {
        evaluation::complete(&mut row, &mut attributes, &mut body);
    }
    let mut otlp = Map::new();
    // Without it the text `5` and the number 5 would be one.
    put(&mut otlp, "body", body.as_ref().filter(|body| !body.is_string()).map(|_| "json"));
    row.body = body.map(|body| match body {
        Value::String(text) => text,
        other => other.to_string(),
    });
    put(&mut otlp, "severity_text", record.text("severityText")?);
    put(&mut otlp, "observed", observed(record, row.ts, row.nanos)?.map(|seen| seen.to_string()));
    put_flags(&mut otlp, record)?;
    put_dropped(&mut otlp, record, &["droppedAttributesCount"])?;
    Ok(context.complete(row, attributes, otlp))
}

/// When it happened; else, as the log data model says, when it was seen.
fn time(record: Fields) -> Result<u64> {
    let happened = record.read("timeUnixNano", id::nanos)?.flatten();
    let seen = record.read("observedTimeUnixNano", id::nanos)?.flatten();
    happened.or(seen).ok_or_else(|| Fault::new("missing time").at("timeUnixNano"))
}

/// When the record was seen, where that is not its time already.
fn observed(record: Fields, ts: i64, nanos: u16) -> Result<Option<u64>> {
    let seen = record.read("observedTimeUnixNano", id::nanos)?.flatten();
    Ok(seen.filter(|seen| (seen / 1000, seen % 1000) != (ts as u64, u64::from(nanos))))
}

fn severity(value: &Tree) -> Result<i16> {
    let number = i16::try_from(unsigned(value)?).ok().filter(|number| *number <= SEVERITY_MAX);
    number.ok_or_else(|| Fault::unlike("a severity from 0 to 24", value))
}

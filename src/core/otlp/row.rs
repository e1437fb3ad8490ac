//! A telemetry row: the columns of `flagscope.telemetry`.

use super::json::Json;
use crate::sketch::Histogram;
use crate::telemetry::Signal;
use serde_json::Value;
use uuid::Uuid;

/// One decoded data point, in the columns of `flagscope.telemetry`.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// What kind of telemetry it is.
    pub signal: Signal,
    /// Microseconds since 1970-01-01 UTC, all that timestamptz holds. OTLP's last one lies in the year 2554.
    pub ts: i64,
    /// The nanoseconds `ts` has no room for, 0 to 999: they order the spans of a trace.
    pub nanos: u16,
    /// The name of the metric, span or event; for a log record its scope's name, or `log`.
    pub name: String,
    /// The number of a metric point, the mean of a distribution, the duration of a span. May be NaN or infinite. Of a
    /// cumulative point it is the total since its start: [`since`](super::since) makes the difference.
    pub value: Option<f64>,
    /// The values that a histogram's point stands for, in fixed bins.
    pub distribution: Option<Histogram>,
    /// Whether the point counts from its series' start, so that only the difference to the point before it is news.
    pub cumulative: bool,
    /// The unit of `value`, in UCUM.
    pub unit: Option<String>,
    /// Who was served: the first of [`SUBJECT_KEYS`](super::SUBJECT_KEYS) that is known.
    pub subject: Option<String>,
    /// The flags this row knows of, as an object of flag and variant.
    pub flags: Option<Value>,
    /// The resource's `deployment.environment.name`.
    pub environment: Option<String>,
    /// The resource's `service.name`.
    pub service: Option<String>,
    /// The process: the resource's `service.instance.id`, else its pod, container or host.
    pub instance: Option<String>,
    /// OTel's severity number, 1 to 24.
    pub severity: Option<i16>,
    /// Whether it failed, where that is known.
    pub is_error: Option<bool>,
    /// The trace it belongs to.
    pub trace_id: Option<Uuid>,
    /// The span it is, or belongs to.
    pub span_id: Option<[u8; 8]>,
    /// The span above a span.
    pub parent_span_id: Option<[u8; 8]>,
    /// The body of a log record: its text, or its JSON as text.
    pub body: Option<String>,
    /// The record's attributes as an object, beside `resource`, `scope` and `otlp`.
    pub attributes: Option<Json>,
}

impl Row {
    /// A row of this time and name, with nothing else known.
    pub(super) fn new(signal: Signal, name: &str, time: u64) -> Self {
        Self {
            signal,
            // 2^64 / 1000 is far below 2^63.
            ts: (time / 1000) as i64,
            nanos: (time % 1000) as u16,
            name: name.to_owned(),
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
}

//! OTLP's messages: the number of each field, its name in OTLP/JSON, and how it stands on the wire.
//!
//! Source: opentelemetry-proto 1.11.0, `common`, `resource`, `trace`, `logs` and `metrics`, all v1.

use crate::protobuf::{Broken, Reader, Wire};

/// A message.
#[derive(Debug, PartialEq)]
pub(in super::super) struct Message {
    pub(super) fields: &'static [Field],
    /// The list of what it is a frame for: records, or what has records.
    pub(super) list: Option<&'static str>,
}

/// A field.
#[derive(Debug, PartialEq)]
pub(super) struct Field {
    pub(super) number: u32,
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) repeated: bool,
}

/// What a field holds.
#[derive(Debug, PartialEq)]
pub(super) enum Kind {
    Text,
    Base64,
    Id,
    Bool,
    Unsigned,
    Signed,
    Zigzag,
    Fixed32,
    Fixed64,
    Sfixed64,
    Double,
    Message(&'static Message),
    /// A message that is read when it is wanted.
    Later(&'static Message),
}

impl Kind {
    /// Whether many may be packed.
    pub(super) fn is_number(&self) -> bool {
        !matches!(self, Self::Text | Self::Base64 | Self::Id | Self::Message(_) | Self::Later(_))
    }

    /// The next one of many.
    pub(super) fn unpack<'a>(&self, packed: &mut Reader) -> Result<Wire<'a>, Broken> {
        Ok(match self {
            Self::Fixed32 => Wire::Four(packed.four()?),
            Self::Fixed64 | Self::Sfixed64 | Self::Double => Wire::Eight(packed.eight()?),
            _ => Wire::Varint(packed.varint()?),
        })
    }
}

const fn one(number: u32, name: &'static str, kind: Kind) -> Field {
    Field { number, name, kind, repeated: false }
}

const fn many(number: u32, name: &'static str, kind: Kind) -> Field {
    Field { number, name, kind, repeated: true }
}

const fn plain(fields: &'static [Field]) -> Message {
    Message { fields, list: None }
}

const fn frame(list: &'static str, fields: &'static [Field]) -> Message {
    Message { fields, list: Some(list) }
}

use Kind::Message as Of;
use Kind::{Base64, Bool, Double, Fixed32, Fixed64, Id, Later, Sfixed64, Signed, Text, Unsigned, Zigzag};

static ANY_VALUE: Message = plain(&[
    one(1, "stringValue", Text),
    one(2, "boolValue", Bool),
    one(3, "intValue", Signed),
    one(4, "doubleValue", Double),
    one(5, "arrayValue", Of(&ARRAY)),
    one(6, "kvlistValue", Of(&PAIRS)),
    one(7, "bytesValue", Base64),
]);
static ARRAY: Message = plain(&[many(1, "values", Of(&ANY_VALUE))]);
static PAIRS: Message = plain(&[many(1, "values", Of(&PAIR))]);
static PAIR: Message = plain(&[one(1, "key", Text), one(2, "value", Of(&ANY_VALUE))]);

static RESOURCE: Message = plain(&[many(1, "attributes", Of(&PAIR)), one(2, "droppedAttributesCount", Unsigned)]);
static SCOPE: Message = plain(&[
    one(1, "name", Text),
    one(2, "version", Text),
    many(3, "attributes", Of(&PAIR)),
    one(4, "droppedAttributesCount", Unsigned),
]);

/// A request of spans.
pub(in super::super) static TRACES: Message =
    frame("resourceSpans", &[many(1, "resourceSpans", Later(&RESOURCE_SPANS))]);
static RESOURCE_SPANS: Message = frame(
    "scopeSpans",
    &[one(1, "resource", Of(&RESOURCE)), many(2, "scopeSpans", Later(&SCOPE_SPANS)), one(3, "schemaUrl", Text)],
);
static SCOPE_SPANS: Message =
    frame("spans", &[one(1, "scope", Of(&SCOPE)), many(2, "spans", Later(&SPAN)), one(3, "schemaUrl", Text)]);
static SPAN: Message = plain(&[
    one(1, "traceId", Id),
    one(2, "spanId", Id),
    one(3, "traceState", Text),
    one(4, "parentSpanId", Id),
    one(5, "name", Text),
    one(6, "kind", Signed),
    one(7, "startTimeUnixNano", Fixed64),
    one(8, "endTimeUnixNano", Fixed64),
    many(9, "attributes", Of(&PAIR)),
    one(10, "droppedAttributesCount", Unsigned),
    many(11, "events", Of(&EVENT)),
    one(12, "droppedEventsCount", Unsigned),
    many(13, "links", Of(&LINK)),
    one(14, "droppedLinksCount", Unsigned),
    one(15, "status", Of(&STATUS)),
    one(16, "flags", Fixed32),
]);
static EVENT: Message = plain(&[
    one(1, "timeUnixNano", Fixed64),
    one(2, "name", Text),
    many(3, "attributes", Of(&PAIR)),
    one(4, "droppedAttributesCount", Unsigned),
]);
static LINK: Message = plain(&[
    one(1, "traceId", Id),
    one(2, "spanId", Id),
    one(3, "traceState", Text),
    many(4, "attributes", Of(&PAIR)),
    one(5, "droppedAttributesCount", Unsigned),
    one(6, "flags", Fixed32),
]);
static STATUS: Message = plain(&[one(2, "message", Text), one(3, "code", Signed)]);

/// A request of log records.
pub(in super::super) static LOGS: Message = frame("resourceLogs", &[many(1, "resourceLogs", Later(&RESOURCE_LOGS))]);
static RESOURCE_LOGS: Message = frame(
    "scopeLogs",
    &[one(1, "resource", Of(&RESOURCE)), many(2, "scopeLogs", Later(&SCOPE_LOGS)), one(3, "schemaUrl", Text)],
);
static SCOPE_LOGS: Message = frame(
    "logRecords",
    &[one(1, "scope", Of(&SCOPE)), many(2, "logRecords", Later(&LOG)), one(3, "schemaUrl", Text)],
);
static LOG: Message = plain(&[
    one(1, "timeUnixNano", Fixed64),
    one(2, "severityNumber", Signed),
    one(3, "severityText", Text),
    one(5, "body", Of(&ANY_VALUE)),
    many(6, "attributes", Of(&PAIR)),
    one(7, "droppedAttributesCount", Unsigned),
    one(8, "flags", Fixed32),
    one(9, "traceId", Id),
    one(10, "spanId", Id),
    one(11, "observedTimeUnixNano", Fixed64),
    one(12, "eventName", Text),
]);

/// A request of metrics.
pub(in super::super) static METRICS: Message =
    frame("resourceMetrics", &[many(1, "resourceMetrics", Later(&RESOURCE_METRICS))]);
static RESOURCE_METRICS: Message = frame(
    "scopeMetrics",
    &[one(1, "resource", Of(&RESOURCE)), many(2, "scopeMetrics", Later(&SCOPE_METRICS)), one(3, "schemaUrl", Text)],
);
static SCOPE_METRICS: Message =
    frame("metrics", &[one(1, "scope", Of(&SCOPE)), many(2, "metrics", Later(&METRIC)), one(3, "schemaUrl", Text)]);
static METRIC: Message = plain(&[
    one(1, "name", Text),
    one(2, "description", Text),
    one(3, "unit", Text),
    one(5, "gauge", Of(&GAUGE)),
    one(7, "sum", Of(&SUM)),
    one(9, "histogram", Of(&HISTOGRAM)),
    one(10, "exponentialHistogram", Of(&EXPONENTIAL)),
    one(11, "summary", Of(&SUMMARY)),
    many(12, "metadata", Of(&PAIR)),
]);
static GAUGE: Message = frame("dataPoints", &[many(1, "dataPoints", Later(&NUMBER_POINT))]);
static SUM: Message = frame(
    "dataPoints",
    &[
        many(1, "dataPoints", Later(&NUMBER_POINT)),
        one(2, "aggregationTemporality", Signed),
        one(3, "isMonotonic", Bool),
    ],
);
static HISTOGRAM: Message =
    frame("dataPoints", &[many(1, "dataPoints", Later(&HISTOGRAM_POINT)), one(2, "aggregationTemporality", Signed)]);
static EXPONENTIAL: Message = frame(
    "dataPoints",
    &[many(1, "dataPoints", Later(&EXPONENTIAL_POINT)), one(2, "aggregationTemporality", Signed)],
);
static SUMMARY: Message = frame("dataPoints", &[many(1, "dataPoints", Later(&SUMMARY_POINT))]);
static NUMBER_POINT: Message = plain(&[
    one(2, "startTimeUnixNano", Fixed64),
    one(3, "timeUnixNano", Fixed64),
    one(4, "asDouble", Double),
    many(5, "exemplars", Of(&EXEMPLAR)),
    one(6, "asInt", Sfixed64),
    many(7, "attributes", Of(&PAIR)),
    one(8, "flags", Unsigned),
]);
static HISTOGRAM_POINT: Message = plain(&[
    one(2, "startTimeUnixNano", Fixed64),
    one(3, "timeUnixNano", Fixed64),
    one(4, "count", Fixed64),
    one(5, "sum", Double),
    many(6, "bucketCounts", Fixed64),
    many(7, "explicitBounds", Double),
    many(8, "exemplars", Of(&EXEMPLAR)),
    many(9, "attributes", Of(&PAIR)),
    one(10, "flags", Unsigned),
    one(11, "min", Double),
    one(12, "max", Double),
]);
static EXPONENTIAL_POINT: Message = plain(&[
    many(1, "attributes", Of(&PAIR)),
    one(2, "startTimeUnixNano", Fixed64),
    one(3, "timeUnixNano", Fixed64),
    one(4, "count", Fixed64),
    one(5, "sum", Double),
    one(6, "scale", Zigzag),
    one(7, "zeroCount", Fixed64),
    one(8, "positive", Of(&BUCKETS)),
    one(9, "negative", Of(&BUCKETS)),
    one(10, "flags", Unsigned),
    many(11, "exemplars", Of(&EXEMPLAR)),
    one(12, "min", Double),
    one(13, "max", Double),
    one(14, "zeroThreshold", Double),
]);
static BUCKETS: Message = plain(&[one(1, "offset", Zigzag), many(2, "bucketCounts", Unsigned)]);
static SUMMARY_POINT: Message = plain(&[
    one(2, "startTimeUnixNano", Fixed64),
    one(3, "timeUnixNano", Fixed64),
    one(4, "count", Fixed64),
    one(5, "sum", Double),
    many(6, "quantileValues", Of(&QUANTILE)),
    many(7, "attributes", Of(&PAIR)),
    one(8, "flags", Unsigned),
]);
static QUANTILE: Message = plain(&[one(1, "quantile", Double), one(2, "value", Double)]);
static EXEMPLAR: Message = plain(&[
    one(2, "timeUnixNano", Fixed64),
    one(3, "asDouble", Double),
    one(4, "spanId", Id),
    one(5, "traceId", Id),
    one(6, "asInt", Sfixed64),
    many(7, "filteredAttributes", Of(&PAIR)),
]);

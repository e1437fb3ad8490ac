//! OTLP/JSON text to flat telemetry rows, in the columns of `flagscope.telemetry`.
//!
//! What is here: `payload` (text to request objects), `request` (a request to its records), one file per kind of
//! record (`span`, `log`, `metric` with `point`), `evaluation` (the one form of every flag evaluation), `context`
//! (what resource and scope give to a row), and the small readers `field`, `value`, `id`, `fault`.
//!
//! What is not: protobuf, compression, cumulative to delta, removal of evaluations that arrive by two roads.
//!
//! Source: opentelemetry-proto 1.11.0, "JSON Protobuf Encoding", and semantic conventions 1.44.0, `feature_flag`.
//!
//! Invariant: one bad record costs that record. A fault in a resource, scope or metric costs each record below it;
//! a span takes its flag evaluations with it; text that is not JSON costs one.

mod context;
mod evaluation;
mod fault;
mod field;
mod id;
mod log;
mod metric;
mod payload;
mod point;
mod request;
mod row;
mod span;
mod value;

pub use crate::telemetry::Signal;
pub use context::SUBJECT_KEYS;
pub use evaluation::NAME as EVALUATION;
pub use row::Row;

/// What a payload gave: rows, and an account of what gave none. OTLP calls the second half `partialSuccess`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Decoded {
    /// One row per span, log record, metric point and flag evaluation, in the order of the payload.
    pub rows: Vec<Row>,
    /// How many records, or lines that are no request, gave no row.
    pub rejected: u64,
    /// The first reason, with its place: `line 3: resourceSpans[0].scopeSpans[0].spans[2].traceId: ...`.
    pub first_error: Option<String>,
    /// How many NUL characters became U+FFFD: PostgreSQL's text and jsonb cannot hold NUL.
    pub replaced_nul: u64,
}

impl Decoded {
    fn reject(&mut self, line: usize, fault: fault::Fault) {
        self.rejected += 1;
        self.first_error.get_or_insert_with(|| format!("line {line}: {fault}"));
    }
}

/// Decodes one request, an array of requests, or JSON lines of either; a value may span several lines.
pub fn decode(payload: &str) -> Decoded {
    let mut decoded = Decoded::default();
    for document in payload::documents(payload) {
        let line = document.line;
        match document.value {
            Err(fault) => decoded.reject(line, fault),
            Ok(mut value) => {
                decoded.replaced_nul += value::replace_nul(&mut value, document.text);
                request::read(&value, &mut |record| match record {
                    Ok(row) => decoded.rows.push(row),
                    Err(fault) => decoded.reject(line, fault),
                });
            }
        }
    }
    decoded
}

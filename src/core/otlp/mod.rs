//! OTLP/JSON text to flat telemetry rows, in the columns of `flagscope.telemetry`.
//!
//! What is here: `payload` (text to request objects), `request` (a request to its records), one file per kind of
//! record (`span`, `log`, `metric` with `point`), `evaluation` (the one form of every flag evaluation), `context`
//! (what resource and scope give to a row), `distribution` (a histogram's point in fixed bins), `change` (cumulative
//! points to differences), `walk` (from an object to those below it), and the small readers `field`, `value`, `id`,
//! `buckets`, `fault`.
//!
//! What is not: protobuf, compression, removal of duplicate evaluations.
//!
//! Source: opentelemetry-proto 1.11.0, "JSON Protobuf Encoding", and semantic conventions 1.44.0, `feature_flag`.
//!
//! Invariant: one bad record costs only that record. A fault in a resource, scope or metric costs each record below it;
//! a span takes its flag evaluations with it; text that is not JSON counts as one record. If nothing is understood
//! (names in snake_case, another protocol), no record is known to be lost, but the first error tells it: OTLP's
//! `partialSuccess` allows a message without rejected records.

mod buckets;
mod change;
mod context;
mod distribution;
mod evaluation;
mod exponential;
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
mod walk;

use std::borrow::Cow;
use std::collections::VecDeque;

pub use crate::telemetry::Signal;
pub use change::{Change, Since, since};
pub use context::SUBJECT_KEYS;
pub use evaluation::NAME as EVALUATION;
pub use row::Row;

/// The result of a payload: rows, and an account of what gave none. OTLP calls the second part `partialSuccess`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Decoded {
    /// One row per span, log record, metric point and flag evaluation, in the order of the payload.
    pub rows: Vec<Row>,
    /// Number of records, or lines that are not requests, that gave no row.
    pub rejected: u64,
    /// The first reason, with its place: `line 3: resourceSpans[0].scopeSpans[0].spans[2].traceId: ...`; for a payload
    /// without rejected records, the first object in which nothing was understood.
    pub first_error: Option<String>,
    /// How many characters became U+FFFD: NUL, which PostgreSQL's text and jsonb cannot hold, and halves of surrogate
    /// pairs, which JavaScript writes when it cuts a text in the middle of a character.
    pub replaced: u64,
}

/// The result of a payload besides rows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Account {
    /// Number of records, or lines that are not requests, that gave no row.
    pub rejected: u64,
    /// The first reason, with its place; without one, what was not understood.
    pub first_error: Option<String>,
    /// How many characters became U+FFFD: NUL, and halves of surrogate pairs.
    pub replaced: u64,
}

/// The rows of a payload one by one. Only one request at a time is held in memory, parsed and as records that share
/// their resource and scope, so memory is bounded by the longest request instead of the payload.
pub struct Rows<'p> {
    payload: Cow<'p, str>,
    place: payload::Place,
    records: VecDeque<context::Record>,
    /// The first object in which nothing was understood.
    not_understood: Option<String>,
    /// Complete after the last row.
    pub account: Account,
}

impl<'p> Rows<'p> {
    /// Reads one request, an array of requests, or JSON lines of either; a value may span several lines.
    pub fn new(payload: impl Into<Cow<'p, str>>) -> Self {
        let (payload, replaced) = value::replace_surrogates(payload.into());
        let place = payload::Place::start(&payload);
        let account = Account { replaced, ..Account::default() };
        Self { payload, place, records: VecDeque::new(), not_understood: None, account }
    }

    /// Reads the next request; false at the end.
    fn read(&mut self) -> bool {
        let Some(document) = self.place.next(&self.payload) else { return false };
        let (records, account) = (&mut self.records, &mut self.account);
        let not_understood = &mut self.not_understood;
        match document.value {
            Err(fault) => account.reject(document.line, &fault),
            Ok(mut value) => {
                account.replaced += value::replace_nul(&mut value, document.text);
                request::read(&value, &mut |record| match record {
                    Ok(record) => records.push_back(record),
                    Err(fault) if !fault.costs_a_record() => {
                        not_understood.get_or_insert_with(|| format!("line {}: {fault}", document.line));
                    }
                    Err(fault) => account.reject(document.line, &fault),
                });
            }
        }
        true
    }
}

impl Iterator for Rows<'_> {
    type Item = Row;

    fn next(&mut self) -> Option<Row> {
        while self.records.is_empty() {
            if !self.read() {
                let account = &mut self.account;
                account.first_error = account.first_error.take().or_else(|| self.not_understood.take());
                return None;
            }
        }
        self.records.pop_front().map(context::Record::finish)
    }
}

impl Account {
    fn reject(&mut self, line: usize, fault: &fault::Fault) {
        self.rejected += 1;
        self.first_error.get_or_insert_with(|| format!("line {line}: {fault}"));
    }
}

/// Decodes a payload as a whole; see [`Rows`].
pub fn decode(payload: &str) -> Decoded {
    let mut rows = Rows::new(payload);
    let all = rows.by_ref().collect();
    let Account { rejected, first_error, replaced } = rows.account;
    Decoded { rows: all, rejected, first_error, replaced }
}

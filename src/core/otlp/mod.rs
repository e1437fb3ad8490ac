//! OTLP to flat telemetry rows, in the columns of `flagscope.telemetry`: from JSON or protobuf, by one reader.
//!
//! What is here: `payload` (JSON text to requests), `protobuf` (the same tree from protobuf), `tree` (what both give), `request` (a request to its records), one file per kind of
//! record (`span`, `log`, `metric` with `point`), `evaluation` (the one form of every flag evaluation), `context`
//! (what resource and scope give to a row), `distribution` (a histogram's point in fixed bins), `change` (cumulative
//! points to differences), `walk` (from an object to those below it), and the small readers `field`, `value`, `id`,
//! `buckets`, `fault`; `packed` hands rows from one process to another.
//!
//! What is not: compression, removal of evaluations that arrive by two roads.
//!
//! Source: opentelemetry-proto 1.11.0, "JSON Protobuf Encoding", and semantic conventions 1.44.0, `feature_flag`.
//!
//! Invariant: one bad record costs that record. A fault in a resource, scope or metric costs each record below it;
//! a span takes its flag evaluations with it; text that is not JSON costs one. Where nothing is understood (names in
//! snake_case, another protocol) no record is known to be lost, and the first error says so: OTLP's `partialSuccess`
//! has a message beside no rejected records for that.

mod buckets;
mod change;
mod context;
mod distribution;
mod evaluation;
mod exponential;
mod fault;
mod field;
mod id;
mod json;
mod log;
mod metric;
mod packed;
mod payload;
mod point;
mod protobuf;
mod request;
mod row;
mod span;
mod tree;
mod value;
mod walk;

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::VecDeque;

pub use crate::telemetry::Signal;
pub use change::{Change, Since, since};
pub use context::SUBJECT_KEYS;
pub use evaluation::NAME as EVALUATION;
use fault::Fault;
pub use json::Json;
pub use packed::{PACKED_VERSION, pack, unpack};
pub use row::Row;
use tree::Tree;

/// What a payload gave: rows, and an account of what gave none. OTLP calls the second half `partialSuccess`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Decoded {
    /// One row per span, log record, metric point and flag evaluation, in the order of the payload.
    pub rows: Vec<Row>,
    /// How many records, or lines that are no request, gave no row.
    pub rejected: u64,
    /// The first reason, with its place: `line 3: resourceSpans[0].scopeSpans[0].spans[2].traceId: ...`; of a payload
    /// without rejected records the first object in which nothing was understood.
    pub first_error: Option<String>,
    /// How many characters became U+FFFD: NUL, which PostgreSQL's text and jsonb cannot hold, halves of surrogate pairs,
    /// which JavaScript writes when it cuts a text in the middle of a character, and what is not UTF-8.
    pub replaced: u64,
}

/// What a payload gave beside rows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Account {
    /// How many records, or lines that are no request, gave no row.
    pub rejected: u64,
    /// The first reason, with its place; without one, what was not understood.
    pub first_error: Option<String>,
    /// How many characters became U+FFFD.
    pub replaced: u64,
    /// Whether something in the payload is no request at all, or ends in the middle of one.
    pub is_broken: bool,
}

/// The rows of a payload one by one. It holds one request at a time, parsed and as records that share their resource
/// and scope, so its memory is bounded by the longest request and not by the payload.
pub struct Rows<'p> {
    payload: Cow<'p, str>,
    place: payload::Place,
    records: VecDeque<context::Record>,
    /// The first object in which nothing was understood.
    not_understood: Option<String>,
    /// Complete once there is no further row.
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
        let place = format!("line {}: ", document.line);
        account.read(document, &place, &mut self.not_understood, &mut |record| records.push_back(record));
        true
    }
}

impl Iterator for Rows<'_> {
    type Item = Row;

    fn next(&mut self) -> Option<Row> {
        while self.records.is_empty() {
            if !self.read() {
                self.account.end(self.not_understood.take());
                return None;
            }
        }
        self.records.pop_front().map(context::Record::finish)
    }
}

impl Account {
    /// Reads a request of JSON.
    fn read(
        &mut self,
        document: payload::Document,
        place: &str,
        not_understood: &mut Option<String>,
        take: &mut dyn FnMut(context::Record),
    ) {
        match document.value {
            Err(fault) => {
                self.is_broken = true;
                self.reject(place, &fault);
            }
            Ok(mut value) => {
                self.replaced += value::replace_nul(&mut value, document.text);
                self.records(&value, place, not_understood, take);
            }
        }
    }

    /// Hands out the records of a request, and counts those that are none.
    fn records(
        &mut self,
        request: &Tree,
        place: &str,
        not_understood: &mut Option<String>,
        take: &mut dyn FnMut(context::Record),
    ) {
        request::read(request, &mut |record| match record {
            Ok(record) => take(record),
            Err(fault) if !fault.costs_a_record() => {
                not_understood.get_or_insert_with(|| format!("{place}{fault}"));
            }
            Err(fault) => self.reject(place, &fault),
        });
    }

    fn reject(&mut self, place: &str, fault: &Fault) {
        self.rejected += 1;
        self.first_error.get_or_insert_with(|| format!("{place}{fault}"));
    }

    fn end(&mut self, not_understood: Option<String>) {
        self.first_error = self.first_error.take().or(not_understood);
    }
}

/// Decodes a payload as a whole; see [`Rows`].
pub fn decode(payload: &str) -> Decoded {
    let mut rows = Rows::new(payload);
    let all = rows.by_ref().collect();
    let Account { rejected, first_error, replaced, .. } = rows.account;
    Decoded { rows: all, rejected, first_error, replaced }
}

/// What a request of protobuf is of: the message does not say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// `ExportTraceServiceRequest`.
    Traces,
    /// `ExportLogsServiceRequest`.
    Logs,
    /// `ExportMetricsServiceRequest`.
    Metrics,
}

/// Reads a request of protobuf and hands out its rows one by one.
pub fn read_protobuf(request: Request, bytes: &[u8], take: &mut dyn FnMut(Row)) -> Account {
    let message = match request {
        Request::Traces => &protobuf::TRACES,
        Request::Logs => &protobuf::LOGS,
        Request::Metrics => &protobuf::METRICS,
    };
    let replaced = Cell::new(0);
    let (mut account, mut not_understood) = (Account::default(), None);
    let tree = protobuf::read(bytes, message, &replaced);
    if let Tree::Object(fields) = &tree {
        account.is_broken = fields
            .iter()
            .any(|(_, list)| matches!(list, Tree::List(list) if matches!(list.last(), Some(Tree::Broken(_)))));
    }
    account.records(&tree, "", &mut not_understood, &mut |record| take(record.finish()));
    account.replaced = replaced.get();
    account.end(not_understood);
    account
}

/// Reads a payload of JSON, as [`Rows`] does, and hands out its rows one by one: their records are never together.
pub fn read_json(payload: &str, take: &mut dyn FnMut(Row)) -> Account {
    let (payload, replaced) = value::replace_surrogates(payload.into());
    let (mut account, mut not_understood) = (Account { replaced, ..Account::default() }, None);
    let mut place = payload::Place::start(&payload);
    while let Some(document) = place.next(&payload) {
        let line = if document.line > 1 { format!("line {}: ", document.line) } else { String::new() };
        account.read(document, &line, &mut not_understood, &mut |record| take(record.finish()));
    }
    account.end(not_understood);
    account
}

//! One scan over the telemetry of a range: rows become counts, codes, spans and log lines in bounded memory.
//!
//! What is here: which row goes where. What is not: what follows from them (`core::correlate`), and the rows themselves
//! (`pg::scan`).

use std::rc::Rc;
use std::time::Instant;

use flagscope_core::correlate::Map;
use flagscope_core::correlate::condition::Conditions;
use flagscope_core::correlate::counts::Counts;
use flagscope_core::correlate::gather::Gather;
use flagscope_core::correlate::latency::{Thresholds, Values};
use flagscope_core::correlate::lines::{Line, Lines};
use flagscope_core::correlate::operation::Operations;
use flagscope_core::correlate::question::{Mark, Question, Seen, Tags, unit};
use flagscope_core::correlate::spans::{Root, Sent, Spans};
use flagscope_core::correlate::strata;
use flagscope_core::telemetry::{Row, Signal};

use crate::pg::scan::{self, SeenRow};
use crate::plan::Compiled;

/// Values of `flags` that are remembered: rows share few.
const REMEMBERED: usize = 4_096;
/// Rows between two looks at the clock.
const ROWS_BETWEEN_LOOKS: u64 = 1_024;
/// Nanoseconds in a microsecond.
const NANOS: i64 = 1_000;

/// Which rows are read, and for what.
pub struct Wanted {
    /// From and to before, in microseconds since 2000.
    pub range: (i64, i64),
    /// Names of the environment, and whether a row that names none is of it.
    pub environments: Vec<String>,
    pub takes_unnamed: bool,
    /// Rows of the question at most.
    pub rows: u64,
    /// When to stop reading.
    pub until: Instant,
    pub segments: bool,
    pub spans: bool,
    pub lines: bool,
    /// Of spans that are roots: only those without a parent.
    pub tops: bool,
    /// Log lines of at least this severity.
    pub severity: Option<i16>,
    /// One finding is computed anew: its rows, and those of the ones before it.
    pub finding: Option<(Conditions, Vec<Conditions>)>,
}

/// What was read.
pub struct Reading<'a> {
    pub question: &'a Question,
    wanted: &'a Wanted,
    pub gather: Gather,
    pub spans: Spans,
    pub lines: Lines,
    pub operations: Operations,
    pub thresholds: Option<Thresholds>,
    /// Of one finding that is computed anew: its rows, and all but those of the ones before it, by stage.
    pub inside: Vec<Counts>,
    pub rest: Vec<Counts>,
    /// Rows of telemetry, and those of the question.
    pub read: u64,
    pub asked: u64,
    /// Why reading ended early.
    pub is_late: bool,
    pub is_full: bool,
    /// Were thresholds taken from a part of the rows.
    pub has_late_thresholds: bool,
    limit: Instant,
    known: Map<Box<[u8]>, Rc<Tags>>,
    untagged: Rc<Tags>,
    environment: Option<(Option<String>, bool)>,
}

impl<'a> Reading<'a> {
    /// Reads the rows of a range, of values in two passes: thresholds first.
    pub fn new(
        question: &'a Question,
        wanted: &'a Wanted,
        compiled: &Compiled,
        memory: usize,
    ) -> flagscope_core::Result<Self> {
        let mut reading = Self {
            question,
            wanted,
            gather: Gather::new(memory),
            spans: Spans::default(),
            lines: Lines::default(),
            operations: Operations::default(),
            thresholds: None,
            inside: Vec::new(),
            rest: Vec::new(),
            read: 0,
            asked: 0,
            is_late: false,
            is_full: false,
            has_late_thresholds: false,
            limit: wanted.until,
            known: Map::default(),
            untagged: Rc::default(),
            environment: None,
        };
        let (since, until) = wanted.range;
        if question.is_of_values() {
            // Half of the time is for each pass.
            let now = Instant::now();
            reading.limit = now + wanted.until.saturating_duration_since(now) / 2;
            let mut values = Values::default();
            scan::for_each(since, until, &compiled.signals, &mut |_, row| reading.note_value(row, &mut values));
            reading.thresholds = Some(values.thresholds(None)?);
            (reading.read, reading.limit) = (0, wanted.until);
            reading.has_late_thresholds = std::mem::take(&mut reading.is_late);
        }
        scan::for_each(since, until, &compiled.signals, &mut |ts, row| reading.row(ts, row));
        Ok(reading)
    }

    /// Is there time and room for another row.
    fn goes_on(&mut self) -> bool {
        self.read += 1;
        if self.read.is_multiple_of(ROWS_BETWEEN_LOOKS) && Instant::now() >= self.limit {
            self.is_late = true;
        }
        !self.is_late && !self.is_full
    }

    fn note_value(&mut self, row: &SeenRow, values: &mut Values) -> bool {
        if row.signal() == self.question.metric.signal && self.is_here(row) {
            let tags = self.tags(row);
            self.question.note_value(row, &tags, &mut self.operations, values);
        }
        self.goes_on()
    }

    fn row(&mut self, ts: i64, row: &SeenRow) -> bool {
        let signal = row.signal();
        let is_span = self.wanted.spans && signal == Signal::Span;
        let is_line = self.wanted.lines && signal == Signal::Log;
        if (is_span || is_line || self.is_of_question(signal)) && self.is_here(row) {
            let tags = self.tags(row);
            if is_span {
                self.span(ts, row, &tags);
            }
            if is_line && let Some(treated) = tags.treated {
                self.line(ts, row, treated);
            }
            self.ask(ts, row, &tags);
        }
        self.goes_on()
    }

    fn is_of_question(&self, signal: Signal) -> bool {
        let metric = &self.question.metric;
        signal == metric.signal || metric.per.as_ref().is_some_and(|per| per.signal == Some(signal))
    }

    /// Is a row of the environment asked for. Rows share few, mostly one.
    fn is_here(&mut self, row: &SeenRow) -> bool {
        let environment = row.environment();
        if let Some((last, is_here)) = &self.environment
            && last.as_deref() == environment
        {
            return *is_here;
        }
        let is_here = match environment {
            Some(name) => self.wanted.environments.iter().any(|known| known == name),
            None => self.wanted.takes_unnamed,
        };
        self.environment = Some((environment.map(str::to_owned), is_here));
        is_here
    }

    fn tags(&mut self, row: &SeenRow) -> Rc<Tags> {
        let Some(flags) = row.flags() else { return Rc::clone(&self.untagged) };
        if let Some(tags) = self.known.get(flags) {
            return Rc::clone(tags);
        }
        let tags = Rc::new(self.question.tags(crate::pg::flat::texts(flags).into_iter()));
        if self.known.len() >= REMEMBERED {
            self.known.clear();
        }
        self.known.insert(flags.into(), Rc::clone(&tags));
        tags
    }

    fn ask(&mut self, ts: i64, row: &SeenRow, tags: &Tags) {
        let Some(treated) = tags.treated else { return };
        if self.wanted.tops && (row.signal() != Signal::Span || row.span_ids().1 != 0) {
            return;
        }
        let Some(event) = self.question.is_event(row, self.thresholds.as_ref(), &mut self.operations) else { return };
        if self.asked >= self.wanted.rows {
            self.is_full = true;
            return;
        }
        self.asked += 1;
        if let Some((finding, before)) = &self.wanted.finding {
            return self.mark(ts, row, tags, event, finding, before);
        }
        if self.wanted.spans
            && let Some(trace) = row.trace()
        {
            let span = if row.signal() == Signal::Span { row.span_ids().0 } else { 0 };
            let unit = unit(row.subject(), Some(trace), ts);
            let (stratum, at) = (self.question.stages.of(ts), ts * NANOS + row.nanos());
            self.spans.add_root(Root { trace, treated, stratum, span, unit, at });
        }
        if self.wanted.segments {
            self.question.gather(ts, row, tags, event, &mut self.gather);
        }
    }

    /// Counts a row in or outside of one finding.
    fn mark(
        &mut self,
        ts: i64,
        row: &SeenRow,
        tags: &Tags,
        event: bool,
        finding: &Conditions,
        before: &[Conditions],
    ) {
        let question = self.question;
        let holds = |conditions: &Conditions| {
            conditions.hold(|visit| question.each_value(row, tags, |name, value| visit(name, value)))
        };
        let mark = if before.iter().any(holds) {
            Mark::Left
        } else if holds(finding) {
            Mark::Inside
        } else {
            Mark::Outside
        };
        let (treated, stratum) = (tags.treated == Some(true), question.stages.of(ts));
        if mark == Mark::Inside {
            strata::add(&mut self.inside, stratum, treated, event);
        }
        if mark != Mark::Left {
            strata::add(&mut self.rest, stratum, treated, event);
        }
        question.gather_mark(ts, row, tags, event, &mut self.gather, mark);
    }

    fn span(&mut self, ts: i64, row: &SeenRow, tags: &Tags) {
        let (Some(trace), (id, parent)) = (row.trace(), row.span_ids()) else { return };
        if id == 0 {
            return;
        }
        let operation = self.operations.number(row.service(), row.name());
        let seconds = row.value().filter(|seconds| seconds.is_finite()).unwrap_or(0.0);
        let (start, is_error) = (ts * NANOS + row.nanos(), row.is_error().unwrap_or(false));
        self.spans.add(trace, tags.treated, Sent { id, parent, operation, start, seconds, is_error });
    }

    fn line(&mut self, ts: i64, row: &SeenRow, treated: bool) {
        let Some(body) = row.body().filter(|body| !body.is_empty()) else { return };
        let severity = row.severity();
        if self.wanted.severity.is_some_and(|least| severity.is_none_or(|severity| severity < least)) {
            return;
        }
        let trace = row.trace();
        let unit = unit(row.subject(), trace, (ts, self.lines.seen));
        let stratum = self.question.stages.of(ts);
        let is_named = row.subject().is_some();
        self.lines.add(Line { body, treated, stratum, unit, is_named, at: ts, severity, trace });
    }
}

//! In which operation the treatment's time goes, and where its failures begin: traces of both arms beside each other.
//!
//! What is here: spans as they come in, in bounded memory, and the comparison. What is not: one trace (`path`).
//!
//! Spans are kept by a hash of their trace, so that a trace is there whole or not at all: when there are too many of an
//! arm, every second of its traces goes. Spans that do not say their arm are told it by their trace.

use std::hash::{DefaultHasher, Hash, Hasher};

use uuid::Uuid;

use super::Map;
use super::path::{Path, Span, path};
use super::store::is_kept;

/// Spans that are kept of each arm, and of those that do not say theirs.
const SPANS: usize = 100_000;
/// Traces that are compared of each arm.
pub const TRACES: usize = 5_000;
/// Of no arm.
const UNKNOWN: usize = 2;

/// A span as it came.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sent {
    /// Its id; 0 for none.
    pub id: u64,
    /// Its parent's; 0 for none.
    pub parent: u64,
    /// What it does (`operation::Operations`).
    pub operation: u32,
    /// When it began, in nanoseconds.
    pub start: i64,
    /// How long it lasted, in seconds.
    pub seconds: f64,
    /// Did it fail.
    pub is_error: bool,
}

/// What a row of the question says of its trace.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Root {
    /// The trace.
    pub trace: Uuid,
    /// Of the treatment.
    pub treated: bool,
    /// In which stage of a ramp.
    pub stratum: u8,
    /// The span of the row, if it is one; else 0.
    pub span: u64,
    /// Who it belongs to (`question::unit`).
    pub unit: u64,
    /// When, in nanoseconds.
    pub at: i64,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    trace: u64,
    class: u8,
    span: Sent,
}

/// Spans and roots as they come in.
#[derive(Debug, Default)]
pub struct Spans {
    spans: Vec<Held>,
    held: [usize; 3],
    halved: [u32; 3],
    roots: Map<u64, (Root, bool)>,
    traces: [usize; 2],
}

/// A hash of a trace's id, the same everywhere.
pub fn hash(trace: Uuid) -> u64 {
    let mut hasher = DefaultHasher::new();
    trace.hash(&mut hasher);
    hasher.finish()
}

/// A trace that was looked at.
#[derive(Debug, Clone)]
pub struct Traced {
    /// Where it came from.
    pub root: Root,
    /// How long its root lasted, in seconds.
    pub seconds: f64,
    /// What its operations did.
    pub path: Path,
}

impl Spans {
    /// Adds a span; `treated` where it says its arm.
    pub fn add(&mut self, trace: Uuid, treated: Option<bool>, span: Sent) {
        let (trace, class) = (hash(trace), treated.map_or(UNKNOWN, usize::from));
        if !is_kept(trace, self.halved[class]) {
            return;
        }
        self.spans.push(Held { trace, class: class as u8, span });
        self.held[class] += 1;
        while self.held[class] > SPANS && self.halved[class] < 63 {
            self.halve(class);
        }
    }

    /// Adds a row of the question that has a trace. The earliest of a trace is its root; a trace of both arms is of none.
    pub fn add_root(&mut self, root: Root) {
        let (trace, class) = (hash(root.trace), usize::from(root.treated));
        if !is_kept(trace, self.halved[class]) {
            return;
        }
        match self.roots.get_mut(&trace) {
            Some((known, is_mixed)) => {
                *is_mixed |= known.treated != root.treated;
                if (root.at, root.span) < (known.at, known.span) {
                    *known = root;
                }
            }
            None => {
                self.roots.insert(trace, (root, false));
                self.traces[class] += 1;
                while self.traces[class] > TRACES && self.halved[class] < 63 {
                    self.halve(class);
                }
            }
        }
    }

    fn halve(&mut self, class: usize) {
        self.halved[class] += 1;
        let halved = self.halved[class];
        self.spans.retain(|held| usize::from(held.class) != class || is_kept(held.trace, halved));
        self.held[class] = self.spans.iter().filter(|held| usize::from(held.class) == class).count();
        if class < UNKNOWN {
            let treated = class == 1;
            self.roots.retain(|trace, (root, _)| root.treated != treated || is_kept(*trace, halved));
            self.traces[class] = self.roots.values().filter(|(root, _)| root.treated == treated).count();
        }
    }

    /// Were traces let go.
    pub fn is_sampled(&self) -> bool {
        self.halved.iter().any(|halved| *halved > 0)
    }

    /// The traces that are there whole, and how many were left out since they are too large.
    pub fn traces(&mut self, pause: fn()) -> (Vec<Traced>, usize) {
        // A span that was sent twice counts once.
        self.spans.sort_unstable_by_key(|held| (held.trace, held.span.id, held.span.start, held.span.operation));
        self.spans.dedup_by_key(|held| (held.trace, held.span.id));
        let mut found = Vec::new();
        let mut too_large = 0;
        for (number, held) in self.spans.chunk_by(|a, b| a.trace == b.trace).enumerate() {
            if number % 256 == 0 {
                pause();
            }
            let trace = held[0].trace;
            let Some((root, false)) = self.roots.get(&trace) else { continue };
            let halved = self.halved[usize::from(root.treated)].max(self.halved[UNKNOWN]);
            if !is_kept(trace, halved) {
                continue;
            }
            match traced(held, root) {
                Some(Some(traced)) => found.push(traced),
                Some(None) => too_large += 1,
                None => {}
            }
        }
        found.sort_by_key(|traced| (traced.root.treated, traced.root.unit, traced.root.trace));
        (found, too_large)
    }
}

/// A trace from its spans; `Some(None)` where there are too many, None where its root is not there.
fn traced(held: &[Held], root: &Root) -> Option<Option<Traced>> {
    let seconds = |span: &Sent| (span.start - root.at) as f64 / 1e9;
    let spans: Vec<Span> = held
        .iter()
        .map(|Held { span, .. }| Span {
            id: span.id,
            parent: span.parent,
            operation: span.operation as usize,
            start: seconds(span),
            end: seconds(span) + span.seconds.max(0.0),
            is_error: span.is_error,
        })
        .collect();
    let place = match spans.iter().position(|span| root.span != 0 && span.id == root.span) {
        Some(place) => place,
        None => longest_top(&spans)?,
    };
    let duration = spans[place].end - spans[place].start;
    Some(path(&spans, place).map(|path| Traced { root: *root, seconds: duration, path }))
}

/// The longest span without a parent that is here.
fn longest_top(spans: &[Span]) -> Option<usize> {
    let ids: Map<u64, ()> = spans.iter().map(|span| (span.id, ())).collect();
    let length = |at: &usize| spans[*at].end - spans[*at].start;
    let tops = (0..spans.len()).filter(|at| spans[*at].parent == 0 || !ids.contains_key(&spans[*at].parent));
    tops.max_by(|a, b| length(a).total_cmp(&length(b)).then(spans[*b].id.cmp(&spans[*a].id)))
}

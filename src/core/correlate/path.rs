//! The critical path of a trace: which span each instant of a request is to be charged to.
//!
//! What is here: one trace. What is not: comparing many (`spans`).
//!
//! From the end of the root backwards, an instant belongs to the child that ends last before it, and there to that
//! child's children in the same way; gaps are the span's own. So the seconds of all operations add up to the duration of
//! the root exactly (the method of CRISP, Uber, ATC 2022).

use std::collections::BTreeMap;

/// Deeper spans are charged to their ancestor at this depth.
const DEPTH: usize = 64;
/// A trace with more spans is left out.
pub const SPANS: usize = 10_000;

/// A span; times in seconds on any common clock.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// Its id.
    pub id: u64,
    /// Its parent's id; 0 for none.
    pub parent: u64,
    /// What it does: an index of the caller's.
    pub operation: usize,
    /// When it began.
    pub start: f64,
    /// When it ended.
    pub end: f64,
    /// Did it fail.
    pub is_error: bool,
}

/// Seconds on the critical path and calls of one operation.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Work {
    /// Seconds that are charged to it.
    pub seconds: f64,
    /// Spans of it in the trace.
    pub calls: u64,
}

/// What a trace says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Path {
    /// By operation.
    pub work: BTreeMap<usize, Work>,
    /// Operations in which an error began: a failed span without a failed child. One entry a span.
    pub origins: Vec<usize>,
}

/// The trace as a tree.
struct Tree<'a> {
    spans: &'a [Span],
    children: BTreeMap<u64, Vec<usize>>,
}

/// Children of a span that may be the next one to be charged, as time goes back.
struct Waiting<'a> {
    spans: &'a [Span],
    /// Those that end before, the latest last.
    by_end: Vec<usize>,
    /// Those that reach over the instant: the one that began last comes first, then by id.
    open: Vec<usize>,
}

impl<'a> Waiting<'a> {
    fn new(spans: &'a [Span], children: &[usize]) -> Self {
        let mut by_end = children.to_vec();
        let key = |at: &usize| (spans[*at].end, spans[*at].start, spans[*at].id);
        by_end.sort_by(|a, b| {
            let (a, b) = (key(a), key(b));
            a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.cmp(&b.2))
        });
        Self { spans, by_end, open: Vec::new() }
    }

    /// The child that ends last before `reached`, clipped to it; ties: the later start, then the id.
    fn next(&mut self, from: f64, reached: f64) -> Option<usize> {
        let began = |at: usize| (self.spans[at].start, self.spans[at].id);
        while let Some(child) = self.by_end.pop_if(|at| self.spans[*at].end >= reached) {
            let later = |other: &usize| {
                let (a, b) = (began(*other), began(child));
                a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)).is_lt()
            };
            self.open.insert(self.open.partition_point(later), child);
        }
        while let Some(child) = self.open.pop() {
            if self.spans[child].start < reached {
                return Some(child);
            }
        }
        self.by_end.pop_if(|at| self.spans[*at].end > from)
    }
}

impl Tree<'_> {
    /// Charges the time from `from` to `until` of a span that reaches over it.
    fn charge(&self, at: usize, from: f64, until: f64, depth: usize, work: &mut BTreeMap<usize, Work>) {
        let span = &self.spans[at];
        let mut reached = until;
        let mut own = 0.0;
        let children = if depth < DEPTH { self.children(span.id) } else { &[] };
        let mut waiting = Waiting::new(self.spans, children);
        while reached > from {
            let Some(child) = waiting.next(from, reached) else { break };
            let (start, end) = (self.spans[child].start.max(from), self.spans[child].end.min(reached));
            own += reached - end;
            self.charge(child, start, end, depth + 1, work);
            reached = start;
        }
        own += (reached - from).max(0.0);
        work.entry(span.operation).or_default().seconds += own;
    }

    /// The span at a place and all below it, each once.
    fn below(&self, root: usize) -> Vec<usize> {
        let mut found = vec![root];
        let mut seen = vec![false; self.spans.len()];
        seen[root] = true;
        let mut next = 0;
        while let Some(at) = found.get(next) {
            for child in self.children(self.spans[*at].id).to_vec() {
                if !std::mem::replace(&mut seen[child], true) {
                    found.push(child);
                }
            }
            next += 1;
        }
        found
    }

    fn children(&self, id: u64) -> &[usize] {
        self.children.get(&id).map_or(&[], Vec::as_slice)
    }
}

/// The critical path of a trace, whose root is the span at this place; what is not below it plays no part. None where there
/// are too many spans.
pub fn path(spans: &[Span], root: usize) -> Option<Path> {
    if spans.len() > SPANS || root >= spans.len() {
        return None;
    }
    let mut children: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for (at, span) in spans.iter().enumerate().filter(|(at, _)| *at != root) {
        children.entry(span.parent).or_default().push(at);
    }
    let tree = Tree { spans, children };
    let mut found = Path::default();
    for span in tree.below(root).into_iter().map(|at| &spans[at]) {
        found.work.entry(span.operation).or_default().calls += 1;
        let failed_child = tree.children(span.id).iter().any(|child| spans[*child].is_error);
        if span.is_error && !failed_child {
            found.origins.push(span.operation);
        }
    }
    tree.charge(root, spans[root].start, spans[root].end, 0, &mut found.work);
    Some(found)
}

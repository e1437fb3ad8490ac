//! The critical path of a trace: which span each instant of a request is to be charged to.
//!
//! What is here: one trace. What is not: comparing many (`compare`).
//!
//! From the end of the root backwards, an instant belongs to the child that ends last before it, and there to that
//! child's children in the same way; gaps are the span's own. So the seconds of all operations add up to the duration of
//! the root exactly (the method of CRISP, Uber, ATC 2022).

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

use uuid::Uuid;

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

impl Tree<'_> {
    /// Charges the time from `from` to `until` of a span that reaches over it.
    fn charge(&self, at: usize, from: f64, until: f64, depth: usize, work: &mut BTreeMap<usize, Work>) {
        let span = &self.spans[at];
        let mut reached = until;
        let mut own = 0.0;
        let mut left: Vec<usize> = if depth < DEPTH { self.children(span.id).to_vec() } else { Vec::new() };
        while reached > from {
            left.retain(|child| self.spans[*child].start < reached && self.spans[*child].end > from);
            let ends = |child: &usize| {
                let child = &self.spans[*child];
                (child.end.min(reached), child.start, child.id)
            };
            let last = left.iter().max_by(|a, b| {
                let (a, b) = (ends(a), ends(b));
                a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.cmp(&b.2))
            });
            let Some(child) = last.copied() else { break };
            let (start, end) = (self.spans[child].start.max(from), self.spans[child].end.min(reached));
            own += reached - end;
            self.charge(child, start, end, depth + 1, work);
            reached = start;
            left.retain(|other| *other != child);
        }
        own += (reached - from).max(0.0);
        work.entry(span.operation).or_default().seconds += own;
    }

    fn children(&self, id: u64) -> &[usize] {
        self.children.get(&id).map_or(&[], Vec::as_slice)
    }
}

/// The critical path of a trace, whose root is the span at this place. None where there are too many spans.
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
    for span in spans {
        found.work.entry(span.operation).or_default().calls += 1;
        let failed_child = tree.children(span.id).iter().any(|child| spans[*child].is_error);
        if span.is_error && !failed_child {
            found.origins.push(span.operation);
        }
    }
    tree.charge(root, spans[root].start, spans[root].end, 0, &mut found.work);
    Some(found)
}

/// A trace as its spans come in, with ids and names as they are stored.
#[derive(Debug, Default)]
pub struct Trace {
    ids: HashMap<Vec<u8>, u64>,
    spans: Vec<Span>,
    operations: Vec<String>,
    by_name: HashMap<String, usize>,
}

impl Trace {
    fn id(&mut self, id: &[u8]) -> u64 {
        let next = self.ids.len() as u64 + 1;
        *self.ids.entry(id.to_vec()).or_insert(next)
    }

    /// Adds a span with its times in seconds. One that was sent twice counts once.
    pub fn add(&mut self, id: &[u8], parent: Option<&[u8]>, name: &str, (start, end): (f64, f64), is_error: bool) {
        let parent = parent.map_or(0, |parent| self.id(parent));
        let id = self.id(id);
        if self.spans.iter().any(|span| span.id == id) {
            return;
        }
        let operation = self.by_name.get(name).copied().unwrap_or_else(|| {
            self.operations.push(name.to_owned());
            self.by_name.insert(name.to_owned(), self.operations.len() - 1);
            self.operations.len() - 1
        });
        self.spans.push(Span { id, parent, operation, start, end, is_error });
    }

    /// What each operation did, by name; nothing where there is no root or are too many spans. Without the root's id it
    /// is the longest span without a parent that is here.
    pub fn work(&self, root: Option<&[u8]>) -> Vec<(String, Work, u64)> {
        let wanted = root.and_then(|root| self.ids.get(root));
        let is_top = |span: &(usize, &Span)| self.spans.iter().all(|other| other.id != span.1.parent);
        let longest = |a: &(usize, &Span), b: &(usize, &Span)| {
            (a.1.end - a.1.start).total_cmp(&(b.1.end - b.1.start)).then(b.1.id.cmp(&a.1.id))
        };
        let place = match wanted.and_then(|id| self.spans.iter().position(|span| span.id == *id)) {
            Some(place) => Some(place),
            None => self.spans.iter().enumerate().filter(is_top).max_by(longest).map(|(place, _)| place),
        };
        let Some(found) = place.and_then(|place| path(&self.spans, place)) else { return Vec::new() };
        let begun = |operation: usize| found.origins.iter().filter(|origin| **origin == operation).count() as u64;
        let named =
            |(operation, work): (&usize, &Work)| (self.operations[*operation].clone(), *work, begun(*operation));
        found.work.iter().map(named).collect()
    }
}

/// Traces by a hash of their ids, and what the first row said of the root.
type Chosen = BTreeMap<(u64, Uuid), Option<Vec<u8>>>;

/// Traces of a question, at most so many of each arm, chosen by a hash of their ids.
#[derive(Debug)]
pub struct Roots {
    most: usize,
    arms: [Chosen; 2],
}

impl Roots {
    /// None yet.
    pub fn new(most: usize) -> Self {
        Self { most, arms: Default::default() }
    }

    /// Adds a trace; the first of its rows says which span is the root.
    pub fn add(&mut self, trace: Uuid, treated: bool, root: impl FnOnce() -> Option<Vec<u8>>) {
        let mut hasher = DefaultHasher::new();
        trace.hash(&mut hasher);
        let arm = &mut self.arms[usize::from(treated)];
        arm.entry((hasher.finish(), trace)).or_insert_with(root);
        if arm.len() > self.most {
            arm.pop_last();
        }
    }

    /// The traces, whether they are of the treatment, and their roots.
    pub fn into_rows(self) -> impl Iterator<Item = (Uuid, bool, Option<Vec<u8>>)> {
        let [control, treatment] = self.arms;
        let row = |treated: bool| move |((_, trace), root): ((u64, Uuid), Option<Vec<u8>>)| (trace, treated, root);
        control.into_iter().map(row(false)).chain(treatment.into_iter().map(row(true)))
    }
}

//! Which segments are tried: values of attributes, and pairs of them.
//!
//! What is here: the list of candidates and their counts. What is not: which of them explains the harm (`search`).
//!
//! Whether a segment is on the list depends on its margins alone (rows by arm, events of both arms together), never on
//! how its events fall on the arms; so the number of candidates is fixed before the question is asked, and Bonferroni's
//! correction over it is exact. (Choosing by the treatment's events, as a prototype did, tries fewer and is not.)

use super::counts::Counts;
use super::store::{OTHER, Store};

/// A segment with fewer events in both arms is not tried.
pub const EVENTS: f64 = 5.0;
/// So many values, those with most events, are tried in pairs.
const PAIRED: usize = 40;

/// One value of an attribute, by its place among the attributes and its code.
pub type Value = (usize, u16);

/// A segment: rows that have every one of these values, in the order of their attributes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Predicate(pub Vec<Value>);

impl Predicate {
    /// Has a row all the values.
    pub fn matches(&self, store: &Store, at: u32) -> bool {
        self.0.iter().all(|(attribute, code)| store.code(*attribute, at) == *code)
    }

    /// The segments of one value each that it lies in.
    pub fn parents(&self) -> impl Iterator<Item = Self> + '_ {
        self.0.iter().filter(|_| self.0.len() > 1).map(|value| Self(vec![*value]))
    }
}

/// A segment to be tried, with its counts.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// Which rows.
    pub predicate: Predicate,
    /// Their counts by arm.
    pub counts: Counts,
    /// Rows of the store that they were counted from.
    pub kept: f64,
}

impl Candidate {
    fn is_tried(&self) -> bool {
        self.counts.events() >= EVENTS && self.counts.n_t > 0.0 && self.counts.n_c > 0.0
    }
}

fn add(candidate: &mut Candidate, store: &Store, at: u32) {
    let row = store.row(at);
    candidate.counts.add(row.treated, row.event, store.weight(row));
    candidate.kept += 1.0;
}

fn empty(values: Vec<Value>) -> Candidate {
    Candidate { predicate: Predicate(values), counts: Counts::default(), kept: 0.0 }
}

/// All values that are tried, in the order of attributes and codes.
fn values(store: &Store, rows: &[u32]) -> Vec<Candidate> {
    let mut found = Vec::new();
    for attribute in 0..store.attributes() {
        let mut by_code: Vec<Candidate> = Vec::new();
        for at in rows {
            let code = usize::from(store.code(attribute, *at));
            while by_code.len() <= code {
                by_code.push(empty(vec![(attribute, by_code.len() as u16)]));
            }
            add(&mut by_code[code], store, *at);
        }
        found.extend(by_code.into_iter().filter(|c| c.predicate.0[0].1 != OTHER && c.is_tried()));
    }
    found
}

/// Pairs of the values with most events, of different attributes.
fn pairs(store: &Store, rows: &[u32], singles: &[Candidate]) -> Vec<Candidate> {
    let mut by_events: Vec<&Candidate> = singles.iter().collect();
    by_events.sort_by(|a, b| b.counts.events().total_cmp(&a.counts.events()).then(a.predicate.cmp(&b.predicate)));
    by_events.truncate(PAIRED);
    let mut chosen: Vec<Value> = by_events.iter().map(|c| c.predicate.0[0]).collect();
    chosen.sort_unstable();
    let size = chosen.len();
    let mut table: Vec<Candidate> =
        (0..size * size).map(|cell| empty(vec![chosen[cell / size], chosen[cell % size]])).collect();
    let mut present = Vec::with_capacity(size);
    for at in rows {
        present.clear();
        present.extend((0..size).filter(|i| store.code(chosen[*i].0, *at) == chosen[*i].1));
        for (place, i) in present.iter().enumerate() {
            for j in &present[place + 1..] {
                add(&mut table[i * size + j], store, *at);
            }
        }
    }
    table.retain(Candidate::is_tried);
    table
}

/// Everything that is tried among these rows: values, then pairs where `order` is 2.
pub fn candidates(store: &Store, rows: &[u32], order: usize) -> Vec<Candidate> {
    let mut all = values(store, rows);
    if order > 1 {
        let pairs = pairs(store, rows, &all);
        all.extend(pairs);
    }
    all
}

//! Which segments are tried: values of attributes, and pairs of them.
//!
//! What is here: the list of candidates and their counts. What is not: which of them explains the harm (`search`).
//!
//! Whether a segment is on the list depends on its margins alone (rows by arm, events of both arms together), never on
//! how its events fall on the arms; so the number of candidates is fixed before the question is asked, and Bonferroni's
//! correction over it is exact. (Choosing by the treatment's events, as a prototype did, tries fewer and is not.)

use super::counts::Counts;
use super::store::{OTHER, Store};
use super::tally::{Mix, Table, Tallied};

/// A segment with fewer events in both arms is not tried.
pub const EVENTS: f64 = 5.0;
/// So many values, those with most events, are tried in pairs. (Of 40 a value with 3 % of the traffic is often none; with 120
/// twice as many slow pairs were found, 82 % instead of 45.)
const PAIRED: usize = 120;
/// No value of those.
const NOT_PAIRED: u8 = u8::MAX;

/// One value of an attribute, by its place among the attributes and its code.
pub type Value = (usize, u16);

/// A segment: rows that have every one of these values, in the order of their attributes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Predicate(pub Vec<Value>);

impl Predicate {
    /// Has a row all the values.
    #[inline]
    pub fn matches(&self, store: &Store, at: u32) -> bool {
        self.0.iter().all(|(attribute, code)| store.code(*attribute, at) == *code)
    }

    /// Has it more than one value.
    pub fn is_pair(&self) -> bool {
        self.0.len() > 1
    }
}

/// A segment to be tried, with its counts.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// Which rows.
    pub predicate: Predicate,
    /// Their counts by arm, weighted where a ramp has stages (`strata`).
    pub counts: Counts,
    /// Rows and events as they are.
    pub rows: Counts,
    /// Rows of the store that they were counted from.
    pub kept: f64,
    /// The stages of its control.
    pub mix: Mix,
}

impl Candidate {
    /// A segment from what its rows say.
    pub fn new(predicate: Predicate, Tallied { counts, rows, kept, mix }: Tallied) -> Self {
        Self { predicate, counts, rows, kept, mix }
    }

    fn is_tried(&self) -> bool {
        self.counts.events() >= EVENTS && self.counts.n_t > 0.0 && self.counts.n_c > 0.0
    }
}

/// All values that are tried, in the order of attributes and codes.
fn values(store: &Store, rows: &[u32], pause: &mut dyn FnMut()) -> Vec<Candidate> {
    let (mut found, scale) = (Vec::new(), store.scale());
    for attribute in 0..store.attributes() {
        pause();
        let column = store.column(attribute);
        let mut by_code = Table::new(0, store.lanes());
        for at in rows {
            by_code.add(usize::from(column[*at as usize]), store.lane(*at));
        }
        let of_code = |(code, lanes): (usize, &[u32])| {
            Candidate::new(Predicate(vec![(attribute, code as u16)]), scale.read(lanes))
        };
        let all = by_code.cells().filter(|(code, _)| *code != usize::from(OTHER)).map(of_code);
        found.extend(all.filter(Candidate::is_tried));
    }
    found
}

/// The values with most events, by attribute: for each code its number among them.
fn paired(singles: &[Candidate]) -> (Vec<Value>, Vec<(usize, Vec<u8>)>) {
    let mut by_events: Vec<&Candidate> = singles.iter().collect();
    by_events.sort_by(|a, b| b.counts.events().total_cmp(&a.counts.events()).then(a.predicate.cmp(&b.predicate)));
    by_events.truncate(PAIRED);
    let mut chosen: Vec<Value> = by_events.iter().map(|c| c.predicate.0[0]).collect();
    chosen.sort_unstable();
    let mut attributes: Vec<(usize, Vec<u8>)> = Vec::new();
    for (number, (attribute, code)) in (0..).zip(&chosen) {
        if attributes.last().is_none_or(|(last, _)| last != attribute) {
            attributes.push((*attribute, Vec::new()));
        }
        if let Some((_, numbers)) = attributes.last_mut() {
            numbers.resize(usize::from(*code) + 1, NOT_PAIRED);
            numbers[usize::from(*code)] = number;
        }
    }
    (chosen, attributes)
}

/// Pairs of the values with most events, of different attributes.
fn pairs(store: &Store, rows: &[u32], singles: &[Candidate], pause: &mut dyn FnMut()) -> Vec<Candidate> {
    let (chosen, attributes) = paired(singles);
    let columns: Vec<(&[u16], &[u8])> =
        attributes.iter().map(|(attribute, numbers)| (store.column(*attribute), numbers.as_slice())).collect();
    let size = chosen.len();
    let mut table = Table::new(size * size, store.lanes());
    let mut present = Vec::with_capacity(size);
    for part in rows.chunks(PART) {
        pause();
        for at in part {
            present.clear();
            let number =
                |(column, numbers): &(&[u16], &[u8])| numbers.get(usize::from(column[*at as usize])).copied();
            present.extend(columns.iter().filter_map(number).filter(|n| *n != NOT_PAIRED).map(usize::from));
            let lane = store.lane(*at);
            for (place, i) in present.iter().enumerate() {
                for j in &present[place + 1..] {
                    table.add(i * size + j, lane);
                }
            }
        }
    }
    let scale = store.scale();
    let of_cell = |(cell, lanes): (usize, &[u32])| {
        Candidate::new(Predicate(vec![chosen[cell / size], chosen[cell % size]]), scale.read(lanes))
    };
    table.cells().map(of_cell).filter(Candidate::is_tried).collect()
}

/// Rows between two looks at whether to go on.
const PART: usize = 16_384;

/// Everything that is tried among these rows: values, then pairs where `order` is 2. `pause` is called now and then.
pub fn candidates(store: &Store, rows: &[u32], order: usize, pause: &mut dyn FnMut()) -> Vec<Candidate> {
    let mut all = values(store, rows, pause);
    if order > 1 {
        let pairs = pairs(store, rows, &all, pause);
        all.extend(pairs);
    }
    all
}

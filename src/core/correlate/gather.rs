//! From rows to a store: which attributes there are, and who shows what was found.
//!
//! What is here: one pass over the rows of a question. What is not: what follows from them (`answer`).

use std::collections::BTreeMap;

use super::attribute::Attribute;
use super::counts::Counts;
use super::store::{CLASS_ROWS, NONE, Row, Store};
use super::strata::{self, Weights};
use super::versions::Versions;
use super::{Map, Value};

/// Attributes that are searched: those that most rows with the event have.
pub const SEARCHED: usize = 64;
/// Attributes that are followed until it is known which these are.
const FOLLOWED: usize = 2 * SEARCHED;
/// Bytes of a row beside its codes: the row, and what shows it to a person.
const ROW_BYTES: usize = 16 + 56;
/// Least rows of a class that are worth a search.
const LEAST_ROWS: usize = 1_000;

/// What shows a row to a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    /// Who, where it is known.
    pub subject: Option<Box<str>>,
    /// In which trace.
    pub trace: Option<uuid::Uuid>,
    /// When, in microseconds since 2000.
    pub at: i64,
}

/// Rows as they come in.
#[derive(Debug)]
pub struct Gather {
    /// Attributes, by their places in the store.
    pub attributes: Vec<Attribute>,
    /// The rows that were kept.
    pub store: Store,
    /// All rows, exactly.
    pub all: Counts,
    /// The same by stage.
    pub strata: Vec<Counts>,
    /// All rows as they are tested, weighted by stage; after `finish`.
    pub tested: Counts,
    /// Those that were kept, by the number in their row.
    pub witnesses: Vec<Witness>,
    /// Rows that name a subject.
    pub with_subject: u64,
    /// What was rolled out meanwhile, by the rows that were kept.
    pub versions: Versions,
    /// Attributes for which there was no room, and how many rows with the event had them.
    pub without_room: BTreeMap<String, u64>,
    places: Map<String, usize>,
    /// Places in the order in which the last row had them: the next row most likely has the same.
    order: Vec<usize>,
    /// How many attributes of this row were seen.
    seen: usize,
    codes: Vec<u16>,
    is_event: bool,
    is_harm: bool,
    memory: usize,
}

/// Rows of a class that fit into so many bytes.
fn rows_that_fit(memory: usize, attributes: usize) -> usize {
    (memory / 4 / (ROW_BYTES + 2 * attributes)).clamp(LEAST_ROWS, CLASS_ROWS)
}

impl Gather {
    /// Nothing yet, and at most about so many bytes.
    pub fn new(memory: usize) -> Self {
        Self {
            attributes: Vec::new(),
            store: Store::new(0, rows_that_fit(memory, 0)),
            all: Counts::default(),
            strata: Vec::new(),
            tested: Counts::default(),
            witnesses: Vec::new(),
            with_subject: 0,
            versions: Versions::default(),
            without_room: BTreeMap::new(),
            places: Map::default(),
            order: Vec::new(),
            seen: 0,
            codes: Vec::new(),
            is_event: false,
            is_harm: false,
            memory,
        }
    }

    /// Counts a row. True: it is to be kept, by `value` for each of its attributes and then `keep`.
    pub fn count(&mut self, row: &Row) -> bool {
        let Row { subject, treated, event, stratum, .. } = *row;
        self.all.add(treated, event, 1.0);
        strata::add(&mut self.strata, stratum, treated, event);
        self.codes.clear();
        self.codes.resize(self.attributes.len(), NONE);
        self.seen = 0;
        (self.is_event, self.is_harm) = (event, treated && event);
        self.store.keeps(subject, treated, event)
    }

    /// An attribute of the row that was counted; one that comes twice has its last value.
    pub fn value(&mut self, name: &str, value: Value) {
        let Some(place) = self.place(name) else { return };
        let (code, recode) = self.attributes[place].code(value, self.is_harm);
        self.codes[place] = code;
        if recode {
            self.codes[place] = NONE;
            self.attributes[place].recode(place, &mut self.store);
            self.codes[place] = self.attributes[place].code(value, self.is_harm).0;
        }
    }

    /// Keeps the row that was counted, and what shows it.
    pub fn keep(&mut self, row: Row, witness: Option<Witness>) {
        let witness = witness.map_or(0, |witness| {
            self.witnesses.push(witness);
            self.witnesses.len() as u32
        });
        self.store.push(Row { witness, ..row }, &self.codes);
        if self.witnesses.len() > 4 * CLASS_ROWS.min(self.store.len().max(LEAST_ROWS)) {
            self.forget_witnesses();
        }
    }

    fn place(&mut self, name: &str) -> Option<usize> {
        let expected = self.order.get(self.seen).copied();
        if let Some(place) = expected.filter(|place| self.attributes[*place].name == name) {
            self.seen += 1;
            return Some(place);
        }
        let place = self.places.get(name).copied().or_else(|| self.admit(name))?;
        self.order.truncate(self.seen);
        self.order.push(place);
        self.seen += 1;
        Some(place)
    }

    fn admit(&mut self, name: &str) -> Option<usize> {
        if self.attributes.len() >= FOLLOWED {
            if self.without_room.len() < FOLLOWED || self.without_room.contains_key(name) {
                *self.without_room.entry(name.to_owned()).or_default() += u64::from(self.is_event);
            }
            return None;
        }
        self.attributes.push(Attribute::new(name));
        self.places.insert(name.to_owned(), self.attributes.len() - 1);
        self.codes.push(NONE);
        self.store.shrink(rows_that_fit(self.memory, self.attributes.len()));
        Some(self.store.add_attribute())
    }

    /// Rows that were let go need nobody to show them.
    fn forget_witnesses(&mut self) {
        let mut kept = Vec::new();
        for row in self.store.rows_mut().filter(|row| row.witness > 0) {
            kept.push(self.witnesses[row.witness as usize - 1].clone());
            row.witness = kept.len() as u32;
        }
        self.witnesses = kept;
    }

    /// By how much rows count, by their stage.
    pub fn weights(&self) -> Weights {
        Weights::new(&self.strata)
    }

    /// Puts the rows in the order in which they are read, each with the weight of its stage.
    pub fn settle(&mut self) {
        let weights = self.weights();
        self.tested = weights.counts(&self.strata);
        self.store.balance(weights);
        self.store.sort();
    }

    /// Ends the pass: numbers become bins, and only attributes stay that can explain. The names of those left out with
    /// the reason.
    pub fn finish(&mut self) -> Vec<(String, &'static str)> {
        self.settle();
        let mut out: Vec<(String, &'static str)> =
            self.without_room.keys().map(|name| (name.clone(), "there are too many attributes")).collect();
        let filled: Vec<u64> = (0..self.attributes.len()).map(|place| self.store.events_with(place)).collect();
        let mut by_fill: Vec<usize> = (0..filled.len()).collect();
        by_fill.sort_by_key(|place| (std::cmp::Reverse(filled[*place]), *place));
        let searched: Vec<usize> = by_fill.into_iter().take(SEARCHED).collect();
        for place in (0..self.attributes.len()).rev() {
            let reason = if !searched.contains(&place) {
                "there are too many attributes"
            } else if self.attributes[place].is_identity() {
                "nearly every row has a value of its own"
            } else {
                continue;
            };
            out.push((self.attributes.remove(place).name, reason));
            self.store.remove_attribute(place);
        }
        for (place, attribute) in self.attributes.iter_mut().enumerate() {
            attribute.bin(place, &mut self.store);
        }
        out.sort();
        out
    }
}

//! What a metric's definition matches among some rows, to be checked before it is used.
//!
//! Here: the counts. Not here: their interpretation as text (`sql/api/preview_metric.sql`).

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Definition, Row, State};
use crate::kind::{Counting, Match};
use crate::sketch::{Histogram, Moments, Sketch};

/// Distinct names and variants that are counted separately; the rest is counted together.
const MOST_KEYS: usize = 1000;
/// Rows shown.
const EXAMPLES: usize = 3;

/// Rows seen so far.
#[derive(Debug)]
pub struct Survey {
    definition: Definition,
    counting: Counting,
    /// Rows of the metric's signal, by name.
    names: BTreeMap<String, u64>,
    all: State,
    matched: u64,
    tied: u64,
    by_variant: BTreeMap<(String, String), State>,
    values: Histogram,
    raw: Moments,
    below: u64,
    above: u64,
    examples: Vec<Value>,
}

impl Survey {
    /// A survey of no rows yet.
    pub fn new(definition: Definition) -> Self {
        let counting = Counting::of(&definition);
        Self {
            definition,
            counting,
            names: BTreeMap::new(),
            all: State::default(),
            matched: 0,
            tied: 0,
            by_variant: BTreeMap::new(),
            values: Histogram::default(),
            raw: Moments::default(),
            below: 0,
            above: 0,
            examples: Vec::new(),
        }
    }

    /// Adds a row with its tags and time (microseconds).
    pub fn row(&mut self, ts: i64, row: &impl Row, tags: &[(&str, &str)]) {
        if row.signal() == self.definition.signal
            && (self.names.len() < MOST_KEYS || self.names.contains_key(row.name()))
        {
            *self.names.entry(row.name().to_owned()).or_default() += 1;
        }
        let matched = self.definition.examine(row);
        if matched == Match::No {
            return;
        }
        self.all.add(&self.counting, matched, ts, row);
        self.matched += 1;
        self.tied += u64::from(!tags.is_empty());
        for (flag, variant) in tags {
            let key = ((*flag).to_owned(), (*variant).to_owned());
            if self.by_variant.len() < MOST_KEYS || self.by_variant.contains_key(&key) {
                self.by_variant.entry(key).or_default().add(&self.counting, matched, ts, row);
            }
        }
        // Of a rate or ratio the numerator's values.
        if self.definition.per.is_none() || matched != Match::Row {
            self.value(row);
        }
        if self.examples.len() < EXAMPLES {
            let tags: BTreeMap<_, _> = tags.iter().copied().collect();
            self.examples
                .push(json!({"name": row.name(), "value": row.value().filter(|x| x.is_finite()), "flags": tags}));
        }
    }

    fn value(&mut self, row: &impl Row) {
        let value = row.value().unwrap_or(f64::NAN);
        match row.distribution() {
            // Counts that do not fit are too large for a survey.
            Some(many) => {
                let _ = self.values.merge(&many);
                let _ = self.raw.merge(&many.moments());
            }
            None => {
                self.values.push(value);
                self.raw.push(value);
            }
        }
        self.below += u64::from(value < self.counting.floor);
        self.above += u64::from(value > self.counting.cap);
    }

    /// The counts as JSON.
    pub fn report(&self) -> Value {
        let mut names: Vec<_> = self.names.iter().collect();
        names.sort_by_key(|(_, n)| std::cmp::Reverse(**n));
        let quantile = |p| self.values.quantile(p).ok().flatten();
        let variants = self.by_variant.iter().map(|((flag, variant), state)| {
            json!({"flag": flag, "variant": variant, "n": state.n, "events": state.events, "value": self.says(state)})
        });
        json!({
            "of_signal": self.names.values().sum::<u64>(),
            "names": names.iter().take(5).map(|(name, n)| json!({"name": name, "n": n})).collect::<Vec<_>>(),
            "matched": self.matched, "tied": self.tied, "n": self.all.n, "events": self.all.events, "value": self.says(&self.all),
            "variants": variants.collect::<Vec<_>>(),
            "values": self.raw.count(), "invalid": self.raw.invalid(), "min": self.raw.min(), "max": self.raw.max(),
            "p50": quantile(0.5), "p95": quantile(0.95), "p999": quantile(0.999),
            "below": self.below, "above": self.above, "examples": self.examples,
        })
    }

    /// What a state says; of a quantile metric p95.
    fn says(&self, state: &State) -> Option<f64> {
        self.definition.kind.rules().value(state, Some(0.95))
    }
}

//! The rows of a metric by the unit that they are of (subject, trace, or moment), for the design effect.
//!
//! What is here: what a row is to a metric, of which unit and arm. What is not: the estimate (`stats::dependence`).

use super::{Definition, Row, State};
use crate::kind::{Counted, Counting, Match, MetricKind, levels};
use crate::stats::dependence::{By, Law, Slice, Sum};

/// A second in microseconds.
const SECOND: i64 = 1_000_000;

/// The rows of one metric, as a rollout splits them.
#[derive(Debug)]
pub struct Clusters {
    definition: Definition,
    counting: Counting,
    levels: Vec<f64>,
    seen: Vec<Seen>,
}

/// One row.
#[derive(Debug)]
struct Seen {
    by: By,
    unit: u64,
    treated: bool,
    second: i64,
    sum: Sum,
}

impl Clusters {
    /// None yet; the quantile that is tested, or `None` for several.
    pub fn new(definition: Definition, quantile: Option<f64>) -> Self {
        let counting = Counting::of(&definition);
        let levels = if definition.kind == MetricKind::Quantile { levels(quantile) } else { vec![0.0] };
        Self { definition, counting, levels, seen: Vec::new() }
    }

    /// How many values are compared: of a quantile one for each level.
    pub fn levels(&self) -> usize {
        self.levels.len()
    }

    /// Adds a row with its time in microseconds. `unit`: its subject after an "s", or else its trace after a "t".
    pub fn row(&mut self, ts: i64, row: &impl Row, unit: Option<&str>, treated: bool) {
        let matched = self.definition.examine(row);
        let many = self.definition.kind == MetricKind::Quantile && row.distribution().is_some();
        // The values of a summary are of many units.
        let Some(sum) = (matched != Match::No && !many).then(|| self.sum(matched, ts, row)).flatten() else { return };
        let second = ts.div_euclid(SECOND);
        let (by, unit) = match unit {
            Some(unit) if unit.starts_with('s') => (By::Subject, hash(unit.as_bytes())),
            Some(unit) => (By::Trace, hash(unit.as_bytes())),
            None => (By::Moment, hash(&(second * 2 + i64::from(treated)).to_le_bytes())),
        };
        self.seen.push(Seen { by, unit, treated, second, sum });
    }

    /// What one row counts as; of a quantile `sum` is its value. `None`: it has no value.
    fn sum(&self, matched: Match, ts: i64, row: &impl Row) -> Option<Sum> {
        if self.definition.kind == MetricKind::Quantile {
            let value = row.value().filter(|value| value.is_finite())?;
            return Some(Sum { rows: 1.0, per: 1.0, sum: value, squares: 0.0 });
        }
        let mut state = State::default();
        state.add(&self.counting, matched, ts, row);
        let rows = state.n as f64;
        if self.definition.kind == MetricKind::Mean {
            let moments = state.moments.as_ref()?;
            let (n, mean) = (moments.count() as f64, moments.mean()?);
            let squares = (n - 1.0) * moments.variance().unwrap_or(0.0) + n * mean * mean;
            return Some(Sum { rows, per: n, sum: n * mean, squares });
        }
        let sum = state.events as f64;
        Some(Sum { rows, per: Counted::of(&state, &[]).exposure(), sum, squares: 0.0 })
    }

    /// All of them by unit.
    pub fn finish(self) -> Slice {
        let law = match self.definition.kind {
            MetricKind::Rate => Law::Count,
            MetricKind::Mean => Law::Value,
            _ => Law::Share,
        };
        let mut slice = Slice::new(law, self.levels.len());
        if self.definition.kind != MetricKind::Quantile {
            for seen in &self.seen {
                slice.add(seen.by, seen.unit, seen.treated, seen.second, &[seen.sum]);
            }
            return slice;
        }
        let mut values: Vec<_> = self.seen.iter().map(|seen| seen.sum.sum).collect();
        values.sort_unstable_by(f64::total_cmp);
        let last = values.len().saturating_sub(1);
        let at =
            |p: &f64| values.get(((values.len() as f64 * p) as usize).min(last)).copied().unwrap_or(f64::INFINITY);
        let thresholds: Vec<_> = self.levels.iter().map(at).collect();
        for seen in &self.seen {
            let above = |threshold: &f64| Sum { sum: f64::from(u8::from(seen.sum.sum > *threshold)), ..seen.sum };
            let sums: Vec<_> = thresholds.iter().map(above).collect();
            slice.add(seen.by, seen.unit, seen.treated, seen.second, &sums);
        }
        slice
    }
}

/// FNV-1a, then splitmix64's mixing: the same in every process, and even in its upper bits, by which units are sampled.
fn hash(bytes: &[u8]) -> u64 {
    let fnv = |h: u64, b: &u8| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3);
    let mut x = bytes.iter().fold(0xcbf2_9ce4_8422_2325, fnv);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

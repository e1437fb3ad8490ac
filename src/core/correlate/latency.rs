//! Slow requests as events: which quantile of the control's the treatment exceeds most.
//!
//! What is here: thresholds and the level that is explained. What is not: the explanation, which is that of a binary harm
//! (`search`).
//!
//! Thresholds are the control's quantiles within the row's own operation, so that a slow endpoint is no explanation. The
//! level is chosen on the totals of both arms and not by segment, so it adds no comparison.

use super::counts::Counts;
use crate::error::Result;
use crate::sketch::{Histogram, Sketch};

/// Levels of which thresholds are made.
pub const LEVELS: [f64; 4] = [0.5, 0.9, 0.95, 0.99];
/// Operations with fewer rows of the control are taken together.
pub const FEW: usize = 200;

/// The quantile of sorted values by linear interpolation between them (numpy's default, type 7). None of no values.
pub fn quantile(sorted: &[f64], level: f64) -> Option<f64> {
    let place = level * (sorted.len().checked_sub(1)? as f64);
    let below = sorted[place.floor() as usize];
    let above = sorted[place.ceil() as usize];
    Some(below + (above - below) * place.fract())
}

/// How far the treatment exceeds a level more often than the control: the z of two proportions.
pub fn z(counts: &Counts) -> f64 {
    let pooled = counts.events() / (counts.n_t + counts.n_c);
    let variance = pooled * (1.0 - pooled) * (1.0 / counts.n_t + 1.0 / counts.n_c);
    if variance > 0.0 { (counts.e_t / counts.n_t - counts.e_c / counts.n_c) / variance.sqrt() } else { 0.0 }
}

/// The level to be explained, by its place: the one with the greatest z.
pub fn choose(exceedances: &[Counts]) -> Option<usize> {
    (0..exceedances.len()).max_by(|a, b| z(&exceedances[*a]).total_cmp(&z(&exceedances[*b])).then(b.cmp(a)))
}

/// Values by operation, as `Operations` numbers them, and arm, control first.
#[derive(Debug, Default)]
pub struct Values {
    by_operation: Vec<[Histogram; 2]>,
}

/// What a slow request is.
#[derive(Debug, Clone, PartialEq)]
pub struct Thresholds {
    /// The level, as a share: 0.95 for p95.
    pub level: f64,
    /// How far the treatment exceeds it more often, over all rows.
    pub z: f64,
    by_operation: Vec<Option<f64>>,
    others: Option<f64>,
}

impl Values {
    /// Adds a row's value.
    pub fn add(&mut self, operation: u32, treated: bool, value: f64) {
        let operation = operation as usize;
        if operation >= self.by_operation.len() {
            self.by_operation.resize_with(operation + 1, Default::default);
        }
        self.by_operation[operation][usize::from(treated)].push(value);
    }

    /// The thresholds at a level: the control's quantile within each operation, and of the small ones together.
    fn at(&self, level: f64) -> Result<Thresholds> {
        let mut others = Histogram::default();
        let mut by_operation = Vec::with_capacity(self.by_operation.len());
        for [control, _] in &self.by_operation {
            let is_small = control.count() < FEW as u64;
            if is_small {
                others.merge(control)?;
            }
            by_operation.push(if is_small { None } else { control.quantile(level)? });
        }
        let mut thresholds = Thresholds { level, z: 0.0, by_operation, others: others.quantile(level)? };
        thresholds.z = z(&self.exceeding(&thresholds));
        Ok(thresholds)
    }

    fn exceeding(&self, thresholds: &Thresholds) -> Counts {
        let mut counts = Counts::default();
        for (operation, [control, treatment]) in self.by_operation.iter().enumerate() {
            let above = |values: &Histogram| {
                thresholds.of(operation as u32).map_or(0, |threshold| values.count_above_value(threshold)) as f64
            };
            let (n_t, n_c) = (treatment.count() as f64, control.count() as f64);
            counts = counts.plus(&Counts::new(n_t, above(treatment), n_c, above(control)));
        }
        counts
    }

    /// The thresholds of the level that the treatment exceeds most, or of one that is asked for.
    ///
    /// # Errors
    /// As the sketch of the values says.
    pub fn thresholds(&self, level: Option<f64>) -> Result<Thresholds> {
        if let Some(level) = level {
            return self.at(level);
        }
        let mut best = self.at(LEVELS[0])?;
        for level in &LEVELS[1..] {
            let next = self.at(*level)?;
            if next.z > best.z {
                best = next;
            }
        }
        Ok(best)
    }
}

impl Thresholds {
    fn of(&self, operation: u32) -> Option<f64> {
        self.by_operation.get(operation as usize).copied().flatten().or(self.others)
    }

    /// Is a row slow; never where the control has no values to compare with.
    pub fn is_exceeded(&self, operation: u32, value: f64) -> bool {
        self.of(operation).is_some_and(|threshold| value > threshold)
    }
}

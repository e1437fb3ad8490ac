//! Test P in a small part of its time: the increment of the point d is d y - L(x), and L, which costs, is kept for each x.

use std::collections::HashMap;

use crate::error::Result;
use crate::stats::mixture::Grid;
use crate::stats::tilt::{Arms, Harm, fisher_increment};

/// Different x of a look whose L is computed; between them it is interpolated.
const KEPT: f64 = 64.0;

/// The increments of test P by table of events; trials are those of few looks.
#[derive(Debug)]
pub(super) struct Table {
    odds_ratio: f64,
    tested: Harm,
    grid: Grid,
    kept: HashMap<(u64, u64, u64), Vec<f64>>,
}

impl Table {
    pub fn new(odds_ratio: f64, tested: Harm, grid: &Grid) -> Self {
        Self { odds_ratio, tested, grid: grid.clone(), kept: HashMap::new() }
    }

    /// The odds ratio that is tolerated.
    pub fn odds_ratio(&self) -> f64 {
        self.odds_ratio
    }

    /// The grid of its effects.
    pub fn grid(&self) -> &Grid {
        &self.grid
    }

    /// Adds the increments of a stratum to sums.
    pub fn add(&mut self, arms: &Arms, sums: &mut [f64]) -> Result<()> {
        if arms.n_t == 0 || arms.n_c == 0 {
            return Ok(());
        }
        let (n, x) = (arms.n_t + arms.n_c, arms.y_t + arms.y_c);
        // Sums of events lie within about eight standard deviations of each other.
        let chance = x as f64 / n as f64;
        let step = (8.0 * (x as f64 * (1.0 - chance)).sqrt() / KEPT).ceil().max(1.0);
        // Steps are powers of two, so that neighbours share what they keep.
        let step = (step as u64).next_power_of_two();
        let below = x - x % step;
        let above = (below + step).min(n);
        let share = if x == below { 0.0 } else { (x - below) as f64 / (above - below) as f64 };
        let y = arms.y_t as f64;
        let sign = if self.tested == Harm::Increase { 1.0 } else { -1.0 };
        let lower = self.compensator(arms, below)?.to_vec();
        let upper = if share > 0.0 { self.compensator(arms, above)?.to_vec() } else { lower.clone() };
        for (j, sum) in sums.iter_mut().enumerate() {
            let compensator = lower[j] + share * (upper[j] - lower[j]);
            *sum += sign * self.grid.log_or()[j] * y - compensator;
        }
        Ok(())
    }

    /// L(x) for each point, from the test itself at one y.
    fn compensator(&mut self, arms: &Arms, x: u64) -> Result<&[f64]> {
        let (n_t, n_c) = (arms.n_t, arms.n_c);
        let key = (n_t, n_c, x);
        if !self.kept.contains_key(&key) {
            let expected = (x as f64 * n_t as f64 / (n_t + n_c) as f64) as u64;
            let y_t = expected.clamp(x.saturating_sub(n_c), x.min(n_t));
            let at =
                fisher_increment(&Arms { n_t, y_t, n_c, y_c: x - y_t }, self.odds_ratio, self.tested, &self.grid)?;
            let sign = if self.tested == Harm::Increase { 1.0 } else { -1.0 };
            let all = at.iter().zip(self.grid.log_or()).map(|(at, d)| sign * d * y_t as f64 - at).collect();
            self.kept.insert(key, all);
        }
        Ok(&self.kept[&key])
    }
}

#[cfg(test)]
mod tests {
    use super::super::draw::{binomial, generator};
    use super::*;
    use crate::stats::mixture::ERROR_GRID;

    #[test]
    fn a_kept_table_is_the_test() {
        for (n_t, n_c, chance, tested, ratio) in [
            (20, 1980, 0.01, Harm::Increase, 1.1),
            (1500, 1500, 0.3, Harm::Increase, 1.1),
            (200_000, 600_000, 0.3, Harm::Increase, 1.0),
            (30_000, 30_000, 0.02, Harm::Decrease, 1.0 / 1.2),
        ] {
            let mut table = Table::new(ratio, tested, &ERROR_GRID);
            let (mut eased, mut wanted) = (vec![0.0; 8], vec![0.0; 8]);
            let mut rng = generator(1);
            for _ in 0..60 {
                let (y_t, y_c) = (binomial(&mut rng, n_t, chance * 1.02), binomial(&mut rng, n_c, chance));
                let arms = Arms { n_t, y_t, n_c, y_c };
                table.add(&arms, &mut eased).unwrap();
                let increment = fisher_increment(&arms, ratio, tested, &ERROR_GRID).unwrap();
                wanted.iter_mut().zip(increment).for_each(|(sum, x)| *sum += x);
            }
            for (eased, wanted) in eased.iter().zip(&wanted) {
                assert!((eased - wanted).abs() < 1e-3 + 2e-6 * wanted.abs(), "{n_t}: {eased} {wanted}");
            }
        }
    }
}

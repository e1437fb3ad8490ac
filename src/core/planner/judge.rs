//! The test that a guardrail is decided by, one for each quantile: what a look adds to its evidence.

use super::ease::Table;
use super::watched::{Against, Measure, Watched};
use crate::error::Result;
use crate::sketch::histogram::bin;
use crate::stats::exceedance;
use crate::stats::margin::{Margin, Tolerated};
use crate::stats::mean::{self, Group, LAMBDAS, Line, Scale};
use crate::stats::mixture::{ERROR_GRID, Grid};
use crate::stats::rate::{self, Counts};
use crate::stats::tilt::{Arms, Harm, one_sample_increment};

/// What both arms sent in one look, as a test sees it.
#[derive(Debug)]
pub(super) enum Look {
    Trials(Arms),
    Counts(Counts),
    Means(Group, Group),
}

/// What is to be shown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Goal {
    /// That the treatment is worse than tolerated.
    Harm,
    /// That it is not so many times worse.
    Safe(f64),
}

/// One test.
#[derive(Debug)]
pub(super) enum Judge {
    /// Of test P, and Q with the thresholds moved.
    Shares(Table),
    /// Of a share against a limit (P1).
    Share(f64, Harm, Grid),
    /// Of rates (R): the ratio.
    Rates(f64, Harm, Grid),
    /// Of a rate against a limit.
    Rate(f64, Harm, Grid),
    /// Of means (M).
    Means(Scale, Line, Harm),
    /// Nothing can be worse than tolerated.
    Never,
}

impl Judge {
    /// The tests of a guardrail.
    pub fn all(watched: &Watched, goal: Goal) -> Result<Vec<Self>> {
        let harm = if goal == Goal::Harm { watched.harm } else { watched.harm.opposite() };
        let grid = match (goal, &watched.measure) {
            (Goal::Safe(times), Measure::Proportion(_) | Measure::Rate(_)) if !watched.is_alone() => {
                Grid::safe(times)?
            }
            _ => ERROR_GRID.clone(),
        };
        let one = match (&watched.measure, watched.against) {
            (Measure::Proportion(_), Against::Limit(limit)) => Self::Share(limit, harm, grid),
            (Measure::Rate(_), Against::Limit(limit)) => Self::Rate(limit, harm, grid),
            (Measure::Quantile { levels, .. }, Against::Limit(_)) => Self::Share(1.0 - levels[0], harm, grid),
            (Measure::Quantile { levels, .. }, Against::Control(_)) => {
                return Ok(levels.iter().map(|_| Self::Shares(Table::new(1.0, harm, &grid))).collect());
            }
            (Measure::Proportion(chance), Against::Control(margin)) => {
                Self::tolerating(margin.odds_ratio(Some(*chance), watched.harm)?, goal, harm, grid)
            }
            (Measure::Rate(rate), Against::Control(margin)) => {
                match Self::tolerating(margin.rate_ratio(Some(*rate), watched.harm)?, goal, harm, grid) {
                    Self::Shares(table) => Self::Rates(table.odds_ratio(), harm, table.grid().clone()),
                    Self::Share(limit, harm, grid) => Self::Rate(limit, harm, grid),
                    other => other,
                }
            }
            (Measure::Mean { mean, cap, .. }, Against::Control(margin)) => {
                let line = match goal {
                    Goal::Harm => margin.line(watched.harm),
                    Goal::Safe(times) => Margin::Relative(Self::change(times, watched.harm)).line(watched.harm),
                };
                Self::Means(Scale::new(*cap, *mean), line, harm)
            }
            // A mean has no sequential test against a limit.
            (Measure::Mean { .. }, Against::Limit(_)) => Self::Never,
        };
        Ok(vec![one])
    }

    /// How far a mean moves that is so many times worse, as a share of it.
    fn change(times: f64, harm: Harm) -> f64 {
        if harm == Harm::Increase { times - 1.0 } else { 1.0 - times.recip() }
    }

    fn tolerating(tolerated: Option<Tolerated>, goal: Goal, harm: Harm, grid: Grid) -> Self {
        match (goal, tolerated) {
            (Goal::Safe(times), _) => Self::Shares(Table::new(times.recip(), harm, &grid)),
            (Goal::Harm, Some(Tolerated::Ratio(ratio))) => Self::Shares(Table::new(ratio, harm, &grid)),
            (Goal::Harm, Some(Tolerated::Limit(limit))) => Self::Share(limit, harm, grid),
            (Goal::Harm, Some(Tolerated::Anything) | None) => Self::Never,
        }
    }

    /// Logarithms of the weights of its effects.
    pub fn log_weights(&self) -> Vec<f64> {
        match self {
            Self::Shares(table) => table.grid().log_weight().to_vec(),
            Self::Share(_, _, grid) | Self::Rates(_, _, grid) | Self::Rate(_, _, grid) => grid.log_weight().to_vec(),
            Self::Means(..) | Self::Never => vec![-(LAMBDAS.len() as f64).ln(); LAMBDAS.len()],
        }
    }

    /// Adds what a look tells.
    pub fn add(&mut self, look: &Look, sums: &mut [f64]) -> Result<()> {
        let increment = match (self, look) {
            (Self::Shares(table), Look::Trials(arms)) => return table.add(arms, sums),
            (Self::Share(limit, harm, grid), Look::Trials(arms)) => {
                one_sample_increment(arms.n_t, arms.y_t, *limit, *harm, grid)?
            }
            (Self::Rates(ratio, harm, grid), Look::Counts(counts)) => rate::increment(counts, *ratio, *harm, grid)?,
            (Self::Rate(limit, harm, grid), Look::Counts(counts)) => {
                rate::limit_increment(counts.exposure_t, counts.count_t, *limit, *harm, grid)?
            }
            (Self::Means(scale, line, harm), Look::Means(t, c)) => mean::increment(t, c, scale, line, *harm)?,
            _ => return Ok(()),
        };
        sums.iter_mut().zip(increment).for_each(|(sum, x)| *sum += x);
        Ok(())
    }
}

/// The thresholds of the treatment and of the control for a goal, as values; against a limit it is the same for both.
pub(super) fn thresholds(watched: &Watched, goal: Goal) -> Result<Vec<(f64, f64)>> {
    let Measure::Quantile { values, levels } = &watched.measure else { return Ok(Vec::new()) };
    let edge = |key: i32| bin::range(key, values.scale()).1;
    let margin = match watched.against {
        // Values in the limit's own bin count as within it.
        Against::Limit(limit) => {
            let end = edge(bin::key(limit, values.scale()));
            return Ok(vec![(end, end)]);
        }
        Against::Control(margin) => margin,
    };
    let keys = exceedance::thresholds(values, levels)?.unwrap_or_default();
    let moved = match goal {
        Goal::Harm => exceedance::moved(&keys, margin, watched.harm, values.scale())?,
        Goal::Safe(times) => {
            let bins = (times.log2() * 2_f64.powi(values.scale())).floor() as i32;
            exceedance::shifted(&keys, if watched.harm == Harm::Increase { bins } else { -bins })
        }
    };
    Ok(moved.into_iter().map(edge).zip(keys.into_iter().map(edge)).collect())
}

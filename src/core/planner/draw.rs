//! What one arm sends in one look: counts from a generator with a fixed seed.

use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand_distr::{Binomial, Distribution, Poisson, StandardNormal};

use super::judge::{Goal, Look, thresholds};
use super::watched::{Measure, Watched};
use crate::error::Result;
use crate::stats::mean::Group;
use crate::stats::rate::Counts;
use crate::stats::tilt::Arms;

/// The seed of all plans; any would do.
const SEED: u64 = 0x666c_6167_7363_6f70;

/// The generator of a run: the same for every effect.
pub(super) fn generator(run: usize) -> SmallRng {
    // Neighbouring numbers become far ones (the constant of splitmix64).
    SmallRng::seed_from_u64(SEED ^ (run as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// Events among trials.
pub(super) fn binomial(rng: &mut SmallRng, n: u64, chance: f64) -> u64 {
    Binomial::new(n, chance.clamp(0.0, 1.0)).map_or(0, |law| law.sample(rng))
}

/// Events over an exposure.
pub(super) fn poisson(rng: &mut SmallRng, mean: f64) -> u64 {
    Poisson::new(mean).map_or(0, |law| law.sample(rng) as u64)
}

/// The law of what both arms send.
#[derive(Debug)]
pub(super) enum Law {
    /// Chances of an event, of the treatment and of the control; of quantiles for each threshold, each event being one of
    /// those before it too.
    Trials(Vec<(f64, f64)>),
    /// Events by row.
    Counts(f64, f64),
    /// Mean and standard deviation, and the cap.
    Means([(f64, f64); 2], f64),
}

impl Law {
    /// The law of a treatment that is so many times worse.
    pub fn new(watched: &Watched, effect: f64, goal: Goal) -> Result<Self> {
        Ok(match &watched.measure {
            Measure::Proportion(chance) => Self::Trials(vec![(watched.worse(*chance, effect).min(1.0), *chance)]),
            Measure::Rate(rate) => Self::Counts(watched.worse(*rate, effect), *rate),
            Measure::Mean { mean, deviation, cap } => {
                let moved = watched.worse(*mean, effect).min(*cap);
                // Values between 0 and the cap spread no further than this (Bhatia and Davis 2000).
                let most = (moved * (cap - moved)).sqrt();
                let treatment = (moved, watched.worse(*deviation, effect).min(most));
                Self::Means([treatment, (*mean, *deviation)], *cap)
            }
            Measure::Quantile { values, .. } => {
                let above = |x: f64| -> Result<f64> { Ok(1.0 - values.rank(x)?.unwrap_or(1.0)) };
                // Of values that are all so many times larger, as many lie above x as of these above a smaller x.
                let own = |x: f64| above(watched.worse(1.0, effect).recip() * x);
                let chances = thresholds(watched, goal)?.into_iter().map(|(t, c)| Ok((own(t)?, above(c)?)));
                Self::Trials(chances.collect::<Result<_>>()?)
            }
        })
    }

    /// What so many rows of treatment and control tell: one look for each test.
    pub fn draw(&self, rng: &mut SmallRng, rows: (f64, f64), whole: (u64, u64), looks: &mut Vec<Look>) {
        looks.clear();
        let (n_t, n_c) = whole;
        match self {
            Self::Trials(chances) => {
                let (mut arms, mut before) = (Arms { n_t, y_t: n_t, n_c, y_c: n_c }, (1.0, 1.0));
                for &(p_t, p_c) in chances {
                    let part = |p: f64, of: f64| if of > 0.0 { p / of } else { 0.0 };
                    arms.y_t = binomial(rng, arms.y_t, part(p_t, before.0));
                    arms.y_c = binomial(rng, arms.y_c, part(p_c, before.1));
                    before = (p_t, p_c);
                    looks.push(Look::Trials(arms));
                }
            }
            Self::Counts(rate_t, rate_c) => {
                let (exposure_t, exposure_c) = rows;
                let (count_t, count_c) = (poisson(rng, rate_t * exposure_t), poisson(rng, rate_c * exposure_c));
                looks.push(Look::Counts(Counts { exposure_t, count_t, exposure_c, count_c }));
            }
            Self::Means([t, c], cap) => looks.push(Look::Means(group(rng, n_t, *t, *cap), group(rng, n_c, *c, *cap))),
        }
    }
}

/// The sums of so many values, by the central limit theorem.
fn group(rng: &mut SmallRng, n: u64, (mean, deviation): (f64, f64), cap: f64) -> Group {
    if n == 0 {
        return Group::default();
    }
    let noise: f64 = StandardNormal.sample(rng);
    let mean = (mean + deviation / (n as f64).sqrt() * noise).clamp(0.0, cap);
    Group { n, mean, m2: (n - 1) as f64 * deviation * deviation }
}

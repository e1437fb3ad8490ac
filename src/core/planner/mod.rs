//! The planner: what a ramp will be able to see, before it begins.
//!
//! What is here: for one guardrail and a ramp, the rows of each stage, the smallest effect that is found with a chance of
//! 80 %, how long a given effect takes to be found and how often it is still hidden when everybody has the treatment, and
//! how long "no worse than x" takes to be shown. What is not: where traffic and baseline come from (`sql/api/plan.sql`).
//!
//! # How
//! By playing the ramp, many times, with the tests that decide: each stage is cut into [`LOOKS`] looks (at least
//! [`SHORTEST`] seconds each), what both arms send in one is drawn, and the increments of the sequential test
//! (`stats::tilt`, `rate`, `mean`) are added to its mixture, with the same grid, the same reserve and the same copies as
//! live evidence (`stats::process`). A rollout has found the effect at the first look with log e >= log(1 / alpha). The
//! A stage that is over waits while log e is at least half of the line ("evidence of harm is building up"), as live. The
//! generator has a fixed seed and every effect is played on the same draws, so that the same question has the same
//! answer, and a larger effect is not found later by chance.
//!
//! With `w` the effect (how many times worse than the baseline v, at least 1) the treatment has
//! ```text
//! v w where an increase hurts, v / w where a decrease does      (a share at most 1; values of a quantile: each of them)
//! found in stage k      share of the runs with  max over looks up to the end of k of log e  >= log(1 / alpha)
//! smallest effect of k  the w with "found in stage k" = 0.8: bisection of log w over (0.005, 100), 2 % wide
//! found after           median over the runs of the time of the first such look, where half of them have one
//! slips through         1 - "found in the last stage that has a control"
//! no worse than x       the same at w = 1 of the test in the other direction with the margin x (`mixture::Grid::safe`)
//! ```
//!
//! # What is exact and what is not
//! - Test P: what depends on the events of both arms together, the compensator L(x) of Fisher's law, is computed by the test
//!   itself and kept, since few x are drawn again and again; from 64 different x on it is interpolated between those.
//!   Against calling the test in every look: log e differs by less than 1e-3, or 2e-6 of it (test `a_kept_table_is_the_test`).
//! - A look is longer than a tick: found a little later. Beside 5-second ticks (tests/simulate's own generator, 4 cells, 400
//!   runs) shares found differ by at most the noise of the runs (3 points), medians by half a look (test `planner`).
//! - Traffic is even, rows are independent but for the design effect, and the arms are what the ramp says: a plan is of a
//!   good day. Means are drawn as normal sums with a known spread.
//! - Chances come from [`RUNS`] runs (of the smallest effects [`SEARCH_RUNS`]): two standard errors are 5 and 6 points.

mod draw;
mod ease;
mod gate;
mod judge;
mod play;
mod question;
mod watched;

pub use gate::{LONGEST, gated, safe};
pub use question::{LOOKS, Question, SHORTEST, Stage};
pub use watched::{Against, Measure, Watched};

use crate::error::Result;
use judge::Goal;
use play::Player;
use question::bad;

/// Rollouts that are played for a given effect, and in the search for the smallest ones.
pub const RUNS: usize = 400;
/// As [`RUNS`].
pub const SEARCH_RUNS: usize = 200;
/// A stage finds an effect that is found with this chance.
pub const POWER: f64 = 0.8;
/// The most stages of a plan.
const MOST_STAGES: usize = 100;
/// Effects that are looked for: from this much more to this many times, and how often the distance is halved.
const SEARCHED: (f64, f64) = (1.005, 100.0);
const HALVINGS: usize = 9;

/// What a stage will see.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seen {
    /// Rows of the treatment.
    pub rows_treatment: f64,
    /// Rows of the control.
    pub rows_control: f64,
    /// The smallest effect that is found by the end of the stage with a chance of [`POWER`]; none of the searched ones.
    pub smallest: Option<f64>,
    /// The chance that the asked effect is found by the end of the stage.
    pub found: f64,
}

/// What a ramp will see.
#[derive(Debug, Clone, PartialEq)]
pub struct Forecast {
    /// By stage.
    pub stages: Vec<Seen>,
    /// The median time until the asked effect is found, in seconds; none: fewer than half of the rollouts find it.
    pub found_after: Option<f64>,
    /// The chance that the asked effect is not found before the treatment is everybody's.
    pub slips: f64,
    /// The median time until "no worse than `safe`" is shown of a treatment that is as good as the control.
    pub safe_after: Option<f64>,
}

/// Plays a ramp.
///
/// # Errors
/// [`crate::Kind::InvalidParameter`] for a stage, an effect or a baseline out of range.
pub fn forecast(watched: &Watched, ramp: &[Stage], question: &Question) -> Result<Forecast> {
    question.check()?;
    check(ramp)?;
    watched.check()?;
    let mut player = Player::new(watched, ramp, question);
    let asked = player.play(question.effect, Goal::Harm, RUNS)?;
    let mut search = Search { player: &mut player, known: Vec::new() };
    let mut stages = Vec::with_capacity(ramp.len());
    for (number, stage) in ramp.iter().enumerate() {
        let rows = watched.rows_per_second * stage.seconds;
        let rows_control = if watched.is_alone() { 0.0 } else { rows * (1.0 - stage.share) };
        let smallest = if question.searches { search.smallest(number)? } else { None };
        let found = asked.found_by(number);
        stages.push(Seen { rows_treatment: rows * stage.share, rows_control, smallest, found });
    }
    let before_all = ramp.iter().take_while(|stage| stage.share < 1.0).count();
    let slips = 1.0 - before_all.checked_sub(1).map_or(0.0, |last| asked.found_by(last));
    let safe = question.searches.then(|| player.play(1.0, Goal::Safe(question.safe), RUNS)).transpose()?;
    let safe_after = safe.and_then(|played| played.median());
    Ok(Forecast { stages, found_after: asked.median(), slips, safe_after })
}

impl Question {
    /// Checks what was asked, which does not depend on any data.
    pub fn check(&self) -> Result<()> {
        if !(1.0..=1000.0).contains(&self.effect) {
            let message = format!("an effect is how many times worse, from 1 to 1000, got \"{}\"", self.effect);
            return bad(message, "1.5 is half as much again; of what hurts by a decrease it is two thirds.");
        }
        if !(self.safe > 1.0 && self.safe <= 100.0) {
            return bad(
                format!("a safe margin lies above 0 and at most at 99, got \"{}\"", self.safe - 1.0),
                "0.2 is \"no worse than 20 %\".",
            );
        }
        Ok(())
    }
}

fn check(ramp: &[Stage]) -> Result<()> {
    if ramp.is_empty() || ramp.len() > MOST_STAGES {
        return bad(
            format!("a plan has 1 to {MOST_STAGES} stages, got {}", ramp.len()),
            "For example '{1, 10, 50, 100}'.",
        );
    }
    for stage in ramp {
        if !(stage.share > 0.0 && stage.share <= 1.0) {
            let message = format!("a stage serves more than 0 and at most 100 percent, got {}", 100.0 * stage.share);
            return bad(message, "5 % is 5.");
        }
        if !(stage.seconds > 0.0 && stage.seconds <= 1e10) {
            return bad(
                format!("a stage lasts longer than nothing and at most 300 years, got {} s", stage.seconds),
                "It ends when its minimal duration is over and its samples are there; see min_sample.",
            );
        }
    }
    Ok(())
}

/// The search for the smallest effects; what was played for one stage serves the others.
struct Search<'s, 'p> {
    player: &'s mut Player<'p>,
    /// Effect (as logarithm) and the chance by stage.
    known: Vec<(f64, Vec<f64>)>,
}

impl Search<'_, '_> {
    fn chance(&mut self, effect: f64, stage: usize) -> Result<f64> {
        if let Some((_, chances)) = self.known.iter().find(|(known, _)| *known == effect) {
            return Ok(chances[stage]);
        }
        let played = self.player.play(effect.exp(), Goal::Harm, SEARCH_RUNS)?;
        let chances: Vec<f64> = (0..self.player.stages()).map(|stage| played.found_by(stage)).collect();
        let chance = chances[stage];
        self.known.push((effect, chances));
        Ok(chance)
    }

    fn smallest(&mut self, stage: usize) -> Result<Option<f64>> {
        let (mut lower, mut upper) = (SEARCHED.0.ln(), SEARCHED.1.ln());
        if self.chance(upper, stage)? < POWER {
            return Ok(None);
        }
        for _ in 0..HALVINGS {
            let middle = f64::midpoint(lower, upper);
            if self.chance(middle, stage)? < POWER { lower = middle } else { upper = middle }
        }
        Ok(Some(f64::midpoint(lower, upper).exp()))
    }
}

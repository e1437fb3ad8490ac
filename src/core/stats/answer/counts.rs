//! Answers about counts: proportions, a limit, rates, shares, and ratios over units.

use super::{Answer, Question, check};
use crate::stats::beta_binomial::{SAMPLE, chance_interval};
use crate::stats::margin::{Margin, Past, Tolerated};
use crate::stats::mixture::{ERROR_GRID, Grid, temper};
use crate::stats::process::Process;
use crate::stats::rate::Counts;
use crate::stats::ratio::{self, Units};
use crate::stats::score::Score;
use crate::stats::share;
use crate::stats::tilt::{Arms, Harm, one_sample_increment};
use crate::{Error, Kind, Result};

/// The two processes of a test on a grid of odds or rate ratios.
struct Pair {
    harm: Process,
    safe: Option<(f64, Grid, Process)>,
    design_effect: f64,
}

impl Pair {
    fn new(question: &Question) -> Result<Self> {
        check(question)?;
        let safe = question.safe_margin.map(|margin| {
            Grid::safe(1.0 + margin).map(|grid| {
                let process = Process::new(grid.log_weight());
                (1.0 + margin, grid, process)
            })
        });
        let harm = Process::new(ERROR_GRID.log_weight());
        Ok(Self { harm, safe: safe.transpose()?, design_effect: question.design_effect })
    }

    /// Add a stratum, given its increments at a margin, in a direction, over a grid.
    fn add(
        &mut self,
        margin: Tolerated,
        harm: Harm,
        at: impl Fn(Tolerated, Harm, &Grid) -> Result<Vec<f64>>,
    ) -> Result<()> {
        let mut increment = at(margin, harm, &ERROR_GRID)?;
        temper(&mut increment, self.design_effect)?;
        self.harm.add(&increment)?;
        if let Some((margin, grid, process)) = &mut self.safe {
            let mut increment = at(Tolerated::Ratio(margin.recip()), harm.opposite(), grid)?;
            temper(&mut increment, self.design_effect)?;
            process.add(&increment)?;
        }
        Ok(())
    }

    fn answer(&self) -> Answer {
        Answer::of(&self.harm, self.safe.as_ref().map(|x| &x.2))
    }
}

fn odds(score: &Score, answer: Answer, alpha: f64) -> Result<Answer> {
    let interval = score.log_or_interval(alpha)?.map(|(low, high)| (low.exp(), high.exp()));
    Ok(answer.with(score.odds_ratio(), interval))
}

/// Test P. An absolute margin (0.005: half a percentage point) is added to the control's chance in earlier strata, so
/// the first one with control data only gives that. The estimate is the Mantel-Haenszel odds ratio.
///
/// # Errors
/// As [`Tolerated::tilt`] and [`Margin::odds_ratio`].
pub fn proportion(strata: &[Arms], question: &Question) -> Result<Answer> {
    let mut pair = Pair::new(question)?;
    let (mut score, mut past) = (Score::default(), Past::default());
    question.margin.odds_ratio(Some(0.5), question.harm)?;
    for arms in strata {
        score.add(arms)?;
        let margin = question.margin.odds_ratio(past.chance(), question.harm)?;
        past.add_trials(arms.n_c, arms.y_c);
        if let Some(margin) = margin {
            pair.add(margin, question.harm, |margin, harm, grid| margin.tilt(arms, harm, grid))?;
        }
    }
    odds(&score, pair.answer(), question.alpha)
}

/// Test P1: events y of n in each stratum against a fixed chance. The estimate is the rate of all strata.
///
/// # Errors
/// As [`one_sample_increment`].
pub fn limit(strata: &[(u64, u64)], limit: f64, question: &Question) -> Result<Answer> {
    check(question)?;
    let mut process = Process::new(ERROR_GRID.log_weight());
    let (mut trials, mut events) = (0_u64, 0_u64);
    for (n, y) in strata {
        let mut increment = one_sample_increment(*n, *y, limit, question.harm, &ERROR_GRID)?;
        temper(&mut increment, question.design_effect)?;
        process.add(&increment)?;
        (trials, events) = (trials + n, events + y);
    }
    let interval = chance_interval(events, trials, question.alpha, SAMPLE)?;
    let rate = (trials > 0).then(|| events as f64 / trials as f64);
    Ok(Answer::of(&process, None).with(rate, interval))
}

/// Test R. An absolute margin is added to the control's rate in earlier strata, so the first one with control data only
/// gives that. The estimate is the ratio of rates, stratified as by Mantel and Haenszel.
///
/// # Errors
/// As [`Tolerated::tilt_rate`] and [`Margin::rate_ratio`].
pub fn rate(strata: &[Counts], question: &Question) -> Result<Answer> {
    let mut pair = Pair::new(question)?;
    let (mut score, mut past) = (Score::default(), Past::default());
    question.margin.rate_ratio(Some(1.0), question.harm)?;
    for counts in strata {
        counts.check()?;
        let at = |margin: Tolerated, harm, grid: &Grid| margin.tilt_rate(counts, harm, grid);
        if let Some(margin) = question.margin.rate_ratio(past.rate(), question.harm)? {
            pair.add(margin, question.harm, at)?;
        }
        past.add_exposure(counts.exposure_c, counts.count_c);
        let share = counts.exposure_t / (counts.exposure_t + counts.exposure_c);
        score.add_share(counts.count_t, counts.count_t + counts.count_c, share);
    }
    odds(&score, pair.answer(), question.alpha)
}

/// Test S: units of the treatment and of all others in each stratum, beside the treatment's nominal share. The estimate
/// is the ratio of the odds served to the odds asked for.
///
/// # Errors
/// As [`share::increment`].
pub fn share(strata: &[(f64, u64, u64)], alpha: f64) -> Result<Answer> {
    crate::stats::normal::check_alpha(alpha)?;
    let mut process = Process::uniform(share::GRID.len());
    let mut score = Score::default();
    for (nominal, n_t, n_rest) in strata {
        process.add(&share::increment(*nominal, *n_t, *n_rest)?)?;
        score.add_share(*n_t, n_t + n_rest, *nominal);
    }
    odds(&score, Answer::of(&process, None), alpha)
}

/// Test T over units that were each counted once. The estimate is R_T / R_C. There is one look, so the strata of other
/// tests have no counterpart here.
///
/// # Errors
/// [`Kind::InvalidParameter`] for a margin that is not above -1 or an alpha that is no chance.
pub fn ratio(t: &Units, c: &Units, question: &Question) -> Result<Answer> {
    check(question)?;
    let sign = if question.harm == Harm::Increase { 1.0 } else { -1.0 };
    let Margin::Relative(margin) = question.margin else {
        return Err(Error::new(Kind::InvalidParameter, "a ratio is tested with a relative margin"));
    };
    let q = sign * margin;
    if !(q > -1.0 && q.is_finite()) {
        return Err(Error::new(Kind::InvalidParameter, format!("margin is out of range, got \"{margin}\"")));
    }
    let log_e = ratio::log_e(t, c, q, question.harm);
    let safe = question.safe_margin.map(|margin| ratio::log_e(t, c, sign * margin, question.harm.opposite()));
    let interval = ratio::interval(t, c, question.alpha)?;
    let answer =
        Answer { log_e, max_log_e: log_e.max(0.0), log_e_safe: safe, max_log_e_safe: safe, ..Answer::default() };
    Ok(answer.with(interval.map(|x| x.0), interval.map(|x| (x.1, x.2))))
}

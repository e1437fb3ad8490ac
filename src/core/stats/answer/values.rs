//! Answers about values: means, quantiles, distributions.

use super::{Answer, Question, check};
use crate::sketch::{Histogram, Moments, Sketch};
use crate::stats::beta_binomial::quantile_interval;
use crate::stats::exceedance::{self, MIX4};
use crate::stats::label::{self, LogScore, SLOPES};
use crate::stats::margin::{FADING, Margin};
use crate::stats::mean::{self, Group, LAMBDAS, Line, Scale};
use crate::stats::mixture::{ERROR_GRID, Grid, mix};
use crate::stats::process::Process;
use crate::stats::strict::{CONTROL_PART, strict};
use crate::stats::student::{PHI, Sums};
use crate::stats::tilt::{Arms, Harm, fisher_increment};
use crate::{Error, Kind, Result};

/// Test M over strata of treatment and control, whose values lie in [0, cap]. The centre is the fading mean of the
/// control in earlier strata, so the first one with control data only gives it. The estimate is the difference of means
/// in the metric's unit, its interval that of test Mt (asymptotic).
///
/// # Errors
/// [`Kind::InvalidParameter`] when a value was outside [0, cap], and as [`mean::increment`].
pub fn mean(strata: &[(Moments, Moments)], cap: f64, question: &Question) -> Result<Answer> {
    check(question)?;
    let mut harm = Process::uniform(LAMBDAS.len());
    let mut safe = question.safe_margin.map(|margin| (margin, harm.clone()));
    let (mut centre, mut sums) = (None, Sums::new(Line::default()));
    for (t, c) in strata {
        for moments in [t, c] {
            check_values(moments, cap)?;
        }
        let (t, c) = (Group::from(t), Group::from(c));
        if let Some(centre) = centre {
            let scale = Scale::new(cap, centre);
            harm.add(&mean::increment(&t, &c, &scale, &question.margin.line(question.harm), question.harm)?)?;
            if let Some((margin, process)) = &mut safe {
                let line = Margin::Relative(*margin).line(question.harm);
                process.add(&mean::increment(&t, &c, &scale, &line, question.harm.opposite())?)?;
            }
        }
        if c.n > 0 {
            centre = Some(centre.map_or(c.mean, |old| FADING * old + (1.0 - FADING) * c.mean));
        }
        sums.add(&t, &c);
    }
    let answer = Answer::of(&harm, safe.as_ref().map(|x| &x.1));
    Ok(answer.with(sums.estimate(), sums.interval(question.alpha, PHI)?))
}

/// Check that all values were between 0 and the cap.
fn check_values(moments: &Moments, cap: f64) -> Result<()> {
    if moments.min().is_none_or(|x| x >= 0.0) && moments.max().is_none_or(|x| x <= cap) {
        return Ok(());
    }
    let found = moments.min().filter(|x| *x < 0.0).or(moments.max()).unwrap_or(f64::NAN);
    let message = format!("values must be between 0 and the cap \"{cap}\", got \"{found}\"");
    Err(Error::new(Kind::InvalidParameter, message)
        .hint("Winsorise each value before it is added: least(greatest(x, 0), cap)."))
}

/// Test Mt: asymptotic, for symmetric values or logarithms. The estimate is the difference of means beyond the margin.
///
/// # Errors
/// [`Kind::InvalidParameter`] for a margin that is not above -1 or an alpha that is no chance.
pub fn mean_t(strata: &[(Moments, Moments)], question: &Question) -> Result<Answer> {
    check(question)?;
    let line = question.margin.line(question.harm);
    if !(line.relative > -1.0 && line.relative.is_finite() && line.absolute.is_finite()) {
        let margin = line.relative + line.absolute;
        return Err(Error::new(Kind::InvalidParameter, format!("margin is out of range, got \"{margin}\"")));
    }
    let mut sums = Sums::new(line);
    let mut answer = Answer::default();
    for (t, c) in strata {
        sums.add(&Group::from(t), &Group::from(c));
        answer.log_e = if question.harm == Harm::Increase { sums.log_e_greater(PHI) } else { sums.log_e_less(PHI) };
        answer.max_log_e = answer.max_log_e.max(answer.log_e);
    }
    Ok(answer.with(sums.estimate(), sums.interval(question.alpha, PHI)?))
}

/// The merge of all histograms; an empty one of the default scale when there are none.
fn merged<'a>(mut histograms: impl Iterator<Item = &'a Histogram>) -> Result<Histogram> {
    let Some(first) = histograms.next() else { return Ok(Histogram::default()) };
    let mut all = first.clone();
    histograms.try_for_each(|h| all.merge(h))?;
    Ok(all)
}

/// Several processes whose e-values are averaged: one for each level of test Q.
struct Levels {
    each: Vec<Process>,
    log_e: f64,
    max_log_e: f64,
}

impl Levels {
    fn new(levels: usize, grid: &Grid) -> Self {
        Self { each: vec![Process::new(grid.log_weight()); levels], log_e: 0.0, max_log_e: 0.0 }
    }

    fn look(&mut self) {
        let each: Vec<f64> = self.each.iter().map(Process::log_e).collect();
        self.log_e = mix(&each).unwrap_or(0.0);
        self.max_log_e = self.max_log_e.max(self.log_e);
    }
}

/// Test Q at one level, or at the four of [`MIX4`]. Thresholds come from the control of all earlier strata, so the first
/// one with control data only gives them. The estimate is the treatment's quantile over all strata, with its own
/// interval; none for the four levels.
///
/// # Errors
/// [`Kind::InvalidParameter`] for a level or margin out of range or histograms of different scales.
pub fn quantile(strata: &[(Histogram, Histogram)], level: Option<f64>, question: &Question) -> Result<Answer> {
    check(question)?;
    let levels = level.map_or_else(|| MIX4.to_vec(), |p| vec![p]);
    let mut harm = Levels::new(levels.len(), &ERROR_GRID);
    let mut safe = question.safe_margin.map(|margin| (margin, Levels::new(levels.len(), &ERROR_GRID)));
    let mut past: Option<Histogram> = None;
    for (t, c) in strata {
        let thresholds = past.as_ref().map(|past| exceedance::thresholds(past, &levels)).transpose()?.flatten();
        if let Some(cuts) = thresholds {
            let moved = exceedance::moved(&cuts, question.margin, question.harm, c.scale())?;
            add_levels(&mut harm, &exceedance::arms(t, c, &cuts, &moved), question.harm)?;
            if let Some((margin, safe)) = &mut safe {
                let moved = exceedance::shifted(&cuts, exceedance::safe_shift(*margin, question.harm, c.scale())?);
                add_levels(safe, &exceedance::arms(t, c, &cuts, &moved), question.harm.opposite())?;
            }
        }
        match &mut past {
            Some(past) => past.merge(c)?,
            None => past = Some(c.clone()),
        }
    }
    let answer = Answer {
        log_e: harm.log_e,
        max_log_e: harm.max_log_e,
        log_e_safe: safe.as_ref().map(|x| x.1.log_e),
        max_log_e_safe: safe.as_ref().map(|x| x.1.max_log_e),
        ..Answer::default()
    };
    let Some(p) = level else { return Ok(answer) };
    let all = merged(strata.iter().map(|x| &x.0))?;
    let (low, high) = quantile_interval(&all, p, question.alpha)?;
    Ok(Answer { estimate: all.quantile(p)?, low, high, ..answer })
}

/// Adds one stratum, a table for each level, tested in a direction.
fn add_levels(levels: &mut Levels, arms: &[Arms], tested: Harm) -> Result<()> {
    for (process, arms) in levels.each.iter_mut().zip(arms) {
        process.add(&fisher_increment(arms, 1.0, tested, &ERROR_GRID)?)?;
    }
    levels.look();
    Ok(())
}

/// Test Qs. Its e-value is judged at the part of alpha that the control's confidence sequence leaves; what is returned is
/// scaled so that log(1 / alpha) is the line as everywhere else. There is one look, at all strata. The interval is that
/// of the control's quantile.
///
/// # Errors
/// As [`strict`].
pub fn quantile_strict(strata: &[(Histogram, Histogram)], level: f64, question: &Question) -> Result<Answer> {
    check(question)?;
    let pairs: Vec<(&Histogram, &Histogram)> = strata.iter().map(|(t, c)| (t, c)).collect();
    let Some(found) = strict(&pairs, level, question.alpha, question.harm)? else { return Ok(Answer::default()) };
    let log_e = found.log_e + (1.0 - CONTROL_PART).ln();
    let all = merged(strata.iter().map(|x| &x.0))?;
    let answer = Answer { log_e, max_log_e: log_e.max(0.0), ..Answer::default() };
    Ok(answer.with(all.quantile(level)?, Some(found.control)))
}

/// Test H with the logarithmic score of the control of all earlier strata; the first one with control data only gives
/// the score. There is no estimate.
///
/// # Errors
/// [`Kind::InvalidParameter`] for histograms of different scales.
pub fn distribution(strata: &[(Histogram, Histogram)], question: &Question) -> Result<Answer> {
    check(question)?;
    let mut process = Process::uniform(SLOPES.len());
    let mut past: Option<Histogram> = None;
    for (t, c) in strata {
        if let Some(score) = past.as_ref().and_then(LogScore::of) {
            process.add(&label::increment(&score.bins(t, c)?, &score.slopes(question.harm))?)?;
        }
        match &mut past {
            Some(past) => past.merge(c)?,
            None => past = Some(c.clone()),
        }
    }
    Ok(Answer::of(&process, None))
}

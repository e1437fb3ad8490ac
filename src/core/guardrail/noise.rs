//! A service's own noise: how much more than by sampling two arms differ that are served alike, and one arm from time to time.

use std::collections::BTreeMap;

use crate::kind::{MetricKind, State};

/// What the minutes of two arms that were alike say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Noise {
    /// How many minutes had both arms.
    pub minutes: i32,
    /// The standard deviation of the log ratio of the arms between minutes, beyond sampling.
    pub sd: f64,
    /// How many times the variance of sampling alone theirs is, at least 1.
    pub design_effect: f64,
}

/// One arm in one minute.
#[derive(Debug, Clone)]
pub struct Minute {
    /// When it began.
    pub at: i64,
    /// Is it of the treatment.
    pub is_treated: bool,
    /// What was counted.
    pub state: State,
}

/// The noise of a metric; of several quantiles the largest. `None` before there are two minutes.
pub fn noise(kind: MetricKind, quantile: Option<f64>, minutes: &[Minute]) -> Option<Noise> {
    let of_levels = kind.rules().log_levels(quantile).into_iter().map(|level| noise_at(&pairs(kind, level, minutes)));
    // Of equals the first.
    of_levels.flatten().reduce(|a, b| if (b.sd, b.design_effect) > (a.sd, a.design_effect) { b } else { a })
}

/// Fewer parts of a time tell nothing of how it varied.
const LEAST_PARTS: i32 = 4;

/// How much one arm has varied from part to part of a time, beyond sampling: the standard deviation of the logarithm of its
/// value (of the odds for a share). 0 where sampling explains it, or there are too few parts.
pub fn spread(kind: MetricKind, quantile: Option<f64>, parts: &[State]) -> f64 {
    let states: Vec<&State> = parts.iter().collect();
    let logs = kind.rules().logs(&states, quantile).into_iter().flatten();
    let weighted: Vec<_> = logs.filter(|(_, v)| *v > 0.0).map(|(x, v)| (x, 1.0 / v)).collect();
    noise_at(&weighted).filter(|noise| noise.minutes >= LEAST_PARTS).map_or(0.0, |noise| noise.sd)
}

/// The differences of logarithms in each minute with both arms, and their weights: one by the variance of sampling.
fn pairs(kind: MetricKind, level: Option<f64>, minutes: &[Minute]) -> Vec<(f64, f64)> {
    let arm = |is_treated: bool| {
        let mine: Vec<&Minute> = minutes.iter().filter(|minute| minute.is_treated == is_treated).collect();
        let states: Vec<&State> = mine.iter().map(|minute| &minute.state).collect();
        let logs = kind.rules().logs(&states, level);
        let told =
            mine.iter().zip(logs).filter_map(|(minute, log)| Some((minute.at, log.filter(|(_, v)| *v > 0.0)?)));
        told.collect::<BTreeMap<i64, (f64, f64)>>()
    };
    let control = arm(false);
    let pair =
        |(at, (x_t, v_t)): (i64, (f64, f64))| control.get(&at).map(|(x_c, v_c)| (x_t - x_c, 1.0 / (v_t + v_c)));
    arm(true).into_iter().filter_map(pair).collect()
}

/// DerSimonian and Laird's moment estimate (1986) of the variance between minutes beyond sampling.
fn noise_at(pairs: &[(f64, f64)]) -> Option<Noise> {
    let minutes = i32::try_from(pairs.len()).ok().filter(|n| *n >= 2)?;
    let sum = |f: fn(&(f64, f64)) -> f64| pairs.iter().map(f).sum::<f64>();
    let (w, ww, wd, wdd) = (sum(|p| p.1), sum(|p| p.1 * p.1), sum(|p| p.1 * p.0), sum(|p| p.1 * p.0 * p.0));
    let (q, degrees) = (wdd - wd * wd / w, f64::from(minutes) - 1.0);
    let sd = ((q - degrees) / (w - ww / w)).max(0.0).sqrt();
    Some(Noise { minutes, sd, design_effect: (q / degrees).max(1.0) })
}

//! How long stages last that wait until an effect would have been found, or until harm is refuted (the gates of a ramp,
//! `sql/api/gate.sql`).

use super::RUNS;
use super::judge::Goal;
use super::play::Player;
use super::question::{Question, Stage, bad};
use super::watched::{Against, Measure, Watched};
use crate::error::Result;
use crate::stats::margin::{Margin, Tolerated};
use crate::stats::mean::{Group, Scale};
use crate::stats::power::{POWER, Sight, Told, of_shares, of_values};

/// Times that the span is halved in which a stage ends: to a ten-thousandth of it.
const HALVINGS: usize = 14;

/// The ramp with each stage as long as it takes until an effect would have been found with a chance of [`POWER`] by all data
/// until then, at most `longest` seconds (one for each stage).
///
/// # Errors
/// [`crate::Kind::InvalidParameter`] when there is not one `longest` for each stage, and for a margin out of range.
pub fn gated(watched: &Watched, ramp: &[Stage], longest: &[f64], detectable: f64) -> Result<Vec<Stage>> {
    if ramp.len() != longest.len() {
        return bad(format!("{} stages have {} longest times", ramp.len(), longest.len()), "One for each stage.");
    }
    watched.check()?;
    let mut sight = Sight {
        harm: watched.harm,
        line: -watched.alpha.ln(),
        tolerated: tolerated(watched)?,
        told: second(watched, 0.5).iter().map(|told| times(told, 0.0)).collect(),
    };
    let mut gated = Vec::with_capacity(ramp.len());
    for (stage, longest) in ramp.iter().zip(longest) {
        let mut seconds = stage.seconds;
        if stage.share < 1.0 && sight.tolerated.is_finite() {
            let second = second(watched, stage.share);
            let after = |seconds: f64| Sight { told: sum(&sight.told, &second, seconds), ..sight.clone() };
            seconds = ends(seconds, longest.max(seconds), |seconds| after(seconds).chance(detectable) >= POWER);
            sight = after(seconds);
        }
        gated.push(Stage { seconds, ..*stage });
    }
    Ok(gated)
}

/// The longest that a stage is planned to wait until harm is refuted: a year, in seconds. Live there is no end.
pub const LONGEST: f64 = 365.0 * 86_400.0;
/// A ramp is played with a last stage so many times longer, until half of the rollouts are through.
const LONGER: f64 = 4.0;

/// The ramp with the first stage that waits until "no worse than `safe`" is shown as long as it takes, in the median, of a
/// treatment that is as good as the control; at most [`LONGEST`]. What is shown once stays shown, so later stages do not
/// wait. `waits` says which do; at 100 % none does.
///
/// # Errors
/// [`crate::Kind::InvalidParameter`] for a margin or a baseline out of range.
pub fn safe(watched: &Watched, ramp: &[Stage], waits: &[bool], question: &Question) -> Result<Vec<Stage>> {
    let mut ramp = ramp.to_vec();
    let Some(first) = ramp.iter().zip(waits).position(|(stage, waits)| *waits && stage.share < 1.0) else {
        return Ok(ramp);
    };
    watched.check()?;
    question.check()?;
    let (least, before) = (ramp[first].seconds, ramp[..first].iter().map(|stage| stage.seconds).sum::<f64>());
    let mut played = ramp[..=first].to_vec();
    let found = loop {
        let found = Player::new(watched, &played, question).play(1.0, Goal::Safe(question.safe), RUNS)?.median();
        if found.is_some() || played[first].seconds >= LONGEST {
            break found;
        }
        played[first].seconds = (played[first].seconds * LONGER).min(LONGEST);
    };
    ramp[first].seconds = least.max(found.map_or(LONGEST, |found| found - before));
    Ok(ramp)
}

/// The first moment from `least` on at which something is so; `most` where it is not before.
fn ends(least: f64, most: f64, is_so: impl Fn(f64) -> bool) -> f64 {
    if is_so(least) {
        return least;
    }
    let (mut lower, mut upper) = (least, most);
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(lower, upper);
        if is_so(middle) { upper = middle } else { lower = middle }
    }
    upper
}

/// How many times worse is tolerated, of a mean which change; infinite where anything is.
fn tolerated(watched: &Watched) -> Result<f64> {
    let ratio = |tolerated: Option<Tolerated>| match tolerated {
        Some(Tolerated::Ratio(ratio)) => ratio,
        _ => f64::INFINITY,
    };
    Ok(match (&watched.measure, watched.against) {
        (_, Against::Limit(_)) | (Measure::Quantile { .. }, _) => 1.0,
        (Measure::Proportion(chance), Against::Control(margin)) => {
            ratio(margin.odds_ratio(Some(*chance), watched.harm)?)
        }
        (Measure::Rate(rate), Against::Control(margin)) => ratio(margin.rate_ratio(Some(*rate), watched.harm)?),
        (Measure::Mean { mean, .. }, Against::Control(margin)) => match margin {
            Margin::Relative(margin) => margin,
            Margin::Absolute(units) => units / mean,
        },
    })
}

/// What a second tells at a share.
fn second(watched: &Watched, share: f64) -> Vec<Told> {
    let rows = watched.rows_per_second / watched.design_effect;
    match (&watched.measure, watched.against) {
        (Measure::Proportion(_), Against::Limit(limit)) => vec![Told::Trials(rows * share, limit)],
        (Measure::Rate(_), Against::Limit(limit)) => vec![Told::Expected(rows * share * limit)],
        (Measure::Quantile { levels, .. }, Against::Limit(_)) => {
            levels.iter().map(|p| Told::Trials(rows * share, 1.0 - p)).collect()
        }
        (Measure::Mean { .. }, Against::Limit(_)) => Vec::new(),
        (Measure::Proportion(chance), _) => vec![Told::Shares(of_shares(rows * chance, share, *chance))],
        (Measure::Rate(rate), _) => vec![Told::Shares(of_shares(rows * rate, share, 0.0))],
        (Measure::Quantile { levels, .. }, _) => {
            levels.iter().map(|p| Told::Shares(of_shares(rows * (1.0 - p), share, 1.0 - p))).collect()
        }
        (Measure::Mean { mean, deviation, cap }, Against::Control(margin)) => {
            // Of a million rows, which are whole at any share.
            let group = |share: f64| {
                let n = (1e6 * share) as u64;
                Group { n, mean: *mean, m2: n as f64 * deviation * deviation }
            };
            let (scale, line) = (Scale::new(*cap, *mean), margin.line(watched.harm));
            let sums = of_values(&group(share), &group(1.0 - share), &scale, &line, watched.harm);
            vec![Told::Values(sums.map(|x| x * rows / 1e6))]
        }
    }
}

fn times(told: &Told, n: f64) -> Told {
    match *told {
        Told::Shares(sums) => Told::Shares(sums.map(|x| x * n)),
        Told::Trials(trials, limit) => Told::Trials(trials * n, limit),
        Told::Expected(events) => Told::Expected(events * n),
        Told::Values(sums) => Told::Values(sums.map(|x| x * n)),
    }
}

/// What was told before, and so many seconds more.
fn sum(before: &[Told], second: &[Told], seconds: f64) -> Vec<Told> {
    let both = |(before, second): (&Told, &Told)| match (*before, times(second, seconds)) {
        (Told::Shares(a), Told::Shares(b)) => Told::Shares(std::array::from_fn(|i| a[i] + b[i])),
        (Told::Trials(a, limit), Told::Trials(b, _)) => Told::Trials(a + b, limit),
        (Told::Expected(a), Told::Expected(b)) => Told::Expected(a + b),
        (Told::Values(a), Told::Values(b)) => Told::Values([a[0] + b[0], a[1] + b[1]]),
        (before, _) => before,
    };
    before.iter().zip(second).map(both).collect()
}

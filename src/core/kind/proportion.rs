//! The share of rows that are events: tests P and P1.

use super::proposed::has_no_quantile;
use super::words::{Seen, number, percent};
use super::{
    Against, Counted, Counting, Estimate, Form, Informed, KindRules, Match, Memory, MetricKind, Part, Proposed,
    State, Told, Weighing,
};
use crate::anomaly::difference::Basis;
use crate::error::Result;
use crate::sketch::Histogram;
use crate::stats::beta_binomial::{SAMPLE, chance_interval};
use crate::stats::margin::{Margin, Past, Tolerated};
use crate::stats::mixture::{ERROR_GRID, Grid};
use crate::stats::power;
use crate::stats::score::Score;
use crate::stats::tilt::{Arms, Harm, fisher_increment, one_sample_increment};

/// The kind `proportion`.
pub struct Proportion;

impl KindRules for Proportion {
    fn kind(&self) -> MetricKind {
        MetricKind::Proportion
    }

    fn label(&self) -> &'static str {
        "proportion"
    }

    fn counts_events(&self) -> bool {
        true
    }

    fn reads_values(&self) -> bool {
        false
    }

    fn add(&self, state: &mut State, _: &Counting, matched: Match, _: f64) {
        state.n += 1;
        state.events += u64::from(matched == Match::Event);
    }

    /// A row is a row, whatever its value stands for.
    fn add_many(&self, state: &mut State, counting: &Counting, matched: Match, _: &Histogram) {
        self.add(state, counting, matched, f64::NAN);
    }

    /// Any value but 0 is an event; a row without a finite value is no trial.
    fn add_given(&self, state: &mut State, counting: &Counting, value: Option<f64>, _: Option<f64>) {
        if let Some(value) = value.filter(|value| value.is_finite()) {
            self.add(state, counting, if value == 0.0 { Match::Row } else { Match::Event }, value);
        }
    }

    fn value(&self, state: &State, _: Option<f64>) -> Option<f64> {
        (state.n > 0).then(|| state.events as f64 / state.n as f64)
    }

    fn form(&self) -> Form {
        Form::Share
    }

    fn estimates(&self) -> &'static [Told] {
        const { &[Told::new("odds_ratio", "odds ratio", Form::Times), Told::new("share", "share", Form::Share)] }
    }

    fn takes(&self) -> &'static [Part] {
        &[Part::Event, Part::Query, Part::PerUnit]
    }

    fn told(&self, value: f64, _: &str) -> String {
        percent(value)
    }

    fn margin_told(&self, margin: Margin, _: &str) -> String {
        match margin {
            Margin::Relative(margin) => percent(margin),
            Margin::Absolute(0.01) => "1 percentage point".into(),
            Margin::Absolute(share) => format!("{} percentage points", number(share * 100.0)),
        }
    }

    fn seen(&self, seen: &Seen) -> Option<String> {
        let [t, c] = seen.shares().map(|share| share.map(percent));
        Some(match seen.against {
            Against::Control(_) => format!("{} with the treatment, {} with the control", t?, c?),
            Against::Limit(limit) => format!("{} {}, the limit is {}", t?, seen.with, percent(limit)),
        })
    }

    /// Of the odds, which the test compares. Each stratum has its own share of both arms: where these changed, the sums may
    /// say the opposite of the strata.
    fn effect_seen(&self, seen: &Seen) -> Option<String> {
        let ([Some(t), Some(c)], Against::Control(_)) = (seen.shares(), seen.against) else { return None };
        let ratio = t / (1.0 - t) / (c / (1.0 - c));
        let is_worse = if seen.harm == Harm::Increase { t > c } else { t < c };
        match is_worse {
            true if ratio.is_finite() => Some(format!("odds {} times", number(ratio))),
            true => None,
            false => Some("worse where both are compared at the same time".into()),
        }
    }

    /// Wilson's score interval.
    fn moved(&self, state: &State, _: Option<f64>, z: f64) -> Option<f64> {
        let (n, p) = (state.n as f64, self.value(state, None)?);
        Some((p + z * z / (2.0 * n) + z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt()) / (1.0 + z * z / n))
    }

    /// A relative margin is of the odds. A share beyond 0 or 1 is the limit that nothing is worse than; the tests want it
    /// inside.
    fn worse(&self, share: f64, harm: Harm, margin: Margin) -> Option<f64> {
        match margin {
            Margin::Absolute(points) => {
                let moved = if harm == Harm::Increase { share + points } else { share - points };
                Some(moved.clamp(1e-9, 1.0 - 1e-9))
            }
            Margin::Relative(_) if share == 1.0 => None,
            Margin::Relative(margin) => {
                let ratio = if harm == Harm::Increase { 1.0 + margin } else { 1.0 / (1.0 + margin) };
                let odds = share / (1.0 - share) * ratio;
                Some(odds / (1.0 + odds))
            }
        }
    }

    fn count(&self, weighing: &Weighing, treatment: &State, control: &State) -> Result<[Vec<u64>; 2]> {
        Ok(events(weighing, treatment, control))
    }

    fn increment(&self, weighing: &Weighing, treatment: &Counted, control: &Counted) -> Result<Vec<f64>> {
        let Some(&y_t) = treatment.events.first() else { return Ok(Vec::new()) };
        let y_c = control.first();
        match weighing.against {
            Against::Limit(limit) => one_sample_increment(treatment.n, y_t, limit, weighing.harm, &ERROR_GRID),
            Against::Control(margin) => {
                let arms = Arms { n_t: treatment.n, y_t, n_c: control.n, y_c };
                let tolerated = margin.odds_ratio(weighing.memory.centre, weighing.harm)?;
                tolerated.map_or(Ok(Vec::new()), |tolerated| tolerated.tilt(&arms, weighing.harm, &ERROR_GRID))
            }
        }
    }

    fn safe_increment(
        &self,
        weighing: &Weighing,
        margin: f64,
        _: [&State; 2],
        [t, c]: [&Counted; 2],
    ) -> Result<Vec<f64>> {
        let harm = weighing.harm.opposite();
        match weighing.against {
            Against::Limit(limit) => one_sample_increment(t.n, t.first(), limit, harm, &ERROR_GRID),
            Against::Control(_) => {
                let arms = Arms { n_t: t.n, y_t: t.first(), n_c: c.n, y_c: c.first() };
                fisher_increment(&arms, (1.0 + margin).recip(), harm, &Grid::safe(1.0 + margin)?)
            }
        }
    }

    fn information(&self, weighing: &Weighing, t: &Counted, c: &Counted) -> Vec<f64> {
        match weighing.against {
            Against::Limit(_) => vec![t.n as f64],
            Against::Control(_) => of_trials([t.n, c.n], t.first() + c.first()).to_vec(),
        }
    }

    fn informed(&self, sums: &[f64], limit: Option<f64>, _: Option<f64>) -> Vec<Informed> {
        informed_shares(sums, |trials| limit.map(|limit| Informed::Trials(trials, limit)))
    }

    fn tolerated(&self, margin: Margin, centre: Option<f64>, harm: Harm) -> Option<f64> {
        ratio(margin.odds_ratio(centre, harm))
    }

    fn compared(&self, strata: &[[Counted; 2]], _: Option<f64>, alpha: f64) -> Result<Option<Estimate>> {
        let what = "odds_ratio";
        if strata.is_empty() {
            return Ok(Some(Estimate { what, value: None }));
        }
        let mut score = Score::default();
        for [t, c] in strata {
            score.add(&Arms { n_t: t.n, y_t: t.first(), n_c: c.n, y_c: c.first() })?;
        }
        let (low, high) = score.log_or_interval(alpha)?.map(|(low, high)| (low.exp(), high.exp())).unzip();
        Ok(Some(Estimate { what, value: Some([score.odds_ratio(), low, high]) }))
    }

    fn limited(&self, total: &Counted, alpha: f64) -> Result<Option<Estimate>> {
        share("share", total, alpha).map(Some)
    }

    /// Of the odds, with half an event added (Haldane).
    fn logs(&self, states: &[&State], _: Option<f64>) -> Vec<Option<(f64, f64)>> {
        let log = |state: &&State| {
            let (y, others) = (state.events as f64 + 0.5, state.n as f64 - state.events as f64 + 0.5);
            Some(((y / others).ln(), 1.0 / y + 1.0 / others))
        };
        states.iter().map(log).collect()
    }

    fn margin_setting(&self) -> &'static str {
        self.label()
    }

    fn problem(&self, rule: &Proposed) -> Option<String> {
        let limit = rule.limit.filter(|limit| !(*limit > 0.0 && *limit < 1.0));
        let margin = rule.margin_absolute.filter(|margin| *margin >= 1.0);
        has_no_quantile(rule, self.label())
            .or(limit.map(|x| {
                format!(
                    "the limit of a proportion must be a share between 0 and 1 (2 % is 0.02), got \"{}\"",
                    plain(x)
                )
            }))
            .or(margin.map(|x| {
                let wants =
                    "margin_absolute of a proportion must be a share below 1 (half a percentage point is 0.005)";
                format!("{wants}, got \"{}\"", plain(x))
            }))
    }

    /// Anscombe's transform of a binomial count, which makes its variance nearly constant (Biometrika 35, 1948).
    fn basis(&self) -> Basis {
        Basis::Events
    }

    fn even(&self, state: &State, _: f64) -> f64 {
        ((state.events as f64 + 0.375) / (state.n as f64 + 0.75)).sqrt().asin()
    }

    fn uneven(&self, x: f64) -> f64 {
        x.sin().powi(2)
    }

    fn needs_past(&self, margin: Option<Margin>) -> bool {
        matches!(margin, Some(Margin::Absolute(_)))
    }

    fn remember(&self, memory: &mut Memory, weighing: &Weighing, control: &Counted, _: Option<&State>) -> Result<()> {
        add_to_past(memory, weighing, Past::chance, |past| past.add_trials(control.n, control.first()));
        Ok(())
    }
}

/// A share of what was counted with its interval: of all strata it is the same as of their sum. `None` without data.
pub(super) fn share(what: &'static str, total: &Counted, alpha: f64) -> Result<Estimate> {
    let interval = chance_interval(total.first(), total.n, alpha, SAMPLE)?;
    let value = interval.map(|(low, high)| [Some(total.first() as f64 / total.n as f64), Some(low), Some(high)]);
    Ok(Estimate { what, value })
}

/// A number as it was given.
pub(super) fn plain(x: f64) -> String {
    let text = format!("{x:?}");
    text.strip_suffix(".0").unwrap_or(&text).to_owned()
}

/// Events of both arms; against a limit the control's are not looked at.
pub(super) fn events(weighing: &Weighing, treatment: &State, control: &State) -> [Vec<u64>; 2] {
    let of_control = if matches!(weighing.against, Against::Control(_)) { vec![control.events] } else { Vec::new() };
    [vec![treatment.events], of_control]
}

/// The past that the margin of the next stratum is taken from, and the chance or rate in it.
pub(super) fn add_to_past(
    memory: &mut Memory,
    weighing: &Weighing,
    centre: impl Fn(&Past) -> Option<f64>,
    add: impl Fn(&mut Past),
) {
    if matches!(weighing.against, Against::Control(Margin::Absolute(_))) {
        let past = memory.past.get_or_insert_default();
        add(past);
        memory.centre = centre(past);
    }
}

/// What a stratum of trials of both arms tells of a test of shares.
pub(super) fn of_trials([n_t, n_c]: [u64; 2], events: u64) -> [f64; 4] {
    let (n_t, n, events) = (n_t as f64, n_t as f64 + n_c as f64, events as f64);
    if n > n_t && n_t > 0.0 { power::of_shares(events, n_t / n, events / n) } else { [0.0; 4] }
}

/// The sums of that, one for each level; or one number against a limit.
pub(super) fn informed_shares(sums: &[f64], limited: impl Fn(f64) -> Option<Informed>) -> Vec<Informed> {
    match sums {
        [one] => limited(*one).into_iter().collect(),
        sums => sums.as_chunks::<4>().0.iter().map(|sums| Informed::Shares(*sums)).collect(),
    }
}

/// A tolerated ratio.
pub(super) fn ratio(tolerated: Result<Option<Tolerated>>) -> Option<f64> {
    match tolerated {
        Ok(Some(Tolerated::Ratio(ratio))) => Some(ratio),
        _ => None,
    }
}

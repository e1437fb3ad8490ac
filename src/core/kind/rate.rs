//! Events per row, or unit, of a denominator: test R.

use super::estimate::question;
use super::proportion::{add_to_past, events, informed_shares, plain, ratio};
use super::proposed::has_no_quantile;
use super::state::MAX_VALUES;
use super::weighing::exposure;
use super::{
    Against, Counted, Counting, Estimate, Form, Informed, KindRules, Match, Memory, MetricKind, Part, Proposed,
    State, Told, Weighing,
};
use crate::anomaly::difference::Basis;
use crate::error::Result;
use crate::sketch::Histogram;
use crate::stats::answer;
use crate::stats::margin::{Margin, Past};
use crate::stats::mixture::{ERROR_GRID, Grid};
use crate::stats::power;
use crate::stats::rate::{self, Counts};
use crate::stats::tilt::Harm;

/// The kind `rate`.
pub struct Rate;

impl KindRules for Rate {
    fn kind(&self) -> MetricKind {
        MetricKind::Rate
    }

    fn label(&self) -> &'static str {
        "rate"
    }

    fn counts_events(&self) -> bool {
        true
    }

    fn add(&self, state: &mut State, counting: &Counting, matched: Match, value: f64) {
        if matched != Match::Lone && counting.sum_exposure {
            // An exposure below 0 is as wrong as none.
            let exposure = if value >= 0.0 { value } else { f64::NAN };
            state.moments.get_or_insert_default().push(exposure);
            state.n += u64::from(exposure.is_finite());
        } else {
            state.n += u64::from(matched != Match::Lone);
        }
        match matched {
            Match::Row => {}
            _ if counting.sum_values => state.add_events(value),
            _ => state.events += 1,
        }
    }

    fn add_many(&self, state: &mut State, counting: &Counting, matched: Match, values: &Histogram) {
        let fits = if counting.sum_exposure && matched != Match::Lone {
            state.absorb(counting, values)
        } else {
            values.count() <= MAX_VALUES
        };
        if fits && matched != Match::Lone {
            state.n += values.count();
        }
        match matched {
            Match::Row => {}
            _ if !fits => {}
            _ if counting.sum_values => state.add_events(f64::NAN), // a histogram is no counter
            _ => state.events = state.events.saturating_add(values.count()),
        }
    }

    /// A row is one of the denominator, by its exposure, and one of the numerator, by its value.
    fn add_given(&self, state: &mut State, counting: &Counting, value: Option<f64>, exposure: Option<f64>) {
        self.add(state, counting, Match::Row, exposure.unwrap_or(f64::NAN));
        self.add(state, counting, Match::Lone, value.unwrap_or(f64::NAN));
    }

    fn value(&self, state: &State, _: Option<f64>) -> Option<f64> {
        let over = exposure(state.n, state.moments.as_ref());
        (over != 0.0).then(|| state.events as f64 / over)
    }

    fn estimates(&self) -> &'static [Told] {
        const { &[Told::new("rate_ratio", "rate ratio", Form::Times), Told::new("rate", "rate", Form::Value)] }
    }

    fn takes(&self) -> &'static [Part] {
        &[Part::Per, Part::SumValues, Part::Query]
    }

    fn latest(&self, arm: &Counted) -> Option<f64> {
        let over = arm.exposure();
        (over > 0.0).then(|| arm.first() as f64 / over)
    }

    /// The score interval of a Poisson count.
    fn moved(&self, state: &State, _: Option<f64>, z: f64) -> Option<f64> {
        let (y, over) = (state.events as f64, exposure(state.n, state.moments.as_ref()));
        (over != 0.0).then(|| (y + z * z / 2.0 + z * (y + z * z / 4.0).sqrt()) / over)
    }

    /// A rate below 0 is the limit that nothing is worse than; the test wants it above.
    fn worse(&self, value: f64, harm: Harm, margin: Margin) -> Option<f64> {
        Some(match (margin, harm) {
            (Margin::Relative(margin), Harm::Increase) => value * (1.0 + margin),
            (Margin::Relative(margin), Harm::Decrease) => value / (1.0 + margin),
            (Margin::Absolute(units), Harm::Increase) => (value + units).max(1e-300),
            (Margin::Absolute(units), Harm::Decrease) => (value - units).max(1e-300),
        })
    }

    fn count(&self, weighing: &Weighing, treatment: &State, control: &State) -> Result<[Vec<u64>; 2]> {
        Ok(events(weighing, treatment, control))
    }

    fn increment(&self, weighing: &Weighing, treatment: &Counted, control: &Counted) -> Result<Vec<f64>> {
        let Some(&count_t) = treatment.events.first() else { return Ok(Vec::new()) };
        let (exposure_t, exposure_c) = (treatment.exposure(), control.exposure());
        let (count_c, harm) = (control.first(), weighing.harm);
        let tolerated = match weighing.against {
            Against::Limit(limit) => return rate::limit_increment(exposure_t, count_t, limit, harm, &ERROR_GRID),
            Against::Control(margin) => margin.rate_ratio(weighing.memory.centre, harm)?,
        };
        match tolerated {
            None => Ok(Vec::new()),
            // What was counted before its exposure came, or without any, has nothing to be compared with.
            Some(_) if exposure_t == 0.0 || exposure_c == 0.0 => Ok(ERROR_GRID.zeros()),
            Some(tolerated) => {
                let counts = Counts { exposure_t, count_t, exposure_c, count_c };
                tolerated.tilt_rate(&counts, harm, &ERROR_GRID)
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
        let (harm, exposure_t, exposure_c) = (weighing.harm.opposite(), t.exposure(), c.exposure());
        match weighing.against {
            Against::Limit(limit) => rate::limit_increment(exposure_t, t.first(), limit, harm, &ERROR_GRID),
            Against::Control(_) if exposure_t == 0.0 || exposure_c == 0.0 => Ok(Grid::safe(1.0 + margin)?.zeros()),
            Against::Control(_) => {
                let counts = Counts { exposure_t, count_t: t.first(), exposure_c, count_c: c.first() };
                rate::increment(&counts, (1.0 + margin).recip(), harm, &Grid::safe(1.0 + margin)?)
            }
        }
    }

    fn information(&self, weighing: &Weighing, t: &Counted, c: &Counted) -> Vec<f64> {
        let (exposure_t, exposure_c) = (t.exposure(), c.exposure());
        match weighing.against {
            Against::Limit(_) => vec![exposure_t],
            Against::Control(_) if exposure_t == 0.0 || exposure_c == 0.0 => vec![0.0; 4],
            Against::Control(_) => {
                let events = t.first() as f64 + c.first() as f64;
                power::of_shares(events, exposure_t / (exposure_t + exposure_c), 0.0).to_vec()
            }
        }
    }

    fn informed(&self, sums: &[f64], limit: Option<f64>, _: Option<f64>) -> Vec<Informed> {
        informed_shares(sums, |exposure| limit.map(|limit| Informed::Expected(exposure * limit)))
    }

    fn tolerated(&self, margin: Margin, centre: Option<f64>, harm: Harm) -> Option<f64> {
        ratio(margin.rate_ratio(centre, harm))
    }

    fn compared(&self, strata: &[[Counted; 2]], _: Option<f64>, alpha: f64) -> Result<Option<Estimate>> {
        let over = |[t, c]: &[Counted; 2]| Counts {
            exposure_t: t.exposure(),
            count_t: t.first(),
            exposure_c: c.exposure(),
            count_c: c.first(),
        };
        let strata: Vec<_> =
            strata.iter().map(over).filter(|counts| counts.exposure_t > 0.0 && counts.exposure_c > 0.0).collect();
        Ok(Some(Estimate::of("rate_ratio", &answer::rate(&strata, &question(alpha))?)))
    }

    /// The rates that test R against a limit leaves possible.
    fn limited(&self, total: &Counted, alpha: f64) -> Result<Option<Estimate>> {
        let (over, count) = (total.exposure(), total.first());
        let value = if over > 0.0 {
            let (low, high) = rate::limit_interval(over, count, alpha, &ERROR_GRID)?.unzip();
            Some([Some(count as f64 / over), low, high])
        } else {
            None
        };
        Ok(Some(Estimate { what: "rate", value }))
    }

    /// With half an event added (Haldane).
    fn logs(&self, states: &[&State], _: Option<f64>) -> Vec<Option<(f64, f64)>> {
        let log = |state: &&State| {
            let (y, over) = (state.events as f64 + 0.5, exposure(state.n, state.moments.as_ref()));
            (over > 0.0).then(|| ((y / over).ln(), 1.0 / y))
        };
        states.iter().map(log).collect()
    }

    fn margin_setting(&self) -> &'static str {
        self.label()
    }

    fn problem(&self, rule: &Proposed) -> Option<String> {
        let limit = rule.limit.filter(|limit| rule.is_sequential && *limit <= 0.0);
        limit
            .map(|limit| format!("the limit of a rate must be above 0, got \"{}\"", plain(limit)))
            .or_else(|| has_no_quantile(rule, self.label()))
    }

    /// Anscombe's transform of a Poisson count (as of a proportion), by what it is counted over.
    fn basis(&self) -> Basis {
        Basis::Rate
    }

    fn even(&self, state: &State, _: f64) -> f64 {
        ((state.events as f64 + 0.375) / exposure(state.n, state.moments.as_ref())).sqrt()
    }

    fn uneven(&self, x: f64) -> f64 {
        x * x
    }

    fn needs_past(&self, margin: Option<Margin>) -> bool {
        matches!(margin, Some(Margin::Absolute(_)))
    }

    fn remember(&self, memory: &mut Memory, weighing: &Weighing, control: &Counted, _: Option<&State>) -> Result<()> {
        add_to_past(memory, weighing, Past::rate, |past| past.add_exposure(control.exposure(), control.first()));
        Ok(())
    }

    fn comes_in_parts(&self) -> bool {
        true
    }
}

//! Operations of both arms beside each other: seconds on the critical path, calls, and failures that begin in them.
//!
//! What is here: what each operation adds to a request and whether that could be chance. What is not: which spans there
//! are (`spans`).
//!
//! A request is compared by who made it: the variance of seconds a request is that between units (delta method), since
//! requests of one user resemble each other.

use super::Map;
use super::counts::Counts;
use super::latency::quantile;
use super::spans::Traced;
use super::store::Sums;
use super::strata::{self, Weights};
use super::symptom::{Judged, Symptom, judge};
use crate::Result;
use crate::sketch::Ratio;
use crate::stats::report::means::{Group, welch};
use crate::stats::report::multiple::{Correction, adjust};

/// Seconds above this quantile of both arms together count as it: one request that hangs must not decide. (Not of the
/// control alone: where it hardly varies, a cap of its own would cut off all that the treatment adds.)
const CAP: f64 = 0.999;
/// An operation in fewer requests of both arms is not tested.
const FEW: usize = 5;
/// Operations that are tested: those with the most seconds.
const MOST: usize = 500;

/// How an operation is worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Each call takes longer.
    Slower,
    /// It is called more often.
    MoreCalls,
    /// It is called at least twice as often, and twice more a request: one call for each item, perhaps.
    Repeated,
    /// The control does not call it.
    New,
    /// It takes no longer.
    NotWorse,
}

impl Why {
    /// In one word for SQL.
    pub fn label(self) -> &'static str {
        match self {
            Self::Slower => "slower",
            Self::MoreCalls => "more calls",
            Self::Repeated => "repeated",
            Self::New => "new",
            Self::NotWorse => "not worse",
        }
    }
}

/// One operation in both arms, control first: means over requests.
#[derive(Debug, Clone, PartialEq)]
pub struct Compared {
    /// Which (`operation::Operations`).
    pub operation: usize,
    /// Calls a request.
    pub calls: [f64; 2],
    /// Seconds on the critical path a request.
    pub seconds: [f64; 2],
    /// Seconds that the treatment adds to a request.
    pub delta: f64,
    /// Its part of what the treatment adds to a request in all.
    pub share: Option<f64>,
    /// How it is worse.
    pub why: Why,
    /// p of no more seconds with the treatment, Holm over the operations; None where it was not tested.
    pub p_value: Option<f64>,
}

/// Failures that begin in an operation.
#[derive(Debug, Clone, PartialEq)]
pub struct Failing {
    /// Which.
    pub operation: usize,
    /// Requests with such a failure, control first.
    pub requests: [f64; 2],
    /// Excess and probabilities, Holm over the operations.
    pub judged: Judged,
}

/// The traces of both arms.
#[derive(Debug)]
pub struct Comparison<'t> {
    arms: [&'t [Traced]; 2],
    /// Of each arm: its units, how many requests each made, and what they count for. Traces of a unit lie side by side.
    units: [Vec<(usize, f64)>; 2],
    /// What requests count for, by their stage, and all of an arm together.
    weights: Weights,
    total: [f64; 2],
}

/// What one operation did in the requests of an arm.
#[derive(Debug, Clone, Default)]
struct Did {
    calls: f64,
    seconds: f64,
    /// Requests by place with its seconds in each.
    requests: Vec<(usize, f64)>,
}

impl<'t> Comparison<'t> {
    /// Of traces in the order of `Spans::traces`; None where an arm has none.
    pub fn new(traces: &'t [Traced]) -> Option<Self> {
        let (control, treatment) = traces.split_at(traces.partition_point(|traced| !traced.root.treated));
        let mut totals: Vec<Counts> = Vec::new();
        traces.iter().for_each(|traced| strata::add(&mut totals, traced.root.stratum, traced.root.treated, false));
        let weights = Weights::new(&totals);
        let weight = |traced: &Traced| weights.of(traced.root.stratum, traced.root.treated);
        let units = [control, treatment].map(|arm| {
            let of_unit = |traces: &[Traced]| (traces.len(), traces.iter().map(weight).sum());
            arm.chunk_by(|a, b| a.root.unit == b.root.unit).map(of_unit).collect()
        });
        let total = [control, treatment].map(|arm| arm.iter().map(weight).sum());
        (total[0] > 0.0 && total[1] > 0.0).then_some(Self { arms: [control, treatment], units, weights, total })
    }

    fn weight(&self, traced: &Traced) -> f64 {
        self.weights.of(traced.root.stratum, traced.root.treated)
    }

    /// Requests, control first.
    pub fn requests(&self) -> [usize; 2] {
        self.arms.map(<[Traced]>::len)
    }

    /// Mean seconds of a request, control first.
    pub fn seconds(&self) -> [f64; 2] {
        let seconds = |traced: &Traced| traced.seconds * self.weight(traced);
        [0, 1].map(|arm: usize| self.arms[arm].iter().map(seconds).sum::<f64>() / self.total[arm])
    }

    fn by_operation(&self) -> Vec<(usize, [Did; 2])> {
        let mut found: Map<usize, [Did; 2]> = Map::default();
        for (arm, traces) in self.arms.iter().enumerate() {
            for (place, traced) in traces.iter().enumerate() {
                for (operation, work) in &traced.path.work {
                    let did = &mut found.entry(*operation).or_default()[arm];
                    did.calls += work.calls as f64 * self.weight(traced);
                    did.seconds += work.seconds * self.weight(traced);
                    did.requests.push((place, work.seconds));
                }
            }
        }
        let mut found: Vec<(usize, [Did; 2])> = found.into_iter().collect();
        let seconds = |(_, [c, t]): &(usize, [Did; 2])| c.seconds + t.seconds;
        found.sort_by(|a, b| seconds(b).total_cmp(&seconds(a)).then(a.0.cmp(&b.0)));
        found
    }

    /// All operations, those that add most first.
    ///
    /// # Errors
    /// As the tests say.
    pub fn operations(&self) -> Result<Vec<Compared>> {
        let [c, t] = self.seconds();
        let total = t - c;
        let mut compared = Vec::new();
        for (number, (operation, did)) in self.by_operation().into_iter().enumerate() {
            let mean = |of: fn(&Did) -> f64| [0, 1].map(|arm: usize| of(&did[arm]) / self.total[arm]);
            let (calls, seconds) = (mean(|did| did.calls), mean(|did| did.seconds));
            let delta = seconds[1] - seconds[0];
            let is_tested = number < MOST && did[0].requests.len() + did[1].requests.len() >= FEW;
            let p_value = if is_tested { self.test(&did)? } else { None };
            let share = (total > 0.0).then(|| delta / total);
            compared.push(Compared { operation, calls, seconds, delta, share, why: why(calls, seconds), p_value });
        }
        let tested: Vec<f64> = compared.iter().filter_map(|c| c.p_value).collect();
        let adjusted = adjust(&tested, Correction::Holm)?;
        compared.iter_mut().filter_map(|c| c.p_value.as_mut()).zip(adjusted).for_each(|(p, holm)| *p = holm);
        compared.sort_by(|a, b| b.delta.total_cmp(&a.delta).then(a.operation.cmp(&b.operation)));
        Ok(compared)
    }

    /// p of no more seconds with the treatment: Welch's test of seconds a request between units.
    fn test(&self, did: &[Did; 2]) -> Result<Option<f64>> {
        let requests = did.iter().flat_map(|did| &did.requests);
        let mut seconds: Vec<f64> = requests.map(|(_, seconds)| *seconds).collect();
        seconds.resize(self.requests().iter().sum::<usize>().max(seconds.len()), 0.0);
        seconds.sort_by(f64::total_cmp);
        // Of an operation that hardly any request has, the cap would be 0.
        let cap = quantile(&seconds, CAP).filter(|cap| *cap > 0.0).unwrap_or(f64::INFINITY);
        let group = |arm: usize| Group::of_ratio(&self.ratio(arm, &did[arm], cap));
        let (Some(t), Some(c)) = (group(1), group(0)) else { return Ok(None) };
        Ok(welch(&t, &c, 0.95, 0.0)?.map(|means| means.absolute.p_greater))
    }

    fn ratio(&self, arm: usize, did: &Did, cap: f64) -> Ratio {
        let mut ratio = Ratio::default();
        let mut requests = did.requests.iter().peekable();
        let mut end = 0;
        for (n, weight) in &self.units[arm] {
            end += n;
            let mut seconds = 0.0;
            while let Some((place, of_request)) = requests.next_if(|(place, _)| *place < end) {
                seconds += of_request.min(cap) * self.weight(&self.arms[arm][*place]);
            }
            if *weight > 0.0 {
                ratio.push(seconds, *weight);
            }
        }
        ratio
    }

    /// Operations in which failures begin, by excess.
    pub fn failures(&self) -> Vec<Failing> {
        let mut found: Map<usize, [Vec<usize>; 2]> = Map::default();
        for (arm, traces) in self.arms.iter().enumerate() {
            for (place, traced) in traces.iter().enumerate() {
                for operation in &traced.path.origins {
                    let places = &mut found.entry(*operation).or_default()[arm];
                    if places.last() != Some(&place) {
                        places.push(place);
                    }
                }
            }
        }
        let mut found: Vec<(usize, [Vec<usize>; 2])> = found.into_iter().collect();
        found.sort_by_key(|(operation, _)| *operation);
        let symptom = |(_, places): &(usize, [Vec<usize>; 2])| {
            let [e_c, e_t] = [0, 1].map(|arm: usize| self.weighted(arm, &places[arm]));
            let d = [0, 1].map(|arm: usize| self.dispersion(arm, &places[arm]));
            Symptom { e_t, e_c, dispersion: d[0].max(d[1]).max(1.0) }
        };
        let symptoms: Vec<Symptom> = found.iter().map(symptom).collect();
        let [n_c, n_t] = self.total;
        let failing = |judged: Judged| {
            let (operation, places) = &found[judged.place];
            Failing { operation: *operation, requests: [0, 1].map(|arm: usize| places[arm].len() as f64), judged }
        };
        judge(&symptoms, n_t, n_c).into_iter().map(failing).collect()
    }

    /// What some requests of an arm count for.
    fn weighted(&self, arm: usize, places: &[usize]) -> f64 {
        places.iter().map(|place| self.weight(&self.arms[arm][*place])).sum()
    }

    fn dispersion(&self, arm: usize, places: &[usize]) -> f64 {
        let (mut sums, mut end) = (Sums::default(), 0);
        let mut places = places.iter().peekable();
        for (n, weight) in &self.units[arm] {
            end += n;
            let mut e = 0.0;
            while let Some(place) = places.next_if(|place| **place < end) {
                e += self.weight(&self.arms[arm][*place]);
            }
            sums.close(&Sums { n: *weight, e, ..Sums::default() });
        }
        sums.dispersion()
    }
}

fn why([calls_c, calls_t]: [f64; 2], [seconds_c, seconds_t]: [f64; 2]) -> Why {
    if seconds_t <= seconds_c {
        return Why::NotWorse;
    }
    if calls_c == 0.0 {
        return Why::New;
    }
    if calls_t >= 2.0 * calls_c && calls_t - calls_c >= 2.0 {
        return Why::Repeated;
    }
    // delta = more calls at the control's seconds a call, and calls at more seconds each.
    let by_calls = (calls_t - calls_c) * seconds_c / calls_c;
    if 2.0 * by_calls > seconds_t - seconds_c { Why::MoreCalls } else { Why::Slower }
}

//! Kinds of metrics: all that differs between a proportion, a mean, a quantile, a rate and a ratio.
//!
//! What is here: the list [`KINDS`], and one file a kind that says what a row adds to a state, what a state says, and how
//! a stratum of two states is weighed. What is not: which rows a metric reads (`telemetry`), and what is made of the
//! evidence (`guardrail`), which are the same for all kinds.
//!
//! Whoever adds a kind writes its file, and names it in [`MetricKind`], in [`KINDS`] and in the SQL type `metric_kind`.

mod estimate;
mod mean;
mod part;
mod proportion;
mod proposed;
mod quantile;
mod rate;
mod ratio;
pub mod report;
mod state;
mod weighing;
pub mod words;

use crate::anomaly::difference::Basis;
pub use estimate::{Estimate, QuantileRatio, quantile_of, quantile_ratios};
pub use part::Part;
pub use proposed::Proposed;
pub use quantile::levels;
use report::{Form, Told};
pub(crate) use state::{Counting, Match};
pub use state::{State, bounded_sum};
pub use weighing::{Against, Counted, Memory, Weighing};
use words::{Seen, amount, percent};

use crate::error::{Error, Kind, Result};
use crate::sketch::Histogram;
use crate::stats::margin::Margin;
use crate::stats::mixture::{self, ERROR_GRID, Grid};
pub(crate) use crate::stats::power::Told as Informed;
use crate::stats::tilt::Harm;

/// What a metric reads from its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// The share of rows that are events.
    Proportion,
    /// The mean of the rows' values.
    Mean,
    /// Quantiles of the rows' values.
    Quantile,
    /// How many rows there are per row of a denominator, or per unit of its values.
    Rate,
    /// The sum of the rows' values per row of a denominator.
    Ratio,
}

/// All kinds, in the order of [`MetricKind`].
pub static KINDS: [&'static dyn KindRules; 5] =
    [&proportion::Proportion, &mean::Mean, &quantile::Quantile, &rate::Rate, &ratio::Ratio];

/// The states of a query's rows.
#[derive(Debug, Clone, Copy)]
pub struct QueryRows(Counting);

impl QueryRows {
    /// Of a metric of some kind, with its cap.
    pub fn new(kind: MetricKind, cap: Option<f64>) -> Self {
        let (floor, cap) = cap.map_or((f64::NEG_INFINITY, f64::INFINITY), |cap| (0.0, cap));
        Self(Counting { kind, floor, cap, sum_values: true, sum_exposure: true })
    }

    /// Adds a row with its time (microseconds), value and exposure to a state.
    pub fn add(&self, state: &mut State, at: i64, value: Option<f64>, exposure: Option<f64>) {
        state.last_ts = state.last_ts.max(at);
        self.0.kind.rules().add_given(state, &self.0, value, exposure);
    }
}

impl MetricKind {
    /// Reads the SQL label of a metric kind.
    ///
    /// # Errors
    /// [`Kind::InvalidParameter`] when there is no such kind.
    pub fn from_label(label: &str) -> Result<Self> {
        KINDS
            .iter()
            .find(|rules| rules.label() == label)
            .map(|rules| rules.kind())
            .ok_or_else(|| Error::new(Kind::InvalidParameter, format!("there is no metric kind \"{label}\"")))
    }

    /// What differs between this kind and the others.
    pub fn rules(self) -> &'static dyn KindRules {
        KINDS[self as usize]
    }
}

/// The grid of a test of safety: no effect is what a margin hopes for; how far within a limit the treatment is, nobody knows.
fn safe_grid(margin: f64, is_of_control: bool) -> Result<Grid> {
    if is_of_control { Grid::safe(1.0 + margin) } else { Ok(ERROR_GRID.clone()) }
}

/// What differs between kinds of metrics.
pub trait KindRules: Sync {
    /// The kind.
    fn kind(&self) -> MetricKind;

    /// Its SQL label.
    fn label(&self) -> &'static str;

    /// Does it count events: then it may have seen none, which is either good or a misspelt event.
    fn counts_events(&self) -> bool {
        false
    }

    /// Does it read the value of a row.
    fn reads_values(&self) -> bool {
        true
    }

    /// Adds a row of one value to a state; NaN stands for no value.
    fn add(&self, state: &mut State, counting: &Counting, matched: Match, value: f64);

    /// Adds a row that stands for many values. One whose counts would not fit is left out as invalid.
    fn add_many(&self, state: &mut State, counting: &Counting, matched: Match, values: &Histogram);

    /// Adds a row of a metric's query: its value, and of a rate what that is counted over. What is no value is invalid, as
    /// of telemetry.
    fn add_given(&self, state: &mut State, counting: &Counting, value: Option<f64>, _exposure: Option<f64>) {
        self.add(state, counting, Match::Event, value.unwrap_or(f64::NAN));
    }

    /// A value in words.
    fn told(&self, value: f64, unit: &str) -> String {
        amount(value, unit)
    }

    /// A margin in words: 10 %, 0.02 s.
    fn margin_told(&self, margin: Margin, unit: &str) -> String {
        match margin {
            Margin::Relative(margin) => percent(margin),
            Margin::Absolute(units) => amount(units, unit),
        }
    }

    /// How its values are told in reports.
    fn form(&self) -> Form {
        Form::Value
    }

    /// The estimates that it gives, in the order of a report.
    fn estimates(&self) -> &'static [Told] {
        &[]
    }

    /// What its counts are, for reports; `None`: nothing is counted.
    fn counts_told(&self) -> Option<&'static str> {
        self.counts_events().then_some("events")
    }

    /// Which parts of a definition it takes that not all kinds have.
    fn takes(&self) -> &'static [Part] {
        &[Part::Query]
    }

    /// Is the cause of harm looked for among rows with worse values, not among those that are events.
    fn is_of_values(&self) -> bool {
        false
    }

    /// Of several quantiles that are tested at once, each: the rest of the kinds has one value.
    fn levels(&self, _quantile: Option<f64>) -> Vec<f64> {
        Vec::new()
    }

    /// What treatment and control were over all that was weighed, in words; `None` where stored counts alone do not tell.
    fn seen(&self, _seen: &Seen) -> Option<String> {
        None
    }

    /// How many times the control's the treatment's are, in words; `None` likewise.
    fn effect_seen(&self, _seen: &Seen) -> Option<String> {
        None
    }

    /// The value of an arm of one stratum, where [`KindRules::seen`] has nothing to say.
    fn latest(&self, _arm: &Counted) -> Option<f64> {
        None
    }

    /// What a state says: share, mean, rate, ratio, or a quantile. `None` without data, never 0.
    fn value(&self, state: &State, quantile: Option<f64>) -> Option<f64>;

    /// The value moved by so many standard errors; `None` where the state does not tell.
    fn moved(&self, state: &State, quantile: Option<f64>, z: f64) -> Option<f64>;

    /// The ends of an interval of 95 % around the value, valid for one look; `None` where the state does not tell.
    fn interval(&self, state: &State, quantile: Option<f64>) -> [Option<f64>; 2] {
        // A mean or a ratio of fewer than ten values has no standard error to speak of.
        let tells = self.counts_events() || state.n >= 10;
        [-1.96, 1.96].map(|z| self.moved(state, quantile, z).filter(|_| tells))
    }

    /// A value worsened by a margin.
    fn worse(&self, value: f64, harm: Harm, margin: Margin) -> Option<f64> {
        Some(match (margin, harm) {
            (Margin::Relative(margin), Harm::Increase) => value * (1.0 + margin),
            (Margin::Relative(margin), Harm::Decrease) => value / (1.0 + margin),
            (Margin::Absolute(units), Harm::Increase) => value + units,
            (Margin::Absolute(units), Harm::Decrease) => value - units,
        })
    }

    /// What of a stratum's two states is compared: events, or values above each threshold, of treatment and control.
    ///
    /// # Errors
    /// When the rule cannot be tested so.
    fn count(&self, weighing: &Weighing, treatment: &State, control: &State) -> Result<[Vec<u64>; 2]>;

    /// What the counts of a stratum add to the evidence; empty while there is nothing that they can be judged at.
    ///
    /// # Errors
    /// When the rule cannot be tested so, and as the tests.
    fn increment(&self, weighing: &Weighing, treatment: &Counted, control: &Counted) -> Result<Vec<f64>>;

    /// The log e-value of the sums of one test over its grid of effects.
    ///
    /// # Errors
    /// When there are not as many sums as the grid has points.
    fn mixed(&self, sums: &[f64]) -> Result<f64> {
        mixture::log_e(sums, &ERROR_GRID)
    }

    /// What a stratum adds to the evidence that the treatment is safe: not worse than the control by `margin`, or within the
    /// limit. Empty while there is nothing that it can be judged at; `states` have the values that counts do not tell.
    ///
    /// # Errors
    /// As the tests.
    fn safe_increment(
        &self,
        weighing: &Weighing,
        margin: f64,
        states: [&State; 2],
        counted: [&Counted; 2],
    ) -> Result<Vec<f64>>;

    /// The log e-value of the sums of one test of that.
    ///
    /// # Errors
    /// When there are not as many sums as the grid has points.
    fn safe_mixed(&self, sums: &[f64], margin: f64, is_of_control: bool) -> Result<f64> {
        mixture::log_e(sums, &safe_grid(margin, is_of_control)?)
    }

    /// What the counts of a stratum tell of how much the test is able to see (`stats::power`).
    fn information(&self, weighing: &Weighing, treatment: &Counted, control: &Counted) -> Vec<f64>;

    /// The sums of that, as the closed form takes them.
    fn informed(&self, sums: &[f64], limit: Option<f64>, quantile: Option<f64>) -> Vec<Informed>;

    /// What is tolerated as the closed form takes it: how many times worse; `None`: anything, or it is not known yet.
    fn tolerated(&self, _margin: Margin, _centre: Option<f64>, _harm: Harm) -> Option<f64> {
        None
    }

    /// What is estimated of treatment against control over all strata, at every look; `None`: nothing.
    ///
    /// # Errors
    /// As the tests.
    fn compared(&self, _strata: &[[Counted; 2]], _cap: Option<f64>, _alpha: f64) -> Result<Option<Estimate>> {
        Ok(None)
    }

    /// What is estimated of the treatment beside a limit over all strata, at every look; `None`: nothing.
    ///
    /// # Errors
    /// As the tests.
    fn limited(&self, _total: &Counted, _alpha: f64) -> Result<Option<Estimate>> {
        Ok(None)
    }

    /// The logarithm of the value in each state of one arm (of the odds for a share), with its variance by sampling; `None`
    /// where a state does not tell.
    fn logs(&self, states: &[&State], level: Option<f64>) -> Vec<Option<(f64, f64)>>;

    /// The quantiles whose logarithms are looked at; one `None` for what has none.
    fn log_levels(&self, _quantile: Option<f64>) -> Vec<Option<f64>> {
        vec![None]
    }

    /// A standard deviation of logarithms as a margin of the test.
    fn margin_of_log(&self, log: f64, _harm: Harm, _is_of_control: bool) -> f64 {
        log.exp() - 1.0
    }

    /// Is there a sequential test, against the control or against a limit.
    fn is_tested(&self, _is_of_control: bool) -> bool {
        true
    }

    /// The setting `guardrail.margin.*` of its relative margin against the control.
    fn margin_setting(&self) -> &'static str {
        "baseline"
    }

    /// Why a rule does not fit the kind; `None`: it does.
    fn problem(&self, _rule: &Proposed) -> Option<String> {
        None
    }

    /// What the difference of two series is judged by.
    fn basis(&self) -> Basis {
        Basis::Values
    }

    /// The value on the scale that an anomaly is looked for, which evens out its noise.
    fn even(&self, _state: &State, value: f64) -> f64 {
        value
    }

    /// Back from that scale.
    fn uneven(&self, x: f64) -> f64 {
        x
    }

    /// Is the control's first data only what the next is judged at.
    fn needs_past(&self, margin: Option<Margin>) -> bool;

    /// Is a stratum judged at quantiles of the control's recent past (`reference` of [`KindRules::remember`]).
    fn looks_back(&self) -> bool {
        false
    }

    /// What the next stratum is judged at, after the control of this one. `reference` is the control's recent past.
    ///
    /// # Errors
    /// As the sketches.
    fn remember(
        &self,
        memory: &mut Memory,
        weighing: &Weighing,
        control: &Counted,
        reference: Option<&State>,
    ) -> Result<()>;

    /// Do the events and what they are counted per come by different requests, seconds apart: then they are gathered for
    /// a while before they are compared with a limit.
    fn comes_in_parts(&self) -> bool {
        false
    }
}

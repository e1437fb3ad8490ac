//! The state of a group of rows, and what a row adds to it for each kind of metric.

use super::Row;
use crate::error::{Error, Kind, Result};
use crate::sketch::{Histogram, Moments, Sketch};

/// The largest count that a row of a rate may add: a million million. Larger values are not counts but times or
/// addresses.
const MAX_ADDEND: f64 = 1e12;

/// The largest number of values that one row may stand for. Sketches count to 2^53 and refuse more: a row of that size
/// would leave no room, and every later tick would fail.
const MAX_VALUES: u64 = 1_000_000_000;

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

impl MetricKind {
    /// Reads the SQL label of a metric kind.
    pub fn from_label(label: &str) -> Result<Self> {
        match label {
            "proportion" => Ok(Self::Proportion),
            "mean" => Ok(Self::Mean),
            "quantile" => Ok(Self::Quantile),
            "rate" => Ok(Self::Rate),
            "ratio" => Ok(Self::Ratio),
            other => Err(Error::new(Kind::InvalidParameter, format!("there is no metric kind \"{other}\""))),
        }
    }
}

/// How a metric counts a row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counting {
    pub kind: MetricKind,
    /// Limits of the values: one beyond counts as the limit (winsorising). Infinite if there are none.
    pub floor: f64,
    pub cap: f64,
    /// Of a rate: an event counts its value, not 1.
    pub sum_values: bool,
    /// Of a rate: a row of the denominator counts its value, not 1.
    pub sum_exposure: bool,
}

/// Whether a metric matches a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Match {
    Unknown,
    No,
    /// It counts in the denominator.
    Row,
    /// It counts there, and is an event.
    Event,
    /// It is an event of a rate or ratio whose denominator is other rows.
    Lone,
}

impl Match {
    /// From the role of a row in both parts.
    pub fn of(in_denominator: bool, is_event: bool) -> Self {
        match (in_denominator, is_event) {
            (false, false) => Self::No,
            (true, false) => Self::Row,
            (true, true) => Self::Event,
            (false, true) => Self::Lone,
        }
    }
}

/// The state of a group: what its kind of metric needs and nothing more.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// Number of matching rows, or of the values that they stand for, without rows that lack a finite value. Of rates
    /// and ratios, that of the denominator.
    pub n: u64,
    /// Rows that are events.
    pub events: u64,
    /// Of the values of means and ratios, and of the denominators of rates that add values.
    pub moments: Option<Moments>,
    /// Of the values; only for quantiles.
    pub histogram: Option<Histogram>,
    /// Latest time among the rows, in microseconds.
    pub last_ts: i64,
}

impl State {
    pub(super) fn add(&mut self, counting: &Counting, matched: Match, ts: i64, row: &impl Row) {
        self.last_ts = self.last_ts.max(ts);
        if counting.kind == MetricKind::Proportion {
            self.n += 1;
            self.events += u64::from(matched == Match::Event);
        } else if let Some(values) = row.distribution() {
            self.add_many(counting, matched, &values);
        } else {
            // A missing value is invalid, like NaN: the sketch counts it separately, never as zero.
            self.add_one(counting, matched, row.value().unwrap_or(f64::NAN));
        }
    }

    fn add_one(&mut self, counting: &Counting, matched: Match, value: f64) {
        match counting.kind {
            MetricKind::Mean => {
                // A value that is not finite stays so, instead of becoming the limit.
                let value = if value.is_finite() { value.clamp(counting.floor, counting.cap) } else { value };
                self.moments.get_or_insert_default().push(value);
                self.n += u64::from(value.is_finite());
            }
            MetricKind::Quantile => {
                self.histogram.get_or_insert_default().push(value);
                self.n += u64::from(value.is_finite());
            }
            MetricKind::Ratio => {
                self.n += u64::from(matched != Match::Lone);
                if matched != Match::Row {
                    self.moments.get_or_insert_default().push(value);
                }
            }
            MetricKind::Rate | MetricKind::Proportion => {
                if matched != Match::Lone && counting.sum_exposure {
                    // A negative exposure is as wrong as none.
                    let exposure = if value >= 0.0 { value } else { f64::NAN };
                    self.moments.get_or_insert_default().push(exposure);
                    self.n += u64::from(exposure.is_finite());
                } else {
                    self.n += u64::from(matched != Match::Lone);
                }
                self.add_event(counting, matched, value);
            }
        }
    }

    fn add_event(&mut self, counting: &Counting, matched: Match, value: f64) {
        if matched == Match::Row {
            return;
        }
        if !counting.sum_values {
            self.events += 1;
        } else if (0.0..=MAX_ADDEND).contains(&value) && value.fract() == 0.0 {
            self.events = self.events.saturating_add(value as u64);
        } else {
            // Not a count: added to the state's number of invalid values.
            self.moments.get_or_insert_default().push(f64::NAN);
        }
    }

    /// Counts every value of a row that stands for many. A row whose counts would not fit is counted as invalid.
    fn add_many(&mut self, counting: &Counting, matched: Match, values: &Histogram) {
        let (moments, histogram) = (&mut self.moments, &mut self.histogram);
        let merges_moments = match counting.kind {
            MetricKind::Quantile => false,
            MetricKind::Rate => counting.sum_exposure && matched != Match::Lone,
            MetricKind::Ratio => matched != Match::Row,
            MetricKind::Mean | MetricKind::Proportion => true,
        };
        let fits = if values.count() > MAX_VALUES {
            false
        } else if merges_moments {
            let bounded = values.bounded_moments(counting.floor, counting.cap);
            moments.get_or_insert_default().merge(&bounded).is_ok()
        } else {
            counting.kind != MetricKind::Quantile || histogram.get_or_insert_default().merge(values).is_ok()
        };
        if !fits && merges_moments {
            moments.get_or_insert_default().push(f64::NAN);
        } else if !fits && counting.kind == MetricKind::Quantile {
            histogram.get_or_insert_default().push(f64::NAN);
        } else if fits && matched != Match::Lone {
            self.n += values.count();
        }
        if fits && counting.kind == MetricKind::Rate && matched != Match::Row {
            if counting.sum_values {
                self.add_event(counting, matched, f64::NAN); // a histogram is no counter
            } else {
                self.events = self.events.saturating_add(values.count());
            }
        }
    }
}

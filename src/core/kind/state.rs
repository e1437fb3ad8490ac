//! The state of one group of rows, and the parts of what a row adds to it that several kinds share.

use super::MetricKind;
use crate::error::Result;
use crate::sketch::{Histogram, Moments, Sketch};

/// What a row of a rate may count at most: a million million. More is no count, but a time or an address.
const MAX_ADDEND: f64 = 1e12;

/// What a row that stands for many values may stand for. Sketches count to 2^53 and refuse more: a row of that size would
/// leave no room, and every later tick would fail of it.
pub(super) const MAX_VALUES: u64 = 1_000_000_000;

/// How a metric counts a row.
#[derive(Debug, Clone, Copy)]
pub struct Counting {
    /// Its kind.
    pub kind: MetricKind,
    /// Bounds of the values: one beyond is counted as the bound (winsorising). Infinite where there are none.
    pub floor: f64,
    /// See `floor`.
    pub cap: f64,
    /// Of a rate: an event counts its value, not 1.
    pub sum_values: bool,
    /// Of a rate: a row of the denominator counts its value, not 1.
    pub sum_exposure: bool,
}

/// Whether a metric matches a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match {
    /// Not looked at yet.
    Unknown,
    /// It does not.
    No,
    /// It counts in the denominator.
    Row,
    /// It counts there, and is an event.
    Event,
    /// It is an event of a rate or ratio whose denominator is other rows.
    Lone,
}

impl Match {
    /// From what the row is to both parts.
    pub fn of(in_denominator: bool, is_event: bool) -> Self {
        match (in_denominator, is_event) {
            (false, false) => Self::No,
            (true, false) => Self::Row,
            (true, true) => Self::Event,
            (false, true) => Self::Lone,
        }
    }
}

/// The state of one group: what its kind of metric needs and nothing more.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// Rows that match, or the values that they stand for; rows without a finite value do not count. Of rates and ratios
    /// those of the denominator.
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
    /// Adds the values of a row that stands for many, within the metric's bounds; false when they do not fit.
    pub(super) fn absorb(&mut self, counting: &Counting, values: &Histogram) -> bool {
        let fits = values.count() <= MAX_VALUES && {
            let bounded = values.bounded_moments(counting.floor, counting.cap);
            self.moments.get_or_insert_default().merge(&bounded).is_ok()
        };
        if !fits {
            self.moments.get_or_insert_default().push(f64::NAN);
        }
        fits
    }

    /// Counts a row's value as events: told by the state's number of invalid values where it is no count.
    pub(super) fn add_events(&mut self, value: f64) {
        if (0.0..=MAX_ADDEND).contains(&value) && value.fract() == 0.0 {
            self.events = self.events.saturating_add(value as u64);
        } else {
            self.moments.get_or_insert_default().push(f64::NAN);
        }
    }

    /// The state of both groups' rows. Counts beyond what a bigint holds stay the largest.
    ///
    /// # Errors
    /// As [`Sketch::merge`].
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        merge(&mut self.moments, other.moments.as_ref())?;
        merge(&mut self.histogram, other.histogram.as_ref())?;
        self.n = bounded_sum(self.n, other.n);
        self.events = bounded_sum(self.events, other.events);
        self.last_ts = self.last_ts.max(other.last_ts);
        Ok(())
    }
}

/// The sum of two counts, at most the largest bigint.
pub fn bounded_sum(a: u64, b: u64) -> u64 {
    a.saturating_add(b).min(i64::MAX as u64)
}

fn merge<S: Sketch>(mine: &mut Option<S>, other: Option<&S>) -> Result<()> {
    match (mine.as_mut(), other) {
        (Some(mine), Some(other)) => mine.merge(other),
        (None, Some(other)) => {
            *mine = Some(other.clone());
            Ok(())
        }
        (_, None) => Ok(()),
    }
}

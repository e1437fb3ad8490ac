//! Counting many values fast: a histogram with a window of plain counters over its busiest bins.
//!
//! What is here: the state of the aggregate. What is not: anything that is stored; [`Tally::sketch`] gives the histogram.
//!
//! A sorted list of bins costs a search and a jump that no processor predicts. A group that has seen [`SPARSE`]
//! different bins gets a window instead: one counter a bin, found by one subtraction. It grows with the data, up to
//! [`WIDEST`] bins (32 kB, 128 octaves at the default scale); what lies outside goes to the list. Measured side by side
//! (AMD EPYC, shared, release, 10,000 lognormal values over and over): 20 ns a value, 71 by the list.

use std::borrow::Cow;

use super::{Histogram, ZERO_KEY, bin};
use crate::Result;
use crate::sketch::{Accumulate, Sketch};

/// So many different bins are kept in the list before a window is opened.
const SPARSE: usize = 32;
/// The window's width is a multiple of this.
const STEP: i32 = 128;
/// The widest window.
const WIDEST: i64 = 4096;

/// A histogram being made. The window holds counts that the list of `state` lacks; everything else is in `state`.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    state: Histogram,
    /// The key of the first counter.
    base: i32,
    window: Vec<u64>,
}

impl Tally {
    /// An empty one of this scale.
    ///
    /// # Errors
    /// [`crate::Kind::InvalidParameter`] when the scale is out of range.
    pub fn new(scale: i32) -> Result<Self> {
        Histogram::new(scale).map(Self::start)
    }

    /// Add one value.
    #[inline]
    pub fn push(&mut self, x: f64) {
        if !x.is_finite() {
            self.state.invalid += 1;
            return;
        }
        let key = bin::key(x, self.state.scale);
        match self.window.get_mut(key.wrapping_sub(self.base) as u32 as usize) {
            Some(counter) => *counter += 1,
            None => self.outside(key),
        }
        self.state.note(x, 1);
    }

    /// Take back one value that was added before: true when the state is now as if it had never come, false when that
    /// cannot be known, since it was an extreme (the state is unchanged then).
    ///
    /// The sum is off by what rounding leaves of the additions.
    pub fn take_back(&mut self, x: f64) -> bool {
        if !x.is_finite() {
            self.state.invalid = self.state.invalid.saturating_sub(1);
            return true;
        }
        if x <= self.state.min || x >= self.state.max || self.state.sum.abs() == f64::MAX {
            return false;
        }
        let key = bin::key(x, self.state.scale);
        let counter = self.window.get_mut(key.wrapping_sub(self.base) as u32 as usize);
        match counter.filter(|n| **n > 0) {
            Some(counter) => *counter -= 1,
            None => {
                let Ok(at) = self.state.bins.binary_search_by_key(&key, |b| b.0) else { return false };
                self.state.bins[at].1 -= 1;
                if self.state.bins[at].1 == 0 {
                    self.state.bins.remove(at);
                }
            }
        }
        self.state.count -= 1;
        self.state.sum -= x;
        true
    }

    /// Count a key that the window does not hold.
    #[cold]
    fn outside(&mut self, key: i32) {
        let few = self.window.is_empty() && self.state.bins.len() < SPARSE;
        // Zeros are far from all other bins and would keep them out of the window.
        if few || key == ZERO_KEY || !self.widen(key) {
            self.state.count_key(key, 1);
        } else {
            self.window[(key - self.base) as usize] += 1;
        }
    }

    /// Make the window hold this key, unless it would become too wide.
    fn widen(&mut self, key: i32) -> bool {
        let first = i64::from(key) - i64::from(key.rem_euclid(STEP));
        let (mut low, mut high) = (first, first + i64::from(STEP));
        if !self.window.is_empty() {
            low = low.min(self.base.into());
            high = high.max(i64::from(self.base) + self.window.len() as i64);
        }
        if high - low > WIDEST {
            return false;
        }
        let mut wider = vec![0; (high - low) as usize];
        let offset = if self.window.is_empty() { 0 } else { (i64::from(self.base) - low) as usize };
        wider[offset..offset + self.window.len()].copy_from_slice(&self.window);
        // Keys are within 22 bits and their multiples of STEP too.
        (self.base, self.window) = (low as i32, wider);
        true
    }

    fn counted(&self) -> impl Iterator<Item = (i32, u64)> {
        let base = self.base;
        self.window.iter().enumerate().filter(|(_, n)| **n > 0).map(move |(i, n)| (base + i as i32, *n))
    }
}

impl Accumulate for Tally {
    type Sketch = Histogram;

    fn start(state: Histogram) -> Self {
        Self { state, ..Self::default() }
    }

    /// # Errors
    /// [`crate::Kind::LimitExceeded`] when too many values would be counted.
    fn absorb(&mut self, other: &Histogram) -> Result<()> {
        // Merging may coarsen, so the window must be empty.
        let mut state = self.sketch().into_owned();
        state.merge(other)?;
        *self = Self::start(state);
        Ok(())
    }

    fn sketch(&self) -> Cow<'_, Histogram> {
        if self.window.is_empty() {
            return Cow::Borrowed(&self.state);
        }
        let mut whole = self.state.clone();
        whole.add_bins(self.counted());
        Cow::Owned(whole)
    }
}

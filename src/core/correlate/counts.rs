//! Rows and events of both arms, inside a segment and over all.
//!
//! What is here: counts and what follows from them alone. What is not: probabilities (`chance`), subjects (`store`).

use crate::error::{Error, Kind, Result};

/// Up to here every whole number is a float.
const MOST: f64 = 9_007_199_254_740_992.0;
/// Least dispersion that anybody may state.
const LEAST: f64 = 1e-6;

/// Rows and events of the two arms. An event is what the metric calls harm.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Counts {
    /// Rows of the treatment.
    pub n_t: f64,
    /// Events among them.
    pub e_t: f64,
    /// Rows of the control.
    pub n_c: f64,
    /// Events among them.
    pub e_c: f64,
}

impl Counts {
    /// Counts in the order rows and events of the treatment, rows and events of the control.
    pub fn new(n_t: f64, e_t: f64, n_c: f64, e_c: f64) -> Self {
        Self { n_t, e_t, n_c, e_c }
    }

    /// Adds one row, or a row that stands for several.
    pub fn add(&mut self, treated: bool, event: bool, weight: f64) {
        let (n, e) = if treated { (&mut self.n_t, &mut self.e_t) } else { (&mut self.n_c, &mut self.e_c) };
        *n += weight;
        if event {
            *e += weight;
        }
    }

    /// Events of both arms.
    pub fn events(&self) -> f64 {
        self.e_t + self.e_c
    }

    /// Events of the treatment beyond what the control's share of events makes of its rows. Without control rows every
    /// event is one beyond.
    pub fn excess(&self) -> f64 {
        if self.n_c > 0.0 { self.e_t - self.n_t * self.e_c / self.n_c } else { self.e_t }
    }

    /// Both together.
    pub fn plus(&self, other: &Self) -> Self {
        Self::new(self.n_t + other.n_t, self.e_t + other.e_t, self.n_c + other.n_c, self.e_c + other.e_c)
    }

    fn minus(&self, other: &Self) -> Self {
        Self::new(self.n_t - other.n_t, self.e_t - other.e_t, self.n_c - other.n_c, self.e_c - other.e_c)
    }
}

/// A segment and everything around it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Split {
    /// Counts of the segment.
    pub inside: Counts,
    /// Counts of all rows that are not in it.
    pub outside: Counts,
}

impl Split {
    /// A segment of `inside` among `all`, which includes it.
    pub fn new(inside: Counts, all: Counts) -> Self {
        Self { inside, outside: all.minus(&inside) }
    }

    /// The same of counts that somebody wrote.
    ///
    /// # Errors
    /// [`Kind::InvalidParameter`] where there are more events than rows, more in the segment than in all, a count below 0
    /// or beyond 2^53, or a dispersion that is not above 0.
    pub fn checked(inside: Counts, all: Counts, dispersion: Dispersion) -> Result<Self> {
        let split = Self::new(inside, all);
        let fits = |c: &Counts| {
            [c.n_t, c.n_c, c.e_t, c.e_c].iter().all(|n| (0.0..=MOST).contains(n)) && c.e_t <= c.n_t && c.e_c <= c.n_c
        };
        let wrong = |message: &str, hint: &str| Err(Error::new(Kind::InvalidParameter, message).hint(hint));
        if ![inside, split.outside, all].iter().all(fits) {
            return wrong(
                "these are no counts of a segment and of all rows",
                "Events are at most as many as rows, and the segment has at most what all have; all are from 0 to 2^53.",
            );
        }
        if ![dispersion.inside, dispersion.outside].iter().all(|d| (LEAST..=1.0 / LEAST).contains(d)) {
            return wrong(
                &format!(
                    "dispersions must be from 0.000001 to 1000000, got {} and {}",
                    dispersion.inside, dispersion.outside
                ),
                "1 is that of events that come on their own.",
            );
        }
        Ok(split)
    }

    /// Can the segment be compared at all: both arms have rows in it and outside of it.
    pub fn is_comparable(&self) -> bool {
        let present = |c: &Counts| c.n_t > 0.0 && c.n_c > 0.0;
        present(&self.inside) && present(&self.outside)
    }
}

/// How far events come in series of the same subject, inside and outside of a segment (`Store::dispersion`): counts are
/// divided by it before they are judged. 1 where every event is on its own.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dispersion {
    /// Of the segment.
    pub inside: f64,
    /// Of the rest.
    pub outside: f64,
}

impl Dispersion {
    /// Every event on its own.
    pub const NONE: Self = Self { inside: 1.0, outside: 1.0 };
}

//! An e-process: the running sums of one test, and copies of it that were started later.
//!
//! What is here: adding increments, the e-value, its maximum, merging. What is not: which test gives the increments.
//!
//! # Restart copies (statistics.md section 10)
//! An effect that appears only at a later stage has to win back what the null won before. So the e-value is a mean of
//! the whole process and of copies that began with a stage: E = 1/2 E_0 + 1/2 sum over s of 2^-(s+1) E_s, where E_s has
//! seen only what came since stage s began, and is 1 before. E_0 has both halves' first term, so the weights are 3/4,
//! 1/8, 1/16, ...: it costs log(4/3) = 0.29 at most, and an effect that appears at the second stage costs log 8 = 2.1
//! instead of all that was lost before. A copy begins at a stopping time, so each is an e-process, and so is the mean.

use super::mixture::{anytime_p, log_sum_exp};
use crate::{Error, Kind, Result};

/// The most copies that are kept; later stages begin none.
pub const MAX_COPIES: usize = 16;

/// The weight of the whole process among its copies.
const WHOLE: f64 = 0.75;

/// The log of the mean over the whole process and its copies, each given as a log e-value.
pub fn with_copies(whole: f64, copies: &[f64]) -> f64 {
    let weight = |s: i32| 0.5_f64.powi(s + 3);
    let started = copies.iter().enumerate().map(|(s, e)| e + weight(s as i32).ln());
    // What is reserved for copies to come: 1/8 + 1/16 + ... less what has started.
    let reserved = (1.0 - WHOLE) * 0.5_f64.powi(copies.len() as i32);
    log_sum_exp(started.chain([whole + WHOLE.ln(), reserved.ln()]).collect::<Vec<_>>())
}

/// The running sums of a test over a grid, its e-value and the greatest one so far.
#[derive(Debug, Clone, PartialEq)]
pub struct Process {
    log_weights: Vec<f64>,
    ell: Vec<f64>,
    log_e: f64,
    max_log_e: f64,
}

impl Process {
    /// A process that has seen nothing, with the log weights of its grid, which sum to 1.
    pub fn new(log_weights: &[f64]) -> Self {
        Self { log_weights: log_weights.to_vec(), ell: vec![0.0; log_weights.len()], log_e: 0.0, max_log_e: 0.0 }
    }

    /// A process over a grid of `points` equal weights.
    pub fn uniform(points: usize) -> Self {
        Self::new(&vec![-(points as f64).ln(); points])
    }

    /// Add the increments of one stratum and look.
    ///
    /// # Errors
    /// [`Kind::InvalidParameter`] when there are more or fewer increments than points.
    pub fn add(&mut self, increment: &[f64]) -> Result<()> {
        if increment.len() != self.ell.len() {
            let message = format!("\"{}\" increments for a grid of \"{}\"", increment.len(), self.ell.len());
            return Err(Error::new(Kind::InvalidParameter, message));
        }
        self.ell.iter_mut().zip(increment).for_each(|(sum, x)| *sum += x);
        self.look();
        Ok(())
    }

    /// Add the strata of another process: the order does not matter but for rounding. The maximum is of the looks of
    /// this one and of the sum.
    ///
    /// # Errors
    /// As [`Process::add`].
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        self.add(&other.ell)
    }

    fn look(&mut self) {
        self.log_e = log_sum_exp(self.ell.iter().zip(&self.log_weights).map(|(l, w)| l + w));
        self.max_log_e = self.max_log_e.max(self.log_e);
    }

    /// The sums, one for each point of the grid.
    pub fn ell(&self) -> &[f64] {
        &self.ell
    }

    /// The log e-value now.
    pub fn log_e(&self) -> f64 {
        self.log_e
    }

    /// The greatest log e-value of all looks; 0 before the first.
    pub fn max_log_e(&self) -> f64 {
        self.max_log_e
    }

    /// The anytime-valid p-value.
    pub fn p(&self) -> f64 {
        anytime_p(self.max_log_e)
    }

    /// Whether the null is rejected at this alpha, for good.
    pub fn is_reached(&self, alpha: f64) -> bool {
        self.max_log_e >= -alpha.ln()
    }
}

//! An e-process: the running sums of one test, and copies of it that begin later.
//!
//! What is here: adding increments, the e-value, its maximum, merging, copies. What is not: which test gives the
//! increments, and when a copy begins.
//!
//! # Effects that appear late (README.md, section 6)
//! An effect that appears late has to win back what the null won before, which after a million healthy rows is hundreds
//! of nats. So a part of the stake is held back, and some of it is put in each time that a copy begins (with a stage of a
//! ramp, or after a time): E = (1 - R) E_0 + sum over s of w_s E_s + rest, where E_s has seen only what came since copy s
//! began, w_s = R / (s (s + 1)), and rest = R / (s + 1) after s copies. A copy begins at a stopping time and its weight is
//! fixed before, so each E_s is an e-process, and so is their mean, however many copies there are.
//!
//! It costs log(1 / (1 - R)) = 0.05 nats while there is none (a hundredth of a delay), and copy s starts 3.7, 4.8, 5.5 ...
//! nats behind. Weights of 1/2, then 1/8, 1/16 ... would cost 0.29 nats. Measured: tests/simulate, cells B8.
//!
//! All copies add the same increments, so ((1 - R) e^ell_0 + sum w_s e^ell_s) / (1 - rest) is one number for each point
//! of the grid, and the state does not grow: its logarithm is what the sums are. While there is no copy they are the plain
//! sums, and without information they are exactly 0.

use super::mixture::{anytime_p, weighted};
use crate::{Error, Kind, Result};

/// The part of the stake that is held back for copies.
pub const RESERVE: f64 = 0.05;

/// The part of the stake that is in play after so many copies.
fn in_play(copies: f64) -> f64 {
    1.0 - RESERVE / (copies + 1.0)
}

/// log(share e^x + 1 - share), exactly 0 at x = 0.
fn dilute(x: f64, share: f64) -> f64 {
    if x > 1.0 { x + (share + (1.0 - share) * (-x).exp()).ln() } else { (share * x.exp_m1()).ln_1p() }
}

/// Change the sums so that one more copy begins with the next stratum, after so many.
pub fn begin_copy(sums: &mut [f64], copies: f64) {
    // What was in play keeps its stake, what is new has a likelihood ratio of 1.
    let share = in_play(copies) / in_play(copies + 1.0);
    sums.iter_mut().for_each(|sum| *sum = dilute(*sum, share));
}

/// The log e-value of what is in play, after so many copies, together with what is held back.
pub fn with_reserve(log_e: f64, copies: f64) -> f64 {
    dilute(log_e, in_play(copies))
}

/// The running sums of a test over a grid, its e-value and the greatest one so far.
#[derive(Debug, Clone, PartialEq)]
pub struct Process {
    log_weights: Vec<f64>,
    ell: Vec<f64>,
    /// How many copies have begun; None: nothing is held back for any.
    copies: Option<f64>,
    log_e: f64,
    max_log_e: f64,
}

impl Process {
    /// A process that has seen nothing, with the log weights of its grid, which sum to 1.
    pub fn new(log_weights: &[f64]) -> Self {
        let ell = vec![0.0; log_weights.len()];
        Self { log_weights: log_weights.to_vec(), ell, copies: None, log_e: 0.0, max_log_e: 0.0 }
    }

    /// The same, with a reserve for copies.
    pub fn with_reserve(log_weights: &[f64]) -> Self {
        Self { copies: Some(0.0), ..Self::new(log_weights) }
    }

    /// A process over a grid of `points` equal weights.
    pub fn uniform(points: usize) -> Self {
        Self::new(&vec![-(points as f64).ln(); points])
    }

    /// A copy begins with the next stratum; nothing happens without a reserve.
    pub fn begin_copy(&mut self) {
        if let Some(copies) = &mut self.copies {
            begin_copy(&mut self.ell, *copies);
            *copies += 1.0;
        }
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

    /// Add the strata of another process without a reserve: the order does not matter but for rounding. The maximum is
    /// of the looks of this one and of the sum.
    ///
    /// # Errors
    /// As [`Process::add`], and when the other has a reserve: its copies began at times that this one cannot know.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        if other.copies.is_some() {
            return Err(Error::new(Kind::InvalidParameter, "a process with copies cannot be added to another"));
        }
        self.add(&other.ell)
    }

    fn look(&mut self) {
        let log_e = weighted(&self.ell, &self.log_weights).expect("as many sums as weights");
        self.log_e = self.copies.map_or(log_e, |copies| with_reserve(log_e, copies));
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

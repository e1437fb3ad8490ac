//! The split of a rollout judged by test S (`share.rs`): changes of the share that clients learn of late, and the end of a
//! mismatch (README.md, section 8).
//!
//! # Settling
//! Clients may go on serving an older share for a while after a change, at most for the time that a setting allows. Nobody
//! sees when the last of them has learned. So of each point of the grid that the older shares could explain, the
//! evidence of an epoch (a span of time with one share) is the least of the sums that begin at any moment of its settling:
//! min over s of X_j(s, t]. The sum that begins when the last client has learned is one of them, and a true e-process;
//! so the result, which is never more at any point, is an e-value at every look. **Exact** whatever the lag is, all at
//! once or client by client, up to the bound. After the bound everything counts. Points that no older share explains
//! (more of the treatment than a share that has grown) count from the first unit on: each factor
//! (1 + p (e^d - 1)) / (1 + pi (e^d - 1)) is at most 1 for d > 0 and p <= pi.
//!
//! # The end
//! A mismatch is over by a test, too: with w_j the weights of the grid as the evidence left them when it condemned, the
//! product of the units seen since, sum w_j e^(X_j), is the likelihood of the mismatch going on against that of the split
//! that was asked for. Its inverse has mean 1 while the mismatch goes on, so at alpha it is believed to be over by
//! mistake with chance alpha (Ville). It takes about as many units as it took to find it. A mismatch that grows is
//! found anew, and judged from there.

use super::mixture::log_sum_exp;
use super::share::{GRID, increment};
use crate::Result;

/// The weights of the odds ratios 1.02, 1.05, 1.1, 1.2, 1.5, 2 and 5, half of each for either direction. Large mismatches are
/// found within some dozens of units whatever they weigh, so most is given to those that take thousands: 48 % instead of
/// one half is found after 13 % fewer units than with equal weights.
const WEIGHTS: [f64; 7] = [0.05, 0.30, 0.35, 0.15, 0.07, 0.05, 0.03];

/// Units of one epoch that were first seen within one span of time.
#[derive(Debug, Clone, Copy)]
pub struct Slice {
    /// Which epoch, in order of time.
    pub epoch: i64,
    /// The share of the treatment that was asked for.
    pub nominal: f64,
    /// The least and the greatest share that a client may still have served, the nominal one included.
    pub older: [f64; 2],
    /// Is it a moment of the settling.
    pub settling: bool,
    /// Units of the treatment and of the control.
    pub n: [u64; 2],
}

/// What was found of a split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// Nothing is new: no mismatch, or the one that was found goes on.
    None,
    /// A mismatch, or a new one.
    Mismatch,
    /// The mismatch is over.
    Over,
}

/// A split after all units since it was last begun.
#[derive(Debug, Clone)]
pub struct Split {
    /// Sums of log likelihood ratios, one for each point of [`GRID`].
    pub evidence: Vec<f64>,
    /// Natural log of the e-value.
    pub log_e: f64,
    /// What is new: after it the units are counted anew.
    pub finding: Finding,
    /// Log weights of the grid as the evidence of a mismatch left them; empty: there is none.
    pub mismatch: Vec<f64>,
}

/// Judges slices in order of time; `mismatch` is what was found before, and `alpha` the chance of a mistake.
///
/// # Errors
/// As [`increment`].
pub fn judge(slices: &[Slice], mismatch: &[f64], alpha: f64) -> Result<Split> {
    let (evidence, settled) = evidence(slices)?;
    let weighted = || evidence.iter().enumerate().map(|(j, l)| (WEIGHTS[j % WEIGHTS.len()] / 2.0).ln() + l);
    let log_e = log_sum_exp(weighted());
    let line = -alpha.ln();
    let (finding, mismatch) = if log_e >= line {
        (Finding::Mismatch, weighted().map(|l| l - log_e).collect())
    } else if mismatch.len() == settled.len()
        && log_sum_exp(mismatch.iter().zip(&settled).map(|(w, l)| w + l)) <= -line
    {
        (Finding::Over, Vec::new())
    } else {
        (Finding::None, mismatch.to_vec())
    };
    Ok(Split { evidence, log_e, finding, mismatch })
}

/// The evidence of all slices, and the plain sums of those that are not of a settling.
fn evidence(slices: &[Slice]) -> Result<(Vec<f64>, Vec<f64>)> {
    let (mut total, mut settled) = (vec![0.0; GRID.len()], vec![0.0; GRID.len()]);
    for epoch in slices.chunk_by(|a, b| a.epoch == b.epoch) {
        let mut sums = vec![0.0_f64; GRID.len()];
        for slice in epoch {
            let added = increment(slice.nominal, slice.n[0], slice.n[1])?;
            for (j, added) in added.into_iter().enumerate() {
                sums[j] += added;
                if !slice.settling {
                    settled[j] += added;
                } else if slice.explains(GRID[j]) {
                    sums[j] = sums[j].min(0.0);
                }
            }
        }
        total.iter_mut().zip(sums).for_each(|(total, sum)| *total += sum);
    }
    Ok((total, settled))
}

impl Slice {
    /// Could clients with an older share cause a deviation in this direction.
    fn explains(&self, d: f64) -> bool {
        if d > 0.0 { self.older[1] > self.nominal } else { self.older[0] < self.nominal }
    }
}

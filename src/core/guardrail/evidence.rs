//! A guardrail's evidence as it is stored: one list of numbers, grown by each stratum.
//!
//! What is here: its layout, adding a stratum, its e-value. What is not: what a stratum adds (`core::kind`), and when a copy
//! begins (`step`).
//!
//! The first number counts the copies that have begun ([`process`]). After it stand the sums of log likelihood ratios, in
//! which the copies are mixed: eight (the points of the effect grid) for each tested quantile, or eight for any other kind.
//! An empty list has seen nothing.

use crate::error::{Error, Kind, Result};
use crate::kind::MetricKind;
use crate::stats::mixture::{self, ERROR_GRID};
use crate::stats::process;

/// What to do about stored numbers that are damaged.
pub(super) const BEGIN_ANEW: &str = "Delete the guardrail's row of guardrail_status to begin anew.";

/// The evidence after one more stratum, with which a copy may begin. No increment changes nothing.
///
/// # Errors
/// [`Kind::Corrupted`] when the evidence has not one number for each of the increment and one more.
pub fn gather(evidence: &[f64], increment: &[f64], begins_copy: bool) -> Result<Vec<f64>> {
    if increment.is_empty() {
        return Ok(evidence.to_vec());
    }
    let mut grown = match evidence.len() {
        0 => vec![0.0; increment.len() + 1],
        n if n == increment.len() + 1 => evidence.to_vec(),
        n => return Err(damaged(format!("{n} values, wanted {}", increment.len() + 1))),
    };
    let (copies, sums) = grown.split_at_mut(1);
    if begins_copy && !evidence.is_empty() {
        process::begin_copy(sums, copies[0]);
        copies[0] += 1.0;
    }
    sums.iter_mut().zip(increment).for_each(|(sum, x)| *sum += x);
    Ok(grown)
}

/// The natural log of the e-value of some evidence: a mixture over the grid for each tested quantile, the mean of these,
/// and what is held back for copies. No evidence is an e-value of 1.
///
/// # Errors
/// [`Kind::Corrupted`] when it is no count and a multiple of eight sums, or a number is not finite.
pub fn log_e(kind: MetricKind, evidence: &[f64]) -> Result<f64> {
    let points = ERROR_GRID.log_or().len();
    let Some((copies, sums)) = evidence.split_first() else { return Ok(0.0) };
    if sums.is_empty()
        || !sums.len().is_multiple_of(points)
        || evidence.iter().any(|x| !x.is_finite())
        || *copies < 0.0
    {
        return Err(damaged(format!(
            "{} values, wanted a count and a multiple of {points}, all of them finite",
            evidence.len()
        )));
    }
    let each: Result<Vec<f64>> = sums.chunks(points).map(|ell| kind.rules().mixed(ell)).collect();
    Ok(process::with_reserve(mixture::mix(&each?).unwrap_or(0.0), *copies))
}

fn damaged(what: String) -> Error {
    Error::new(Kind::Corrupted, format!("stored evidence is damaged: {what}")).hint(BEGIN_ANEW)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::process::Process;

    #[test]
    fn evidence_is_the_process_with_copies() {
        let mut process = Process::with_reserve(ERROR_GRID.log_weight());
        let mut evidence = Vec::new();
        for (i, x) in [-1.0, -2.0, 0.5, 3.0, 2.0].into_iter().enumerate() {
            let begins_copy = i % 2 == 0; // the first stratum begins the whole, and no copy of it
            if begins_copy && i > 0 {
                process.begin_copy();
            }
            process.add(&[x; 8]).unwrap();
            evidence = gather(&evidence, &[x; 8], begins_copy).unwrap();
            assert!((log_e(MetricKind::Proportion, &evidence).unwrap() - process.log_e()).abs() < 1e-12);
        }
        assert_eq!(gather(&evidence, &[], true).unwrap(), evidence);
        assert_eq!(log_e(MetricKind::Proportion, &gather(&[], &[0.0; 8], false).unwrap()), Ok(0.0));
        // Four quantiles that say the same say what one says.
        let four = gather(&[], &[2.0; 32], false).unwrap();
        assert!(
            (log_e(MetricKind::Proportion, &four).unwrap()
                - log_e(MetricKind::Proportion, &gather(&[], &[2.0; 8], false).unwrap()).unwrap())
            .abs()
                < 1e-12
        );
    }

    #[test]
    fn damaged_evidence_is_an_error() {
        assert_eq!(log_e(MetricKind::Proportion, &[]), Ok(0.0));
        for bad in [vec![1.0], vec![1.0; 8], vec![f64::NAN; 9], vec![-1.0; 9]] {
            assert_eq!(log_e(MetricKind::Proportion, &bad).unwrap_err().kind, Kind::Corrupted);
        }
        assert_eq!(gather(&[0.0; 9], &[0.0; 16], false).unwrap_err().kind, Kind::Corrupted);
    }
}

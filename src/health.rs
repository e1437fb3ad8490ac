//! SQL face of the test for sample ratio mismatch (`core::stats::share`); comments in `sql/api/health.sql`.

use flagscope_core::stats::share;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::argument::{count, known};
use crate::error::Report;

#[pg_extern(immutable, strict, parallel_safe, schema = "_flagscope")]
fn share_increment(nominal: f64, n_treatment: i64, n_rest: i64) -> Result<Vec<f64>, ErrorReport> {
    share::increment(nominal, count(n_treatment).report()?, count(n_rest).report()?).report()
}

/// The mean of the e-values at the grid's points, as a logarithm; no evidence is an e-value of 1.
#[pg_extern(immutable, strict, parallel_safe, schema = "_flagscope")]
fn share_log_e(evidence: Vec<Option<f64>>) -> Result<f64, ErrorReport> {
    let evidence = known(evidence).report()?;
    let top = evidence.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if evidence.is_empty() || !top.is_finite() {
        return Ok(0.0);
    }
    let sum: f64 = evidence.iter().map(|x| (x - top).exp()).sum();
    Ok(top + (sum / evidence.len() as f64).ln())
}

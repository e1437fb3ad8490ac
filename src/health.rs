//! SQL face of the split of rollouts (`core::stats::split`); comments in `sql/api/health.sql`.

use flagscope_core::stats::split::{self, Finding, Slice};
use flagscope_core::{Error, Kind, Result as CoreResult};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::argument::{counts, known};
use crate::error::Report;

#[pg_extern(immutable, strict, parallel_safe, schema = "_flagscope")]
#[allow(clippy::too_many_arguments, clippy::type_complexity)] // an SQL signature: slices by columns, and a row
fn judge_split(
    epoch: Vec<Option<i64>>,
    nominal: Vec<Option<f64>>,
    least: Vec<Option<f64>>,
    greatest: Vec<Option<f64>>,
    settling: Vec<Option<bool>>,
    n_treatment: Vec<Option<i64>>,
    n_control: Vec<Option<i64>>,
    mismatch: Vec<Option<f64>>,
    alpha: f64,
) -> Result<
    TableIterator<
        'static,
        (name!(evidence, Vec<f64>), name!(log_e, f64), name!(finding, String), name!(mismatch, Vec<f64>)),
    >,
    ErrorReport,
> {
    let older = (known(least).report()?, known(greatest).report()?);
    let n = (counts(n_treatment).report()?, counts(n_control).report()?);
    let epochs = (known(epoch).report()?, known(settling).report()?);
    let slices = slices(&epochs, &known(nominal).report()?, &older, &n).report()?;
    let found = split::judge(&slices, &known(mismatch).report()?, alpha).report()?;
    let word = match found.finding {
        Finding::None => "nothing",
        Finding::Mismatch => "mismatch",
        Finding::Over => "over",
    };
    Ok(TableIterator::once((found.evidence, found.log_e, word.to_owned(), found.mismatch)))
}

/// The slices of columns, all of which have an entry for each.
fn slices(
    (epochs, settling): &(Vec<i64>, Vec<bool>),
    nominal: &[f64],
    (least, greatest): &(Vec<f64>, Vec<f64>),
    (treatment, control): &(Vec<u64>, Vec<u64>),
) -> CoreResult<Vec<Slice>> {
    let n = epochs.len();
    let lengths = [settling.len(), nominal.len(), least.len(), greatest.len(), treatment.len(), control.len()];
    if lengths.iter().any(|length| *length != n) {
        let message = format!("the columns of slices must be equally long, got {n} and {lengths:?}");
        return Err(Error::new(Kind::InvalidParameter, message).hint("Give each slice one entry in every list."));
    }
    let slice = |i: usize| Slice {
        epoch: epochs[i],
        nominal: nominal[i],
        older: [least[i].min(nominal[i]), greatest[i].max(nominal[i])],
        settling: settling[i],
        n: [treatment[i], control[i]],
    };
    Ok((0..n).map(slice).collect())
}

//! SQL face of the split of rollouts (`core::stats::split`) and of their rows by arm (`core::stats::row_share`); comments in
//! `sql/api/health.sql` and `row_share.sql`.

use flagscope_core::stats::row_share::{self, RowShare, Stratum, Terms};
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
    check_lengths(n, [settling.len(), nominal.len(), least.len(), greatest.len(), treatment.len(), control.len()])?;
    let slice = |i: usize| Slice {
        epoch: epochs[i],
        nominal: nominal[i],
        older: [least[i].min(nominal[i]), greatest[i].max(nominal[i])],
        settling: settling[i],
        n: [treatment[i], control[i]],
    };
    Ok((0..n).map(slice).collect())
}

/// All columns have an entry for each slice or stratum.
fn check_lengths(n: usize, lengths: [usize; 6]) -> CoreResult<()> {
    if lengths.iter().all(|length| *length == n) {
        return Ok(());
    }
    let message = format!("the columns of slices must be equally long, got {n} and {lengths:?}");
    Err(Error::new(Kind::InvalidParameter, message).hint("Give each slice one entry in every list."))
}

#[pg_extern(immutable, strict, parallel_safe, schema = "_flagscope")]
#[allow(clippy::too_many_arguments, clippy::type_complexity)] // an SQL signature: strata by columns, and a row
fn judge_row_share(
    state: Vec<Option<f64>>,
    at: Vec<Option<TimestampWithTimeZone>>,
    nominal: Vec<Option<f64>>,
    least: Vec<Option<f64>>,
    greatest: Vec<Option<f64>>,
    settling: Vec<Option<bool>>,
    n_treatment: Vec<Option<i64>>,
    n_control: Vec<Option<i64>>,
    alpha: f64,
    margin: f64,
    users: f64,
) -> Result<
    TableIterator<
        'static,
        (
            name!(state, Vec<f64>),
            name!(log_e, f64),
            name!(finding, Option<String>),
            name!(mismatch, Vec<f64>),
            name!(found_by, Vec<f64>),
        ),
    >,
    ErrorReport,
> {
    let mut rows = RowShare::read(&known(state).report()?).report()?;
    let older = (known(least).report()?, known(greatest).report()?);
    let n = (counts(n_treatment).report()?, counts(n_control).report()?);
    let times = (known(at).report()?, known(settling).report()?);
    let terms = Terms { alpha, margin, users: Some(users).filter(|users| *users > 0.0) };
    let (mut finding, mut found_by, mut log_e) = (None, Vec::new(), 0.0_f64);
    for stratum in strata(&times, &known(nominal).report()?, &older, &n).report()? {
        let word = match rows.add(&stratum, &terms).report()? {
            row_share::Finding::None => None,
            row_share::Finding::Mismatch => Some("mismatch"),
            row_share::Finding::Over => Some("over"),
        };
        if word == Some("mismatch") {
            found_by = rows.found_by().to_vec();
        }
        finding = word.map(str::to_owned).or(finding);
        log_e = log_e.max(rows.log_e());
    }
    let mismatch = rows.mismatch().map(|weights| weights.to_vec()).unwrap_or_default();
    Ok(TableIterator::once((rows.stored(), log_e, finding, mismatch, found_by)))
}

/// The strata of columns, all of which have an entry for each.
fn strata(
    (at, settling): &(Vec<TimestampWithTimeZone>, Vec<bool>),
    nominal: &[f64],
    (least, greatest): &(Vec<f64>, Vec<f64>),
    (treatment, control): &(Vec<u64>, Vec<u64>),
) -> CoreResult<Vec<Stratum>> {
    let n = at.len();
    check_lengths(n, [settling.len(), nominal.len(), least.len(), greatest.len(), treatment.len(), control.len()])?;
    let stratum = |i: usize| Stratum {
        at: i64::from(at[i]),
        nominal: nominal[i],
        older: [least[i].min(nominal[i]), greatest[i].max(nominal[i])],
        settling: settling[i],
        n: [treatment[i], control[i]],
    };
    Ok((0..n).map(stratum).collect())
}

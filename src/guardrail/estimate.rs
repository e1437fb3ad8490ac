//! SQL face of estimates and intervals that are valid at every look (`core::stats`).

use flagscope_core::stats::mixture::ERROR_GRID;
use flagscope_core::stats::rate;
use flagscope_core::stats::score::Score;
use flagscope_core::stats::tilt::Arms;
use flagscope_core::{Error, Kind, Result as CoreResult};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::argument::{count, given};
use crate::error::Report;

#[pg_extern(immutable, strict, parallel_safe)]
#[allow(clippy::type_complexity)] // the columns of one SQL row
fn odds_ratio(
    n_treatment: Vec<Option<i64>>,
    events_treatment: Vec<Option<i64>>,
    n_control: Vec<Option<i64>>,
    events_control: Vec<Option<i64>>,
    alpha: f64,
) -> Result<
    TableIterator<'static, (name!(estimate, Option<f64>), name!(lower, Option<f64>), name!(upper, Option<f64>))>,
    ErrorReport,
> {
    let strata = n_treatment.len();
    if [events_treatment.len(), n_control.len(), events_control.len()] != [strata; 3] {
        let message = "the four lists must have one entry for each stratum";
        return Err(Error::new(Kind::InvalidParameter, message)).report();
    }
    let strata = n_treatment.into_iter().zip(events_treatment).zip(n_control.into_iter().zip(events_control));
    let mut score = Score::default();
    for ((n_t, y_t), (n_c, y_c)) in strata {
        let arms = arms(n_t, y_t, n_c, y_c).report()?;
        score.add(&arms).report()?;
    }
    let interval = score.log_or_interval(alpha).report()?;
    let (low, high) = interval.map(|(low, high)| (low.exp(), high.exp())).unzip();
    Ok(TableIterator::once((score.odds_ratio(), low, high)))
}

#[pg_extern(immutable, strict, parallel_safe, schema = "_flagscope")]
#[allow(clippy::type_complexity)] // the columns of one SQL row
fn rate_interval(
    exposure: f64,
    count: i64,
    alpha: f64,
) -> Result<TableIterator<'static, (name!(lower, Option<f64>), name!(upper, Option<f64>))>, ErrorReport> {
    let count = self::count(count).report()?;
    let (low, high) = rate::limit_interval(exposure, count, alpha, &ERROR_GRID).report()?.unzip();
    Ok(TableIterator::once((low, high)))
}

fn arms(n_t: Option<i64>, y_t: Option<i64>, n_c: Option<i64>, y_c: Option<i64>) -> CoreResult<Arms> {
    Ok(Arms { n_t: a_count(n_t)?, y_t: a_count(y_t)?, n_c: a_count(n_c)?, y_c: a_count(y_c)? })
}

/// A count that is there.
fn a_count(n: Option<i64>) -> CoreResult<u64> {
    given("a count", n).and_then(count)
}

//! SQL face of `core::anomaly`: scores as aggregates over an ordered series, and as window functions. They are
//! documented by their `COMMENT` in `sql/aggregate/anomaly.sql`.

use std::collections::VecDeque;

use flagscope_core::anomaly::ewma::{DEFAULT_WEIGHT, Ewma};
use flagscope_core::anomaly::robust;
use flagscope_core::anomaly::seasonal::Series;
use flagscope_core::{Error, Kind};
use pgrx::datum::Internal;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::argument::{given, known};
use crate::error::{Report, error_report};
use crate::pg::aggregate::{change, read, update};

/// The values of a frame in order; NULL is kept as NaN to preserve its position.
type Frame = VecDeque<f64>;

#[pg_extern(immutable, parallel_safe, schema = "_flagscope")]
fn robust_z_accum(state: Internal, value: Option<f64>, fcinfo: pg_sys::FunctionCallInfo) -> Internal {
    update(state, fcinfo, Frame::new, |frame| frame.push_back(value.unwrap_or(f64::NAN)))
}

/// Removes the first row from a moving frame.
#[pg_extern(immutable, parallel_safe, schema = "_flagscope")]
fn robust_z_inverse(state: Internal, _value: Option<f64>) -> Internal {
    let mut state = state;
    change::<Frame, _>(&mut state, Frame::pop_front);
    state
}

#[pg_extern(immutable, parallel_safe, schema = "_flagscope")]
fn robust_z_final(state: Internal) -> Option<f64> {
    let frame = read::<Frame>(&state)?;
    robust::last_z(&frame.iter().copied().collect::<Vec<f64>>())
}

#[pg_extern(immutable, parallel_safe, schema = "_flagscope")]
fn ewma_accum(
    state: Internal,
    value: Option<f64>,
    weight: Option<f64>,
    fcinfo: pg_sys::FunctionCallInfo,
) -> Result<Internal, ErrorReport> {
    if read::<Ewma>(&state).is_some() {
        let mut state = state;
        change::<Ewma, ()>(&mut state, |ewma| ewma.push(value));
        return Ok(state);
    }
    let fresh = given("the weight of an average", weight).and_then(Ewma::new).report()?;
    Ok(update(state, fcinfo, || fresh, |ewma| ewma.push(value)))
}

#[pg_extern(immutable, parallel_safe, schema = "_flagscope", name = "ewma_accum")]
fn ewma_accum_default(
    state: Internal,
    value: Option<f64>,
    fcinfo: pg_sys::FunctionCallInfo,
) -> Result<Internal, ErrorReport> {
    ewma_accum(state, value, Some(DEFAULT_WEIGHT), fcinfo)
}

#[pg_extern(immutable, parallel_safe, schema = "_flagscope")]
fn ewma_final(state: Internal) -> Option<f64> {
    read::<Ewma>(&state).and_then(Ewma::mean)
}

#[pg_extern(immutable, parallel_safe, schema = "_flagscope")]
fn ewma_z_final(state: Internal) -> Option<f64> {
    read::<Ewma>(&state).and_then(Ewma::score)
}

#[pg_extern(immutable, parallel_safe, schema = "_flagscope")]
fn series_accum(
    state: Internal,
    at: Option<TimestampWithTimeZone>,
    value: Option<f64>,
    fcinfo: pg_sys::FunctionCallInfo,
) -> Internal {
    update(state, fcinfo, Series::default, |series| {
        let at = given("the time of a point", at).map(microseconds);
        if let Err(error) = at.and_then(|at| series.push(at, value)) {
            error_report(error).report(pgrx::PgLogLevel::ERROR);
        }
    })
}

/// Microseconds since 2000-01-01, a Saturday, as the core expects.
fn microseconds(at: TimestampWithTimeZone) -> i64 {
    i64::from(at)
}

#[pg_extern(immutable, parallel_safe, schema = "_flagscope")]
fn anomaly_score_final(state: Internal) -> Option<f64> {
    read::<Series>(&state).and_then(Series::newest).map(|point| point.score)
}

#[pg_extern(immutable, parallel_safe, schema = "_flagscope")]
fn anomaly_z_final(state: Internal) -> Option<f64> {
    read::<Series>(&state).and_then(Series::newest).map(|point| point.z)
}

/// The points of a series from `since` on, with the evidence that adds up from there.
#[pg_extern(immutable, strict, parallel_safe, schema = "_flagscope")]
#[allow(clippy::type_complexity)] // the columns of one SQL row
fn anomaly_scores(
    at: Vec<Option<TimestampWithTimeZone>>,
    x: Vec<Option<f64>>,
    since: TimestampWithTimeZone,
) -> Result<
    TableIterator<'static, (name!(at, TimestampWithTimeZone), name!(usual, f64), name!(score, f64))>,
    ErrorReport,
> {
    let since = microseconds(since);
    let mut series = Series::learning();
    let mut rows = Vec::new();
    let mut judges = false;
    for (at, x) in known(at).report()?.into_iter().zip(known(x).report()?) {
        if !judges && microseconds(at) >= since {
            series.judge_from_here();
            judges = true;
        }
        series.push(microseconds(at), Some(x)).report()?;
        rows.extend(series.newest().map(|point| (at, point.baseline, point.score)));
    }
    Ok(TableIterator::new(rows))
}

#[pg_extern(immutable, strict, parallel_safe)]
#[allow(clippy::type_complexity)] // the columns of one SQL row
fn anomalies(
    ts: Vec<Option<TimestampWithTimeZone>>,
    value: Vec<Option<f64>>,
) -> Result<
    TableIterator<
        'static,
        (
            name!(ts, TimestampWithTimeZone),
            name!(value, Option<f64>),
            name!(baseline, Option<f64>),
            name!(lower, Option<f64>),
            name!(upper, Option<f64>),
            name!(z, Option<f64>),
            name!(score, Option<f64>),
        ),
    >,
    ErrorReport,
> {
    if ts.len() != value.len() {
        let message = format!("there must be as many times as values, got \"{}\" and \"{}\"", ts.len(), value.len());
        return Err(Error::new(Kind::InvalidParameter, message)).report();
    }
    let mut series = Series::default();
    let mut rows = Vec::with_capacity(ts.len());
    for (ts, value) in ts.into_iter().zip(value) {
        let ts = given("the time of a point", ts).report()?;
        series.push(microseconds(ts), value).report()?;
        let point = series.newest();
        let (baseline, lower) = (point.map(|p| p.baseline), point.map(|p| p.lower));
        rows.push((ts, value, baseline, lower, point.map(|p| p.upper), point.map(|p| p.z), point.map(|p| p.score)));
    }
    Ok(TableIterator::new(rows))
}

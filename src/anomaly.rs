//! SQL face of `core::anomaly`: scores as aggregates over an ordered series, and as window functions. They are
//! documented by their `COMMENT` in `sql/aggregate/anomaly.sql`.

use std::collections::VecDeque;

use flagscope_core::anomaly::difference::{self, Value};
use flagscope_core::anomaly::ewma::{DEFAULT_WEIGHT, Ewma};
use flagscope_core::anomaly::robust;
use flagscope_core::anomaly::seasonal::Series;
use flagscope_core::kind::MetricKind;
use flagscope_core::stats::tilt::Harm;
use flagscope_core::{Error, Kind};
use pgrx::datum::Internal;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::argument::{counts, given, known};
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

/// Times of points as SQL gives them.
type Times = Vec<Option<TimestampWithTimeZone>>;
/// Counts and values of points.
type Counted = Vec<Option<i64>>;
type Scale = Vec<Option<f64>>;

#[pg_extern(immutable, strict, parallel_safe, schema = "_flagscope")]
#[allow(clippy::too_many_arguments)] // an SQL signature: points by columns
fn difference_scores(
    kind: &str,
    harm: &str,
    past_at: Times,
    past_n: Counted,
    past_events: Counted,
    past_x: Scale,
    at: Times,
    n_treatment: Counted,
    events_treatment: Counted,
    x_treatment: Scale,
    n_control: Counted,
    events_control: Counted,
    x_control: Scale,
) -> Result<TableIterator<'static, (name!(at, TimestampWithTimeZone), name!(score, f64))>, ErrorReport> {
    let basis = MetricKind::from_label(kind).report()?.rules().basis();
    let is_more = Harm::from_label(harm).report()? == Harm::Increase;
    let at = times(at).report()?;
    let past = points(&times(past_at).report()?, past_n, past_events, past_x).report()?;
    let treatment = points(&at, n_treatment, events_treatment, x_treatment).report()?;
    let control = points(&at, n_control, events_control, x_control).report()?;
    let pairs: Vec<[Value; 2]> = treatment.into_iter().zip(control).map(|(t, c)| [t, c]).collect();
    let scores = difference::scores(&past, &pairs, basis, is_more);
    let back = |(at, score)| TimestampWithTimeZone::try_from(at).ok().map(|at| (at, score));
    Ok(TableIterator::new(scores.into_iter().filter_map(back).collect::<Vec<_>>()))
}

fn times(at: Times) -> flagscope_core::Result<Vec<i64>> {
    Ok(known(at)?.into_iter().map(microseconds).collect())
}

/// Points from their columns, which have an entry for each.
fn points(at: &[i64], n: Counted, events: Counted, x: Scale) -> flagscope_core::Result<Vec<Value>> {
    let (n, events, x) = (counts(n)?, counts(events)?, known(x)?);
    if [n.len(), events.len(), x.len()].iter().any(|length| *length != at.len()) {
        let message = format!("the columns of points must be equally long, got {} times", at.len());
        return Err(Error::new(Kind::InvalidParameter, message).hint("Give each point one entry in every list."));
    }
    Ok((0..at.len()).map(|i| Value { at: at[i], n: n[i], events: events[i], x: x[i] }).collect())
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

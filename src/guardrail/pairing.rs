//! SQL face of what is compared with the control: which sources serve both arms, and which spans of time are over.

use flagscope_core::guardrail::{self, Arrivals, Batch, Pairing};
use flagscope_core::kind::MetricKind;
use flagscope_core::{Error, Kind, Result as CoreResult};
use pgrx::datum::Interval;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use super::scalar::width as micros_of;
use crate::argument::count;
use crate::error::Report;

/// Microseconds in a second.
const SECOND: f64 = 1e6;

/// Whether an exporter instance serves both arms in about the allocated shares.
#[pg_extern(immutable, strict, parallel_safe, schema = "_flagscope")]
fn is_shared(n_treatment: i64, n_control: i64, expected: f64) -> Result<bool, ErrorReport> {
    Ok(guardrail::is_shared(count(n_treatment).report()?, count(n_control).report()?, expected))
}

/// Whether a kind of metric is counted from two kinds of rows.
#[pg_extern(immutable, strict, parallel_safe, schema = "_flagscope")]
fn comes_in_parts(kind: &str) -> Result<bool, ErrorReport> {
    Ok(MetricKind::from_label(kind).report()?.rules().comes_in_parts())
}

/// Start of the stratum that a bucket is compared in, when a tick has so many of its metric at once.
#[pg_extern(immutable, strict, parallel_safe, schema = "_flagscope")]
fn stratum_of(bucket: TimestampWithTimeZone, at_once: i64) -> Result<TimestampWithTimeZone, ErrorReport> {
    let start = guardrail::stratum_of(i64::from(bucket), count(at_once).report()?);
    TimestampWithTimeZone::try_from(start)
        .map_err(|_| Error::new(Kind::InvalidParameter, "a time is out of range"))
        .report()
}

/// Two times, and two numbers: of treatment and control.
type Times = Vec<Option<TimestampWithTimeZone>>;
type Numbers = Vec<Option<f64>>;

/// How the arms come after a tick; documented in `sql/api/pair.sql`.
#[pg_extern(immutable, parallel_safe, schema = "_flagscope")]
#[allow(clippy::too_many_arguments, clippy::type_complexity)] // an SQL signature: the columns of a row
fn advance_pairing(
    since: Option<TimestampWithTimeZone>,
    width: Option<i32>,
    elapsed: Option<f64>,
    latest: Option<Times>,
    lag: Option<Numbers>,
    occupied: Option<Numbers>,
    first: Option<Times>,
    last: Option<Times>,
    buckets: Option<Vec<Option<i32>>>,
    at: Option<TimestampWithTimeZone>,
    is_complete: Option<bool>,
    patience: Option<Interval>,
) -> Result<
    TableIterator<
        'static,
        (
            name!(since, Option<TimestampWithTimeZone>),
            name!(width, i32),
            name!(elapsed, f64),
            name!(latest, Vec<Option<TimestampWithTimeZone>>),
            name!(lag, Vec<f64>),
            name!(occupied, Vec<f64>),
            name!(closed_since, Option<TimestampWithTimeZone>),
            name!(closed_width, Option<i32>),
        ),
    >,
    ErrorReport,
> {
    let Some(at) = at.map(i64::from) else {
        return Err(Error::new(Kind::InvalidParameter, "a time is missing")).report();
    };
    let mut pairing = read(since, width, elapsed, latest, lag, occupied).report()?;
    let (first, last, buckets) = (times(first), times(last), pair(buckets));
    let batch = |i: usize| {
        let (first, last) = (first[i]?, last[i]?);
        Some(Batch { first, last, buckets: u32::try_from(buckets[i].unwrap_or(0)).unwrap_or(0) })
    };
    let patience = patience.map_or(0, micros_of);
    pairing.note([batch(0), batch(1)], at, patience);
    let line = pairing.line(Some(at).filter(|_| is_complete.unwrap_or(false)), patience);
    let closed = pairing.close(line);
    let time = |micros: i64| TimestampWithTimeZone::try_from(micros).ok();
    let seconds = |micros: i64| i32::try_from(micros / SECOND as i64).unwrap_or(i32::MAX);
    Ok(TableIterator::once((
        pairing.since.and_then(time),
        seconds(pairing.width),
        pairing.elapsed / SECOND,
        pairing.arms.iter().map(|arm| arm.latest.and_then(time)).collect(),
        pairing.arms.iter().map(|arm| arm.lag / SECOND).collect(),
        pairing.arms.iter().map(|arm| arm.occupied).collect(),
        closed.and_then(|closed| time(closed.since)),
        closed.map(|closed| seconds(closed.width)),
    )))
}

/// The columns of `pairing` as the core takes them; what is missing is as at the beginning.
fn read(
    since: Option<TimestampWithTimeZone>,
    width: Option<i32>,
    elapsed: Option<f64>,
    latest: Option<Times>,
    lag: Option<Numbers>,
    occupied: Option<Numbers>,
) -> CoreResult<Pairing> {
    let begun = Pairing::default();
    let (latest, lag, occupied) = (times(latest), pair(lag), pair(occupied));
    let width = width.map_or(begun.width, |seconds| i64::from(seconds).saturating_mul(SECOND as i64));
    if width <= 0 {
        return Err(Error::new(Kind::Corrupted, format!("a span of {width} microseconds"))
            .hint("Delete the rollout's rows of _flagscope.pairing to begin anew."));
    }
    let finite =
        |number: Option<f64>, otherwise: f64| number.filter(|x| x.is_finite() && *x >= 0.0).unwrap_or(otherwise);
    let arm = |i: usize| Arrivals {
        latest: latest[i],
        lag: finite(lag[i].map(|seconds| seconds * SECOND), begun.arms[i].lag),
        occupied: finite(occupied[i], 0.0),
    };
    let elapsed = finite(elapsed.map(|seconds| seconds * SECOND), 0.0);
    Ok(Pairing { since: since.map(i64::from), width, elapsed, arms: [arm(0), arm(1)] })
}

/// Both values of an array; what is missing is none.
fn pair<T: Copy>(list: Option<Vec<Option<T>>>) -> [Option<T>; 2] {
    let list = list.unwrap_or_default();
    [0, 1].map(|i| list.get(i).copied().flatten())
}

fn times(list: Option<Times>) -> [Option<i64>; 2] {
    pair(list.map(|list| list.into_iter().map(|at| at.map(i64::from)).collect()))
}

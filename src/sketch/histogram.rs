//! SQL face of `core::sketch::Histogram`.

use std::ffi::{CStr, CString};

use flagscope_core::sketch::histogram::Tally;
use flagscope_core::sketch::{Histogram, Sketch};
use pgrx::JsonB;
use pgrx::datum::Internal;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::argument::given;
use crate::error::Report;
use crate::pg::aggregate::{change, read, update};
use crate::pg::document::Document;
use crate::pg::value::Stored;

#[pg_extern(immutable, strict, parallel_safe, schema = "_flagscope")]
fn histogram_in(text: &CStr) -> Result<Stored<Histogram>, ErrorReport> {
    super::input(text)
}

#[pg_extern(immutable, strict, parallel_safe, schema = "_flagscope")]
fn histogram_out(sketch: Stored<Histogram>) -> Result<CString, ErrorReport> {
    super::output(&sketch.0)
}

#[pg_extern(immutable, strict, parallel_safe, schema = "_flagscope")]
fn histogram_recv(message: Internal) -> Result<Stored<Histogram>, ErrorReport> {
    super::receive(message)
}

#[pg_extern(immutable, strict, parallel_safe, schema = "_flagscope")]
fn histogram_send(sketch: Stored<Histogram>) -> Vec<u8> {
    sketch.0.encode()
}

#[pg_extern(immutable, parallel_safe, schema = "_flagscope")]
fn histogram_accum(state: Internal, value: Option<f64>, fcinfo: pg_sys::FunctionCallInfo) -> Internal {
    super::accumulate(state, value, fcinfo, Tally::default, Tally::push)
}

#[pg_extern(immutable, parallel_safe, schema = "_flagscope", name = "histogram_accum")]
fn histogram_accum_scale(
    state: Internal,
    value: Option<f64>,
    scale: Option<i32>,
    fcinfo: pg_sys::FunctionCallInfo,
) -> Result<Internal, ErrorReport> {
    if read::<Tally>(&state).is_some() {
        return Ok(super::accumulate(state, value, fcinfo, Tally::default, Tally::push));
    }
    let fresh = given("the scale of a histogram", scale).and_then(Tally::new).report()?;
    Ok(super::accumulate(state, value, fcinfo, || fresh, Tally::push))
}

/// For moving frames: like histogram_accum, but with a state from the first row on, as PostgreSQL requires.
#[pg_extern(immutable, parallel_safe, schema = "_flagscope")]
fn histogram_moving_accum(state: Internal, value: Option<f64>, fcinfo: pg_sys::FunctionCallInfo) -> Internal {
    update(state, fcinfo, Tally::default, |tally| value.into_iter().for_each(|x| tally.push(x)))
}

#[pg_extern(immutable, parallel_safe, schema = "_flagscope", name = "histogram_moving_accum")]
fn histogram_moving_accum_scale(
    state: Internal,
    value: Option<f64>,
    scale: Option<i32>,
    fcinfo: pg_sys::FunctionCallInfo,
) -> Result<Internal, ErrorReport> {
    let fresh = given("the scale of a histogram", scale).and_then(Tally::new).report()?;
    Ok(update(state, fcinfo, || fresh, |tally| value.into_iter().for_each(|x| tally.push(x))))
}

/// Removes the value that leaves a moving frame. NULL makes PostgreSQL recompute the frame: when an extreme leaves, the
/// next one is unknown.
#[pg_extern(immutable, parallel_safe, schema = "_flagscope")]
fn histogram_inverse(state: Internal, value: Option<f64>) -> Internal {
    let Some(value) = value else { return state };
    let mut state = state;
    match change::<Tally, bool>(&mut state, |tally| tally.take_back(value)) {
        Some(true) => state,
        _ => Internal::default(),
    }
}

#[pg_extern(immutable, parallel_safe, schema = "_flagscope", name = "histogram_inverse")]
fn histogram_inverse_scale(state: Internal, value: Option<f64>, _scale: Option<i32>) -> Internal {
    histogram_inverse(state, value)
}

/// NULL for a frame without values, like the plain aggregate.
#[pg_extern(immutable, parallel_safe, schema = "_flagscope")]
fn histogram_moving_final(state: Internal) -> Option<Stored<Histogram>> {
    super::finish::<Tally>(&state).filter(|h| h.0.count() > 0 || h.0.invalid() > 0)
}

#[pg_extern(immutable, parallel_safe, schema = "_flagscope")]
fn histogram_absorb(
    state: Internal,
    sketch: Option<Stored<Histogram>>,
    fcinfo: pg_sys::FunctionCallInfo,
) -> Internal {
    super::absorb::<Tally>(state, sketch.as_ref().map(|s| &s.0), fcinfo)
}

#[pg_extern(immutable, parallel_safe, schema = "_flagscope")]
fn histogram_combine(state: Internal, other: Internal, fcinfo: pg_sys::FunctionCallInfo) -> Internal {
    super::combine::<Tally>(state, other, fcinfo)
}

#[pg_extern(immutable, strict, parallel_safe, schema = "_flagscope")]
fn histogram_serialize(state: Internal) -> Vec<u8> {
    super::serialize::<Tally>(&state)
}

#[pg_extern(immutable, strict, parallel_safe, schema = "_flagscope")]
fn histogram_deserialize(
    bytes: &[u8],
    _state: Internal,
    fcinfo: pg_sys::FunctionCallInfo,
) -> Result<Internal, ErrorReport> {
    super::deserialize::<Tally>(bytes, fcinfo)
}

#[pg_extern(immutable, parallel_safe, schema = "_flagscope")]
fn histogram_final(state: Internal) -> Option<Stored<Histogram>> {
    super::finish::<Tally>(&state)
}

#[pg_extern(immutable, parallel_safe, name = "merge")]
fn histogram_merge(
    a: Option<Stored<Histogram>>,
    b: Option<Stored<Histogram>>,
) -> Result<Option<Stored<Histogram>>, ErrorReport> {
    super::merge(a, b)
}

#[pg_extern(immutable, strict, parallel_safe, name = "quantile")]
fn histogram_quantile(sketch: Stored<Histogram>, quantile: f64) -> Result<Option<f64>, ErrorReport> {
    sketch.0.quantile(quantile).report()
}

#[pg_extern(immutable, strict, parallel_safe, name = "quantile")]
fn histogram_quantiles(
    sketch: Stored<Histogram>,
    quantile: Vec<Option<f64>>,
) -> Result<Vec<Option<f64>>, ErrorReport> {
    super::quantiles(quantile, |quantile| sketch.0.quantile(quantile))
}

#[pg_extern(immutable, strict, parallel_safe, name = "count")]
fn histogram_count(sketch: Stored<Histogram>) -> i64 {
    sketch.0.count() as i64
}

#[pg_extern(immutable, strict, parallel_safe, name = "invalid")]
fn histogram_invalid(sketch: Stored<Histogram>) -> i64 {
    sketch.0.invalid() as i64
}

#[pg_extern(immutable, strict, parallel_safe, name = "min")]
fn histogram_min(sketch: Stored<Histogram>) -> Option<f64> {
    sketch.0.min()
}

#[pg_extern(immutable, strict, parallel_safe, name = "max")]
fn histogram_max(sketch: Stored<Histogram>) -> Option<f64> {
    sketch.0.max()
}

#[pg_extern(immutable, strict, parallel_safe, name = "count_above")]
fn histogram_count_above(sketch: Stored<Histogram>, x: f64) -> i64 {
    sketch.0.count_above_value(x) as i64
}

#[pg_extern(immutable, strict, parallel_safe, name = "buckets")]
fn histogram_buckets(
    sketch: Stored<Histogram>,
) -> TableIterator<'static, (name!(lower, f64), name!(upper, f64), name!(count, i64))> {
    TableIterator::new(sketch.0.buckets().into_iter().map(|(lower, upper, count)| (lower, upper, count as i64)))
}

#[pg_extern(immutable, strict, parallel_safe, name = "sum")]
fn histogram_sum(sketch: Stored<Histogram>) -> Option<f64> {
    sketch.0.sum()
}

#[pg_extern(immutable, strict, parallel_safe, name = "mean")]
fn histogram_mean(sketch: Stored<Histogram>) -> Result<Option<f64>, ErrorReport> {
    sketch.0.trimmed_mean(0.0, 1.0).report()
}

#[pg_extern(immutable, strict, parallel_safe, name = "quantile_rank")]
fn histogram_quantile_rank(sketch: Stored<Histogram>, x: f64) -> Result<Option<f64>, ErrorReport> {
    sketch.0.rank(x).report()
}

#[pg_extern(immutable, strict, parallel_safe, name = "trimmed_mean")]
fn histogram_trimmed_mean(sketch: Stored<Histogram>, lower: f64, upper: f64) -> Result<Option<f64>, ErrorReport> {
    sketch.0.trimmed_mean(lower, upper).report()
}

#[pg_extern(immutable, strict, parallel_safe, name = "quantile_interval")]
#[allow(clippy::type_complexity)] // the columns of one SQL row
fn histogram_quantile_interval(
    sketch: Stored<Histogram>,
    quantile: f64,
    confidence: default!(f64, 0.95),
) -> Result<TableIterator<'static, (name!(lower, Option<f64>), name!(upper, Option<f64>))>, ErrorReport> {
    super::interval(sketch.0.quantile_interval(quantile, confidence))
}

#[pg_extern(immutable, strict, parallel_safe, name = "to_otlp")]
fn histogram_to_otlp(sketch: Stored<Histogram>) -> JsonB {
    JsonB(sketch.0.to_otlp())
}

#[pg_extern(immutable, strict, parallel_safe)]
fn histogram_from_otlp(point: Document) -> Result<Stored<Histogram>, ErrorReport> {
    point.0.and_then(|point| Histogram::from_otlp(&point)).report().map(Stored)
}

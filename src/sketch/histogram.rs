//! SQL face of `core::sketch::Histogram`.

use std::ffi::{CStr, CString};

use flagscope_core::sketch::{Histogram, Sketch};
use pgrx::datum::Internal;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::error::Report;
use crate::pg::value::Stored;

#[pg_extern(immutable, strict, parallel_safe)]
fn histogram_in(text: &CStr) -> Result<Stored<Histogram>, ErrorReport> {
    super::input(text)
}

#[pg_extern(immutable, strict, parallel_safe)]
fn histogram_out(sketch: Stored<Histogram>) -> Result<CString, ErrorReport> {
    super::output(&sketch.0)
}

#[pg_extern(immutable, strict, parallel_safe)]
fn histogram_recv(message: Internal) -> Result<Stored<Histogram>, ErrorReport> {
    super::receive(message)
}

#[pg_extern(immutable, strict, parallel_safe)]
fn histogram_send(sketch: Stored<Histogram>) -> Vec<u8> {
    sketch.0.encode()
}

#[pg_extern(immutable, parallel_safe)]
fn histogram_accum(state: Internal, value: Option<f64>, fcinfo: pg_sys::FunctionCallInfo) -> Internal {
    super::accumulate(state, value, fcinfo, Histogram::default, Histogram::push)
}

#[pg_extern(immutable, parallel_safe)]
fn histogram_absorb(
    state: Internal,
    sketch: Option<Stored<Histogram>>,
    fcinfo: pg_sys::FunctionCallInfo,
) -> Internal {
    super::absorb(state, sketch.as_ref().map(|s| &s.0), fcinfo)
}

#[pg_extern(immutable, parallel_safe)]
fn histogram_combine(state: Internal, other: Internal, fcinfo: pg_sys::FunctionCallInfo) -> Internal {
    super::combine::<Histogram>(state, other, fcinfo)
}

#[pg_extern(immutable, strict, parallel_safe)]
fn histogram_serialize(state: Internal) -> Vec<u8> {
    super::serialize::<Histogram>(&state)
}

#[pg_extern(immutable, strict, parallel_safe)]
fn histogram_deserialize(
    bytes: &[u8],
    _state: Internal,
    fcinfo: pg_sys::FunctionCallInfo,
) -> Result<Internal, ErrorReport> {
    super::deserialize::<Histogram>(bytes, fcinfo)
}

#[pg_extern(immutable, parallel_safe)]
fn histogram_final(state: Internal) -> Option<Stored<Histogram>> {
    super::finish(&state)
}

#[pg_extern(immutable, parallel_safe, name = "merge")]
fn histogram_merge(
    a: Option<Stored<Histogram>>,
    b: Option<Stored<Histogram>>,
) -> Result<Option<Stored<Histogram>>, ErrorReport> {
    super::merge(a, b)
}

#[pg_extern(immutable, strict, parallel_safe, name = "quantile")]
fn histogram_quantile(sketch: Stored<Histogram>, p: f64) -> Result<Option<f64>, ErrorReport> {
    sketch.0.quantile(p).report()
}

#[pg_extern(immutable, strict, parallel_safe, name = "quantile")]
fn histogram_quantiles(sketch: Stored<Histogram>, p: Vec<Option<f64>>) -> Result<Vec<Option<f64>>, ErrorReport> {
    super::quantiles(p, |p| sketch.0.quantile(p))
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

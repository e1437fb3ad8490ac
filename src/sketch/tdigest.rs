//! SQL face of `core::sketch::TDigest`.

use std::ffi::{CStr, CString};

use flagscope_core::sketch::{Sketch, TDigest};
use pgrx::datum::Internal;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::argument::given;
use crate::error::Report;
use crate::pg::aggregate::read;
use crate::pg::value::Stored;

#[pg_extern(immutable, strict, parallel_safe, schema = "_flagscope")]
fn tdigest_in(text: &CStr) -> Result<Stored<TDigest>, ErrorReport> {
    super::input(text)
}

#[pg_extern(immutable, strict, parallel_safe, schema = "_flagscope")]
fn tdigest_out(sketch: Stored<TDigest>) -> Result<CString, ErrorReport> {
    super::output(&sketch.0)
}

#[pg_extern(immutable, strict, parallel_safe, schema = "_flagscope")]
fn tdigest_recv(message: Internal) -> Result<Stored<TDigest>, ErrorReport> {
    super::receive(message)
}

#[pg_extern(immutable, strict, parallel_safe, schema = "_flagscope")]
fn tdigest_send(sketch: Stored<TDigest>) -> Vec<u8> {
    sketch.0.encode()
}

#[pg_extern(immutable, parallel_safe, schema = "_flagscope")]
fn tdigest_accum(state: Internal, value: Option<f64>, fcinfo: pg_sys::FunctionCallInfo) -> Internal {
    super::accumulate(state, value, fcinfo, TDigest::default, TDigest::push)
}

#[pg_extern(immutable, parallel_safe, schema = "_flagscope", name = "tdigest_accum")]
fn tdigest_accum_compression(
    state: Internal,
    value: Option<f64>,
    compression: Option<i32>,
    fcinfo: pg_sys::FunctionCallInfo,
) -> Result<Internal, ErrorReport> {
    if read::<TDigest>(&state).is_some() {
        return Ok(super::accumulate(state, value, fcinfo, TDigest::default, TDigest::push));
    }
    let compression = given("the compression of a tdigest", compression).report()?;
    let fresh = TDigest::new(compression.into()).report()?;
    Ok(super::accumulate(state, value, fcinfo, || fresh, TDigest::push))
}

#[pg_extern(immutable, parallel_safe, schema = "_flagscope")]
fn tdigest_absorb(state: Internal, sketch: Option<Stored<TDigest>>, fcinfo: pg_sys::FunctionCallInfo) -> Internal {
    super::absorb::<TDigest>(state, sketch.as_ref().map(|s| &s.0), fcinfo)
}

#[pg_extern(immutable, parallel_safe, schema = "_flagscope")]
fn tdigest_combine(state: Internal, other: Internal, fcinfo: pg_sys::FunctionCallInfo) -> Internal {
    super::combine::<TDigest>(state, other, fcinfo)
}

#[pg_extern(immutable, strict, parallel_safe, schema = "_flagscope")]
fn tdigest_serialize(state: Internal) -> Vec<u8> {
    super::serialize::<TDigest>(&state)
}

#[pg_extern(immutable, strict, parallel_safe, schema = "_flagscope")]
fn tdigest_deserialize(
    bytes: &[u8],
    _state: Internal,
    fcinfo: pg_sys::FunctionCallInfo,
) -> Result<Internal, ErrorReport> {
    super::deserialize::<TDigest>(bytes, fcinfo)
}

#[pg_extern(immutable, parallel_safe, schema = "_flagscope")]
fn tdigest_final(state: Internal) -> Option<Stored<TDigest>> {
    super::finish::<TDigest>(&state)
}

#[pg_extern(immutable, parallel_safe, name = "merge")]
fn tdigest_merge(
    a: Option<Stored<TDigest>>,
    b: Option<Stored<TDigest>>,
) -> Result<Option<Stored<TDigest>>, ErrorReport> {
    super::merge(a, b)
}

#[pg_extern(immutable, strict, parallel_safe, name = "quantile")]
fn tdigest_quantile(sketch: Stored<TDigest>, quantile: f64) -> Result<Option<f64>, ErrorReport> {
    sketch.0.quantile(quantile).report()
}

#[pg_extern(immutable, strict, parallel_safe, name = "quantile")]
fn tdigest_quantiles(sketch: Stored<TDigest>, quantile: Vec<Option<f64>>) -> Result<Vec<Option<f64>>, ErrorReport> {
    super::quantiles(quantile, |quantile| sketch.0.quantile(quantile))
}

#[pg_extern(immutable, strict, parallel_safe, name = "count")]
fn tdigest_count(sketch: Stored<TDigest>) -> i64 {
    sketch.0.count() as i64
}

#[pg_extern(immutable, strict, parallel_safe, name = "invalid")]
fn tdigest_invalid(sketch: Stored<TDigest>) -> i64 {
    sketch.0.invalid() as i64
}

#[pg_extern(immutable, strict, parallel_safe, name = "min")]
fn tdigest_min(sketch: Stored<TDigest>) -> Option<f64> {
    sketch.0.min()
}

#[pg_extern(immutable, strict, parallel_safe, name = "max")]
fn tdigest_max(sketch: Stored<TDigest>) -> Option<f64> {
    sketch.0.max()
}

#[pg_extern(immutable, strict, parallel_safe, name = "quantile_rank")]
fn tdigest_quantile_rank(sketch: Stored<TDigest>, x: f64) -> Result<Option<f64>, ErrorReport> {
    sketch.0.rank(x).report()
}

#[pg_extern(immutable, strict, parallel_safe, name = "trimmed_mean")]
fn tdigest_trimmed_mean(sketch: Stored<TDigest>, lower: f64, upper: f64) -> Result<Option<f64>, ErrorReport> {
    sketch.0.trimmed_mean(lower, upper).report()
}

#[pg_extern(immutable, strict, parallel_safe, name = "quantile_interval")]
#[allow(clippy::type_complexity)] // the columns of one SQL row
fn tdigest_quantile_interval(
    sketch: Stored<TDigest>,
    quantile: f64,
    confidence: default!(f64, 0.95),
) -> Result<TableIterator<'static, (name!(lower, Option<f64>), name!(upper, Option<f64>))>, ErrorReport> {
    super::interval(sketch.0.quantile_interval(quantile, confidence))
}

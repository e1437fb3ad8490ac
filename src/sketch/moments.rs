//! SQL face of `core::sketch::Moments`.

use std::ffi::{CStr, CString};

use flagscope_core::sketch::{Moments, Sketch};
use flagscope_core::{Error, Kind};
use pgrx::datum::Internal;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::argument::given;
use crate::error::Report;
use crate::pg::value::Stored;

#[pg_extern(immutable, strict, parallel_safe, schema = "_flagscope")]
fn moments_in(text: &CStr) -> Result<Stored<Moments>, ErrorReport> {
    super::input(text)
}

#[pg_extern(immutable, strict, parallel_safe, schema = "_flagscope")]
fn moments_out(sketch: Stored<Moments>) -> Result<CString, ErrorReport> {
    super::output(&sketch.0)
}

#[pg_extern(immutable, strict, parallel_safe, schema = "_flagscope")]
fn moments_recv(message: Internal) -> Result<Stored<Moments>, ErrorReport> {
    super::receive(message)
}

#[pg_extern(immutable, strict, parallel_safe, schema = "_flagscope")]
fn moments_send(sketch: Stored<Moments>) -> Vec<u8> {
    sketch.0.encode()
}

#[pg_extern(immutable, parallel_safe, schema = "_flagscope")]
fn moments_accum(state: Internal, value: Option<f64>, fcinfo: pg_sys::FunctionCallInfo) -> Internal {
    super::accumulate(state, value, fcinfo, Moments::default, Moments::push)
}

/// A value above the cap counts as the cap.
#[pg_extern(immutable, parallel_safe, schema = "_flagscope", name = "moments_accum")]
fn moments_accum_cap(
    state: Internal,
    value: Option<f64>,
    cap: Option<f64>,
    fcinfo: pg_sys::FunctionCallInfo,
) -> Result<Internal, ErrorReport> {
    let cap = given("the cap of moments", cap).report()?;
    if cap.is_nan() {
        return Err(Error::new(Kind::InvalidParameter, "the cap of moments must be a number, got \"NaN\"")).report();
    }
    let capped = value.map(|x| if x.is_finite() { x.min(cap) } else { x });
    Ok(super::accumulate(state, capped, fcinfo, Moments::default, Moments::push))
}

#[pg_extern(immutable, parallel_safe, schema = "_flagscope")]
fn moments_absorb(state: Internal, sketch: Option<Stored<Moments>>, fcinfo: pg_sys::FunctionCallInfo) -> Internal {
    super::absorb::<Moments>(state, sketch.as_ref().map(|s| &s.0), fcinfo)
}

#[pg_extern(immutable, parallel_safe, schema = "_flagscope")]
fn moments_combine(state: Internal, other: Internal, fcinfo: pg_sys::FunctionCallInfo) -> Internal {
    super::combine::<Moments>(state, other, fcinfo)
}

#[pg_extern(immutable, strict, parallel_safe, schema = "_flagscope")]
fn moments_serialize(state: Internal) -> Vec<u8> {
    super::serialize::<Moments>(&state)
}

#[pg_extern(immutable, strict, parallel_safe, schema = "_flagscope")]
fn moments_deserialize(
    bytes: &[u8],
    _state: Internal,
    fcinfo: pg_sys::FunctionCallInfo,
) -> Result<Internal, ErrorReport> {
    super::deserialize::<Moments>(bytes, fcinfo)
}

#[pg_extern(immutable, parallel_safe, schema = "_flagscope")]
fn moments_final(state: Internal) -> Option<Stored<Moments>> {
    super::finish::<Moments>(&state)
}

#[pg_extern(immutable, parallel_safe, name = "merge")]
fn moments_merge(
    a: Option<Stored<Moments>>,
    b: Option<Stored<Moments>>,
) -> Result<Option<Stored<Moments>>, ErrorReport> {
    super::merge(a, b)
}

#[pg_extern(immutable, strict, parallel_safe, name = "count")]
fn moments_count(sketch: Stored<Moments>) -> i64 {
    sketch.0.count() as i64
}

#[pg_extern(immutable, strict, parallel_safe, name = "invalid")]
fn moments_invalid(sketch: Stored<Moments>) -> i64 {
    sketch.0.invalid() as i64
}

#[pg_extern(immutable, strict, parallel_safe, name = "mean")]
fn moments_mean(sketch: Stored<Moments>) -> Option<f64> {
    sketch.0.mean()
}

#[pg_extern(immutable, strict, parallel_safe, name = "variance")]
fn moments_variance(sketch: Stored<Moments>) -> Option<f64> {
    sketch.0.variance()
}

#[pg_extern(immutable, strict, parallel_safe, name = "stddev")]
fn moments_stddev(sketch: Stored<Moments>) -> Option<f64> {
    sketch.0.stddev()
}

#[pg_extern(immutable, strict, parallel_safe, name = "min")]
fn moments_min(sketch: Stored<Moments>) -> Option<f64> {
    sketch.0.min()
}

#[pg_extern(immutable, strict, parallel_safe, name = "max")]
fn moments_max(sketch: Stored<Moments>) -> Option<f64> {
    sketch.0.max()
}

#[pg_extern(immutable, strict, parallel_safe, name = "sum")]
fn moments_sum(sketch: Stored<Moments>) -> Option<f64> {
    sketch.0.sum()
}

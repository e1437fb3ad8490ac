//! SQL face of `core::sketch::Moments`.

use std::ffi::{CStr, CString};

use flagscope_core::sketch::{Moments, Sketch};
use pgrx::datum::Internal;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::pg::value::Stored;

#[pg_extern(immutable, strict, parallel_safe)]
fn moments_in(text: &CStr) -> Result<Stored<Moments>, ErrorReport> {
    super::input(text)
}

#[pg_extern(immutable, strict, parallel_safe)]
fn moments_out(sketch: Stored<Moments>) -> Result<CString, ErrorReport> {
    super::output(&sketch.0)
}

#[pg_extern(immutable, strict, parallel_safe)]
fn moments_recv(message: Internal) -> Result<Stored<Moments>, ErrorReport> {
    super::receive(message)
}

#[pg_extern(immutable, strict, parallel_safe)]
fn moments_send(sketch: Stored<Moments>) -> Vec<u8> {
    sketch.0.encode()
}

#[pg_extern(immutable, parallel_safe)]
fn moments_accum(state: Internal, value: Option<f64>, fcinfo: pg_sys::FunctionCallInfo) -> Internal {
    super::accumulate(state, value, fcinfo, Moments::default, Moments::push)
}

#[pg_extern(immutable, parallel_safe)]
fn moments_absorb(state: Internal, sketch: Option<Stored<Moments>>, fcinfo: pg_sys::FunctionCallInfo) -> Internal {
    super::absorb(state, sketch.as_ref().map(|s| &s.0), fcinfo)
}

#[pg_extern(immutable, parallel_safe)]
fn moments_combine(state: Internal, other: Internal, fcinfo: pg_sys::FunctionCallInfo) -> Internal {
    super::combine::<Moments>(state, other, fcinfo)
}

#[pg_extern(immutable, strict, parallel_safe)]
fn moments_serialize(state: Internal) -> Vec<u8> {
    super::serialize::<Moments>(&state)
}

#[pg_extern(immutable, strict, parallel_safe)]
fn moments_deserialize(
    bytes: &[u8],
    _state: Internal,
    fcinfo: pg_sys::FunctionCallInfo,
) -> Result<Internal, ErrorReport> {
    super::deserialize::<Moments>(bytes, fcinfo)
}

#[pg_extern(immutable, parallel_safe)]
fn moments_final(state: Internal) -> Option<Stored<Moments>> {
    super::finish(&state)
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

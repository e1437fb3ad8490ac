//! SQL face of `core::sketch::Ratio`.

use std::ffi::{CStr, CString};

use flagscope_core::sketch::{Ratio, Sketch};
use pgrx::datum::Internal;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::pg::aggregate::{read, update};
use crate::pg::value::Stored;

#[pg_extern(immutable, strict, parallel_safe, schema = "_flagscope")]
fn ratio_in(text: &CStr) -> Result<Stored<Ratio>, ErrorReport> {
    super::input(text)
}

#[pg_extern(immutable, strict, parallel_safe, schema = "_flagscope")]
fn ratio_out(sketch: Stored<Ratio>) -> Result<CString, ErrorReport> {
    super::output(&sketch.0)
}

#[pg_extern(immutable, strict, parallel_safe, schema = "_flagscope")]
fn ratio_recv(message: Internal) -> Result<Stored<Ratio>, ErrorReport> {
    super::receive(message)
}

#[pg_extern(immutable, strict, parallel_safe, schema = "_flagscope")]
fn ratio_send(sketch: Stored<Ratio>) -> Vec<u8> {
    sketch.0.encode()
}

#[pg_extern(immutable, parallel_safe, schema = "_flagscope")]
fn ratio_accum(
    state: Internal,
    numerator: Option<f64>,
    denominator: Option<f64>,
    fcinfo: pg_sys::FunctionCallInfo,
) -> Internal {
    match numerator.zip(denominator) {
        Some((x, y)) => update(state, fcinfo, Ratio::default, |ratio| ratio.push(x, y)),
        None => state,
    }
}

#[pg_extern(immutable, parallel_safe, schema = "_flagscope")]
fn ratio_absorb(state: Internal, sketch: Option<Stored<Ratio>>, fcinfo: pg_sys::FunctionCallInfo) -> Internal {
    super::absorb::<Ratio>(state, sketch.as_ref().map(|s| &s.0), fcinfo)
}

#[pg_extern(immutable, parallel_safe, schema = "_flagscope")]
fn ratio_combine(state: Internal, other: Internal, fcinfo: pg_sys::FunctionCallInfo) -> Internal {
    super::combine::<Ratio>(state, other, fcinfo)
}

#[pg_extern(immutable, strict, parallel_safe, schema = "_flagscope")]
fn ratio_serialize(state: Internal) -> Vec<u8> {
    super::serialize::<Ratio>(&state)
}

#[pg_extern(immutable, strict, parallel_safe, schema = "_flagscope")]
fn ratio_deserialize(
    bytes: &[u8],
    _state: Internal,
    fcinfo: pg_sys::FunctionCallInfo,
) -> Result<Internal, ErrorReport> {
    super::deserialize::<Ratio>(bytes, fcinfo)
}

#[pg_extern(immutable, parallel_safe, schema = "_flagscope")]
fn ratio_final(state: Internal) -> Option<Stored<Ratio>> {
    super::finish::<Ratio>(&state)
}

#[pg_extern(immutable, parallel_safe, name = "merge")]
fn ratio_merge(a: Option<Stored<Ratio>>, b: Option<Stored<Ratio>>) -> Result<Option<Stored<Ratio>>, ErrorReport> {
    super::merge(a, b)
}

#[pg_extern(immutable, strict, parallel_safe, name = "count")]
fn ratio_count(sketch: Stored<Ratio>) -> i64 {
    sketch.0.count() as i64
}

#[pg_extern(immutable, strict, parallel_safe, name = "invalid")]
fn ratio_invalid(sketch: Stored<Ratio>) -> i64 {
    sketch.0.invalid() as i64
}

#[pg_extern(immutable, strict, parallel_safe, name = "value")]
fn ratio_value(sketch: Stored<Ratio>) -> Option<f64> {
    sketch.0.value()
}

#[pg_extern(immutable, strict, parallel_safe, name = "variance")]
fn ratio_variance(sketch: Stored<Ratio>) -> Option<f64> {
    sketch.0.variance()
}

#[pg_extern(immutable, strict, parallel_safe, name = "standard_error")]
fn ratio_standard_error(sketch: Stored<Ratio>) -> Option<f64> {
    sketch.0.standard_error()
}

#[pg_extern(immutable, strict, parallel_safe, name = "design_effect")]
fn ratio_design_effect(sketch: Stored<Ratio>) -> Option<f64> {
    sketch.0.design_effect()
}

/// The final function of the aggregate design_effect.
#[pg_extern(immutable, parallel_safe, schema = "_flagscope")]
fn design_effect_final(state: Internal) -> Option<f64> {
    read::<Ratio>(&state).and_then(Ratio::design_effect)
}

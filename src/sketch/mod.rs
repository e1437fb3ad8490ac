//! SQL face of `core::sketch`: one file for each state, with the type's four functions, the support functions of its
//! aggregates (`CREATE AGGREGATE` is in `sql/aggregate/`), and its readers.

pub mod histogram;
pub mod moments;
pub mod ratio;
pub mod tdigest;

use std::ffi::{CStr, CString};

use flagscope_core::sketch::{Accumulate, Sketch};
use flagscope_core::{Error, Kind};
use pgrx::datum::Internal;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{PgLogLevel, pg_sys};

use crate::error::{Report, error_report};
use crate::pg::aggregate::{read, update};
use crate::pg::value::Stored;

pub fn input<S: Sketch>(text: &CStr) -> Result<Stored<S>, ErrorReport> {
    let text = text.to_str().map_err(|_| Error::new(Kind::InvalidText, "text is not valid UTF-8"));
    text.and_then(S::from_text).report().map(Stored)
}

pub fn output<S: Sketch>(sketch: &S) -> Result<CString, ErrorReport> {
    CString::new(sketch.to_text()).map_err(|_| Error::new(Kind::Corrupted, "text form holds a NUL")).report()
}

pub fn receive<S: Sketch>(message: Internal) -> Result<Stored<S>, ErrorReport> {
    crate::pg::value::read_message(message, S::decode).report().map(Stored)
}

/// Adds one value to an aggregate's state; NULL changes nothing.
fn accumulate<A>(
    state: Internal,
    value: Option<f64>,
    fcinfo: pg_sys::FunctionCallInfo,
    make: impl FnOnce() -> A,
    push: impl FnOnce(&mut A, f64),
) -> Internal {
    match value {
        Some(value) => update(state, fcinfo, make, |sketch| push(sketch, value)),
        None => state,
    }
}

/// Merges a sketch into an aggregate's state; NULL changes nothing.
pub fn absorb<A: Accumulate>(
    state: Internal,
    other: Option<&A::Sketch>,
    fcinfo: pg_sys::FunctionCallInfo,
) -> Internal {
    let Some(other) = other else { return state };
    if read::<A>(&state).is_none() {
        return update(state, fcinfo, || A::start(other.clone()), |_| ());
    }
    let merge = |sketch: &mut A| {
        if let Err(error) = sketch.absorb(other) {
            error_report(error).report(PgLogLevel::ERROR);
        }
    };
    update(state, fcinfo, || A::start(other.clone()), merge)
}

/// Merges the state of another worker.
pub fn combine<A: Accumulate>(state: Internal, other: Internal, fcinfo: pg_sys::FunctionCallInfo) -> Internal {
    let other = read::<A>(&other).map(Accumulate::sketch);
    absorb::<A>(state, other.as_deref(), fcinfo)
}

pub fn serialize<A: Accumulate>(state: &Internal) -> Vec<u8> {
    read::<A>(state).map(|state| state.sketch().encode()).unwrap_or_default()
}

pub fn deserialize<A: Accumulate>(bytes: &[u8], fcinfo: pg_sys::FunctionCallInfo) -> Result<Internal, ErrorReport> {
    let sketch = A::Sketch::decode(bytes).report()?;
    Ok(update(Internal::default(), fcinfo, || A::start(sketch), |_| ()))
}

/// The sketch of a state, which is kept: a window function asks for it at every row.
pub fn finish<A: Accumulate>(state: &Internal) -> Option<Stored<A::Sketch>> {
    read::<A>(state).map(|state| Stored(state.sketch().into_owned()))
}

/// Merges two sketches, either of which may be missing.
pub fn merge<S: Sketch>(a: Option<Stored<S>>, b: Option<Stored<S>>) -> Result<Option<Stored<S>>, ErrorReport> {
    match (a, b) {
        (Some(mut a), Some(b)) => {
            a.0.merge(&b.0).report()?;
            Ok(Some(a))
        }
        (a, b) => Ok(a.or(b)),
    }
}

/// Several quantiles; NULL for NULL.
fn quantiles(
    ps: Vec<Option<f64>>,
    quantile: impl Fn(f64) -> flagscope_core::Result<Option<f64>>,
) -> Result<Vec<Option<f64>>, ErrorReport> {
    ps.into_iter().map(|p| p.map_or(Ok(None), &quantile).report()).collect()
}

/// The two ends of an interval as columns.
type Interval = TableIterator<'static, (name!(lower, Option<f64>), name!(upper, Option<f64>))>;

fn interval(ends: flagscope_core::Result<(Option<f64>, Option<f64>)>) -> Result<Interval, ErrorReport> {
    ends.report().map(TableIterator::once)
}

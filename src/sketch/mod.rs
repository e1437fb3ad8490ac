//! SQL face of `core::sketch`: one file per state. Each has the type's four functions, the support functions of its
//! aggregates (`CREATE AGGREGATE` stands in `sql/aggregate/`), and its readers.

pub mod histogram;
pub mod moments;
pub mod tdigest;

use std::ffi::{CStr, CString};

use flagscope_core::sketch::Sketch;
use flagscope_core::{Error, Kind};
use pgrx::datum::Internal;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::{PgLogLevel, pg_sys};

use crate::error::{Report, error_report};
use crate::pg::aggregate::{read, update};
use crate::pg::value::Stored;

fn input<S: Sketch>(text: &CStr) -> Result<Stored<S>, ErrorReport> {
    let text = text.to_str().map_err(|_| Error::new(Kind::InvalidText, "text is not valid UTF-8"));
    text.and_then(S::from_text).report().map(Stored)
}

fn output<S: Sketch>(sketch: &S) -> Result<CString, ErrorReport> {
    CString::new(sketch.to_text()).map_err(|_| Error::new(Kind::Corrupted, "text form holds a NUL")).report()
}

fn receive<S: Sketch>(message: Internal) -> Result<Stored<S>, ErrorReport> {
    crate::pg::value::read_message(message, S::decode).report().map(Stored)
}

/// Adds one value to an aggregate's state; NULL changes nothing.
fn accumulate<S: Sketch>(
    state: Internal,
    value: Option<f64>,
    fcinfo: pg_sys::FunctionCallInfo,
    make: impl FnOnce() -> S,
    push: impl FnOnce(&mut S, f64),
) -> Internal {
    match value {
        Some(value) => update(state, fcinfo, make, |sketch| push(sketch, value)),
        None => state,
    }
}

/// Merges a sketch into an aggregate's state; NULL changes nothing.
fn absorb<S: Sketch>(state: Internal, other: Option<&S>, fcinfo: pg_sys::FunctionCallInfo) -> Internal {
    let Some(other) = other else { return state };
    if read::<S>(&state).is_none() {
        return update(state, fcinfo, || other.clone(), |_| ());
    }
    update(
        state,
        fcinfo,
        || other.clone(),
        |sketch| {
            if let Err(error) = sketch.merge(other) {
                error_report(error).report(PgLogLevel::ERROR);
            }
        },
    )
}

/// Merges the state of another worker.
fn combine<S: Sketch>(state: Internal, other: Internal, fcinfo: pg_sys::FunctionCallInfo) -> Internal {
    absorb(state, read::<S>(&other), fcinfo)
}

fn serialize<S: Sketch>(state: &Internal) -> Vec<u8> {
    read::<S>(state).map(Sketch::encode).unwrap_or_default()
}

fn deserialize<S: Sketch>(bytes: &[u8], fcinfo: pg_sys::FunctionCallInfo) -> Result<Internal, ErrorReport> {
    let sketch = S::decode(bytes).report()?;
    Ok(update(Internal::default(), fcinfo, || sketch, |_| ()))
}

fn finish<S: Sketch>(state: &Internal) -> Option<Stored<S>> {
    read::<S>(state).cloned().map(Stored)
}

/// Merges two sketches, either of which may be missing.
fn merge<S: Sketch>(a: Option<Stored<S>>, b: Option<Stored<S>>) -> Result<Option<Stored<S>>, ErrorReport> {
    match (a, b) {
        (Some(mut a), Some(b)) => {
            a.0.merge(&b.0).report()?;
            Ok(Some(a))
        }
        (a, b) => Ok(a.or(b)),
    }
}

/// Several quantiles; the one at NULL is NULL.
fn quantiles(
    ps: Vec<Option<f64>>,
    quantile: impl Fn(f64) -> flagscope_core::Result<Option<f64>>,
) -> Result<Vec<Option<f64>>, ErrorReport> {
    ps.into_iter().map(|p| p.map_or(Ok(None), &quantile).report()).collect()
}

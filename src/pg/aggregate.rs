//! Aggregate states: a Rust value in the aggregate's own memory context, dropped with it.
//!
//! States are created inside of aggregates only. So no SQL expression has one, and none can pass the state of one
//! aggregate to a function of another, which would misread it.

use flagscope_core::{Error, Kind};
use pgrx::datum::Internal;
use pgrx::{PgMemoryContexts, pg_sys};

use crate::error::error_report;

/// Changes the state of an aggregate, creating it first if needed; returns the state's new handle.
pub fn update<S>(
    state: Internal,
    fcinfo: pg_sys::FunctionCallInfo,
    make: impl FnOnce() -> S,
    change: impl FnOnce(&mut S),
) -> Internal {
    let mut state = state;
    // SAFETY: the support functions of one aggregate all use one S, and only an aggregate can hand them a state.
    if let Some(present) = unsafe { state.get_mut::<S>() } {
        change(present);
        return state;
    }
    let mut fresh = make();
    change(&mut fresh);
    let datum = pg_sys::Datum::from(context(fcinfo).leak_and_drop_on_delete(fresh));
    Internal::from(Some(datum))
}

/// Changes an existing state; `None` before the first row.
pub fn change<S, T>(state: &mut Internal, change: impl FnOnce(&mut S) -> T) -> Option<T> {
    // SAFETY: as in `update`.
    unsafe { state.get_mut::<S>() }.map(change)
}

/// Reads the state of an aggregate; `None` before the first row.
pub fn read<S>(state: &Internal) -> Option<&S> {
    // SAFETY: as in `update`.
    unsafe { state.get::<S>() }
}

/// The aggregate's memory context; an error outside of one.
fn context(fcinfo: pg_sys::FunctionCallInfo) -> PgMemoryContexts {
    let mut context = std::ptr::null_mut();
    // SAFETY: fcinfo is that of the running call; the function only fills in the context.
    let kind = unsafe { pg_sys::AggCheckCallContext(fcinfo, &mut context) };
    if kind == 0 {
        let message = "a support function of an aggregate cannot be called by itself";
        let hint = "Use the aggregate, for example flagscope.histogram(x).";
        std::panic::panic_any(error_report(Error::new(Kind::Unsupported, message).hint(hint)));
    }
    PgMemoryContexts::For(context)
}

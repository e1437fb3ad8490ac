//! SQL face of `core::correlate::patterns`: the state of log lines by template.

use std::ffi::{CStr, CString};

use flagscope_core::correlate::mask;
use flagscope_core::correlate::patterns::{NO_TIME, Patterns};
use flagscope_core::sketch::Sketch;
use pgrx::datum::Internal;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::pg::aggregate::update;
use crate::pg::value::Stored;
use crate::sketch;

#[pg_extern(immutable, strict, parallel_safe, schema = "_flagscope")]
pub fn patterns_in(text: &CStr) -> Result<Stored<Patterns>, ErrorReport> {
    sketch::input(text)
}

#[pg_extern(immutable, strict, parallel_safe, schema = "_flagscope")]
pub fn patterns_out(sketch: Stored<Patterns>) -> Result<CString, ErrorReport> {
    crate::sketch::output(&sketch.0)
}

#[pg_extern(immutable, strict, parallel_safe, schema = "_flagscope")]
pub fn patterns_recv(message: Internal) -> Result<Stored<Patterns>, ErrorReport> {
    sketch::receive(message)
}

#[pg_extern(immutable, strict, parallel_safe, schema = "_flagscope")]
pub fn patterns_send(sketch: Stored<Patterns>) -> Vec<u8> {
    sketch.0.encode()
}

fn add(state: Internal, body: Option<&str>, times: (i64, i64), fcinfo: pg_sys::FunctionCallInfo) -> Internal {
    let Some(body) = body else { return state };
    update(state, fcinfo, Patterns::default, |patterns| patterns.add(&mask::template(body), body, false, times))
}

#[pg_extern(immutable, parallel_safe, schema = "_flagscope")]
pub fn patterns_accum(state: Internal, body: Option<&str>, fcinfo: pg_sys::FunctionCallInfo) -> Internal {
    add(state, body, NO_TIME, fcinfo)
}

#[pg_extern(immutable, parallel_safe, schema = "_flagscope")]
pub fn patterns_accum_ts(
    state: Internal,
    body: Option<&str>,
    ts: Option<TimestampWithTimeZone>,
    fcinfo: pg_sys::FunctionCallInfo,
) -> Internal {
    let times = ts.map_or(NO_TIME, |ts| (i64::from(ts), i64::from(ts)));
    add(state, body, times, fcinfo)
}

#[pg_extern(immutable, parallel_safe, schema = "_flagscope")]
pub fn patterns_absorb(
    state: Internal,
    sketch: Option<Stored<Patterns>>,
    fcinfo: pg_sys::FunctionCallInfo,
) -> Internal {
    sketch::absorb::<Patterns>(state, sketch.as_ref().map(|s| &s.0), fcinfo)
}

#[pg_extern(immutable, parallel_safe, schema = "_flagscope")]
pub fn patterns_combine(state: Internal, other: Internal, fcinfo: pg_sys::FunctionCallInfo) -> Internal {
    sketch::combine::<Patterns>(state, other, fcinfo)
}

#[pg_extern(immutable, strict, parallel_safe, schema = "_flagscope")]
pub fn patterns_serialize(state: Internal) -> Vec<u8> {
    sketch::serialize::<Patterns>(&state)
}

#[pg_extern(immutable, strict, parallel_safe, schema = "_flagscope")]
pub fn patterns_deserialize(
    bytes: &[u8],
    _state: Internal,
    fcinfo: pg_sys::FunctionCallInfo,
) -> Result<Internal, ErrorReport> {
    sketch::deserialize::<Patterns>(bytes, fcinfo)
}

#[pg_extern(immutable, parallel_safe, schema = "_flagscope")]
pub fn patterns_final(state: Internal) -> Option<Stored<Patterns>> {
    sketch::finish::<Patterns>(&state)
}

#[pg_extern(immutable, parallel_safe, name = "merge")]
pub fn patterns_merge(
    a: Option<Stored<Patterns>>,
    b: Option<Stored<Patterns>>,
) -> Result<Option<Stored<Patterns>>, ErrorReport> {
    sketch::merge(a, b)
}

#[pg_extern(immutable, strict, parallel_safe, name = "count")]
pub fn patterns_count(sketch: Stored<Patterns>) -> i64 {
    let kept = sketch.0.entries().fold(sketch.0.lost(), |sum, (_, entry)| sum.saturating_add(entry.total()));
    i64::try_from(kept).unwrap_or(i64::MAX)
}

#[pg_extern(immutable, strict, parallel_safe, name = "lost")]
pub fn patterns_lost(sketch: Stored<Patterns>) -> i64 {
    i64::try_from(sketch.0.lost()).unwrap_or(i64::MAX)
}

/// The templates of a state; documented in `sql/aggregate/patterns.sql`.
#[pg_extern(immutable, strict, parallel_safe)]
#[allow(clippy::type_complexity)] // the columns of one SQL row
pub fn patterns(
    state: Stored<Patterns>,
) -> TableIterator<
    'static,
    (
        name!(template, String),
        name!(n, i64),
        name!(first_ts, Option<TimestampWithTimeZone>),
        name!(last_ts, Option<TimestampWithTimeZone>),
        name!(example, String),
    ),
> {
    let mut templates = state.0.templates();
    templates.sort_by(|a, b| b.entry.total().cmp(&a.entry.total()).then_with(|| a.text.cmp(&b.text)));
    let time = |micros: i64| TimestampWithTimeZone::try_from(micros).ok();
    TableIterator::new(templates.into_iter().map(move |t| {
        let has_time = t.entry.first <= t.entry.last;
        let (first, last) = if has_time { (time(t.entry.first), time(t.entry.last)) } else { (None, None) };
        (t.text, i64::try_from(t.entry.total()).unwrap_or(i64::MAX), first, last, t.entry.example)
    }))
}

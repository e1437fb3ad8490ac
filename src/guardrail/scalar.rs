//! SQL face of small rules that queries ask row by row.

use flagscope_core::Result as CoreResult;
use flagscope_core::guardrail::{self, DataState, Pending, Rhythm, Test, Whose};
use flagscope_core::kind::MetricKind;
use pgrx::datum::Interval;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::argument::{counts, given, known};
use crate::error::Report;

/// Whether a guardrail is judged at a tick.
#[pg_extern(immutable, parallel_safe, schema = "_flagscope")]
#[allow(clippy::too_many_arguments)] // an SQL signature: named arguments
fn is_due(
    test: Option<&str>,
    state: Option<&str>,
    has_data: Option<bool>,
    has_problem: Option<bool>,
    retry_at: Option<TimestampWithTimeZone>,
    last_data_at: Option<TimestampWithTimeZone>,
    stale_after: Option<Interval>,
    point: Option<TimestampWithTimeZone>,
    newest: Option<TimestampWithTimeZone>,
    at: Option<TimestampWithTimeZone>,
) -> Result<bool, ErrorReport> {
    let micros = |at: Option<TimestampWithTimeZone>| at.map(i64::from);
    let pending = Pending {
        test: given("a test", test).and_then(Test::from_label).report()?,
        state: given("a state", state).and_then(DataState::from_label).report()?,
        has_data: has_data.unwrap_or(false),
        has_problem: has_problem.unwrap_or(false),
        retry_at: micros(retry_at),
        last_data_at: micros(last_data_at),
        stale_after: given("stale_after", stale_after).map(width).report()?,
        point: micros(point),
        newest: micros(newest),
    };
    Ok(guardrail::is_due(&pending, given("a time", at).map(i64::from).report()?))
}

/// Whose values a guardrail reads, in words.
#[pg_extern(immutable, parallel_safe, schema = "_flagscope")]
fn whose_words(scope: Option<&str>, variants: Option<Vec<Option<String>>>) -> Result<String, ErrorReport> {
    Ok(whose(scope, variants).report()?.with.into_owned())
}

/// Whose data it is, in words.
#[pg_extern(immutable, parallel_safe, schema = "_flagscope")]
fn of_whom(scope: Option<&str>, variants: Option<Vec<Option<String>>>) -> Result<String, ErrorReport> {
    Ok(whose(scope, variants).report()?.of.into_owned())
}

/// Whose data a guardrail of a scope with such variants reads.
pub fn whose(scope: Option<&str>, variants: Option<Vec<Option<String>>>) -> CoreResult<Whose> {
    let names = variants.map(known).transpose()?.unwrap_or_default();
    Ok(if scope == Some("environment") { Whose::environment() } else { Whose::variants(&names) })
}

/// Why the data of a guardrail is not fresh enough to advance on.
#[pg_extern(immutable, parallel_safe, schema = "_flagscope")]
fn not_fresh(
    rhythm_treatment: Option<Vec<Option<f64>>>,
    rhythm_control: Option<Vec<Option<f64>>>,
    stale_after: Option<Interval>,
    at: Option<TimestampWithTimeZone>,
    whose: Option<&str>,
) -> Result<Option<String>, ErrorReport> {
    let whose = given("whose data it is", whose).report()?;
    let rhythm = |stored: Option<Vec<Option<f64>>>| stored.map(known).transpose();
    let arms = [rhythm(rhythm_treatment).report()?, rhythm(rhythm_control).report()?]
        .map(|stored| stored.map(|stored| Rhythm::from_stored(&stored)));
    let stale_after = given("stale_after", stale_after).map(width).report()?;
    let at = given("a time", at).map(i64::from).report()?;
    Ok(guardrail::not_fresh([arms[0].as_ref(), arms[1].as_ref()], whose, stale_after, at))
}

/// An interval in microseconds, as PostgreSQL compares intervals.
pub fn width(interval: Interval) -> i64 {
    let days = i64::from(interval.months()) * 30 + i64::from(interval.days());
    days.saturating_mul(86_400_000_000).saturating_add(interval.micros())
}

/// Start of the newest point of an anomaly's series that can be judged.
#[pg_extern(immutable, strict, parallel_safe, schema = "_flagscope")]
fn newest_point(
    guardrail_id: i64,
    width: Interval,
    pairing: Interval,
    at: TimestampWithTimeZone,
) -> Option<TimestampWithTimeZone> {
    let newest = guardrail::newest_point(guardrail_id, self::width(width), self::width(pairing), i64::from(at))?;
    TimestampWithTimeZone::try_from(newest).ok()
}

/// Whether a guardrail that counts events has seen none.
#[pg_extern(immutable, parallel_safe, schema = "_flagscope")]
fn is_eventless(
    kind: Option<&str>,
    test: Option<&str>,
    value: Option<f64>,
    events_treatment: Option<Vec<Option<i64>>>,
    events_control: Option<Vec<Option<i64>>>,
) -> Result<bool, ErrorReport> {
    let kind = given("a kind of metric", kind).and_then(MetricKind::from_label).report()?;
    let test = given("a test", test).and_then(Test::from_label).report()?;
    let list = |events: Option<Vec<Option<i64>>>| -> CoreResult<Vec<u64>> { counts(events.unwrap_or_default()) };
    let (t, c) = (list(events_treatment).report()?, list(events_control).report()?);
    Ok(guardrail::is_eventless(kind, test, value, [&t, &c]))
}

/// A guardrail's share of the error budget at the start.
#[pg_extern(immutable, strict, parallel_safe, schema = "_flagscope")]
fn alpha_share(alpha: f64, reserve: f64, weight: f64, weights: f64) -> f64 {
    guardrail::first_share(alpha, reserve, weight, weights)
}

/// What is left of the error budget when a rollout has started.
#[pg_extern(immutable, strict, parallel_safe, schema = "_flagscope")]
fn alpha_left_at_start(alpha: f64, reserve: f64, has_guardrails: bool) -> f64 {
    guardrail::left_at_start(alpha, reserve, has_guardrails)
}

/// What evidence takes of the error budget that begins later.
#[pg_extern(immutable, strict, parallel_safe, schema = "_flagscope")]
fn alpha_half(left: f64) -> f64 {
    guardrail::half(left)
}

//! SQL face of the judge (`core::guardrail::step`): functions that read an open cursor and give back what is to be stored.

use flagscope_core::guardrail::{self, Arrived, Evaluation, Status, Stepped, Stratum};
use flagscope_core::{Error, Kind, Result as CoreResult};
use pgrx::IntoDatum;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use super::{all_stored, row, stored};
use crate::argument::given;
use crate::error::{Report, cut};
use crate::pg::record::{Given, Record, argument, for_each_row};
use crate::pg::value::Stored;

/// Steps the guardrails that a cursor loads; see `sql/api/judge.sql`.
#[pg_extern(
    requires = ["guardrail_state"],
    sql = r#"CREATE FUNCTION _flagscope.step(guardrails refcursor, at timestamptz) RETURNS SETOF _flagscope.stepped
LANGUAGE c VOLATILE AS '@MODULE_PATHNAME@', '@FUNCTION_NAME@';"#
)]
fn step(call: pg_sys::FunctionCallInfo) -> Result<(), ErrorReport> {
    let cursor = given("a cursor", argument::<String>(call, 0)).report()?;
    let at = given("a time", argument::<TimestampWithTimeZone>(call, 1)).map(i64::from).report()?;
    let mut given = Given::of(call);
    for_each_row(&cursor, |row| {
        let st = row.record("st")?.ok_or_else(|| Error::new(Kind::Corrupted, "a guardrail without a status"))?;
        let (stepped, is_readable) = stepped(row, &st, at);
        put(&mut given, row, &st, &stepped, is_readable, at)
    })
    .report()
}

/// A guardrail after the tick, and whether its stored numbers could be read. What cannot be read is its own failure.
fn stepped(row: &Record, st: &Record, at: i64) -> (Stepped, bool) {
    let read = || {
        let (rule, status) = (row::rule(row)?, row::status(st)?);
        let (came, stage) = (row::arrived(row, &rule, &status)?, row::stage(row)?);
        Ok::<_, Error>(guardrail::step(&rule, &status, &came, &stage, at))
    };
    match read() {
        Ok(stepped) => (stepped, true),
        Err(error) => (unreadable(row, st, error, at), false),
    }
}

/// A guardrail of which something stored is damaged.
fn unreadable(row: &Record, st: &Record, error: Error, at: i64) -> Stepped {
    let was = Status { waiting: row::waiting(st).unwrap_or_default(), ..row::verdict(st).unwrap_or_default() };
    let arm = |name| row::stratum(row, name).unwrap_or_default();
    let came = Arrived { treatment: arm("t"), control: arm("c"), ..Arrived::default() };
    guardrail::failed(row::retry_after(row).unwrap_or_default(), &was, &came, at, error.message)
}

/// Gives back one guardrail: what a failure does not change stays as it was loaded.
fn put(
    given: &mut Given,
    row: &Record,
    st: &Record,
    stepped: &Stepped,
    is_readable: bool,
    at: i64,
) -> CoreResult<()> {
    given.copy(row);
    given.copy(st);
    for name in ["state", "last_stratum", "stage_treatment", "evaluated_at"] {
        given.copy_as(st, name, &format!("was_{name}"))?;
    }
    given.set("is_changed", stepped.is_changed)?;
    given.set("is_judged", stepped.evaluation.is_some())?;
    put_verdict(given, &stepped.status)?;
    if is_readable {
        put_status(given, &stepped.status)?;
    }
    if is_readable || row::waiting(st).is_ok() {
        put_waiting(given, row, &stepped.status)?;
    }
    if let Some(evaluation) = &stepped.evaluation {
        put_evaluation(given, evaluation)?;
    }
    given.set_time("evaluated_at", Some(at))?;
    given.put();
    Ok(())
}

fn put_verdict(given: &mut Given, status: &Status) -> CoreResult<()> {
    given.set("state", status.state.label())?;
    given.set_time("state_since", status.state_since)?;
    given.set("reason", cut(status.reason.clone()))?;
    given.set("failures", status.failures)?;
    given.set_time("retry_at", status.retry_at)
}

fn put_status(given: &mut Given, status: &Status) -> CoreResult<()> {
    given.set("last_stratum", status.last_stratum)?;
    given.set("limit_value", status.limit)?;
    given.set("evidence", status.evidence.clone())?;
    given.set_time("copied_at", status.copied_at)?;
    given.set("log_e", status.log_e)?;
    given.set("max_log_e", status.max_log_e)?;
    given.set("safe_margin", status.safety.margin)?;
    given.set("safe_evidence", status.safety.evidence.clone())?;
    given.set("safe_log_e", status.safety.log_e)?;
    given.set("information", status.information.clone())?;
    given.set("thresholds", status.memory.thresholds.clone())?;
    given.set("centre", status.memory.centre)?;
    given.set("past", status.memory.past.map(|past| vec![past.exposure, past.events]))?;
    given.set("n_treatment", stored(status.n_treatment))?;
    given.set("n_control", stored(status.n_control))?;
    given.set("events_treatment", all_stored(&status.events_treatment))?;
    given.set("events_control", all_stored(&status.events_control))?;
    given.set("stage_treatment", stored(status.stage_treatment))?;
    given.set("stage_control", stored(status.stage_control))?;
    given.set("rhythm_treatment", status.rhythm_treatment.stored())?;
    given.set("rhythm_control", status.rhythm_control.stored())?;
    given.set("value", status.value)?;
    given.set("looks", status.looks.clone())?;
    given.set_time("looked_at", status.looked_at)?;
    given.set_time("point", status.point)?;
    given.set_time("last_data_at", status.last_data_at)?;
    given.set_time("watermark", status.watermark)?;
    given.set_time("breached_at", status.breached_at)
}

fn put_waiting(given: &mut Given, row: &Record, status: &Status) -> CoreResult<()> {
    put_stratum(given, row, "waiting_treatment", "treatment", status.waiting.treatment.as_ref())?;
    put_stratum(given, row, "waiting_control", "control", status.waiting.control.as_ref())?;
    given.set_time("waiting_since", status.waiting.since)
}

fn put_stratum(
    given: &mut Given,
    row: &Record,
    name: &str,
    variant: &str,
    stratum: Option<&Stratum>,
) -> CoreResult<()> {
    let Some(Stratum { state, stage_n }) = stratum else { return given.set_record(name, None) };
    let key = |name| Ok::<_, Error>(row.get::<String>(name)?.into_datum());
    let fields = [
        ("flag", key("flag")?),
        ("environment", key("environment")?),
        ("variant", key(variant)?),
        ("metric", key("metric")?),
        ("n", stored(state.n).into_datum()),
        ("events", stored(state.events).into_datum()),
        ("moments", state.moments.as_ref().map(Stored::to_datum)),
        ("histogram", state.histogram.as_ref().map(Stored::to_datum)),
        ("last_ts", Some(pg_sys::Datum::from(state.last_ts))),
        ("stage_n", stored(*stage_n).into_datum()),
    ];
    given.set_record(name, Some(&fields))
}

fn put_evaluation(given: &mut Given, evaluation: &Evaluation) -> CoreResult<()> {
    let [n_t, n_c] = evaluation.n;
    let [y_t, y_c] = &evaluation.events;
    let [m_t, m_c] = &evaluation.moments;
    given.set("weighed_treatment", stored(n_t))?;
    given.set("weighed_control", stored(n_c))?;
    given.set("weighed_events_treatment", all_stored(y_t))?;
    given.set("weighed_events_control", all_stored(y_c))?;
    given.set("judged_thresholds", evaluation.memory.thresholds.clone())?;
    given.set("judged_centre", evaluation.memory.centre)?;
    given.set("bound", evaluation.bound)?;
    given.set_sketch("moments_treatment", m_t.as_ref())?;
    given.set_sketch("moments_control", m_c.as_ref())?;
    given.set("judged_design_effect", evaluation.design_effect)?;
    given.set("increment", evaluation.increment.clone())?;
    given.set("safe_increment", evaluation.safe_increment.clone())?;
    given.set("begins_copy", evaluation.begins_copy)?;
    given.set_time("weighed_watermark", evaluation.watermark)
}

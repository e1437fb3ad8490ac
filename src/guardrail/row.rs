//! What SQL loads of a guardrail, as the core takes it: the columns of a row of the cursor, by name. The tables say what
//! each means (`sql/schema/guardrail.sql`); `sql/api/judge.sql` and `sql/api/backtest.sql` declare the cursors.

use flagscope_core::guardrail::{
    Arrived, Before, Comparison, DataState, Rhythm, Rule, Safety, Sighting, Stage, Status, Stratum, Test, Waiting,
    Whose,
};
use flagscope_core::kind::{Memory, MetricKind, State};
use flagscope_core::stats::margin::{Margin, Past};
use flagscope_core::stats::tilt::Harm;
use flagscope_core::{Error, Kind, Result};

use super::scalar::whose;
use crate::argument::{count, counts, known};
use crate::pg::record::Record;

/// Microseconds in a minute.
const MINUTE: f64 = 60e6;

/// Reads the rule: guardrail `g`, metric `m`, the settings `setting`. Of a rule as it was once, what it lacks has its
/// default.
pub fn rule(row: &Record) -> Result<Rule> {
    let of = |name| row.record(name)?.ok_or_else(|| absent(name));
    let (g, m, setting) = (of("g")?, of("m")?, of("setting")?);
    let own = |name| Ok::<_, Error>(g.microseconds(name)?.or(setting.microseconds(name)?).unwrap_or(0));
    let times = |name| Ok::<_, Error>(g.get::<i32>(name)?.map_or(1, |n| n.max(1) as usize));
    let metric = m.known::<String>("name")?;
    // Nobody counts before the first windows are over: until then nothing is missing.
    let by_unit = if m.get("per_unit")?.unwrap_or(false) { m.microseconds("conversion_window")? } else { None };
    Ok(Rule {
        name: g.get::<String>("name")?.filter(|name| !name.is_empty()).unwrap_or_else(|| metric.clone()),
        metric,
        kind: MetricKind::from_label(&m.label("kind")?)?,
        unit: m.known("unit")?,
        harm: Harm::from_label(&m.label("harm")?)?,
        cap: m.get("cap")?,
        is_polled: row.get("is_polled")?.unwrap_or(false),
        by_unit,
        test: Test::from_label(&g.label("test")?)?,
        comparison: Comparison::from_label(&g.label("comparison")?)?,
        quantile: g.get("quantile")?,
        design_effect: design_effect(row)?,
        safe_margin: g.get("safe_margin")?.or(setting.get("safe_margin")?).unwrap_or(0.2),
        safe_alpha: row.known("safe_alpha")?,
        breaches: times("breaches")?,
        of_looks: times("of_looks")?,
        min_sample: count(g.get("min_sample")?.or(setting.get("min_sample")?).unwrap_or(0))?,
        window: own("time_window")?,
        pairing: setting.microseconds("pairing")?.unwrap_or(0),
        copy_after: setting.microseconds("copy_after")?.unwrap_or(0),
        grace: own("grace")?.saturating_add(by_unit.unwrap_or(0)),
        stale_after: own("stale_after")?,
        retry_after: retry_after(row)?,
        acts: !g.get::<bool>("shadow")?.unwrap_or(false)
            && g.label("action").map_or(true, |action| &*action != "warn"),
        control: row.get("control")?.unwrap_or_default(),
        whose: whose_of(&g)?,
    })
}

/// The design effect in force: the rule's own, else as measured from what was judged before.
pub fn design_effect(row: &Record) -> Result<f64> {
    Ok(row.get("design_effect")?.unwrap_or(1.0))
}

/// Whose data it reads; a rule as it was once is of the treatment.
fn whose_of(g: &Record) -> Result<Whose> {
    whose(g.label("scope").ok().as_deref(), g.get("variants")?)
}

/// When a rule that failed is tried again for the first time.
pub fn retry_after(row: &Record) -> Result<i64> {
    Ok(row.record("setting")?.map_or(Ok(None), |setting| setting.microseconds("retry_after"))?.unwrap_or(0))
}

/// Reads where the guardrail stands, `st`.
pub fn status(st: &Record) -> Result<Status> {
    Ok(Status {
        last_stratum: st.known("last_stratum")?,
        alpha: st.known("alpha")?,
        margin: margin_of(st.get("margin")?, st.get("margin_absolute")?),
        limit: st.get("limit_value")?,
        evidence: known(st.known("evidence")?)?,
        copied_at: st.time("copied_at")?,
        log_e: st.known("log_e")?,
        max_log_e: st.known("max_log_e")?,
        safety: Safety {
            margin: st.get("safe_margin")?,
            evidence: known(st.known("safe_evidence")?)?,
            log_e: st.known("safe_log_e")?,
        },
        information: known(st.known("information")?)?,
        memory: Memory {
            thresholds: st.get::<Vec<Option<i32>>>("thresholds")?.map(known).transpose()?,
            centre: st.get("centre")?,
            past: past(st)?,
        },
        waiting: waiting(st)?,
        n_treatment: count(st.known("n_treatment")?)?,
        n_control: count(st.known("n_control")?)?,
        events_treatment: counts(st.known("events_treatment")?)?,
        events_control: counts(st.known("events_control")?)?,
        stage_treatment: count(st.known("stage_treatment")?)?,
        stage_control: count(st.known("stage_control")?)?,
        rhythm_treatment: Rhythm::from_stored(&known(st.known("rhythm_treatment")?)?),
        rhythm_control: Rhythm::from_stored(&known(st.known("rhythm_control")?)?),
        value: st.get("value")?,
        looks: known(st.known("looks")?)?,
        looked_at: st.time("looked_at")?,
        point: st.time("point")?,
        alarm_score: st.get("alarm_score")?,
        last_data_at: st.time("last_data_at")?,
        watermark: st.time("watermark")?,
        breached_at: st.time("breached_at")?,
        joint: st.get::<crate::pg::document::Document>("joint")?.and_then(reason),
        ..verdict(st)?
    })
}

/// What of a status even a damaged one says: its last verdict, and how often it failed.
pub fn verdict(st: &Record) -> Result<Status> {
    Ok(Status {
        state: DataState::from_label(&st.label("state")?)?,
        state_since: st.time("state_since")?,
        reason: st.known("reason")?,
        failures: st.known("failures")?,
        retry_at: st.time("retry_at")?,
        ..Status::default()
    })
}

/// The control's past as it was stored.
fn past(st: &Record) -> Result<Option<Past>> {
    let stored = st.get::<Vec<Option<f64>>>("past")?.map(known).transpose()?;
    match stored.as_deref() {
        None => Ok(None),
        Some([exposure, events]) if exposure.is_finite() && events.is_finite() => {
            Ok(Some(Past { exposure: *exposure, events: *events }))
        }
        Some(other) => Err(Error::new(Kind::Corrupted, format!("a stored past is damaged: {other:?}"))
            .hint("Delete the guardrail's row of guardrail_status to begin anew.")),
    }
}

fn reason(joint: crate::pg::document::Document) -> Option<String> {
    joint.0.ok()?.get("reason")?.as_str().map(str::to_owned)
}

/// A relative margin, or an absolute one.
pub fn margin_of(relative: Option<f64>, absolute: Option<f64>) -> Option<Margin> {
    absolute.map(Margin::Absolute).or(relative.map(Margin::Relative))
}

/// Reads what waits.
pub fn waiting(st: &Record) -> Result<Waiting> {
    Ok(Waiting {
        treatment: stratum(st, "waiting_treatment")?,
        control: stratum(st, "waiting_control")?,
        since: st.time("waiting_since")?,
    })
}

/// Reads a stratum in a column; an empty one is none.
pub fn stratum(row: &Record, name: &str) -> Result<Option<Stratum>> {
    let Some(s) = row.record(name)? else { return Ok(None) };
    let Some(n) = s.get::<i64>("n")? else { return Ok(None) };
    let state = State {
        n: count(n)?,
        events: count(s.get("events")?.unwrap_or(0))?,
        moments: s.sketch("moments")?,
        histogram: s.sketch("histogram")?,
        last_ts: s.time("last_ts")?.unwrap_or(i64::MIN),
    };
    Ok(Some(Stratum { state, stage_n: count(s.get("stage_n")?.unwrap_or(0))? }))
}

/// Reads the stage.
pub fn stage(row: &Record) -> Result<Stage> {
    Ok(Stage {
        started_at: row.time("stage_started_at")?.unwrap_or(i64::MIN),
        min_sample: count(row.get("stage_sample")?.unwrap_or(0))?,
        is_alone: row.known("is_alone")?,
        share: row.known("share")?,
    })
}

/// Reads what a tick brings.
pub fn arrived(row: &Record, rule: &Rule, status: &Status) -> Result<Arrived> {
    let state = |name| Ok::<_, Error>(stratum(row, name)?.map(|stratum| stratum.state));
    Ok(Arrived {
        treatment: stratum(row, "t")?,
        control: stratum(row, "c")?,
        is_heard: [row.known("treatment_came")?, row.known("control_came")?],
        before: None,
        reference: state("reference")?,
        baseline: state("baseline")?,
        baseline_spread: row.get("baseline_spread")?.unwrap_or(0.0),
        value: state("window_state")?.and_then(|state| rule.value(&state)),
        sighting: sighting(row, rule, status)?,
        problem: row.get("problem")?,
        unloaded: row.get("unloaded")?,
    })
}

/// Reads what a moment of the past brought: fresh data, or a stratum that was weighed then.
pub fn of_the_past(row: &Record, rule: &Rule, status: &Status) -> Result<Arrived> {
    let came = arrived(row, rule, status)?;
    if !row.known::<bool>("is_weighed")? {
        return Ok(came);
    }
    let list = |name| counts(row.get(name)?.unwrap_or_default());
    let before = Before {
        events: [list("events_treatment")?, list("events_control")?],
        centre: row.get("centre")?,
        begins_copy: row.get("begins_copy")?,
        safe_increment: row.get::<Vec<Option<f64>>>("safe_increment")?.map(known).transpose()?,
    };
    Ok(Arrived { before: Some(before), value: row.get("value")?, ..came })
}

/// A status whose evidence begins, with what the row says of its budget and its limits.
pub fn begun(row: &Record) -> Result<Status> {
    Ok(Status {
        alpha: row.known("alpha")?,
        margin: margin_of(row.get("margin")?, row.get("margin_absolute")?),
        limit: row.get("limit_value")?,
        alarm_score: row.get("alarm_score")?,
        ..Status::default()
    })
}

/// Reads what a stratum of the past was compared at (`bound`), where that is not what its evidence has now: a rule that was
/// tightened since.
pub fn compare_at(row: &Record, rule: &Rule, status: &mut Status) -> Result<()> {
    let Some(bound) = row.get::<f64>("bound")? else { return Ok(()) };
    if !rule.is_of_control() {
        status.limit = Some(bound);
    } else if let Some(margin) = status.margin {
        status.margin = Some(margin.with(bound));
    }
    Ok(())
}

/// Reads the newest point of an anomaly's series: when it began (`point`), and what stands in `anomaly_point`.
fn sighting(row: &Record, rule: &Rule, status: &Status) -> Result<Option<Sighting>> {
    let (Some(point), Some(line), Test::Anomaly) = (row.time("point")?, status.alarm_score, rule.test) else {
        return Ok(None);
    };
    let (since, stage) = (row.time("counted_since")?.unwrap_or(i64::MIN), row.time("stage_started_at")?);
    let alone_since = row.time("alone_since")?;
    let has_begun = point >= since;
    let seen = row.record("seen")?.filter(|_| has_begun);
    let of = |name| seen.as_ref().map_or(Ok(None), |seen| seen.get::<f64>(name));
    let first = row.time("first_point")?;
    Ok(Some(Sighting {
        point,
        line,
        value: of("value")?,
        usual: of("usual")?,
        score: of("score")?,
        alone: alone_since.is_some_and(|since| point >= since),
        counted_since: alone_since.filter(|alone| point >= *alone).map_or(since, |alone| alone.max(since)),
        has_begun,
        in_stage: stage.is_none_or(|stage| point >= stage),
        days: first.map(|first| point.saturating_sub(first) as f64 / (1440.0 * MINUTE)),
        minutes: rule.window as f64 / MINUTE,
    }))
}

fn absent(name: &str) -> Error {
    Error::new(Kind::Corrupted, format!("what was loaded lacks \"{name}\""))
}

//! SQL face of `core::kind`: what queries ask of a kind of metric, so that no query tells kinds apart.

use flagscope_core::guardrail::{self, Minute};
use flagscope_core::kind::{self, Counted, KindRules, MetricKind, Part, Proposed, State, report};
use flagscope_core::sketch::{Histogram, Moments};
use flagscope_core::stats::margin::Margin;
use flagscope_core::stats::tilt::Harm;
use flagscope_core::{Error, Kind, Result as CoreResult};
use pgrx::JsonB;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde_json::{Value, json};

use crate::argument::{count, counts, given};
use crate::error::Report;
use crate::guardrail::row::{margin_of, stratum};
use crate::pg::document::Document;
use crate::pg::record::for_each_row;
use crate::pg::value::Stored;

fn rules(kind: Option<&str>) -> CoreResult<&'static dyn KindRules> {
    Ok(given("a kind of metric", kind).and_then(MetricKind::from_label)?.rules())
}

fn state(
    n: Option<i64>,
    events: Option<i64>,
    moments: Option<Stored<Moments>>,
    histogram: Option<Stored<Histogram>>,
) -> CoreResult<State> {
    let (n, events) = (count(n.unwrap_or(0))?, count(events.unwrap_or(0))?);
    Ok(State { n, events, moments: moments.map(|m| m.0), histogram: histogram.map(|h| h.0), last_ts: 0 })
}

/// What a state says.
#[pg_extern(immutable, parallel_safe, schema = "_flagscope")]
fn kind_value(
    kind: Option<&str>,
    quantile: Option<f64>,
    n: Option<i64>,
    events: Option<i64>,
    moments: Option<Stored<Moments>>,
    histogram: Option<Stored<Histogram>>,
) -> Result<Option<f64>, ErrorReport> {
    let rules = rules(kind).report()?;
    Ok(rules.value(&state(n, events, moments, histogram).report()?, quantile))
}

/// A value worsened by a margin: the absolute one if there is one.
#[pg_extern(immutable, parallel_safe, schema = "_flagscope")]
fn worse(
    value: Option<f64>,
    kind: Option<&str>,
    harm: Option<&str>,
    margin: Option<f64>,
    margin_absolute: Option<f64>,
) -> Result<Option<f64>, ErrorReport> {
    let rules = rules(kind).report()?;
    let harm = given("a direction of harm", harm).and_then(Harm::from_label).report()?;
    let margin = margin_absolute.map(Margin::Absolute).or(margin.map(Margin::Relative));
    Ok(value.zip(margin).and_then(|(value, margin)| rules.worse(value, harm, margin)))
}

/// The ends of an interval of 95 % around it.
#[pg_extern(immutable, parallel_safe, schema = "_flagscope")]
fn kind_interval(
    kind: Option<&str>,
    quantile: Option<f64>,
    n: Option<i64>,
    events: Option<i64>,
    moments: Option<Stored<Moments>>,
    histogram: Option<Stored<Histogram>>,
) -> Result<Vec<Option<f64>>, ErrorReport> {
    let rules = rules(kind).report()?;
    Ok(rules.interval(&state(n, events, moments, histogram).report()?, quantile).to_vec())
}

/// A value on the scale that an anomaly is looked for on, larger is worse.
#[pg_extern(immutable, parallel_safe, schema = "_flagscope")]
fn anomaly_x(
    kind: Option<&str>,
    harm: Option<&str>,
    value: Option<f64>,
    n: Option<i64>,
    events: Option<i64>,
    moments: Option<Stored<Moments>>,
) -> Result<Option<f64>, ErrorReport> {
    let Some(value) = value else { return Ok(None) };
    let (rules, sign) = (rules(kind).report()?, sign(harm).report()?);
    Ok(Some(sign * rules.even(&state(n, events, moments, None).report()?, value)))
}

/// Back from that scale.
#[pg_extern(immutable, strict, parallel_safe, schema = "_flagscope")]
fn anomaly_value(kind: &str, harm: &str, x: f64) -> Result<f64, ErrorReport> {
    Ok(rules(Some(kind)).report()?.uneven(sign(Some(harm)).report()? * x))
}

fn sign(harm: Option<&str>) -> CoreResult<f64> {
    Ok(if given("harm", harm).and_then(Harm::from_label)? == Harm::Increase { 1.0 } else { -1.0 })
}

/// The score that is an alarm.
#[pg_extern(immutable, strict, parallel_safe, schema = "_flagscope")]
fn alarm_score(every: f64, width: f64) -> f64 {
    guardrail::alarm_score(every, width)
}

/// Whether a kind has a sequential test.
#[pg_extern(immutable, strict, parallel_safe, schema = "_flagscope")]
fn is_tested(kind: &str, is_of_control: bool) -> Result<bool, ErrorReport> {
    Ok(rules(Some(kind)).report()?.is_tested(is_of_control))
}

/// Whether a kind counts events.
#[pg_extern(immutable, strict, parallel_safe, schema = "_flagscope")]
fn counts_events(kind: &str) -> Result<bool, ErrorReport> {
    Ok(rules(Some(kind)).report()?.counts_events())
}

/// Whether a kind is judged at quantiles of the control's recent past.
#[pg_extern(immutable, strict, parallel_safe, schema = "_flagscope")]
fn looks_back(kind: &str) -> Result<bool, ErrorReport> {
    Ok(rules(Some(kind)).report()?.looks_back())
}

/// The last part of the name of the setting `guardrail.margin.*` that a kind takes.
#[pg_extern(immutable, strict, parallel_safe, schema = "_flagscope")]
fn margin_setting(kind: &str) -> Result<&'static str, ErrorReport> {
    Ok(rules(Some(kind)).report()?.margin_setting())
}

/// The quantiles that a rule tests.
#[pg_extern(immutable, parallel_safe, schema = "_flagscope")]
fn tested_levels(quantile: Option<f64>) -> Vec<f64> {
    kind::levels(quantile)
}

/// Whether a definition of a kind takes `event`, `per`, `sum_values`, `cap` or `query`; CHECK constraints ask it.
#[pg_extern(immutable, strict, parallel_safe, schema = "_flagscope")]
fn kind_takes(kind: &str, part: &str) -> Result<bool, ErrorReport> {
    Ok(rules(Some(kind)).report()?.takes().contains(&Part::from_label(part).report()?))
}

/// What a guardrail estimates, for people.
#[pg_extern(immutable, parallel_safe, schema = "_flagscope")]
fn effect_words(
    effect: Option<Document>,
    kind: Option<&str>,
    unit: Option<&str>,
) -> Result<Option<String>, ErrorReport> {
    let (Some(effect), Some(_)) = (effect, kind) else { return Ok(None) };
    Ok(report::effect(rules(kind).report()?, &effect.0.report()?, unit.unwrap_or_default()))
}

/// The value of an arm, or the values of its quantiles, for people.
#[pg_extern(immutable, parallel_safe, schema = "_flagscope")]
fn value_words(value: Option<Document>, kind: Option<&str>, unit: Option<&str>) -> Result<String, ErrorReport> {
    let value = value.map(|value| value.0).transpose().report()?.unwrap_or_default();
    Ok(report::values(rules(kind).report()?, &value, unit.unwrap_or_default()))
}

/// The margin of a decision's evidence, for people.
#[pg_extern(immutable, strict, parallel_safe, schema = "_flagscope")]
fn margin_words(evidence: Document) -> Result<Option<String>, ErrorReport> {
    let evidence = evidence.0.report()?;
    let number = |key: &str| evidence[key].as_f64();
    let (Some(margin), Some(kind)) =
        (margin_of(number("margin"), number("margin_absolute")), evidence["kind"].as_str())
    else {
        return Ok(None);
    };
    Ok(Some(rules(Some(kind)).report()?.margin_told(margin, evidence["unit"].as_str().unwrap_or_default())))
}

/// The quantiles that a rule on a kind tests, for people.
#[pg_extern(immutable, parallel_safe, schema = "_flagscope")]
fn level_words(kind: Option<&str>, quantile: Option<f64>) -> Result<String, ErrorReport> {
    let levels: Vec<String> = rules(kind).report()?.levels(quantile).into_iter().map(report::level).collect();
    Ok(if levels.is_empty() { String::new() } else { format!("{} ", levels.join(" / ")) })
}

/// What is counted of a kind, for people.
#[pg_extern(immutable, strict, parallel_safe, schema = "_flagscope")]
fn counts_words(kind: &str) -> Result<Option<String>, ErrorReport> {
    Ok(rules(Some(kind)).report()?.counts_told().map(str::to_owned))
}

/// Why a rule does not fit a kind.
#[pg_extern(immutable, parallel_safe, schema = "_flagscope")]
#[allow(clippy::too_many_arguments)] // an SQL signature: named arguments
fn kind_problem(
    kind: Option<&str>,
    metric: Option<&str>,
    cap: Option<f64>,
    harm: Option<&str>,
    comparison: Option<&str>,
    test: Option<&str>,
    quantile: Option<f64>,
    limit_value: Option<f64>,
    margin: Option<f64>,
    margin_absolute: Option<f64>,
) -> Result<Option<String>, ErrorReport> {
    let rule = Proposed {
        metric: metric.unwrap_or_default(),
        cap,
        harm: given("harm", harm).and_then(Harm::from_label).report()?,
        is_of_control: comparison == Some("control"),
        is_of_baseline: comparison == Some("baseline"),
        is_sequential: test == Some("sequential"),
        quantile,
        limit: limit_value.filter(|_| comparison == Some("absolute")),
        margin,
        margin_absolute,
    };
    Ok(rules(kind).report()?.problem(&rule))
}

/// An estimate with its interval as JSON.
fn told([estimate, low, high]: [Option<f64>; 3]) -> Value {
    json!({"estimate": estimate.map(number), "lower": low.map(number), "upper": high.map(number)})
}

/// A number as PostgreSQL writes it into JSON: a whole one has no point.
fn number(x: f64) -> Value {
    if x.fract() == 0.0 && x.abs() < 9e15 { json!(x as i64) } else { json!(x) }
}

/// One arm of some strata.
struct Arm {
    n: Vec<u64>,
    events: Vec<[u64; 1]>,
    moments: Vec<Option<Stored<Moments>>>,
}

impl Arm {
    fn new(
        n: Option<Vec<Option<i64>>>,
        events: Option<Vec<Option<i64>>>,
        moments: Option<Vec<Option<Stored<Moments>>>>,
    ) -> CoreResult<Self> {
        let (n, moments) = (counts(n.unwrap_or_default())?, moments.unwrap_or_default());
        let events = events.unwrap_or_default().into_iter().map(|y| count(y.unwrap_or(0)).map(|y| [y]));
        let events = events.collect::<CoreResult<Vec<_>>>()?;
        if events.len() != n.len() || moments.len() != n.len() {
            return Err(Error::new(Kind::InvalidParameter, "the lists must have one entry for each stratum"));
        }
        Ok(Self { n, events, moments })
    }

    fn strata(&self) -> impl Iterator<Item = Counted<'_>> {
        let arms = self.n.iter().zip(&self.events).zip(&self.moments);
        arms.map(|((n, events), moments)| Counted { n: *n, events, moments: moments.as_ref().map(|m| &m.0) })
    }
}

/// What is estimated of treatment and control over their first strata, for several numbers of them.
#[pg_extern(immutable, parallel_safe, schema = "_flagscope", requires = ["sketch_state"])]
#[allow(clippy::too_many_arguments)] // parallel arrays, one for each column
fn compared(
    kind: Option<&str>,
    cap: Option<f64>,
    alpha: Option<f64>,
    n_treatment: Option<Vec<Option<i64>>>,
    events_treatment: Option<Vec<Option<i64>>>,
    moments_treatment: Option<Vec<Option<Stored<Moments>>>>,
    n_control: Option<Vec<Option<i64>>>,
    events_control: Option<Vec<Option<i64>>>,
    moments_control: Option<Vec<Option<Stored<Moments>>>>,
    counts: Option<Vec<Option<i32>>>,
) -> Result<JsonB, ErrorReport> {
    let (rules, alpha) = (rules(kind).report()?, given("alpha", alpha).report()?);
    let treatment = Arm::new(n_treatment, events_treatment, moments_treatment).report()?;
    let control = Arm::new(n_control, events_control, moments_control).report()?;
    let strata: Vec<_> = treatment.strata().zip(control.strata()).map(|(t, c)| [t, c]).collect();
    let first = |n: i32| &strata[..usize::try_from(n).unwrap_or(0).min(strata.len())];
    let each = counts.unwrap_or_default().into_iter().flatten().map(|n| {
        let estimate = rules.compared(first(n), cap, alpha)?;
        Ok(estimate.map_or(Value::Null, |estimate| json!({estimate.what: estimate.value.map(told)})))
    });
    Ok(JsonB(Value::Array(each.collect::<CoreResult<Vec<_>>>().report()?)))
}

/// What is estimated of the treatment beside a limit.
#[pg_extern(immutable, parallel_safe, schema = "_flagscope")]
fn limited(
    kind: Option<&str>,
    alpha: Option<f64>,
    n: Option<i64>,
    events: Option<i64>,
    moments: Option<Stored<Moments>>,
) -> Result<Option<JsonB>, ErrorReport> {
    let (rules, alpha) = (rules(kind).report()?, given("alpha", alpha).report()?);
    let total = state(n, events, moments, None).report()?;
    let estimate = rules.limited(&Counted::of(&total, &[total.events]), alpha).report()?;
    Ok(estimate.map(|estimate| JsonB(json!({estimate.what: estimate.value.map(told)}))))
}

/// A quantile of an arm, with its interval.
#[pg_extern(immutable, parallel_safe, schema = "_flagscope")]
fn stage_quantile(
    values: Option<Stored<Histogram>>,
    quantile: Option<f64>,
    alpha: Option<f64>,
) -> Result<Option<JsonB>, ErrorReport> {
    let (Some(values), Some(quantile)) = (values, quantile) else { return Ok(None) };
    let found = kind::quantile_of(&values.0, quantile, given("alpha", alpha).report()?).report()?;
    Ok(Some(JsonB(told(found))))
}

/// The quantiles of treatment and control, and their ratios.
#[pg_extern(immutable, parallel_safe, schema = "_flagscope")]
fn quantile_ratios(
    treatment: Option<Stored<Histogram>>,
    control: Option<Stored<Histogram>>,
    quantile: Option<f64>,
    harm: Option<&str>,
    alpha: Option<f64>,
) -> Result<Option<JsonB>, ErrorReport> {
    let (Some(treatment), Some(control)) = (treatment, control) else { return Ok(None) };
    let harm = given("harm", harm).and_then(Harm::from_label).report()?;
    let arms = [&treatment.0, &control.0];
    let ratios = kind::quantile_ratios(arms, quantile, harm, given("alpha", alpha).report()?).report()?;
    let list: Vec<Value> = ratios
        .into_iter()
        .map(|ratio| {
            let [estimate, low, high] = ratio.ratio.map(|x| x.map(number));
            json!({"quantile": number(ratio.level), "estimate": estimate, "lower": low, "upper": high,
                "treatment": told(ratio.treatment), "control": told(ratio.control)})
        })
        .collect();
    Ok((!list.is_empty()).then_some(JsonB(Value::Array(list))))
}

/// The noise between the minutes that a cursor loads, and the margin that it needs; no row before there are two.
#[pg_extern(stable, schema = "_flagscope")]
#[allow(clippy::type_complexity)] // the columns of one SQL row
fn noise(
    minutes: Option<&str>,
    kind: Option<&str>,
    quantile: Option<f64>,
    harm: Option<&str>,
    is_of_control: Option<bool>,
) -> Result<
    TableIterator<'static, (name!(minutes, i32), name!(noise, f64), name!(design_effect, f64), name!(margin, f64))>,
    ErrorReport,
> {
    let kind = given("a kind of metric", kind).and_then(MetricKind::from_label).report()?;
    let harm = given("harm", harm).and_then(Harm::from_label).report()?;
    let mut all = Vec::new();
    for_each_row(given("a cursor", minutes).report()?, |row| {
        if let (Some(at), Some(stratum)) = (row.time("at")?, stratum(row, "state")?) {
            all.push(Minute { at, is_treated: row.known("treated")?, state: stratum.state });
        }
        Ok(())
    })
    .report()?;
    let found = guardrail::noise(kind, quantile, &all).map(|noise| {
        // Twice the noise.
        let margin = kind.rules().margin_of_log(2.0 * noise.sd, harm, is_of_control.unwrap_or(false));
        (noise.minutes, noise.sd, noise.design_effect, margin)
    });
    Ok(TableIterator::new(found))
}

/// How much the states that a cursor loads (column `state`), parts of one arm's time, differ beyond sampling.
#[pg_extern(stable, schema = "_flagscope")]
fn spread(parts: Option<&str>, kind: Option<&str>, quantile: Option<f64>) -> Result<f64, ErrorReport> {
    let kind = given("a kind of metric", kind).and_then(MetricKind::from_label).report()?;
    let mut all = Vec::new();
    for_each_row(given("a cursor", parts).report()?, |row| {
        all.extend(stratum(row, "state")?.map(|stratum| stratum.state));
        Ok(())
    })
    .report()?;
    Ok(guardrail::spread(kind, quantile, &all))
}

//! SQL face of `core::guardrail` and of the sequential tests behind it. What each function means stands with its
//! `COMMENT` in `sql/api/stats.sql`.

use flagscope_core::guardrail::{self, Counted, Rule, Side, Standing};
use flagscope_core::sketch::{Histogram, Moments};
use flagscope_core::stats::exceedance;
use flagscope_core::stats::margin::{Margin, Past};
use flagscope_core::stats::mixture::ERROR_GRID;
use flagscope_core::stats::rate;
use flagscope_core::stats::score::Score;
use flagscope_core::stats::tilt::Arms;
use flagscope_core::telemetry::MetricKind;
use flagscope_core::{Error, Kind, Result as CoreResult};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::argument::{count, counts, given, known};
use crate::error::Report;
use crate::pg::document::Document;
use crate::pg::value::Stored;

#[pg_extern(immutable, parallel_safe, schema = "_flagscope")]
#[allow(clippy::too_many_arguments, clippy::type_complexity)] // an SQL signature: named arguments, columns of a row
fn weigh_stratum(
    kind: Option<&str>,
    comparison: Option<&str>,
    harm: Option<&str>,
    quantile: Option<f64>,
    margin: Option<f64>,
    margin_absolute: Option<f64>,
    limit_value: Option<f64>,
    cap: Option<f64>,
    centre: Option<f64>,
    design_effect: Option<f64>,
    thresholds: Option<Vec<Option<i32>>>,
    n_treatment: Option<i64>,
    events_treatment: Option<i64>,
    moments_treatment: Option<Stored<Moments>>,
    histogram_treatment: Option<Stored<Histogram>>,
    n_control: Option<i64>,
    events_control: Option<i64>,
    moments_control: Option<Stored<Moments>>,
    histogram_control: Option<Stored<Histogram>>,
) -> Result<
    TableIterator<
        'static,
        (name!(events_treatment, Vec<i64>), name!(events_control, Vec<i64>), name!(increment, Vec<f64>)),
    >,
    ErrorReport,
> {
    let margin = margin_of(margin, margin_absolute);
    let rule =
        rule([kind, comparison, harm], quantile, margin, limit_value, design_effect).report()?.scaled(cap, centre);
    let histograms = [&histogram_treatment, &histogram_control].map(|h| h.as_ref().map(|h| &h.0));
    let moments = [&moments_treatment, &moments_control].map(|m| m.as_ref().map(|m| &m.0));
    let treatment = side(n_treatment, events_treatment, moments[0], histograms[0]).report()?;
    let control = side(n_control, events_control, moments[1], histograms[1]).report()?;
    let thresholds = thresholds.map(known).transpose().report()?;
    let weighed = guardrail::weigh(&rule, thresholds.as_deref(), treatment, control).report()?;
    Ok(TableIterator::once((signed(weighed.events_treatment), signed(weighed.events_control), weighed.increment)))
}

#[pg_extern(immutable, parallel_safe, schema = "_flagscope")]
#[allow(clippy::too_many_arguments)] // an SQL signature: named arguments
fn weigh_counts(
    kind: Option<&str>,
    comparison: Option<&str>,
    harm: Option<&str>,
    quantile: Option<f64>,
    margin: Option<f64>,
    margin_absolute: Option<f64>,
    limit_value: Option<f64>,
    cap: Option<f64>,
    centre: Option<f64>,
    design_effect: Option<f64>,
    n_treatment: Option<i64>,
    events_treatment: Option<Vec<Option<i64>>>,
    moments_treatment: Option<Stored<Moments>>,
    n_control: Option<i64>,
    events_control: Option<Vec<Option<i64>>>,
    moments_control: Option<Stored<Moments>>,
) -> Result<Vec<f64>, ErrorReport> {
    let margin = margin_of(margin, margin_absolute);
    let rule =
        rule([kind, comparison, harm], quantile, margin, limit_value, design_effect).report()?.scaled(cap, centre);
    let (n_t, n_c) = (a_count(n_treatment).report()?, a_count(n_control).report()?);
    let events = |list| given("a list of events", list).and_then(counts);
    let (y_t, y_c) = (events(events_treatment).report()?, events(events_control).report()?);
    let [m_t, m_c] = [&moments_treatment, &moments_control].map(|m| m.as_ref().map(|m| &m.0));
    let treatment = Counted { n: n_t, events: &y_t, moments: m_t };
    let control = Counted { n: n_c, events: &y_c, moments: m_c };
    guardrail::weigh_counts(&rule, treatment, control).report()
}

/// A rule by its labels: kind, comparison, harm.
fn rule(
    labels: [Option<&str>; 3],
    quantile: Option<f64>,
    margin: Option<Margin>,
    limit_value: Option<f64>,
    design_effect: Option<f64>,
) -> CoreResult<Rule> {
    let [kind, comparison, harm] = labels.map(|label| given("a rule's kind, comparison or harm", label));
    let rule = Rule::new(kind?, comparison?, harm?, quantile, margin, limit_value)?;
    Ok(rule.tempered(given("a design effect", design_effect)?))
}

/// A count that is there.
fn a_count(n: Option<i64>) -> CoreResult<u64> {
    given("a count", n).and_then(count)
}

fn margin_of(relative: Option<f64>, absolute: Option<f64>) -> Option<Margin> {
    absolute.map(Margin::Absolute).or(relative.map(Margin::Relative))
}

fn side<'a>(
    n: Option<i64>,
    events: Option<i64>,
    moments: Option<&'a Moments>,
    histogram: Option<&'a Histogram>,
) -> CoreResult<Side<'a>> {
    Ok(Side { n: a_count(n)?, events: a_count(events)?, moments, histogram })
}

fn signed(counts: Vec<u64>) -> Vec<i64> {
    counts.into_iter().map(|n| n as i64).collect()
}

#[pg_extern(immutable, strict, parallel_safe, schema = "_flagscope")]
fn log_e(kind: &str, evidence: Vec<Option<f64>>) -> Result<f64, ErrorReport> {
    guardrail::log_e(MetricKind::from_label(kind).report()?, &known(evidence).report()?).report()
}

#[pg_extern(immutable, parallel_safe, schema = "_flagscope")]
fn next_centre(centre: Option<f64>, control: Option<Stored<Moments>>) -> Option<f64> {
    guardrail::next_centre(centre, control.as_ref().map(|c| &c.0))
}

#[pg_extern(immutable, parallel_safe, schema = "_flagscope")]
fn next_past(
    past: Option<Vec<Option<f64>>>,
    kind: Option<&str>,
    n: Option<i64>,
    events: Option<i64>,
    moments: Option<Stored<Moments>>,
) -> Result<Vec<f64>, ErrorReport> {
    let kind = given("a kind of metric", kind).and_then(MetricKind::from_label).report()?;
    let control = side(n.or(Some(0)), events.or(Some(0)), moments.as_ref().map(|m| &m.0), None).report()?;
    let Past { exposure, events } = guardrail::next_past(kind, past_of(past).report()?, control);
    Ok(vec![exposure, events])
}

#[pg_extern(immutable, parallel_safe, schema = "_flagscope")]
fn centre_of_past(kind: Option<&str>, past: Option<Vec<Option<f64>>>) -> Result<Option<f64>, ErrorReport> {
    let kind = given("a kind of metric", kind).and_then(MetricKind::from_label).report()?;
    Ok(guardrail::centre_of(kind, &past_of(past).report()?))
}

/// A past as it was stored; none is an empty one.
fn past_of(numbers: Option<Vec<Option<f64>>>) -> CoreResult<Past> {
    match numbers.map(known).transpose()?.as_deref() {
        None => Ok(Past::default()),
        Some([exposure, events]) if exposure.is_finite() && events.is_finite() => {
            Ok(Past { exposure: *exposure, events: *events })
        }
        Some(other) => Err(Error::new(Kind::Corrupted, format!("a stored past is damaged: {other:?}"))
            .hint("Delete the guardrail's row of guardrail_status to begin anew.")),
    }
}

#[pg_extern(immutable, parallel_safe, schema = "_flagscope")]
fn quantile_bins(
    histogram: Option<Stored<Histogram>>,
    quantile: Option<f64>,
) -> Result<Option<Vec<i32>>, ErrorReport> {
    match histogram {
        Some(histogram) => exceedance::thresholds(&histogram.0, &guardrail::levels(quantile)).report(),
        None => Ok(None),
    }
}

#[pg_extern(immutable, strict, parallel_safe, schema = "_flagscope")]
fn gather_evidence(
    evidence: Vec<Option<f64>>,
    increment: Vec<Option<f64>>,
    begins_copy: bool,
) -> Result<Vec<f64>, ErrorReport> {
    guardrail::gather(&known(evidence).report()?, &known(increment).report()?, begins_copy).report()
}

#[pg_extern(immutable, strict, parallel_safe, schema = "_flagscope", name = "add")]
fn add_counts(a: Vec<Option<i64>>, b: Vec<Option<i64>>) -> Result<Vec<i64>, ErrorReport> {
    let (a, b) = (known(a).report()?, known(b).report()?);
    match (a.len(), b.len()) {
        (_, 0) => Ok(a),
        (0, _) => Ok(b),
        (n, m) if n == m => Ok(a.into_iter().zip(b).map(|(a, b)| a.saturating_add(b)).collect()),
        (n, m) => Err(Error::new(Kind::Corrupted, format!("stored counts are damaged: {n} values, wanted {m}"))
            .hint("Delete the guardrail's row of guardrail_status to begin anew.")),
    }
    .report()
}

#[pg_extern(immutable, strict, parallel_safe, schema = "_flagscope")]
fn verdict(
    standing: Document,
) -> Result<TableIterator<'static, (name!(state, String), name!(reason, String))>, ErrorReport> {
    let standing: Standing = serde_json::from_value(standing.0.report()?)
        .map_err(|problem| Error::new(Kind::InvalidParameter, format!("a standing cannot be read: {problem}")))
        .report()?;
    let verdict = guardrail::verdict(&standing);
    Ok(TableIterator::once((verdict.state.label().to_owned(), verdict.reason)))
}

#[pg_extern(immutable, strict, parallel_safe)]
#[allow(clippy::type_complexity)] // the columns of one SQL row
fn odds_ratio(
    n_treatment: Vec<Option<i64>>,
    events_treatment: Vec<Option<i64>>,
    n_control: Vec<Option<i64>>,
    events_control: Vec<Option<i64>>,
    alpha: f64,
) -> Result<
    TableIterator<'static, (name!(estimate, Option<f64>), name!(lower, Option<f64>), name!(upper, Option<f64>))>,
    ErrorReport,
> {
    let strata = n_treatment.len();
    if [events_treatment.len(), n_control.len(), events_control.len()] != [strata; 3] {
        let message = "the four lists must have one entry for each stratum";
        return Err(Error::new(Kind::InvalidParameter, message)).report();
    }
    let strata = n_treatment.into_iter().zip(events_treatment).zip(n_control.into_iter().zip(events_control));
    let mut score = Score::default();
    for ((n_t, y_t), (n_c, y_c)) in strata {
        let arms = arms(n_t, y_t, n_c, y_c).report()?;
        score.add(&arms).report()?;
    }
    let interval = score.log_or_interval(alpha).report()?;
    let (low, high) = interval.map(|(low, high)| (low.exp(), high.exp())).unzip();
    Ok(TableIterator::once((score.odds_ratio(), low, high)))
}

#[pg_extern(immutable, strict, parallel_safe, schema = "_flagscope")]
#[allow(clippy::type_complexity)] // the columns of one SQL row
fn rate_interval(
    exposure: f64,
    count: i64,
    alpha: f64,
) -> Result<TableIterator<'static, (name!(lower, Option<f64>), name!(upper, Option<f64>))>, ErrorReport> {
    let count = self::count(count).report()?;
    let (low, high) = rate::limit_interval(exposure, count, alpha, &ERROR_GRID).report()?.unzip();
    Ok(TableIterator::once((low, high)))
}

fn arms(n_t: Option<i64>, y_t: Option<i64>, n_c: Option<i64>, y_c: Option<i64>) -> CoreResult<Arms> {
    Ok(Arms { n_t: a_count(n_t)?, y_t: a_count(y_t)?, n_c: a_count(n_c)?, y_c: a_count(y_c)? })
}

//! Single findings computed anew: counts of one segment or symptom over all rows of a range, and what they say.

use flagscope_core::correlate::answer::marked;
use flagscope_core::correlate::chance::{ln_p_absolute, ln_p_relative, ln_p_segment, ln_p_symptom};
use flagscope_core::correlate::condition::Conditions;
use flagscope_core::correlate::counts::{Counts, Dispersion, Split};
use flagscope_core::correlate::gain::{common_ratio, gain};
use flagscope_core::correlate::mask;
use flagscope_core::{Error, Kind};
use pgrx::JsonB;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde_json::json;

use super::reading::Reading;
use super::{DEADLINE, Given, Parts, conditions, micros, pause};
use crate::error::Report;
use crate::pg::document::Document;
use crate::plan::compiled;

/// One finding's counts, by units and by rows, as JSON; documented in `sql/api/weigh.sql`.
#[pg_extern(stable, schema = "_flagscope")]
fn weigh(
    question: Option<Document>,
    predicate: Option<Document>,
    without: Option<Document>,
    since: Option<TimestampWithTimeZone>,
    until: Option<TimestampWithTimeZone>,
) -> Result<Option<JsonB>, ErrorReport> {
    let (Some(question), Some(predicate), Some(since), Some(until)) = (question, predicate, since, until) else {
        return Ok(None);
    };
    let given = Given::read(question).report()?;
    let inside = predicate.0.and_then(|json| Conditions::parse(&json)).report()?;
    let mut asked = given.question().report()?;
    asked.attributes = None;
    let mut wanted = given.wanted(micros((since, until)), &Parts { segments: true, ..Parts::default() });
    wanted.finding = Some((inside, conditions(without).report()?));
    let mut reading = Reading::new(&asked, &wanted, &*compiled()?, given.memory()).report()?;
    DEADLINE.set(None);
    pause();
    if reading.is_late {
        let message = format!("the time was up after {} rows were read", reading.read);
        return Err(Error::new(Kind::LimitExceeded, message).hint("See setting correlate.timeout.")).report();
    }
    let marked = marked(&mut reading.gather);
    let weights = reading.gather.weights();
    let [inside, all] = [&reading.inside, &reading.rest];
    let whole = |strata: &[Counts]| strata.iter().fold(Counts::default(), |sum, c| sum.plus(c));
    Ok(Some(JsonB(json!({
        "inside": list(&whole(inside)), "all": list(&whole(all)),
        "tested_inside": list(&weights.counts(inside)), "tested_all": list(&weights.counts(all)),
        "dispersion_inside": marked.segment.inside, "dispersion_outside": marked.segment.outside, "dispersion_symptom": marked.symptom,
    }))))
}

/// In the order of `segment_test`.
fn list(c: &Counts) -> [f64; 4] {
    [c.n_t, c.e_t, c.n_c, c.e_c]
}

/// The numbers of a segment from its counts; documented in `sql/api/weigh.sql`.
#[pg_extern(immutable, strict, parallel_safe)]
#[allow(clippy::too_many_arguments, clippy::type_complexity)] // eight counts are what a test of a segment is about
fn segment_test(
    n_treatment: f64,
    events_treatment: f64,
    n_control: f64,
    events_control: f64,
    all_n_treatment: f64,
    all_events_treatment: f64,
    all_n_control: f64,
    all_events_control: f64,
    dispersion_inside: default!(f64, 1.0),
    dispersion_outside: default!(f64, 1.0),
) -> Result<
    TableIterator<
        'static,
        (
            name!(theta, Option<f64>),
            name!(gain, f64),
            name!(p_relative, f64),
            name!(p_absolute, f64),
            name!(p_value, f64),
        ),
    >,
    ErrorReport,
> {
    let inside = Counts::new(n_treatment, events_treatment, n_control, events_control);
    let all = Counts::new(all_n_treatment, all_events_treatment, all_n_control, all_events_control);
    let dispersion = Dispersion { inside: dispersion_inside, outside: dispersion_outside };
    let split = Split::checked(inside, all, dispersion).report()?;
    let theta = common_ratio(&split);
    let (relative, absolute) = (ln_p_relative(&split, dispersion), ln_p_absolute(&split, dispersion, f64::INFINITY));
    let both = ln_p_segment(&split, dispersion, f64::INFINITY);
    let theta = theta.is_finite().then_some(theta);
    Ok(TableIterator::once((theta, gain(&split), relative.exp(), absolute.exp(), both.exp())))
}

/// The chance of a symptom's events; documented in `sql/api/weigh.sql`.
#[pg_extern(immutable, strict, parallel_safe, schema = "_flagscope")]
fn symptom_p_value(
    events_treatment: f64,
    events_control: f64,
    n_treatment: f64,
    n_control: f64,
    dispersion: f64,
) -> Option<f64> {
    let is_count =
        [events_treatment, events_control, n_treatment, n_control].iter().all(|n| (0.0..=1e15).contains(n));
    (is_count && n_treatment + n_control > 0.0 && dispersion > 0.0 && dispersion.is_finite())
        .then(|| ln_p_symptom(events_treatment, events_control, n_treatment, n_control, dispersion).exp())
}

/// The template of a log line; documented in `sql/aggregate/patterns.sql`.
#[pg_extern(immutable, strict, parallel_safe)]
fn log_template(line: &str) -> String {
    mask::template(line)
}

//! SQL face of `core::correlate`: one scan (`reading`), and its findings as rows; what they mean in SQL stands in
//! `sql/api/correlate.sql`. `patterns` is the face of the state of log lines, `weigh` computes single findings anew.

pub mod metric;
pub mod patterns;
mod reading;
pub mod weigh;

use std::time::{Duration, Instant};

use flagscope_core::correlate::answer::answer;
use flagscope_core::correlate::compare::Comparison;
use flagscope_core::correlate::condition::Conditions;
use flagscope_core::correlate::counts::Counts;
use flagscope_core::correlate::findings::{self, Asked};
use flagscope_core::correlate::question::Question;
use flagscope_core::correlate::search::Search;
use flagscope_core::correlate::strata::{STRATA, Stages};
use flagscope_core::{Error, Kind, Result as CoreResult};
use pgrx::JsonB;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::Report;
use crate::pg::document::Document;
use crate::plan::{Defined, compiled};
use reading::{Reading, Wanted};

/// What `_flagscope.question()` gives.
#[derive(Deserialize)]
struct Given {
    flag: String,
    treatment: String,
    control: String,
    metric: Defined,
    metric_name: String,
    environment: String,
    environments: Vec<String>,
    takes_unnamed: bool,
    harm_is_less: bool,
    attributes: Option<Vec<String>>,
    max_order: usize,
    since: String,
    until: String,
    alpha: f64,
    rows: f64,
    memory: f64,
    milliseconds: f64,
    /// What was served since when (microseconds since 2000).
    #[serde(default)]
    stages: Vec<(i64, String)>,
    #[serde(default)]
    tops: bool,
    severity: Option<i16>,
}

/// What to do with the rows.
#[derive(Default)]
struct Parts {
    segments: bool,
    spans: bool,
    lines: bool,
}

/// Of the memory that is allowed, what the rows of segments get: spans and lines take the rest (17 and 15 MB at most).
const FOR_ROWS: f64 = 0.5;
/// Of the time that is allowed, what reading gets.
const FOR_READING: f64 = 0.7;

thread_local! {
    /// When the time of the running question is over.
    static DEADLINE: std::cell::Cell<Option<Instant>> = const { std::cell::Cell::new(None) };
}

fn pause() {
    check_for_interrupts!();
}

fn has_time() -> bool {
    DEADLINE.get().is_none_or(|deadline| Instant::now() < deadline)
}

impl Given {
    fn read(document: Document) -> CoreResult<Self> {
        document.0.and_then(|json| {
            serde_json::from_value(json).map_err(|problem| {
                Error::new(Kind::InvalidParameter, format!("a question cannot be read: {problem}"))
            })
        })
    }

    fn question(&self) -> CoreResult<Question> {
        Ok(Question {
            flag: self.flag.clone(),
            treatment: self.treatment.clone(),
            control: self.control.clone(),
            metric: self.metric.compile()?,
            harm_is_less: self.harm_is_less,
            attributes: self.attributes.clone(),
            stages: Stages::new(self.stages.clone()),
        })
    }

    fn search(&self) -> Search {
        Search { alpha: self.alpha, order: self.max_order, pause, has_time, ..Search::default() }
    }

    /// Rows of a range; the clock begins.
    fn wanted(&self, (since, until): (i64, i64), parts: &Parts) -> Wanted {
        let (begun, time) = (Instant::now(), Duration::from_millis(self.milliseconds.clamp(1.0, 1e9) as u64));
        DEADLINE.set(Some(begun + time));
        Wanted {
            range: (since, until),
            environments: self.environments.clone(),
            takes_unnamed: self.takes_unnamed,
            rows: self.rows as u64,
            until: begun + time.mul_f64(FOR_READING),
            segments: parts.segments,
            spans: parts.spans,
            lines: parts.lines,
            tops: self.tops,
            severity: self.severity,
            finding: None,
        }
    }

    fn memory(&self) -> usize {
        (self.memory * FOR_ROWS) as usize
    }

    fn asked(&self) -> Asked {
        Asked {
            flag: self.flag.clone(),
            metric: self.metric_name.clone(),
            environment: self.environment.clone(),
            range: [self.since.clone(), self.until.clone()],
            arms: [self.treatment.clone(), self.control.clone()],
        }
    }
}

fn micros((since, until): (TimestampWithTimeZone, TimestampWithTimeZone)) -> (i64, i64) {
    (i64::from(since), i64::from(until))
}

/// All findings of telemetry, as JSON; documented in `sql/api/correlate.sql`.
#[pg_extern(stable, strict, schema = "_flagscope")]
fn correlate(
    question: Document,
    since: TimestampWithTimeZone,
    until: TimestampWithTimeZone,
) -> Result<JsonB, ErrorReport> {
    let given = Given::read(question).report()?;
    let asked = given.question().report()?;
    let parts = Parts { segments: true, spans: true, lines: true };
    let wanted = given.wanted(micros((since, until)), &parts);
    let mut reading = Reading::new(&asked, &wanted, &*compiled()?, given.memory()).report()?;
    let rows = findings_of(&mut reading, &given).report()?;
    DEADLINE.set(None);
    Ok(JsonB(Value::Array(rows)))
}

fn findings_of(reading: &mut Reading, given: &Given) -> CoreResult<Vec<Value>> {
    let all = reading.gather.all;
    let mut notes = notes_of(reading, given);
    if all.n_t == 0.0 || all.n_c == 0.0 {
        return Ok(notes);
    }
    let left = reading.gather.finish();
    notes.extend(stage_notes(reading));
    let (rows, all) = (all, reading.gather.tested);
    if all.n_t == 0.0 || all.n_c == 0.0 {
        notes.push(findings::note("there is nothing to compare: at no stage of the ramp have both variants rows"));
        return Ok(notes);
    }
    notes.extend(findings::left_out(&left));
    notes.extend(unknown_attributes(reading, given, &left));
    let asked = given.asked();
    if all.excess() <= 0.0 {
        let rate = |e: f64, n: f64| flagscope_core::correlate::words::percent(e / n);
        let (t, c) = (rate(all.e_t, all.n_t), rate(all.e_c, all.n_c));
        let text =
            format!("there is no harm to explain: {t} of the treatment's rows are events, {c} of the control's");
        notes.insert(0, findings::note(text));
        return Ok(notes);
    }
    // Lines first: what `answer` leaves of the store no longer tells results of requests apart, but rows by unit stay.
    let told = reading.lines.judge(&all, &reading.gather.store, &reading.gather.weights());
    let found = answer(&mut reading.gather, &given.search());
    let mut told_rows = findings::answer(&reading.gather, &found, &asked);
    if found.found.is_cut {
        notes.push(findings::note("the time was up before all segments were found; see setting correlate.timeout"));
    }
    told_rows.extend(span_findings(reading, given, &mut notes)?);
    told_rows.extend(findings::lines(&told, (rows.n_t, rows.n_c), all.excess(), given.alpha, &asked));
    told_rows.extend(findings::versions(&reading.gather.versions.appeared(), &asked));
    told_rows.extend(notes);
    Ok(told_rows)
}

/// What has to be said of the stages of a ramp.
fn stage_notes(reading: &Reading) -> Vec<Value> {
    let weights = reading.gather.weights();
    let mut notes = Vec::new();
    if weights.compared() > 1 {
        notes.push(findings::note(format!(
            "the flag served its users in {} ways (stages of a ramp, say), each of which is compared within itself: shares \
             and rates are weighted, rows and events are not; other metrics are compared over all of the time",
            weights.compared()
        )));
    }
    let is_alone = |c: &&Counts| (c.n_t > 0.0) != (c.n_c > 0.0);
    let alone: f64 = reading.gather.strata.iter().filter(is_alone).map(|c| c.n_t + c.n_c).sum();
    if weights.left_out() > 0 && alone > 0.0 {
        notes.push(findings::note(format!(
            "{alone} rows do not count: at their stage only one of the variants has rows"
        )));
    }
    if reading.question.stages.is_cut() {
        notes.push(findings::note(format!(
            "the flag was changed often: before the last {} states all is one",
            STRATA - 1
        )));
    }
    notes
}

fn span_findings(reading: &mut Reading, given: &Given, notes: &mut Vec<Value>) -> CoreResult<Vec<Value>> {
    if !has_time() {
        notes.push(findings::note("the time was up before spans were compared; see compare_spans()"));
        return Ok(Vec::new());
    }
    let (traces, too_large) = reading.spans.traces(pause);
    if too_large > 0 {
        notes.push(findings::note(format!("left out: {too_large} traces of more than 10,000 spans")));
    }
    let Some(comparison) = Comparison::new(&traces) else { return Ok(Vec::new()) };
    let (compared, failing) = (comparison.operations()?, comparison.failures());
    let requests = comparison.requests();
    if reading.spans.is_sampled() {
        let [n_c, n_t] = requests;
        notes.push(findings::note(format!("spans are compared in a sample of {n_t} and {n_c} traces")));
    }
    Ok(findings::spans(&compared, &failing, requests, given.alpha, &reading.operations, &given.asked()))
}

/// What has to be said where the control (first) or the treatment has nothing.
fn missing(what: &str, [has_control, has_treatment]: [bool; 2], read: u64, given: &Given) -> Option<String> {
    let (flag, range) = (&given.flag, format!("from {} to {}", given.since, given.until));
    let (arm, variant) = match (has_treatment, has_control) {
        (true, true) => return None,
        (false, false) => {
            return Some(format!(
                "there is nothing to compare: no {what} has a variant of flag \"{flag}\" {range} ({read} rows read)"
            ));
        }
        (true, false) => ("control", &given.control),
        (false, true) => ("treatment", &given.treatment),
    };
    Some(format!(
        "there is nothing to compare: no {what} is of the {arm} (flag \"{flag}\", variant \"{variant}\") {range}"
    ))
}

/// Says why there are no rows: an answer without any says nothing by itself.
fn tell(why: Option<String>) {
    if let Some(why) = why {
        notice!("{why}");
    }
}

/// What has to be said of the rows themselves.
fn notes_of(reading: &Reading, given: &Given) -> Vec<Value> {
    let all = reading.gather.all;
    let mut notes = Vec::new();
    let rows = format!("row of metric \"{}\"", given.metric_name);
    notes.extend(missing(&rows, [all.n_c, all.n_t].map(|n| n > 0.0), reading.read, given).map(findings::note));
    if reading.is_late {
        let text = format!(
            "the time was up after {} rows were read: the findings are of these; see setting correlate.timeout",
            reading.read
        );
        notes.push(findings::note(text));
    }
    if reading.has_late_thresholds {
        notes.push(findings::note(
            "the time was up before all values were read: thresholds are those of a part of the rows",
        ));
    }
    if reading.is_full {
        notes.push(findings::note(format!(
            "{} rows were read; more are left out (setting correlate.rows)",
            reading.asked
        )));
    }
    notes.extend(findings::without_subject(&reading.gather));
    if reading.gather.store.is_sampled() {
        let kept = reading.gather.store.len();
        let text =
            format!("counts of segments are estimates from {kept} rows: whole subjects were left out by a hash");
        notes.push(findings::note(text));
    }
    if reading.lines.lost() > 0 {
        notes.push(findings::note(format!("{} log lines of rare templates were left out", reading.lines.lost())));
    }
    if let Some(thresholds) = &reading.thresholds {
        let text = format!(
            "an event is a value beyond the control's p{} within the row's own operation: the level that the treatment \
             exceeds most",
            100.0 * thresholds.level
        );
        notes.push(findings::note(text));
    }
    notes
}

/// Attributes that were asked for and that no row has.
fn unknown_attributes(reading: &Reading, given: &Given, left: &[(String, &'static str)]) -> Vec<Value> {
    let wanted = given.attributes.iter().flatten();
    let is_missing = |name: &&String| {
        !findings::is_known(&reading.gather, name) && !left.iter().any(|(left_out, _)| left_out == *name)
    };
    let missing = wanted.filter(is_missing);
    missing.map(|name| findings::note(format!("no row has an attribute \"{name}\""))).collect()
}

/// Operations of both arms beside each other, as JSON; documented in `sql/api/compare.sql`.
#[pg_extern(stable, strict, schema = "_flagscope")]
fn compare_spans(
    question: Document,
    since: TimestampWithTimeZone,
    until: TimestampWithTimeZone,
) -> Result<JsonB, ErrorReport> {
    let given = Given::read(question).report()?;
    let asked = given.question().report()?;
    let wanted = given.wanted(micros((since, until)), &Parts { spans: true, ..Parts::default() });
    let mut reading = Reading::new(&asked, &wanted, &*compiled()?, 0).report()?;
    let (traces, _) = reading.spans.traces(pause);
    DEADLINE.set(None);
    let has = [false, true].map(|treated| traces.iter().any(|traced| traced.root.treated == treated));
    tell(missing("request with spans of its trace", has, reading.read, &given));
    let Some(comparison) = Comparison::new(&traces) else { return Ok(JsonB(json!([]))) };
    let failing = comparison.failures();
    let rows = comparison.operations().report()?.into_iter().map(|c| {
        let (service, operation) = reading.operations.name(c.operation as u32);
        let fails = failing.iter().find(|f| f.operation == c.operation);
        json!({
            "service": (!service.is_empty()).then_some(service), "operation": operation,
            "calls_treatment": c.calls[1], "calls_control": c.calls[0],
            "seconds_treatment": c.seconds[1], "seconds_control": c.seconds[0],
            "delta": c.delta, "share": c.share, "why": c.why.label(), "p_value": c.p_value,
            "failures_treatment": fails.map_or(0.0, |f| f.requests[1]),
            "failures_control": fails.map_or(0.0, |f| f.requests[0]),
            "failures_p_value": fails.map(|f| f.judged.ln_p_adjusted.exp()),
        })
    });
    Ok(JsonB(rows.collect()))
}

/// Log templates of both arms, as JSON; documented in `sql/api/compare.sql`.
#[pg_extern(stable, strict, schema = "_flagscope")]
fn compare_patterns(
    question: Document,
    since: TimestampWithTimeZone,
    until: TimestampWithTimeZone,
) -> Result<JsonB, ErrorReport> {
    let given = Given::read(question).report()?;
    // Of the requests only who made them is needed.
    let asked = Question { attributes: Some(Vec::new()), ..given.question().report()? };
    let wanted = given.wanted(micros((since, until)), &Parts { segments: true, lines: true, ..Parts::default() });
    let mut reading = Reading::new(&asked, &wanted, &*compiled()?, given.memory()).report()?;
    reading.gather.settle();
    let (all, tested) = (reading.gather.all, reading.gather.tested);
    DEADLINE.set(None);
    if tested.n_t == 0.0 || tested.n_c == 0.0 {
        tell(missing("request", [all.n_c, all.n_t].map(|n| n > 0.0), reading.read, &given));
        return Ok(JsonB(json!([])));
    }
    if reading.lines.seen == [0, 0] {
        let least = given.severity.map(|least| format!(" of severity {least} or more")).unwrap_or_default();
        tell(Some(format!("no log line{least} has a variant of flag \"{}\" in the range", given.flag)));
    }
    let judged = reading.lines.judge(&tested, &reading.gather.store, &reading.gather.weights());
    let rows = judged.into_iter().map(|t| {
        let [e_c, e_t] = t.template.entry.lines;
        json!({
            "template": t.template.text, "excess": t.judged.excess, "lines_treatment": e_t, "lines_control": e_c,
            "requests_treatment": all.n_t, "requests_control": all.n_c,
            "is_new": t.is_new(), "severity": t.severity, "subjects": t.subjects,
            "p_value": t.judged.ln_p_adjusted.exp(), "example": t.template.entry.example,
            "trace_id": t.trace.map(|trace| trace.to_string()),
        })
    });
    Ok(JsonB(rows.collect()))
}

/// Conditions from a JSON list; none from nothing.
fn conditions(list: Option<Document>) -> CoreResult<Vec<Conditions>> {
    match list.map(|list| list.0).transpose()? {
        None => Ok(Vec::new()),
        Some(Value::Array(list)) => list.iter().map(Conditions::parse).collect(),
        Some(other) => {
            Err(Error::new(Kind::InvalidParameter, format!("\"without\" must be a JSON array, got {other}"))
                .hint("A list of predicates as correlate() gives them."))
        }
    }
}

//! One step of one guardrail: from what a tick brings to evidence and verdict.
//!
//! What is here: the one judge. Ticks, backtests and replays call [`step`], so they cannot differ. What is not: loading,
//! storing, and what a verdict does to a rollout (SQL, `sql/api/`).

use std::borrow::Cow;

use super::data_state::DataState;
use super::evidence;
use super::look::look;
use super::pair::{self, Arms, merged, pair};
use super::rule::{Comparison, Rule, Test};
use super::safety;
use super::standing::Standing;
use super::status::{Arrived, Evaluation, Stage, Status, Stepped, Stratum};
use super::verdict::verdict;
use super::words;
use crate::error::{Error, Kind, Result};
use crate::kind::{Counted, State, Weighing, bounded_sum};
use crate::stats::margin::Margin;
use crate::stats::mixture;

/// A guardrail after what a tick brings. A rule that cannot be stepped is in state `error`, and its data waits.
pub fn step(rule: &Rule, was: &Status, came: &Arrived, stage: &Stage, at: i64) -> Stepped {
    let stepped = match (&came.unloaded, &came.problem) {
        (Some(problem), _) => Err(problem.clone()),
        // What is breached stays so, whatever happens to its metric.
        (None, Some(problem)) if was.state != DataState::Breached => Err(problem.clone()),
        _ => try_step(rule, was, came, stage, at).map_err(|error| error.message),
    };
    stepped.unwrap_or_else(|problem| failed(rule.retry_after, was, came, at, problem))
}

/// What a stratum was found to be.
#[derive(Default)]
struct Weighed {
    events: [Vec<u64>; 2],
    increment: Vec<f64>,
    safe_increment: Vec<f64>,
    begins_copy: bool,
}

/// The same, where a rule that cannot be stepped is the caller's matter: whoever looks back wants to know.
///
/// # Errors
/// As the tests, and [`Kind::Corrupted`] when stored numbers are damaged.
pub fn try_step(rule: &Rule, was: &Status, came: &Arrived, stage: &Stage, at: i64) -> Result<Stepped> {
    let mut status = was.clone();
    let arms = match came.before {
        Some(_) => [&came.treatment, &came.control].map(|arm| arm.as_ref().map(Cow::Borrowed)),
        None => pair(rule, &mut status, came, at)?,
    };
    if rule.comparison == Comparison::Baseline && rule.test != Test::Anomaly && was.limit.is_none() {
        status.limit =
            came.baseline.as_ref().and_then(|before| rule.baseline(before, came.baseline_spread, status.margin));
    }
    let weighed = weigh(rule, &mut status, &arms, came, stage, at)?;
    count(rule, &mut status, &arms, stage, !weighed.increment.is_empty());
    hear(&mut status, came, &arms, at);
    let latest = latest(rule, &arms, &weighed.events);
    judge(rule, &mut status, came, stage, at, latest);
    (status.failures, status.retry_at) = (0, None);
    let is_news = (status.state, &status.reason) != (was.state, &was.reason);
    let is_judged = is_news || arms.iter().any(Option::is_some);
    let came_data = came.treatment.is_some() || came.control.is_some() || came.is_heard.contains(&true);
    let is_changed = is_judged || came_data || status.point != was.point;
    status.last_stratum += i32::from(is_judged);
    Ok(Stepped { evaluation: is_judged.then(|| evaluation(rule, was, &status, arms, weighed)), is_changed, status })
}

/// When each arm was last there. What waits for its other half, or is being gathered, has come: its arm is alive.
fn hear(status: &mut Status, came: &Arrived, arms: &Arms, at: i64) {
    let has_rows = |arm: &Option<Stratum>| arm.as_ref().is_some_and(|stratum| stratum.state.n > 0);
    let treatment = came.is_heard[0] || has_rows(&came.treatment);
    if treatment || pair::n(&arms[0]) > 0 {
        status.last_data_at = Some(at);
    }
    if treatment {
        status.rhythm_treatment.came(at);
    }
    if came.is_heard[1] || has_rows(&came.control) {
        status.rhythm_control.came(at);
    }
}

/// Adds a stratum to the evidence, and learns from its control what the next one is judged at.
fn weigh(rule: &Rule, status: &mut Status, arms: &Arms, came: &Arrived, stage: &Stage, at: i64) -> Result<Weighed> {
    let mut memory = status.memory.clone();
    if let Some(centre) = came.before.as_ref().and_then(|before| before.centre) {
        memory.centre = Some(centre);
    }
    let Some(weighing) = rule.weighing(status.margin, status.limit, &memory)? else { return Ok(Weighed::default()) };
    let rules = rule.kind.rules();
    let nothing = State::default();
    let [t, c] = [&arms[0], &arms[1]].map(|arm| arm.as_ref().map_or(&nothing, |stratum| &stratum.state));
    let events = match &came.before {
        Some(before) => before.events.clone(),
        None => rules.count(&weighing, t, c)?,
    };
    let counted = [Counted::of(t, &events[0]), Counted::of(c, &events[1])];
    let increment = increment(rule, &weighing, counted)?;
    // A tick that compares nothing leaves no stratum, which would say that a copy began with it.
    let compares = !increment.is_empty() && arms.iter().any(Option::is_some);
    let told = came.before.as_ref().and_then(|before| before.begins_copy);
    let begins_copy = compares && told.unwrap_or_else(|| begins_copy(rule, status.copied_at, stage, at));
    if begins_copy || (compares && status.copied_at.is_none()) {
        status.copied_at = Some(at);
    }
    status.evidence = evidence::gather(&status.evidence, &increment, begins_copy)?;
    let mut safe_increment = Vec::new();
    if !increment.is_empty() {
        let of_the_past = came.before.as_ref().and_then(|before| before.safe_increment.clone());
        safe_increment = safety::gather(rule, &mut status.safety, &weighing, [t, c], &counted, of_the_past)?;
        safety::inform(&mut status.information, rules.information(&weighing, &counted[0], &counted[1]), &weighing);
        add(&mut status.events_treatment, &events[0])?;
        add(&mut status.events_control, &events[1])?;
    }
    status.log_e = evidence::log_e(rule.kind, &status.evidence)?;
    status.max_log_e = status.max_log_e.max(status.log_e);
    if rule.is_of_control() && arms[1].is_some() {
        let mut next = memory.clone();
        rules.remember(&mut next, &weighing, &counted[1], came.reference.as_ref())?;
        status.memory = next;
    }
    Ok(Weighed { events, increment, safe_increment, begins_copy })
}

/// What the counts of a stratum add to the evidence, divided by the design effect.
fn increment(rule: &Rule, weighing: &Weighing, [t, c]: [Counted; 2]) -> Result<Vec<f64>> {
    let mut increment = rule.kind.rules().increment(weighing, &t, &c)?;
    mixture::temper(&mut increment, weighing.design_effect)?;
    Ok(increment)
}

/// Does a copy of the evidence begin with this stratum: the first of a stage, or some time after the last copy; never with
/// the first of all.
fn begins_copy(rule: &Rule, copied_at: Option<i64>, stage: &Stage, at: i64) -> bool {
    copied_at.is_some_and(|copied| stage.started_at > copied || at.saturating_sub(copied) >= rule.copy_after)
}

/// The samples after a stratum.
fn count(rule: &Rule, status: &mut Status, arms: &Arms, stage: &Stage, is_weighed: bool) {
    let [t, c] = [&arms[0], &arms[1]].map(Option::as_ref);
    // The first stratum of a quantile, a mean or an absolute margin has nothing to be judged at: it was not weighed.
    if !rule.is_sequential() || is_weighed {
        status.n_treatment = status.n_treatment.saturating_add(pair::n(&arms[0]));
        status.n_control = status.n_control.saturating_add(pair::n(&arms[1]));
    }
    // What was compared with nothing is no sample.
    if !rule.is_of_control() || stage.is_alone || pair::n(&arms[1]) > 0 {
        status.stage_treatment = status.stage_treatment.saturating_add(t.map_or(0, |t| t.stage_n));
        status.stage_control = status.stage_control.saturating_add(c.map_or(0, |c| c.stage_n));
    }
    let last = [t, c].into_iter().flatten().map(|stratum| stratum.state.last_ts).max();
    status.watermark = status.watermark.max(last);
}

/// The values of treatment and control in a stratum, for words; `None`: there is nothing at hand.
fn latest(rule: &Rule, arms: &Arms, events: &[Vec<u64>; 2]) -> Option<[Option<f64>; 2]> {
    let has_data = pair::n(&arms[0]) > 0 && (!rule.is_of_control() || pair::n(&arms[1]) > 0);
    has_data.then(|| {
        [0, 1].map(|i| {
            let stratum = arms[i].as_ref().filter(|stratum| rule.is_sequential() && stratum.state.n > 0)?;
            rule.kind.rules().latest(&Counted::of(&stratum.state, &events[i]))
        })
    })
}

/// The verdict on a status.
fn judge(rule: &Rule, status: &mut Status, came: &Arrived, stage: &Stage, at: i64, latest: Option<[Option<f64>; 2]>) {
    let was = status.state;
    match rule.test {
        Test::Sequential => {}
        Test::Threshold => status.value = came.value,
        Test::Anomaly => {
            status.value = came.sighting.as_ref().and_then(|sighting| sighting.score);
            status.point = came.sighting.as_ref().map(|sighting| sighting.point);
        }
    }
    let anomaly = came.sighting.as_ref();
    let standing = Standing { rule, status, stage, anomaly, latest: latest.unwrap_or_default(), at };
    let found = verdict(&standing);
    let last = if found.state == was { status.reason.as_str() } else { "" };
    status.reason = found.words.after(last, latest.is_some());
    status.state = found.state;
    if rule.comparison == Comparison::Baseline
        && rule.test != Test::Anomaly
        && status.limit.is_none()
        && status.state == DataState::Ok
    {
        status.state = DataState::NotEnough;
        status.reason = words::no_baseline(rule);
    } else if rule.of_looks > 1 {
        look(rule, status, at);
    }
    if status.state == DataState::Breached {
        status.breached_at = status.breached_at.or(Some(at));
    } else if !rule.is_sequential() {
        status.breached_at = None; // a threshold or an anomaly can recover; sequential evidence is latched by its maximum
    }
    if status.state != was || status.state_since.is_none() {
        status.state_since = Some(at);
    }
}

fn evaluation(rule: &Rule, was: &Status, status: &Status, arms: Arms, weighed: Weighed) -> Evaluation {
    let n = [pair::n(&arms[0]), pair::n(&arms[1])];
    let watermark = arms.iter().flatten().map(|stratum| stratum.state.last_ts).max();
    let moments = arms.map(|arm| arm.and_then(|stratum| stratum.into_owned().state.moments));
    let Weighed { events, increment, safe_increment, begins_copy } = weighed;
    let bound = if rule.is_of_control() { status.margin.map(Margin::value) } else { status.limit };
    Evaluation {
        n,
        events,
        moments,
        memory: was.memory.clone(),
        bound,
        design_effect: rule.design_effect,
        increment,
        safe_increment,
        begins_copy,
        watermark,
    }
}

/// A rule that failed holds the ramp, keeps its data, and is tried again later and later.
///
/// For [`step`], and for who cannot even read what is stored.
pub fn failed(retry_after: i64, was: &Status, came: &Arrived, at: i64, problem: String) -> Stepped {
    let mut status = was.clone();
    status.state_since = status.state_since.filter(|_| was.state == DataState::Error).or(Some(at));
    (status.state, status.reason) = (DataState::Error, words::failed(&problem));
    let later = retry_after.saturating_mul(1 << was.failures.clamp(0, 5));
    status.retry_at = Some(at.saturating_add(later));
    status.failures = was.failures.saturating_add(1);
    keep(&mut status.waiting.treatment, came.treatment.as_ref());
    keep(&mut status.waiting.control, came.control.as_ref());
    status.waiting.since = status.waiting.since.or(Some(at));
    Stepped { status, evaluation: None, is_changed: true }
}

/// Data that could not be judged is not lost: it waits for the try that succeeds. What would not fit is left out.
fn keep(waiting: &mut Option<Stratum>, came: Option<&Stratum>) {
    let waited = waiting.clone();
    if let Ok(both) = merged(waited, came.map(Cow::Borrowed)) {
        *waiting = both.map(Cow::into_owned);
    }
}

/// Adds up stored counts; an empty list counts as zeros.
fn add(sum: &mut Vec<u64>, more: &[u64]) -> Result<()> {
    match (sum.len(), more.len()) {
        (_, 0) => {}
        (0, _) => sum.extend_from_slice(more),
        (n, m) if n == m => sum.iter_mut().zip(more).for_each(|(sum, more)| *sum = bounded_sum(*sum, *more)),
        (n, m) => {
            let message = format!("stored counts are damaged: {n} values, wanted {m}");
            return Err(Error::new(Kind::Corrupted, message).hint(evidence::BEGIN_ANEW));
        }
    }
    Ok(())
}

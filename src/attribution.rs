//! Attribution of rows that came without flags; what is looked up and how is documented in `sql/api/attribution.sql`,
//! the choice among what is found is in `core/telemetry/attribution.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use flagscope_core::telemetry::{By, Evaluated, Evaluation, Loose, Plan, SUBJECT_EVALUATIONS};
use pgrx::prelude::*;
use pgrx::{Array, PgLogLevel, Uuid, spi};

use crate::pg::pending::{self, Noted, Pending};
use crate::pg::restore::is_restoring;
use crate::pg::trigger;
use crate::plan::{self, Compiled};

/// Evaluations looked up together are within this time (microseconds) and at most so many: each trace is searched in
/// every partition that their range of time and the trace window touch. 100,000 traces of 24 hours searched in one
/// range were 2.4 million index descents.
const TOGETHER: i64 = 600_000_000;
const MOST_TOGETHER: usize = 5_000;

/// Rows and traces noted before they are looked up; bounds the memory of a statement.
const MOST_NOTED: usize = 50_000;

/// Trigger of telemetry's rows; see `sql/api/attribution.sql`.
#[pg_extern(
    sql = r#"CREATE FUNCTION _flagscope."note_row"() RETURNS trigger LANGUAGE c AS '@MODULE_PATHNAME@', '@FUNCTION_NAME@';"#
)]
fn note_row(call: pg_sys::FunctionCallInfo) -> Result<(), spi::Error> {
    let trigger = trigger::of(call);
    // Rows of a dump were attributed, or not, in their original database.
    if crate::guc::attribution() && !is_restoring() && pending::note(&trigger) >= MOST_NOTED {
        attribute_noted()?;
    }
    Ok(())
}

/// Attributes the noted rows of the current statement.
pub fn attribute_noted() -> Result<(), spi::Error> {
    match pending::take() {
        Some(noted) => pending::as_owner(|| attribute(noted)),
        None => Ok(()),
    }
}

fn attribute(mut noted: Pending) -> Result<(), spi::Error> {
    if !noted.rows.is_empty() {
        let (compiled, session) = (compiled(), session());
        let text = |number: Option<u32>| number.map(|n| noted.text(n));
        let loose = |row: &Noted| {
            let environment = key_of(&compiled.plan, text(row.environment), &session);
            let subject = text(row.subject).map(|subject| (environment, subject));
            Loose { ts: row.ts, trace: row.trace.map(|t| *t.as_bytes()), subject }
        };
        let wanted: Vec<_> = noted.rows.iter().map(loose).collect();
        let mut evaluated = stored(&wanted, &compiled)?.sorted();
        let found = noted.rows.iter().zip(&wanted).filter_map(|(row, w)| Some((row, evaluated.find(w)?)));
        let found: Vec<_> = found.collect();
        if !found.is_empty() {
            tie(&found, evaluated.answers())?;
        }
    }
    noted.traces.sort_unstable_by_key(|(ts, _)| *ts);
    let mut left = noted.traces.as_slice();
    while let Some((from, _)) = left.first() {
        let together =
            left.iter().take(MOST_TOGETHER).take_while(|(ts, _)| ts.saturating_sub(*from) <= TOGETHER).count();
        let (part, rest) = left.split_at(together);
        attribute_traces(part)?;
        left = rest;
    }
    Ok(())
}

/// Attributes stored rows in the traces of some evaluations, which are in the order of time.
fn attribute_traces(evaluations: &[(i64, Uuid)]) -> Result<(), spi::Error> {
    let (Some((from, _)), Some((to, _))) = (evaluations.first(), evaluations.last()) else { return Ok(()) };
    let traces: BTreeSet<_> = evaluations.iter().map(|(_, trace)| *trace).collect();
    let traces: Vec<_> = traces.into_iter().collect();
    Spi::run_with_args(
        "SELECT _flagscope.attribute_traces($1, $2, $3)",
        &[traces.into(), time(*from).into(), time(*to).into()],
    )
}

/// Writes the flags that were found for noted rows.
fn tie(found: &[(&Noted, usize)], answers: &[(String, By)]) -> Result<(), spi::Error> {
    let partitions: Vec<_> = found.iter().map(|(row, _)| row.partition).collect();
    let places: Vec<_> = found.iter().map(|(row, _)| row.place).collect();
    // Each row with its own flags: a join with the answers was once planned as 10,000 times 1,000 comparisons.
    let flags: Vec<_> = found.iter().map(|(_, n)| answers[*n].0.as_str()).collect();
    let by: Vec<_> = found.iter().map(|(_, n)| answers[*n].1.label()).collect();
    let times = || found.iter().map(|(row, _)| row.ts);
    let (from, to) = (times().min().and_then(time), times().max().and_then(time));
    Spi::run_with_args(
        "SELECT _flagscope.tie_rows($1, $2, $3, $4, $5, $6)",
        &[partitions.into(), places.into(), flags.into(), by.into(), from.into(), to.into()],
    )
}

/// The stored evaluations that may apply to some of the rows.
fn stored(wanted: &[Loose], compiled: &Compiled) -> Result<Evaluated, spi::Error> {
    let mut evaluated = Evaluated::new(compiled.reach);
    stored_in_traces(wanted, compiled.reach.trace, &mut evaluated)?;
    stored_for_subjects(wanted, compiled.reach.subject, &mut evaluated)?;
    Ok(evaluated)
}

fn stored_in_traces(wanted: &[Loose], reach: i64, evaluated: &mut Evaluated) -> Result<(), spi::Error> {
    let traces: BTreeSet<_> = wanted.iter().filter_map(|w| w.trace).collect();
    let times = || wanted.iter().filter(|w| w.trace.is_some()).map(|w| w.ts);
    let (Some(from), Some(to)) = (times().min(), times().max()) else { return Ok(()) };
    let traces: Vec<_> = traces.into_iter().map(Uuid::from_bytes).collect();
    let arguments = [traces.into(), time(from.saturating_sub(reach)).into(), time(to.saturating_add(reach)).into()];
    Spi::connect(|client| {
        for row in client.select("SELECT * FROM _flagscope.evaluated_in($1, $2, $3)", None, &arguments)? {
            let trace: Option<Uuid> = row.get(1)?;
            let evaluation = evaluation(row.get(2)?, row.get(3)?, row.get(4)?);
            if let Some((trace, evaluation)) = trace.zip(evaluation) {
                evaluated.add_in_trace(*trace.as_bytes(), evaluation);
            }
        }
        Ok(())
    })
}

fn stored_for_subjects(wanted: &[Loose], reach: i64, evaluated: &mut Evaluated) -> Result<(), spi::Error> {
    // Also rows with a trace: which traces have an evaluation is known only later, and such rows are few.
    let mut ranges = BTreeMap::new();
    for (subject, ts) in wanted.iter().filter_map(|w| Some((w.subject?, w.ts))) {
        let (first, last) = ranges.entry(subject).or_insert((ts, ts));
        (*first, *last) = (ts.min(*first), ts.max(*last));
    }
    if ranges.is_empty() {
        return Ok(());
    }
    let keys: Vec<(&str, &str)> = ranges.keys().copied().collect();
    let (environments, subjects): (Vec<_>, Vec<_>) = keys.iter().copied().unzip();
    let times = |of: fn(&(i64, i64)) -> i64| ranges.values().map(|range| time(of(range))).collect::<Vec<_>>();
    let since: Vec<_> = ranges.values().map(|range| time(range.0.saturating_sub(reach))).collect();
    let (first, last, most) = (times(|r| r.0), times(|r| r.1), SUBJECT_EVALUATIONS as i32);
    let arguments = [subjects.into(), environments.into(), since.into(), first.into(), last.into(), most.into()];
    Spi::connect(|client| {
        let query = "SELECT * FROM _flagscope.evaluated_for($1, $2, $3, $4, $5, $6)";
        for row in client.select(query, None, &arguments)? {
            let key = row.get::<i64>(1)?.and_then(|n| keys.get(n as usize - 1));
            let evaluation = evaluation(row.get(2)?, row.get(3)?, row.get(4)?);
            if let Some(((environment, subject), evaluation)) = key.zip(evaluation) {
                evaluated.add_for_subject(environment, subject, evaluation);
            }
        }
        Ok(())
    })
}

fn evaluation(ts: Option<TimestampWithTimeZone>, nanos: Option<i16>, flags: Option<&str>) -> Option<Evaluation> {
    Some(Evaluation::new(i64::from(ts?), nanos.unwrap_or_default(), flags?))
}

/// Flags for rows that are about to be stored; documented in `sql/api/attribution.sql`.
#[pg_extern(stable, schema = "_flagscope")]
#[allow(clippy::too_many_arguments)] // parallel arrays, one for each column
fn find_flags(
    places: Option<Array<'_, i64>>,
    times: Option<Array<'_, TimestampWithTimeZone>>,
    nanos: Option<Array<'_, i16>>,
    traces: Option<Array<'_, Uuid>>,
    subjects: Option<Array<'_, &str>>,
    environments: Option<Array<'_, &str>>,
    flags: Option<Array<'_, &str>>,
) -> Result<TableIterator<'static, (name!(place, i64), name!(flags, String), name!(attribution, String))>, spi::Error>
{
    let (Some(places), Some(times), Some(traces)) = (places, times, traces) else {
        return Ok(TableIterator::empty());
    };
    let (compiled, session) = (compiled(), session());
    // pgrx finds the n-th element of an array by walking there, so each array is walked once.
    let mut subjects = subjects.iter().flat_map(Array::iter);
    let mut environments = environments.iter().flat_map(Array::iter);
    let (mut nanos, mut flags) = (nanos.iter().flat_map(Array::iter), flags.iter().flat_map(Array::iter));
    let (mut rows, mut own) = (Vec::new(), Vec::new());
    for ((place, ts), trace) in places.iter().zip(times.iter()).zip(traces.iter()) {
        let environment = key_of(&compiled.plan, environments.next().flatten(), &session);
        let subject = subjects.next().flatten().map(|subject| (environment, subject));
        let (nanos, flags) = (nanos.next().flatten().unwrap_or_default(), flags.next().flatten());
        let (Some(place), Some(ts)) = (place, ts.map(i64::from)) else { continue };
        let row = Loose { ts, trace: trace.map(|t| *t.as_bytes()), subject };
        match flags {
            Some(flags) => own.push((row, nanos, flags)),
            None => rows.push((place, row)),
        }
    }
    Ok(TableIterator::new(answered(&rows, &own, &compiled)?))
}

/// The flags of the rows at their places, from stored evaluations and from those among the rows themselves.
fn answered(
    rows: &[(i64, Loose)],
    own: &[(Loose, i16, &str)],
    compiled: &Compiled,
) -> Result<Vec<(i64, String, String)>, spi::Error> {
    let wanted: Vec<_> = rows.iter().map(|(_, row)| *row).collect();
    let mut evaluated = stored(&wanted, compiled)?;
    for (row, nanos, flags) in own {
        let evaluation = || Evaluation::new(row.ts, *nanos, flags);
        row.trace.into_iter().for_each(|trace| evaluated.add_in_trace(trace, evaluation()));
        row.subject.into_iter().for_each(|(e, subject)| evaluated.add_for_subject(e, subject, evaluation()));
    }
    let mut evaluated = evaluated.sorted();
    let found: Vec<_> = rows.iter().filter_map(|(place, row)| Some((*place, evaluated.find(row)?))).collect();
    let answers = evaluated.answers();
    Ok(found.iter().map(|(place, n)| (*place, answers[*n].0.clone(), answers[*n].1.label().to_owned())).collect())
}

fn compiled() -> Rc<Compiled> {
    match plan::compiled() {
        Ok(compiled) => compiled,
        Err(report) => {
            report.report(PgLogLevel::ERROR);
            unreachable!("an error was raised")
        }
    }
}

/// The environment of rows that do not name one.
fn session() -> String {
    crate::guc::environment().unwrap_or_else(|| "production".to_owned())
}

/// The key of a row's environment; an unknown environment is its own key.
fn key_of<'a>(plan: &'a Plan, environment: Option<&'a str>, session: &'a str) -> &'a str {
    let environment = environment.unwrap_or(session);
    plan.environment_key(environment).unwrap_or(environment)
}

/// The earliest and the latest time of PostgreSQL (its datatype/timestamp.h), in microseconds since 2000.
const TIMES: (i64, i64) = (-211_813_488_000_000_000, 9_223_371_331_200_000_000 - 1);

/// The time, limited to what PostgreSQL can represent.
fn time(micros: i64) -> Option<TimestampWithTimeZone> {
    TimestampWithTimeZone::try_from(micros.clamp(TIMES.0, TIMES.1)).ok()
}

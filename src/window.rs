//! SQL face of `core::telemetry::Units`: metrics with a conversion window, counted at ticks by the exposures of
//! subjects. When they are counted is documented in `sql/api/poll.sql`, how units are found in `sql/api/window.sql`.

use std::collections::BTreeSet;

use flagscope_core::telemetry::{Arms, Counts, Fold, Plan, Unit, Units};
use flagscope_core::{Error, Kind, Result as CoreResult};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::spi;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::Report;
use crate::pg::document::Document;
use crate::pg::row::TelemetryRow;
use crate::pg::stored::Wanted;
use crate::pg::{delta, stored, timer};
use crate::plan::{Compiled, Defined, compiled};

/// A rollout whose units count.
#[derive(Debug, Deserialize)]
pub struct Live {
    id: i64,
    flag: String,
    environment: String,
    treatment: String,
    control: String,
    /// It has no exposures.
    #[serde(default)]
    by_rows: bool,
}

/// A metric and the rollouts that it is counted for.
#[derive(Deserialize)]
pub struct Due {
    name: String,
    rollouts: Vec<i64>,
    #[serde(flatten)]
    defined: Defined,
}

/// Counts the rows of metrics with a conversion window; documented in `sql/api/window.sql`.
#[pg_extern(schema = "_flagscope")]
#[allow(clippy::type_complexity)] // the columns of one SQL row
fn count_telemetry(
    metrics: Document,
    rollouts: Document,
    since: TimestampWithTimeZone,
    until: TimestampWithTimeZone,
    milliseconds: i32,
    most: i64,
) -> Result<TableIterator<'static, (name!(metric, String), name!(given, i64), name!(counted, i64))>, ErrorReport> {
    let rollouts: Vec<Live> = read(rollouts).report()?;
    let plan = read(metrics).and_then(|due: Vec<Due>| plan(&due, &rollouts)).report()?;
    let range = (i64::from(since), i64::from(until));
    let compiled = compiled()?;
    let counts = timer::within(milliseconds, "reading telemetry", || {
        count(&plan, rollouts, &compiled, range, u64::try_from(most).unwrap_or(0))
    });
    let of_metric = |(name, n): (&str, Counts)| (name.to_owned(), n.given as i64, n.counted as i64);
    let rows: Vec<_> = plan.metric_names().zip(counts.report()?).map(of_metric).collect();
    Ok(TableIterator::new(rows))
}

/// Reads a list composed by flagscope's own SQL.
pub fn read<T: DeserializeOwned>(document: Document) -> CoreResult<Vec<T>> {
    let read = |json: Value| {
        serde_json::from_value(json).map_err(|problem| {
            Error::new(Kind::InvalidParameter, format!("a list of metrics or rollouts cannot be read: {problem}"))
        })
    };
    document.0.and_then(read)
}

/// The metrics that are counted, each for its rollouts.
pub fn plan(due: &[Due], rollouts: &[Live]) -> CoreResult<Plan> {
    let mut plan = Plan::default();
    for due in due {
        let metric = plan.metric(&due.name, due.defined.compile()?);
        for r in rollouts.iter().filter(|r| due.rollouts.contains(&r.id)) {
            plan.watch(&r.flag, &r.environment, &[r.treatment.clone(), r.control.clone()], metric);
        }
    }
    Ok(plan)
}

/// Counts the rows of a range of time and writes their deltas.
fn count(
    plan: &Plan,
    rollouts: Vec<Live>,
    compiled: &Compiled,
    (since, until): (i64, i64),
    most: u64,
) -> CoreResult<Vec<Counts>> {
    let mut counts = vec![Counts::default(); plan.metric_names().count()];
    let mut exposed = Exposed::new(rollouts, compiled);
    let mut fold = Fold::new(plan);
    let names = plan.wanted_names().map(|names| names.into_iter().map(str::to_owned).collect());
    stored::for_each_batch(since, until, Wanted::OfSubjects(names), &compiled.signals, |rows| {
        exposed.find(rows.iter().filter(|(_, row)| fold.wants(row)).map(|(_, row)| row))?;
        for (ts, row) in rows {
            if let Some((environment, subject)) = exposed.who(row) {
                fold.row_of_subject(&exposed.units, (environment, subject), *ts, row, &mut counts);
            }
        }
        if counts.iter().any(|n| n.given > most) { Err(too_many(most)) } else { Ok(()) }
    })?;
    delta::insert(&fold.finish(), None);
    Ok(counts)
}

/// What a metric says that matches more rows than setting query.rows.
pub fn too_many(most: u64) -> Error {
    Error::new(Kind::LimitExceeded, format!("more than {most} rows match"))
        .hint("Narrow its filter, or raise the setting query.rows.")
}

/// The units of some rollouts, looked up as needed.
pub struct Exposed<'c> {
    compiled: &'c Compiled,
    default_environment: String,
    /// Ids of the rollouts, as they were added to the units.
    pub rollouts: Vec<i64>,
    /// Those found so far.
    pub units: Units,
}

impl<'c> Exposed<'c> {
    /// None found yet.
    pub fn new(rollouts: Vec<Live>, compiled: &'c Compiled) -> Self {
        let ids = rollouts.iter().map(|r| r.id).collect();
        let arms = |r: Live| {
            let Live { flag, environment, treatment, control, by_rows, .. } = r;
            Arms { flag, environment, treatment, control, by_rows }
        };
        let units = Units::new(rollouts.into_iter().map(arms).collect());
        Self { compiled, default_environment: crate::guc::environment().unwrap_or_default(), rollouts: ids, units }
    }

    /// Key of a row's environment, and its subject.
    pub fn who<'r>(&'r self, row: &'r TelemetryRow) -> Option<(&'r str, &'r str)> {
        let environment = row.environment().unwrap_or(&self.default_environment);
        self.compiled.plan.environment_key(environment).zip(row.subject())
    }

    /// Looks up the subjects of some rows, except known ones.
    pub fn find<'r, 't: 'r>(&mut self, rows: impl Iterator<Item = &'r TelemetryRow<'t>>) -> CoreResult<()> {
        let new = rows.filter_map(TelemetryRow::subject).filter(|subject| !self.units.knows(subject));
        let new: Vec<_> = new.collect::<BTreeSet<_>>().into_iter().collect();
        if new.is_empty() {
            return Ok(());
        }
        for subject in &new {
            self.units.note(subject);
        }
        self.look_up(&new).map_err(|problem| Error::new(Kind::Corrupted, format!("units cannot be read: {problem}")))
    }

    fn look_up(&mut self, subjects: &[&str]) -> Result<(), spi::Error> {
        let arguments = [self.rollouts.clone().into(), subjects.to_vec().into()];
        Spi::connect(|client| {
            for row in client.select("SELECT * FROM _flagscope.subjects_of($1, $2)", None, &arguments)? {
                let subject = row.get::<i64>(1)?.and_then(|n| subjects.get(n as usize - 1));
                let rollout = row.get::<i64>(2)?.and_then(|id| self.rollouts.iter().position(|r| *r == id));
                let time = |column| Ok::<_, spi::Error>(row.get::<TimestampWithTimeZone>(column)?.map(i64::from));
                let (first_seen, began_treated, treated_at) = (time(3)?, row.get::<bool>(4)?, time(5)?);
                if let (Some(subject), Some(rollout), Some(first_seen)) = (subject, rollout, first_seen) {
                    let began_treated = began_treated.unwrap_or_default();
                    self.units.note(subject).push(Unit { rollout, first_seen, began_treated, treated_at });
                }
            }
            Ok(())
        })
    }
}

//! SQL face of `core::stats::dependence`: stored rows by subject, for the design effect. When they are read is documented in
//! `sql/api/dependence.sql`.

use std::collections::HashMap;

use flagscope_core::stats::dependence::{By, Units};
use flagscope_core::telemetry::Clusters;
use flagscope_core::{Error, Kind, Result as CoreResult};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde::Deserialize;

use crate::error::Report;
use crate::pg::document::Document;
use crate::pg::row::TelemetryRow;
use crate::pg::stored::{self, Wanted};
use crate::plan::{Compiled, Defined, compiled};
use crate::window::read;

/// A guardrail in a rollout, as `sql/api/dependence.sql` writes it. Times are in microseconds since 2000.
#[derive(Deserialize)]
struct Target {
    flag: String,
    environment: String,
    treatment: String,
    control: String,
    quantile: Option<f64>,
    /// The treatment's share now.
    share: f64,
    /// When the rollout began: what was before is of one arm, whatever flags it has.
    began: i64,
    /// From when on rows have not been read.
    since: i64,
    #[serde(flatten)]
    defined: Defined,
}

/// What is measured of one guardrail.
type Measured = (
    name!(target, i32),
    name!(units, Vec<u8>),
    name!(effect, Option<f64>),
    name!(estimate, Option<f64>),
    name!(n, Option<f64>),
    name!(unit_count, Option<i64>),
    name!(known_by, Option<String>),
    name!(heaviest, Option<f64>),
    name!(equal_units, Option<f64>),
    name!(is_full, bool),
);

/// Adds the rows stored from since to before until to the sums by unit of some guardrails, and measures their design
/// effects; at most so many rows are read. Documented in `sql/api/dependence.sql`.
#[pg_extern(stable, strict, schema = "_flagscope")]
#[allow(clippy::type_complexity)] // the columns of one SQL row
fn read_units(
    targets: Document,
    states: Vec<u8>,
    sizes: Vec<Option<i64>>,
    since: TimestampWithTimeZone,
    until: TimestampWithTimeZone,
    most: i64,
) -> Result<
    TableIterator<
        'static,
        (
            name!(target, i32),
            name!(units, Vec<u8>),
            name!(effect, Option<f64>),
            name!(estimate, Option<f64>),
            name!(n, Option<f64>),
            name!(unit_count, Option<i64>),
            name!(known_by, Option<String>),
            name!(heaviest, Option<f64>),
            name!(equal_units, Option<f64>),
            name!(is_full, bool),
        ),
    >,
    ErrorReport,
> {
    let targets: Vec<Target> = read(targets).report()?;
    let compiled = compiled()?;
    let (since, until) = (i64::from(since), i64::from(until));
    let of = |target: &Target| Ok(Clusters::new(target.defined.compile()?, target.quantile));
    let mut clusters = targets.iter().map(of).collect::<CoreResult<Vec<_>>>().report()?;
    let read_until = read_rows(&targets, &mut clusters, &compiled, (since, until), most);
    let mut rest = states.as_slice();
    let rows: Vec<_> = targets
        .iter()
        .zip(clusters)
        .enumerate()
        .map(|(i, (target, clusters))| {
            let known = take(&mut rest, sizes.get(i).copied().flatten());
            measured(i, target, clusters, known, (since, read_until, until))
        })
        .collect();
    Ok(TableIterator::new(rows))
}

/// The first so many bytes; none where there are not as many.
fn take<'a>(rest: &mut &'a [u8], size: Option<i64>) -> &'a [u8] {
    let (first, others) =
        rest.split_at_checked(usize::try_from(size.unwrap_or(0)).unwrap_or(0)).unwrap_or((&[], &[]));
    *rest = others;
    first
}

/// Reads rows, and says up to when they were read.
fn read_rows(
    targets: &[Target],
    clusters: &mut [Clusters],
    compiled: &Compiled,
    (since, until): (i64, i64),
    most: i64,
) -> i64 {
    let default_environment = crate::guc::environment().unwrap_or_default();
    let places = Places::of(targets, since);
    let (mut left, mut last) = (most, since);
    let read = stored::for_each_batch(since, until, Wanted::Tagged, &compiled.signals, |rows| {
        for (ts, row) in rows {
            let named = row.environment().unwrap_or(&default_environment);
            if let Some(environment) = compiled.plan.environment_key(named) {
                places.add(targets, clusters, environment, *ts, row);
            }
            last = last.max(*ts);
        }
        left -= rows.len() as i64;
        // No failure: enough was read.
        if left <= 0 { Err(Error::new(Kind::LimitExceeded, "enough rows")) } else { Ok(()) }
    });
    if read.is_ok() { until } else { last }
}

/// Where the targets of a flag stand, so that a row meets its own alone: a thousand guardrails read as fast as ten.
struct Places<'t> {
    /// By environment and flag.
    of_flag: HashMap<(&'t str, &'t str), Vec<usize>>,
    /// Those that began after the first row.
    of_past: Vec<usize>,
}

impl<'t> Places<'t> {
    fn of(targets: &'t [Target], since: i64) -> Self {
        let mut of_flag: HashMap<_, Vec<usize>> = HashMap::new();
        for (place, target) in targets.iter().enumerate() {
            of_flag.entry((target.environment.as_str(), target.flag.as_str())).or_default().push(place);
        }
        let of_past = (0..targets.len()).filter(|place| targets[*place].began > since).collect();
        Self { of_flag, of_past }
    }

    /// Adds a row to its targets: those of its flags, and those whose rollout had not begun.
    fn add(&self, targets: &[Target], clusters: &mut [Clusters], environment: &str, ts: i64, row: &TelemetryRow) {
        for place in &self.of_past {
            let target = &targets[*place];
            if target.environment == environment && (target.since..target.began).contains(&ts) {
                clusters[*place].row(ts, row, row.subject(), false);
            }
        }
        let Some(flags) = row.flags() else { return };
        for (flag, variant) in flags.text_entries() {
            for place in self.of_flag.get(&(environment, flag)).into_iter().flatten() {
                let target = &targets[*place];
                let is_of_arms = variant == target.treatment || variant == target.control;
                if ts >= target.since.max(target.began) && is_of_arms {
                    clusters[*place].row(ts, row, row.subject(), variant == target.treatment);
                }
            }
        }
    }
}

fn measured(
    i: usize,
    target: &Target,
    clusters: Clusters,
    state: &[u8],
    (since, read_until, until): (i64, i64, i64),
) -> Measured {
    let levels = clusters.levels();
    // Sums that cannot be read are begun anew: they are an estimate's, and of no evidence.
    let known = Units::read(state).ok().filter(|units| units.levels() == levels);
    let mut units = known.unwrap_or_else(|| Units::new(levels));
    let seconds = |from: i64, to: i64| (to.saturating_sub(from)).max(0) as f64 / 1e6;
    let from = target.since.max(since);
    // Of the past what is asked for; later all that has gone by, also while no ticks ran.
    let asked = if until <= target.began { from } else { target.since };
    units.grow(&clusters.finish(), seconds(asked, until), seconds(from, read_until));
    let found = units.measure(target.share);
    let by = |by| match by {
        By::Subject => "subject",
        By::Trace => "trace",
        By::Moment => "moment",
    };
    (
        i as i32 + 1,
        units.stored(),
        found.map(|m| m.effect),
        found.map(|m| m.estimate),
        found.map(|m| m.rows),
        found.map(|m| m.units as i64),
        found.map(|m| by(m.by).to_owned()),
        found.map(|m| m.heaviest),
        found.map(|m| m.equal_units),
        read_until < until,
    )
}

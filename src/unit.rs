//! SQL face of `core::telemetry::Tallies`: metrics by unit, of which a subject counts once. When its window is over is
//! decided in `sql/api/unit.sql`.

use flagscope_core::telemetry::{Found, MetricKind, Plan, Tallies, Tally};
use flagscope_core::{Error, Kind, Result as CoreResult};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::spi;

use crate::argument::{count, given};
use crate::error::Report;
use crate::pg::document::Document;
use crate::pg::stored::Wanted;
use crate::pg::{stored, timer};
use crate::plan::{Compiled, compiled};
use crate::window::{Due, Exposed, Live, plan, read, too_many};

/// Tallies the rows of metrics by unit; documented in `sql/api/unit.sql`.
#[pg_extern(schema = "_flagscope")]
#[allow(clippy::type_complexity)] // the columns of one SQL row
fn tally_telemetry(
    metrics: Document,
    rollouts: Document,
    since: TimestampWithTimeZone,
    until: TimestampWithTimeZone,
    milliseconds: i32,
    most: i64,
) -> Result<
    TableIterator<'static, (name!(metric, String), name!(given, i64), name!(counted, i64), name!(nameless, i64))>,
    ErrorReport,
> {
    let rollouts: Vec<Live> = read(rollouts).report()?;
    let plan = read(metrics).and_then(|due: Vec<Due>| plan(&due, &rollouts)).report()?;
    let range = (i64::from(since), i64::from(until));
    let compiled = compiled()?;
    let most = u64::try_from(most).unwrap_or(0);
    let mut exposed = Exposed::new(rollouts, &compiled);
    let tallies =
        timer::within(milliseconds, "reading telemetry", || tally(&plan, &mut exposed, &compiled, range, most))
            .report()?;
    keep(&tallies, &exposed.rollouts)
        .map_err(|problem| Error::new(Kind::Corrupted, format!("tallies cannot be kept: {problem}")))
        .report()?;
    let rows: Vec<_> = plan
        .metric_names()
        .zip(tallies.counts())
        .zip(tallies.nameless())
        .map(|((name, n), nameless)| (name.to_owned(), n.given as i64, n.counted as i64, *nameless as i64))
        .collect();
    Ok(TableIterator::new(rows))
}

/// The value that a unit counts with (`core::telemetry::Tally::value`).
#[pg_extern(immutable, parallel_safe, schema = "_flagscope")]
fn unit_value(
    kind: Option<&str>,
    sum_values: Option<bool>,
    n: Option<i64>,
    events: Option<i64>,
    total: Option<f64>,
) -> Result<Option<f64>, ErrorReport> {
    let kind = given("a kind of metric", kind).and_then(MetricKind::from_label).report()?;
    let tally = Tally {
        n: count(n.unwrap_or(0)).report()?,
        events: count(events.unwrap_or(0)).report()?,
        total: total.unwrap_or(0.0),
    };
    Ok(tally.value(kind, sum_values.unwrap_or(false)))
}

/// Reads a range of telemetry. The name of a row's variant is copied, since it lies in the row.
fn tally<'p>(
    plan: &'p Plan,
    exposed: &mut Exposed,
    compiled: &Compiled,
    (since, until): (i64, i64),
    most: u64,
) -> CoreResult<Tallies<'p>> {
    let mut tallies = Tallies::new(plan);
    let names = plan.wanted_names().map(|names| names.into_iter().map(str::to_owned).collect());
    stored::for_each_batch(since, until, Wanted::Named(names), &compiled.signals, |rows| {
        exposed.find(rows.iter().filter(|(_, row)| tallies.wants(row)).map(|(_, row)| row))?;
        for (ts, row) in rows {
            match exposed.who(row) {
                Some(who) => tallies.row(&exposed.units, who, *ts, row, |flag| {
                    match row.flags().and_then(|flags| flags.get(flag)) {
                        Some(Found::Text(variant)) => Some(variant),
                        _ => None,
                    }
                }),
                None if row.subject().is_none() => tallies.nameless_row(row),
                None => {}
            }
        }
        if tallies.counts().iter().any(|n| n.given > most) { Err(too_many(most)) } else { Ok(()) }
    })?;
    Ok(tallies)
}

/// Stores what was tallied, and the units that no exposure has named.
fn keep(tallies: &Tallies, rollouts: &[i64]) -> Result<(), spi::Error> {
    let mut rows = (vec![], vec![], vec![], vec![], vec![], vec![]);
    for (metric, rollout, subject, tally) in tallies.tallied() {
        rows.0.push(metric.to_owned());
        rows.1.push(rollouts.get(rollout).copied());
        rows.2.push(subject.to_owned());
        rows.3.push(tally.n as i64);
        rows.4.push(tally.events as i64);
        rows.5.push(tally.total);
    }
    let mut firsts = (vec![], vec![], vec![], vec![]);
    for (rollout, subject, first) in tallies.firsts() {
        firsts.0.push(rollouts.get(rollout).copied());
        firsts.1.push(subject.to_owned());
        firsts.2.push(TimestampWithTimeZone::try_from(first.ts).ok());
        firsts.3.push(first.treated);
    }
    Spi::run_with_args(
        "SELECT _flagscope.note_units($1, $2, $3, $4)",
        &[firsts.0.into(), firsts.1.into(), firsts.2.into(), firsts.3.into()],
    )?;
    Spi::run_with_args(
        "SELECT _flagscope.keep_tallies($1, $2, $3, $4, $5, $6)",
        &[rows.0.into(), rows.1.into(), rows.2.into(), rows.3.into(), rows.4.into(), rows.5.into()],
    )
}

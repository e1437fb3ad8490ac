//! SQL face of `core::telemetry::Survey`; documented in `sql/api/preview_metric.sql`.

use flagscope_core::telemetry::{Definition, Survey};
use flagscope_core::{Error, Kind, Result as CoreResult};
use pgrx::JsonB;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::error::Report;
use crate::pg::document::Document;
use crate::pg::row::TelemetryRow;
use crate::pg::stored::{self, Wanted};
use crate::plan::{self, Compiled, Defined};
use crate::window::{Exposed, Live, read};

/// What a metric's definition matches among the rows stored from since to before until; documented in
/// `sql/api/preview_metric.sql`.
#[pg_extern(stable, strict, schema = "_flagscope")]
fn survey(
    definition: Document,
    rollouts: Document,
    since: TimestampWithTimeZone,
    until: TimestampWithTimeZone,
) -> Result<JsonB, ErrorReport> {
    let defined: Defined = definition
        .0
        .and_then(|json| {
            serde_json::from_value(json).map_err(|problem| {
                Error::new(Kind::InvalidParameter, format!("a metric's definition cannot be read: {problem}"))
            })
        })
        .report()?;
    let definition = defined.compile().report()?;
    let rollouts = read(rollouts).report()?;
    let mut survey = Survey::new(definition.clone());
    let range = (i64::from(since), i64::from(until));
    if definition.window.is_some() {
        survey_units(&mut survey, &definition, rollouts, &*plan::compiled()?, range).report()?;
    } else {
        stored::for_each_row(range.0, range.1, &plan::signals()?, |ts, row| {
            let tags = row.flags().map(|flags| flags.text_entries()).unwrap_or_default();
            survey.row(ts, row, &tags);
        });
    }
    Ok(JsonB(survey.report()))
}

/// Here a row counts by the exposures of its subject, not by the flags that it carries.
fn survey_units(
    survey: &mut Survey,
    definition: &Definition,
    rollouts: Vec<Live>,
    compiled: &Compiled,
    (since, until): (i64, i64),
) -> CoreResult<()> {
    let mut exposed = Exposed::new(rollouts, compiled);
    stored::for_each_batch(since, until, Wanted::All, &compiled.signals, |rows| {
        exposed.find(rows.iter().map(|(_, row)| row).filter(|row| definition.matches(*row)))?;
        for (ts, row) in rows {
            survey.row(*ts, row, &tags(&exposed, definition, *ts, row));
        }
        Ok(())
    })
}

fn tags<'a>(
    exposed: &'a Exposed,
    definition: &Definition,
    ts: i64,
    row: &'a TelemetryRow,
) -> Vec<(&'a str, &'a str)> {
    let Some((environment, subject)) = exposed.who(row) else { return Vec::new() };
    exposed.units.tags(environment, subject, ts, definition.window).collect()
}

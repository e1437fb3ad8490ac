//! SQL face of `core::telemetry::Survey`; what it means in words stands in `sql/api/check_metric.sql`.

use flagscope_core::telemetry::Survey;
use flagscope_core::{Error, Kind};
use pgrx::JsonB;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::error::Report;
use crate::pg::document::Document;
use crate::pg::stored;
use crate::telemetry::{Defined, signals};

/// What a metric's definition matches among the rows stored from since to before until.
#[pg_extern(stable, strict)]
fn _survey(
    definition: Document,
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
    let mut survey = Survey::new(defined.compile().report()?);
    stored::for_each_row(i64::from(since), i64::from(until), &signals()?, |ts, row| {
        let tags = row.flags().map(|flags| flags.text_entries()).unwrap_or_default();
        survey.row(ts, row, &tags);
    });
    Ok(JsonB(survey.report()))
}

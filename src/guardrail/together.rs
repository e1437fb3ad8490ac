//! SQL face of `core::guardrail::together`.

use flagscope_core::guardrail::{self, Member, Rule, Status};
use flagscope_core::stats::combine::part;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use super::row;
use crate::argument::known;
use crate::error::Report;
use crate::pg::record::for_each_row;

/// Can the evidence of some guardrails reach the line together: a bound from their numbers alone.
#[pg_extern(immutable, strict, parallel_safe, schema = "_flagscope")]
fn may_reach_together(log_e: Vec<Option<f64>>, alpha: Vec<Option<f64>>) -> Result<bool, ErrorReport> {
    let (log_e, alpha) = (known(log_e).report()?, known(alpha).report()?);
    Ok(log_e.into_iter().zip(alpha).map(|(log_e, alpha)| part(log_e, alpha)).sum::<f64>() >= 1.0)
}

/// The guardrails of a rollout to blame when those that a cursor loads reach the line together.
#[pg_extern(strict, schema = "_flagscope")]
#[allow(clippy::type_complexity)] // the columns of one SQL row
fn blamed_together(
    guardrails: &str,
    alpha: f64,
    is_completed: bool,
) -> Result<
    TableIterator<
        'static,
        (
            name!(guardrail_id, i64),
            name!(sum, f64),
            name!(reason, String),
            name!(members, Vec<i64>),
            name!(parts, Vec<f64>),
        ),
    >,
    ErrorReport,
> {
    let mut loaded: Vec<(i64, Rule, Status)> = Vec::new();
    for_each_row(guardrails, |row| {
        // Rows of the treatment wait for the control's: the others may have weighed theirs.
        if row.get::<bool>("is_waiting")?.unwrap_or(false) {
            return Ok(());
        }
        // Of what cannot be read nothing is known to be level with the rest.
        if let (Ok(rule), Some(Ok(status))) = (row::rule(row), row.record("st")?.map(|st| row::status(&st))) {
            loaded.push((row.known("guardrail_id")?, rule, status));
        }
        Ok(())
    })
    .report()?;
    let members: Vec<_> = loaded.iter().map(|(id, rule, status)| Member { id: *id, rule, status }).collect();
    let blamed = guardrail::together(&members, alpha, is_completed).into_iter().map(|blamed| {
        let (members, parts) = blamed.parts.into_iter().unzip();
        (blamed.id, blamed.sum, blamed.reason, members, parts)
    });
    Ok(TableIterator::new(blamed.collect::<Vec<_>>()))
}

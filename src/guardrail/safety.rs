//! SQL face of what a guardrail has been able to see (`core::guardrail::Data`, `core::stats::power`).

use flagscope_core::guardrail::Data;
use flagscope_core::kind::MetricKind;
use flagscope_core::stats::tilt::Harm;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use super::row::margin_of;
use crate::argument::{given, known};
use crate::error::Report;

/// What a guardrail sees; documented in `sql/api/gate.sql`.
#[pg_extern(immutable, parallel_safe, schema = "_flagscope")]
#[allow(clippy::too_many_arguments, clippy::type_complexity)] // an SQL signature: named arguments, columns of one row
fn sees(
    kind: Option<&str>,
    harm: Option<&str>,
    quantile: Option<f64>,
    alpha: Option<f64>,
    margin: Option<f64>,
    margin_absolute: Option<f64>,
    limit_value: Option<f64>,
    centre: Option<f64>,
    information: Option<Vec<Option<f64>>>,
    effect: Option<f64>,
) -> Result<
    TableIterator<
        'static,
        (name!(found, Option<f64>), name!(smallest, Option<f64>), name!(data_wanted, Option<f64>)),
    >,
    ErrorReport,
> {
    let information = known(information.unwrap_or_default()).report()?;
    let data = Data {
        kind: given("a kind of metric", kind).and_then(MetricKind::from_label).report()?,
        harm: given("harm", harm).and_then(Harm::from_label).report()?,
        quantile,
        alpha: given("alpha", alpha).report()?,
        margin: margin_of(margin, margin_absolute).filter(|_| limit_value.is_none()),
        limit: limit_value,
        centre,
        information: &information,
    };
    let effect = given("an effect", effect).report()?;
    let row = match data.sight() {
        Some(sight) => (Some(sight.chance(effect)), sight.smallest(), sight.data_wanted(effect)),
        None => (None, None, None),
    };
    Ok(TableIterator::once(row))
}

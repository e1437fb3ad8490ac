//! Tests of counts: of events among trials, against a control or a limit, of events in an exposure, of units served.

use flagscope_core::Result as CoreResult;
use flagscope_core::stats::answer::{self, Question};
use flagscope_core::stats::rate::Counts;
use flagscope_core::stats::tilt::Arms;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use super::{ask, row, same, within};
use crate::argument::{counts, known};

#[pg_extern(immutable, parallel_safe)]
#[allow(clippy::too_many_arguments, clippy::type_complexity)] // an SQL signature: arguments, columns of a row
fn sequential_proportion_test(
    n_treatment: Option<Vec<Option<i64>>>,
    events_treatment: Option<Vec<Option<i64>>>,
    n_control: Option<Vec<Option<i64>>>,
    events_control: Option<Vec<Option<i64>>>,
    margin: default!(Option<f64>, 0.1),
    margin_absolute: default!(Option<f64>, "NULL"),
    safe_margin: default!(Option<f64>, "NULL"),
    harm: default!(Option<String>, "'increase'"),
    design_effect: default!(Option<f64>, 1.0),
    alpha: default!(Option<f64>, 0.01),
) -> Result<
    TableIterator<
        'static,
        (
            name!(estimate, Option<f64>),
            name!(lower, Option<f64>),
            name!(upper, Option<f64>),
            name!(log_e, f64),
            name!(p_value, f64),
            name!(log_e_safe, Option<f64>),
            name!(verdict, String),
        ),
    >,
    ErrorReport,
> {
    let (
        Some(n_treatment),
        Some(events_treatment),
        Some(n_control),
        Some(events_control),
        Some(margin),
        Some(harm),
        Some(design_effect),
        Some(alpha),
    ) = (n_treatment, events_treatment, n_control, events_control, margin, harm, design_effect, alpha)
    else {
        return Ok(TableIterator::empty());
    };
    row(alpha, "worse", || {
        let question = within(margin_absolute, ask(&harm, margin, safe_margin, alpha)?)?;
        let strata = arms(n_treatment, events_treatment, n_control, events_control)?;
        answer::proportion(&strata, &Question { design_effect, ..question })
    })
}

#[pg_extern(immutable, parallel_safe)]
#[allow(clippy::too_many_arguments, clippy::type_complexity)] // an SQL signature: arguments, columns of a row
fn sequential_limit_test(
    n: Option<Vec<Option<i64>>>,
    events: Option<Vec<Option<i64>>>,
    limit_value: Option<f64>,
    harm: default!(Option<String>, "'increase'"),
    design_effect: default!(Option<f64>, 1.0),
    alpha: default!(Option<f64>, 0.01),
) -> Result<
    TableIterator<
        'static,
        (
            name!(estimate, Option<f64>),
            name!(lower, Option<f64>),
            name!(upper, Option<f64>),
            name!(log_e, f64),
            name!(p_value, f64),
            name!(log_e_safe, Option<f64>),
            name!(verdict, String),
        ),
    >,
    ErrorReport,
> {
    let (Some(n), Some(events), Some(limit_value), Some(harm), Some(design_effect), Some(alpha)) =
        (n, events, limit_value, harm, design_effect, alpha)
    else {
        return Ok(TableIterator::empty());
    };
    row(alpha, "worse", || {
        let question = Question { design_effect, ..ask(&harm, 0.0, None, alpha)? };
        let (n, events) = (counts(n)?, counts(events)?);
        same(&[n.len(), events.len()])?;
        answer::limit(&n.into_iter().zip(events).collect::<Vec<_>>(), limit_value, &question)
    })
}

#[pg_extern(immutable, parallel_safe)]
#[allow(clippy::too_many_arguments, clippy::type_complexity)] // an SQL signature: arguments, columns of a row
fn sequential_rate_test(
    exposure_treatment: Option<Vec<Option<f64>>>,
    count_treatment: Option<Vec<Option<i64>>>,
    exposure_control: Option<Vec<Option<f64>>>,
    count_control: Option<Vec<Option<i64>>>,
    margin: default!(Option<f64>, 0.1),
    margin_absolute: default!(Option<f64>, "NULL"),
    safe_margin: default!(Option<f64>, "NULL"),
    harm: default!(Option<String>, "'increase'"),
    design_effect: default!(Option<f64>, 1.0),
    alpha: default!(Option<f64>, 0.01),
) -> Result<
    TableIterator<
        'static,
        (
            name!(estimate, Option<f64>),
            name!(lower, Option<f64>),
            name!(upper, Option<f64>),
            name!(log_e, f64),
            name!(p_value, f64),
            name!(log_e_safe, Option<f64>),
            name!(verdict, String),
        ),
    >,
    ErrorReport,
> {
    let (
        Some(exposure_treatment),
        Some(count_treatment),
        Some(exposure_control),
        Some(count_control),
        Some(margin),
        Some(harm),
        Some(design_effect),
        Some(alpha),
    ) = (exposure_treatment, count_treatment, exposure_control, count_control, margin, harm, design_effect, alpha)
    else {
        return Ok(TableIterator::empty());
    };
    row(alpha, "worse", || {
        let question = within(margin_absolute, ask(&harm, margin, safe_margin, alpha)?)?;
        let question = Question { design_effect, ..question };
        let (e_t, e_c) = (known(exposure_treatment)?, known(exposure_control)?);
        let (k_t, k_c) = (counts(count_treatment)?, counts(count_control)?);
        same(&[e_t.len(), k_t.len(), e_c.len(), k_c.len()])?;
        let stratum = |i: usize| Counts { exposure_t: e_t[i], count_t: k_t[i], exposure_c: e_c[i], count_c: k_c[i] };
        answer::rate(&(0..e_t.len()).map(stratum).collect::<Vec<_>>(), &question)
    })
}

#[pg_extern(immutable, parallel_safe)]
#[allow(clippy::too_many_arguments, clippy::type_complexity)] // an SQL signature: arguments, columns of a row
fn sequential_share_test(
    nominal: Option<Vec<Option<f64>>>,
    n_treatment: Option<Vec<Option<i64>>>,
    n_others: Option<Vec<Option<i64>>>,
    alpha: default!(Option<f64>, 0.01),
) -> Result<
    TableIterator<
        'static,
        (
            name!(estimate, Option<f64>),
            name!(lower, Option<f64>),
            name!(upper, Option<f64>),
            name!(log_e, f64),
            name!(p_value, f64),
            name!(log_e_safe, Option<f64>),
            name!(verdict, String),
        ),
    >,
    ErrorReport,
> {
    let (Some(nominal), Some(n_treatment), Some(n_others), Some(alpha)) = (nominal, n_treatment, n_others, alpha)
    else {
        return Ok(TableIterator::empty());
    };
    row(alpha, "mismatch", || {
        let (nominal, n_t, n_rest) = (known(nominal)?, counts(n_treatment)?, counts(n_others)?);
        same(&[nominal.len(), n_t.len(), n_rest.len()])?;
        let strata: Vec<(f64, u64, u64)> = (0..nominal.len()).map(|i| (nominal[i], n_t[i], n_rest[i])).collect();
        answer::share(&strata, alpha)
    })
}

fn arms(
    n_t: Vec<Option<i64>>,
    y_t: Vec<Option<i64>>,
    n_c: Vec<Option<i64>>,
    y_c: Vec<Option<i64>>,
) -> CoreResult<Vec<Arms>> {
    let [n_t, y_t, n_c, y_c] = [counts(n_t)?, counts(y_t)?, counts(n_c)?, counts(y_c)?];
    same(&[n_t.len(), y_t.len(), n_c.len(), y_c.len()])?;
    Ok((0..n_t.len()).map(|i| Arms { n_t: n_t[i], y_t: y_t[i], n_c: n_c[i], y_c: y_c[i] }).collect())
}

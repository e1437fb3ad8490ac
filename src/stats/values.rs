//! Tests of values: of means and distributions by their states, of ratios by the totals of units.
//!
//! They come after the sketches in the script of the extension, because an array of a sketch is a type only then.

use flagscope_core::Result as CoreResult;
use flagscope_core::sketch::{Histogram, Moments};
use flagscope_core::stats::answer;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use super::{ask, row, same, units, within};
use crate::pg::value::Stored;

#[pg_extern(immutable, parallel_safe, requires = ["sketch_state"])]
#[allow(clippy::too_many_arguments, clippy::type_complexity)] // an SQL signature: arguments, columns of a row
fn sequential_mean_test(
    treatment: Option<Vec<Option<Stored<Moments>>>>,
    control: Option<Vec<Option<Stored<Moments>>>>,
    cap: Option<f64>,
    margin: default!(Option<f64>, 0.05),
    margin_absolute: default!(Option<f64>, "NULL"),
    safe_margin: default!(Option<f64>, "NULL"),
    harm: default!(Option<String>, "'increase'"),
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
    let (Some(treatment), Some(control), Some(cap), Some(margin), Some(harm), Some(alpha)) =
        (treatment, control, cap, margin, harm, alpha)
    else {
        return Ok(TableIterator::empty());
    };
    row(alpha, "worse", || {
        let question = within(margin_absolute, ask(&harm, margin, safe_margin, alpha)?)?;
        answer::mean(&states(treatment, control)?, cap, &question)
    })
}

#[pg_extern(immutable, parallel_safe, requires = ["sketch_state"])]
#[allow(clippy::too_many_arguments, clippy::type_complexity)] // an SQL signature: arguments, columns of a row
fn sequential_mean_t_test(
    treatment: Option<Vec<Option<Stored<Moments>>>>,
    control: Option<Vec<Option<Stored<Moments>>>>,
    margin: default!(Option<f64>, 0.0),
    harm: default!(Option<String>, "'increase'"),
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
    let (Some(treatment), Some(control), Some(margin), Some(harm), Some(alpha)) =
        (treatment, control, margin, harm, alpha)
    else {
        return Ok(TableIterator::empty());
    };
    row(alpha, "worse", || answer::mean_t(&states(treatment, control)?, &ask(&harm, margin, None, alpha)?))
}

#[pg_extern(immutable, parallel_safe, requires = ["sketch_state"])]
#[allow(clippy::too_many_arguments, clippy::type_complexity)] // an SQL signature: arguments, columns of a row
fn sequential_quantile_test(
    treatment: Option<Vec<Option<Stored<Histogram>>>>,
    control: Option<Vec<Option<Stored<Histogram>>>>,
    quantile: default!(Option<f64>, "NULL"),
    margin: default!(Option<f64>, 0.06),
    margin_absolute: default!(Option<f64>, "NULL"),
    safe_margin: default!(Option<f64>, "NULL"),
    harm: default!(Option<String>, "'increase'"),
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
    let (Some(treatment), Some(control), Some(margin), Some(harm), Some(alpha)) =
        (treatment, control, margin, harm, alpha)
    else {
        return Ok(TableIterator::empty());
    };
    row(alpha, "worse", || {
        let question = within(margin_absolute, ask(&harm, margin, safe_margin, alpha)?)?;
        answer::quantile(&states(treatment, control)?, quantile, &question)
    })
}

#[pg_extern(immutable, parallel_safe, requires = ["sketch_state"])]
#[allow(clippy::too_many_arguments, clippy::type_complexity)] // an SQL signature: arguments, columns of a row
fn sequential_quantile_strict_test(
    treatment: Option<Vec<Option<Stored<Histogram>>>>,
    control: Option<Vec<Option<Stored<Histogram>>>>,
    quantile: Option<f64>,
    harm: default!(Option<String>, "'increase'"),
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
    let (Some(treatment), Some(control), Some(quantile), Some(harm), Some(alpha)) =
        (treatment, control, quantile, harm, alpha)
    else {
        return Ok(TableIterator::empty());
    };
    row(alpha, "worse", || {
        answer::quantile_strict(&states(treatment, control)?, quantile, &ask(&harm, 0.0, None, alpha)?)
    })
}

#[pg_extern(immutable, parallel_safe, requires = ["sketch_state"])]
#[allow(clippy::too_many_arguments, clippy::type_complexity)] // an SQL signature: arguments, columns of a row
fn sequential_distribution_test(
    treatment: Option<Vec<Option<Stored<Histogram>>>>,
    control: Option<Vec<Option<Stored<Histogram>>>>,
    harm: default!(Option<String>, "'increase'"),
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
    let (Some(treatment), Some(control), Some(harm), Some(alpha)) = (treatment, control, harm, alpha) else {
        return Ok(TableIterator::empty());
    };
    row(alpha, "different", || answer::distribution(&states(treatment, control)?, &ask(&harm, 0.0, None, alpha)?))
}

#[pg_extern(immutable, parallel_safe, requires = ["sketch_state"])]
#[allow(clippy::too_many_arguments, clippy::type_complexity)] // an SQL signature: arguments, columns of a row
fn sequential_ratio_test(
    numerator_treatment: Option<Vec<Option<f64>>>,
    denominator_treatment: Option<Vec<Option<f64>>>,
    numerator_control: Option<Vec<Option<f64>>>,
    denominator_control: Option<Vec<Option<f64>>>,
    margin: default!(Option<f64>, 0.05),
    safe_margin: default!(Option<f64>, "NULL"),
    harm: default!(Option<String>, "'increase'"),
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
        Some(numerator_treatment),
        Some(denominator_treatment),
        Some(numerator_control),
        Some(denominator_control),
        Some(margin),
        Some(harm),
        Some(alpha),
    ) = (numerator_treatment, denominator_treatment, numerator_control, denominator_control, margin, harm, alpha)
    else {
        return Ok(TableIterator::empty());
    };
    row(alpha, "worse", || {
        let t = units(numerator_treatment, denominator_treatment)?;
        let c = units(numerator_control, denominator_control)?;
        answer::ratio(&t, &c, &ask(&harm, margin, safe_margin, alpha)?)
    })
}

/// The strata of two arrays of states; NULL is an arm without data.
fn states<S: Default>(t: Vec<Option<Stored<S>>>, c: Vec<Option<Stored<S>>>) -> CoreResult<Vec<(S, S)>> {
    same(&[t.len(), c.len()])?;
    let state = |x: Option<Stored<S>>| x.map_or_else(S::default, |x| x.0);
    Ok(t.into_iter().zip(c).map(|(t, c)| (state(t), state(c))).collect())
}

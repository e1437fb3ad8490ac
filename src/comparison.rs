//! SQL face of `core::stats::report`: classical tests for a single look. Columns are documented by their `COMMENT` in
//! `sql/api/comparison.sql`. Where a test is not defined, its columns are NULL.

use flagscope_core::Result as CoreResult;
use flagscope_core::sketch::{Histogram, Moments, Ratio};
use flagscope_core::stats::rate::Counts;
use flagscope_core::stats::report::means::{self, Group};
use flagscope_core::stats::report::multiple::{Correction, adjust};
use flagscope_core::stats::report::{chi_square, proportions, ranks, rates};
use flagscope_core::stats::tilt::Arms;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::argument::{count, counts, known};
use crate::error::Report;
use crate::pg::value::Stored;

/// The columns of a test of means.
type Means = TableIterator<
    'static,
    (
        name!(difference, Option<f64>),
        name!(lower, Option<f64>),
        name!(upper, Option<f64>),
        name!(p_value, Option<f64>),
        name!(p_greater, Option<f64>),
        name!(relative, Option<f64>),
        name!(relative_lower, Option<f64>),
        name!(relative_upper, Option<f64>),
        name!(t, Option<f64>),
        name!(df, Option<f64>),
    ),
>;

#[pg_extern(immutable, strict, parallel_safe)]
#[allow(clippy::type_complexity)] // the columns of one SQL row: pgrx reads no alias
fn mean_test(
    treatment: Stored<Moments>,
    control: Stored<Moments>,
    confidence: default!(f64, 0.95),
    margin: default!(f64, 0.0),
) -> Result<
    TableIterator<
        'static,
        (
            name!(difference, Option<f64>),
            name!(lower, Option<f64>),
            name!(upper, Option<f64>),
            name!(p_value, Option<f64>),
            name!(p_greater, Option<f64>),
            name!(relative, Option<f64>),
            name!(relative_lower, Option<f64>),
            name!(relative_upper, Option<f64>),
            name!(t, Option<f64>),
            name!(df, Option<f64>),
        ),
    >,
    ErrorReport,
> {
    welch(Group::of(&treatment.0), Group::of(&control.0), confidence, margin).report()
}

#[pg_extern(immutable, strict, parallel_safe)]
#[allow(clippy::type_complexity)] // the columns of one SQL row: pgrx reads no alias
fn ratio_test(
    treatment: Stored<Ratio>,
    control: Stored<Ratio>,
    confidence: default!(f64, 0.95),
    margin: default!(f64, 0.0),
) -> Result<
    TableIterator<
        'static,
        (
            name!(difference, Option<f64>),
            name!(lower, Option<f64>),
            name!(upper, Option<f64>),
            name!(p_value, Option<f64>),
            name!(p_greater, Option<f64>),
            name!(relative, Option<f64>),
            name!(relative_lower, Option<f64>),
            name!(relative_upper, Option<f64>),
            name!(t, Option<f64>),
            name!(df, Option<f64>),
        ),
    >,
    ErrorReport,
> {
    welch(Group::of_ratio(&treatment.0), Group::of_ratio(&control.0), confidence, margin).report()
}

fn welch(treatment: Option<Group>, control: Option<Group>, confidence: f64, margin: f64) -> CoreResult<Means> {
    let test = match treatment.zip(control) {
        Some((treatment, control)) => means::welch(&treatment, &control, confidence, margin)?,
        None => None,
    };
    let (absolute, relative) = (test.map(|t| t.absolute), test.and_then(|t| t.relative).map(|t| t.estimate));
    Ok(TableIterator::once((
        absolute.map(|a| a.estimate.difference),
        absolute.map(|a| a.estimate.lower),
        absolute.map(|a| a.estimate.upper),
        absolute.map(|a| a.p_value),
        absolute.map(|a| a.p_greater),
        relative.map(|r| r.difference),
        relative.map(|r| r.lower),
        relative.map(|r| r.upper),
        absolute.map(|a| a.t),
        test.map(|t| t.df),
    )))
}

#[pg_extern(immutable, strict, parallel_safe)]
#[allow(clippy::type_complexity)] // the columns of one SQL row
fn proportion_test(
    n_treatment: i64,
    events_treatment: i64,
    n_control: i64,
    events_control: i64,
    confidence: default!(f64, 0.95),
) -> Result<
    TableIterator<
        'static,
        (
            name!(difference, Option<f64>),
            name!(lower, Option<f64>),
            name!(upper, Option<f64>),
            name!(p_value, Option<f64>),
            name!(p_greater, Option<f64>),
            name!(z, Option<f64>),
        ),
    >,
    ErrorReport,
> {
    let [n_t, y_t, n_c, y_c] = [n_treatment, events_treatment, n_control, events_control].map(count);
    let arms = Arms { n_t: n_t.report()?, y_t: y_t.report()?, n_c: n_c.report()?, y_c: y_c.report()? };
    let test = proportions::compare(&arms, confidence).report()?;
    Ok(TableIterator::once((
        test.map(|t| t.newcombe.difference),
        test.map(|t| t.newcombe.lower),
        test.map(|t| t.newcombe.upper),
        test.map(|t| t.p_value),
        test.map(|t| t.p_greater),
        test.map(|t| t.z),
    )))
}

#[pg_extern(immutable, strict, parallel_safe)]
#[allow(clippy::type_complexity)] // the columns of one SQL row
fn rate_test(
    exposure_treatment: f64,
    count_treatment: i64,
    exposure_control: f64,
    count_control: i64,
    confidence: default!(f64, 0.95),
    ratio: default!(f64, 1.0),
) -> Result<
    TableIterator<
        'static,
        (
            name!(estimate, Option<f64>),
            name!(lower, Option<f64>),
            name!(upper, Option<f64>),
            name!(p_value, Option<f64>),
            name!(p_greater, Option<f64>),
            name!(p_greater_exact, Option<f64>),
        ),
    >,
    ErrorReport,
> {
    let (count_t, count_c) = (count(count_treatment).report()?, count(count_control).report()?);
    let counts = Counts { exposure_t: exposure_treatment, count_t, exposure_c: exposure_control, count_c };
    let test = rates::compare(&counts, confidence, ratio).report()?;
    Ok(TableIterator::once((
        test.map(|t| t.ratio),
        test.map(|t| t.lower),
        test.map(|t| t.upper),
        test.map(|t| t.p_value),
        test.map(|t| t.p_greater),
        test.map(|t| t.p_greater_exact),
    )))
}

#[pg_extern(immutable, strict, parallel_safe)]
fn adjust_p_values(
    p_values: Vec<Option<f64>>,
    correction: default!(&str, "'holm'"),
) -> Result<Vec<f64>, ErrorReport> {
    adjust(&known(p_values).report()?, Correction::from_label(correction).report()?).report()
}

#[pg_extern(immutable, strict, parallel_safe)]
#[allow(clippy::type_complexity)] // the columns of one SQL row
fn rank_test(
    treatment: Stored<Histogram>,
    control: Stored<Histogram>,
) -> Result<
    TableIterator<
        'static,
        (
            name!(superiority, Option<f64>),
            name!(p_value, Option<f64>),
            name!(p_greater, Option<f64>),
            name!(u, Option<f64>),
            name!(distance, Option<f64>),
        ),
    >,
    ErrorReport,
> {
    let test = ranks::compare(&treatment.0, &control.0).report()?;
    Ok(TableIterator::once((
        test.map(|t| t.superiority),
        test.map(|t| t.p_value),
        test.map(|t| t.p_greater),
        test.map(|t| t.u),
        test.map(|t| t.distance),
    )))
}

#[pg_extern(immutable, strict, parallel_safe)]
#[allow(clippy::type_complexity)] // the columns of one SQL row
fn chi_square_test(
    counts: Vec<Option<i64>>,
    weights: Vec<Option<f64>>,
) -> Result<
    TableIterator<'static, (name!(chi2, Option<f64>), name!(df, Option<f64>), name!(p_value, Option<f64>))>,
    ErrorReport,
> {
    let (counts, weights) = (self::counts(counts).report()?, known(weights).report()?);
    let test = chi_square::goodness_of_fit(&counts, &weights).report()?;
    Ok(TableIterator::once((test.map(|t| t.chi2), test.map(|t| t.df), test.map(|t| t.p_value))))
}

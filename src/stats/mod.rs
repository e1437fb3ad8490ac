//! SQL face of `core::stats::answer`: one function for each decision test over arrays with one entry a stratum
//! (`counts`, `values`), and related functions. They are documented by their `COMMENT` in `sql/api/stats.sql`.
//!
//! The columns of a row are repeated in each function, because pgrx reads them there and accepts no alias.

mod counts;
mod values;

use flagscope_core::stats::answer::{Answer, Question};
use flagscope_core::stats::combine;
use flagscope_core::stats::margin::Margin;
use flagscope_core::stats::mixture::anytime_p;
use flagscope_core::stats::ratio::Units;
use flagscope_core::stats::tilt::Harm;
use flagscope_core::{Error, Kind, Result as CoreResult};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::argument::known;
use crate::error::Report;

/// A row of what a test found.
type Found = (Option<f64>, Option<f64>, Option<f64>, f64, f64, Option<f64>, String);

/// The one row of a test; `word` is its verdict when it rejects.
fn row(
    alpha: f64,
    word: &'static str,
    test: impl FnOnce() -> CoreResult<Answer>,
) -> Result<TableIterator<'static, Found>, ErrorReport> {
    let answer = test().report()?;
    let Answer { estimate, low, high, log_e, max_log_e, log_e_safe, .. } = answer;
    let verdict = answer.verdict(alpha, word).to_owned();
    Ok(TableIterator::once((estimate, low, high, log_e, anytime_p(max_log_e), log_e_safe, verdict)))
}

fn bad<T>(message: impl Into<String>) -> CoreResult<T> {
    Err(Error::new(Kind::InvalidParameter, message))
}

fn ask(harm: &str, margin: f64, safe_margin: Option<f64>, alpha: f64) -> CoreResult<Question> {
    if !(0.0..=1.0).contains(&margin) {
        let message = format!("margin is a share between 0 and 1, got \"{margin}\"");
        return Err(Error::new(Kind::InvalidParameter, message).hint("2 % is 0.02."));
    }
    let margin = Margin::Relative(margin);
    Ok(Question { harm: Harm::from_label(harm)?, margin, safe_margin, design_effect: 1.0, alpha })
}

/// The question with an absolute margin instead of the relative one, if given.
fn within(margin_absolute: Option<f64>, question: Question) -> CoreResult<Question> {
    match margin_absolute {
        None => Ok(question),
        Some(units) if (0.0..f64::INFINITY).contains(&units) => {
            Ok(Question { margin: Margin::Absolute(units), ..question })
        }
        Some(units) => bad(format!("margin_absolute must be a number of at least 0, got \"{units}\"")),
    }
}

fn same(lengths: &[usize]) -> CoreResult<()> {
    if lengths.windows(2).all(|w| w[0] == w[1]) {
        return Ok(());
    }
    bad(format!("all arrays must have one entry for each stratum, got lengths {lengths:?}"))
}

/// Units from two arrays of totals, which must be finite.
fn units(numerators: Vec<Option<f64>>, denominators: Vec<Option<f64>>) -> CoreResult<Units> {
    let (x, y) = (known(numerators)?, known(denominators)?);
    if x.len() != y.len() {
        return bad(format!("{} numerators have {} denominators", x.len(), y.len()));
    }
    let mut units = Units::default();
    for (x, y) in x.into_iter().zip(y) {
        if !(x.abs() <= 1e100 && (0.0..=1e100).contains(&y)) {
            return bad(format!(
                "a unit has a finite numerator and a denominator of at least 0, got \"{x}\" and \"{y}\""
            ));
        }
        units.push(x, y);
    }
    Ok(units)
}

#[pg_extern(immutable, strict, parallel_safe)]
fn design_effect(events: Vec<Option<f64>>, trials: Vec<Option<f64>>) -> Result<Option<f64>, ErrorReport> {
    Ok(units(events, trials).report()?.design_effect())
}

#[pg_extern(immutable, strict, parallel_safe)]
#[allow(clippy::type_complexity)] // the columns of one SQL row
fn combine_e(
    log_e: Vec<Option<f64>>,
    weight: Vec<Option<f64>>,
    alpha: default!(f64, 0.01),
) -> Result<
    TableIterator<
        'static,
        (name!(log_e, f64), name!(p_value, f64), name!(culprits, Vec<i32>), name!(verdict, String)),
    >,
    ErrorReport,
> {
    let (log_e, weight) = (known(log_e).report()?, known(weight).report()?);
    if let Some(w) = weight.iter().find(|w| !(**w > 0.0 && **w <= 1e100)) {
        return bad(format!("a weight must be a positive number, got \"{w}\"")).report();
    }
    let total: f64 = weight.iter().sum();
    let weight: Vec<f64> = weight.iter().map(|w| w / total).collect();
    let all = combine::combine(&log_e, &weight, alpha).report()?;
    let verdict = if all.is_reached { "worse" } else { "open" };
    let culprits = all.culprits.iter().map(|i| *i as i32 + 1).collect();
    Ok(TableIterator::once((all.log_e, anytime_p(all.log_e), culprits, verdict.to_owned())))
}

#[pg_extern(immutable, strict, parallel_safe)]
fn e_bh(log_e: Vec<Option<f64>>, alpha: default!(f64, 0.05)) -> Result<Vec<bool>, ErrorReport> {
    combine::e_bh(&known(log_e).report()?, alpha).report()
}

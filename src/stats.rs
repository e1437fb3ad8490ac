//! SQL face of `core::stats::answer`: one function for each decision test over arrays with one entry a stratum. What each
//! means stands with its `COMMENT` in `sql/api/stats.sql`.

use flagscope_core::sketch::{Histogram, Moments};
use flagscope_core::stats::answer::{self, Answer, Question};
use flagscope_core::stats::combine;
use flagscope_core::stats::margin::Margin;
use flagscope_core::stats::mixture::anytime_p;
use flagscope_core::stats::rate::Counts;
use flagscope_core::stats::ratio::Units;
use flagscope_core::stats::tilt::{Arms, Harm};
use flagscope_core::{Error, Kind, Result as CoreResult};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::argument::{counts, known};
use crate::error::Report;
use crate::pg::value::Stored;

type Found = (Option<f64>, Option<f64>, Option<f64>, f64, f64, Option<f64>, String);

fn found(answer: &Answer, alpha: f64, word: &'static str) -> Found {
    let Answer { estimate, low, high, log_e, max_log_e, log_e_safe, .. } = *answer;
    (estimate, low, high, log_e, anytime_p(max_log_e), log_e_safe, answer.verdict(alpha, word).to_owned())
}

fn bad<T>(message: impl Into<String>) -> CoreResult<T> {
    Err(Error::new(Kind::InvalidParameter, message))
}

fn direction(harm: &str) -> CoreResult<Harm> {
    match harm {
        "increase" => Ok(Harm::Increase),
        "decrease" => Ok(Harm::Decrease),
        other => bad(format!("harm must be \"increase\" or \"decrease\", got \"{other}\"")),
    }
}

fn ask(harm: &str, margin: f64, safe_margin: Option<f64>, alpha: f64) -> CoreResult<Question> {
    if !(0.0..=1.0).contains(&margin) {
        let message = format!("margin is a share between 0 and 1, got \"{margin}\"");
        return Err(Error::new(Kind::InvalidParameter, message).hint("2 % is 0.02."));
    }
    let margin = Margin::Relative(margin);
    Ok(Question { harm: direction(harm)?, margin, safe_margin, design_effect: 1.0, alpha })
}

/// The question with an absolute margin in the place of the relative one, where there is one.
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

/// The strata of two arrays of states; NULL is an arm without data.
fn states<S: Default>(t: Vec<Option<Stored<S>>>, c: Vec<Option<Stored<S>>>) -> CoreResult<Vec<(S, S)>> {
    same(&[t.len(), c.len()])?;
    let state = |x: Option<Stored<S>>| x.map_or_else(S::default, |x| x.0);
    Ok(t.into_iter().zip(c).map(|(t, c)| (state(t), state(c))).collect())
}

/// A function that returns one row of findings; none where NULL is given for one of the arguments `needs`. The arguments
/// stay tokens, so that pgrx sees their defaults.
macro_rules! test {
    ($name:ident($($arguments:tt)*), needs($($needed:ident),*), $word:literal, $alpha:ident, $answer:expr) => {
        // Arrays of sketches are types once the sketches are whole.
        #[pg_extern(immutable, parallel_safe, requires = ["sketch_state"])]
        #[allow(clippy::too_many_arguments, clippy::type_complexity)] // an SQL signature: arguments, columns of a row
        fn $name($($arguments)*) -> Result<
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
            $(let Some($needed) = $needed else { return Ok(TableIterator::empty()) };)*
            let answer: CoreResult<Answer> = (move || $answer)();
            Ok(TableIterator::once(found(&answer.report()?, $alpha, $word)))
        }
    };
}

test!(
    sequential_proportion_test(
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
    ),
    needs(n_treatment, events_treatment, n_control, events_control, margin, harm, design_effect, alpha),
    "worse",
    alpha,
    {
        let question = within(margin_absolute, ask(&harm, margin, safe_margin, alpha)?)?;
        let strata = arms(n_treatment, events_treatment, n_control, events_control)?;
        answer::proportion(&strata, &Question { design_effect, ..question })
    }
);

test!(
    sequential_limit_test(
        n: Option<Vec<Option<i64>>>,
        events: Option<Vec<Option<i64>>>,
        limit_value: Option<f64>,
        harm: default!(Option<String>, "'increase'"),
        design_effect: default!(Option<f64>, 1.0),
        alpha: default!(Option<f64>, 0.01),
    ),
    needs(n, events, limit_value, harm, design_effect, alpha),
    "worse",
    alpha,
    {
        let question = Question { design_effect, ..ask(&harm, 0.0, None, alpha)? };
        let (n, events) = (counts(n)?, counts(events)?);
        same(&[n.len(), events.len()])?;
        answer::limit(&n.into_iter().zip(events).collect::<Vec<_>>(), limit_value, &question)
    }
);

test!(
    sequential_rate_test(
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
    ),
    needs(exposure_treatment, count_treatment, exposure_control, count_control, margin, harm, design_effect, alpha),
    "worse",
    alpha,
    {
        let question = within(margin_absolute, ask(&harm, margin, safe_margin, alpha)?)?;
        let question = Question { design_effect, ..question };
        let (e_t, e_c) = (known(exposure_treatment)?, known(exposure_control)?);
        let (k_t, k_c) = (counts(count_treatment)?, counts(count_control)?);
        same(&[e_t.len(), k_t.len(), e_c.len(), k_c.len()])?;
        let stratum =
            |i: usize| Counts { exposure_t: e_t[i], count_t: k_t[i], exposure_c: e_c[i], count_c: k_c[i] };
        answer::rate(&(0..e_t.len()).map(stratum).collect::<Vec<_>>(), &question)
    }
);

test!(
    sequential_mean_test(
        treatment: Option<Vec<Option<Stored<Moments>>>>,
        control: Option<Vec<Option<Stored<Moments>>>>,
        cap: Option<f64>,
        margin: default!(Option<f64>, 0.05),
        margin_absolute: default!(Option<f64>, "NULL"),
        safe_margin: default!(Option<f64>, "NULL"),
        harm: default!(Option<String>, "'increase'"),
        alpha: default!(Option<f64>, 0.01),
    ),
    needs(treatment, control, cap, margin, harm, alpha),
    "worse",
    alpha,
    {
        let question = within(margin_absolute, ask(&harm, margin, safe_margin, alpha)?)?;
        answer::mean(&states(treatment, control)?, cap, &question)
    }
);

test!(
    sequential_mean_t_test(
        treatment: Option<Vec<Option<Stored<Moments>>>>,
        control: Option<Vec<Option<Stored<Moments>>>>,
        margin: default!(Option<f64>, 0.0),
        harm: default!(Option<String>, "'increase'"),
        alpha: default!(Option<f64>, 0.01),
    ),
    needs(treatment, control, margin, harm, alpha),
    "worse",
    alpha,
    answer::mean_t(&states(treatment, control)?, &ask(&harm, margin, None, alpha)?)
);

test!(
    sequential_quantile_test(
        treatment: Option<Vec<Option<Stored<Histogram>>>>,
        control: Option<Vec<Option<Stored<Histogram>>>>,
        quantile: default!(Option<f64>, "NULL"),
        margin: default!(Option<f64>, 0.06),
        margin_absolute: default!(Option<f64>, "NULL"),
        safe_margin: default!(Option<f64>, "NULL"),
        harm: default!(Option<String>, "'increase'"),
        alpha: default!(Option<f64>, 0.01),
    ),
    needs(treatment, control, margin, harm, alpha),
    "worse",
    alpha,
    {
        let question = within(margin_absolute, ask(&harm, margin, safe_margin, alpha)?)?;
        answer::quantile(&states(treatment, control)?, quantile, &question)
    }
);

test!(
    sequential_quantile_strict_test(
        treatment: Option<Vec<Option<Stored<Histogram>>>>,
        control: Option<Vec<Option<Stored<Histogram>>>>,
        quantile: Option<f64>,
        harm: default!(Option<String>, "'increase'"),
        alpha: default!(Option<f64>, 0.01),
    ),
    needs(treatment, control, quantile, harm, alpha),
    "worse",
    alpha,
    answer::quantile_strict(&states(treatment, control)?, quantile, &ask(&harm, 0.0, None, alpha)?)
);

test!(
    sequential_distribution_test(
        treatment: Option<Vec<Option<Stored<Histogram>>>>,
        control: Option<Vec<Option<Stored<Histogram>>>>,
        harm: default!(Option<String>, "'increase'"),
        alpha: default!(Option<f64>, 0.01),
    ),
    needs(treatment, control, harm, alpha),
    "different",
    alpha,
    answer::distribution(&states(treatment, control)?, &ask(&harm, 0.0, None, alpha)?)
);

test!(
    sequential_ratio_test(
        numerator_treatment: Option<Vec<Option<f64>>>,
        denominator_treatment: Option<Vec<Option<f64>>>,
        numerator_control: Option<Vec<Option<f64>>>,
        denominator_control: Option<Vec<Option<f64>>>,
        margin: default!(Option<f64>, 0.05),
        safe_margin: default!(Option<f64>, "NULL"),
        harm: default!(Option<String>, "'increase'"),
        alpha: default!(Option<f64>, 0.01),
    ),
    needs(numerator_treatment, denominator_treatment, numerator_control, denominator_control, margin, harm, alpha),
    "worse",
    alpha,
    {
        let t = units(numerator_treatment, denominator_treatment)?;
        let c = units(numerator_control, denominator_control)?;
        answer::ratio(&t, &c, &ask(&harm, margin, safe_margin, alpha)?)
    }
);

test!(
    sequential_share_test(
        nominal: Option<Vec<Option<f64>>>,
        n_treatment: Option<Vec<Option<i64>>>,
        n_others: Option<Vec<Option<i64>>>,
        alpha: default!(Option<f64>, 0.01),
    ),
    needs(nominal, n_treatment, n_others, alpha),
    "mismatch",
    alpha,
    {
        let (nominal, n_t, n_rest) = (known(nominal)?, counts(n_treatment)?, counts(n_others)?);
        same(&[nominal.len(), n_t.len(), n_rest.len()])?;
        let strata: Vec<(f64, u64, u64)> = (0..nominal.len()).map(|i| (nominal[i], n_t[i], n_rest[i])).collect();
        answer::share(&strata, alpha)
    }
);

/// The units of two arrays of totals, which must be finite.
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

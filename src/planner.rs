//! SQL face of `core::planner`; where its numbers come from stands in `sql/api/plan.sql`.

use flagscope_core::planner::{Against, Forecast, Measure, Question, Seen, Stage, Watched, forecast, gated, safe};
use flagscope_core::sketch::Histogram;
use flagscope_core::stats::exceedance::MIX4;
use flagscope_core::stats::margin::Margin;
use flagscope_core::stats::tilt::Harm;
use flagscope_core::{Error, Kind, Result as CoreResult};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde::Deserialize;

use crate::argument::known;
use crate::error::Report;
use crate::pg::document::Document;
use crate::pg::value::Stored;

/// A guardrail, its traffic and what is asked, as `sql/api/plan.sql` writes it.
#[derive(Deserialize)]
struct Request {
    kind: String,
    harm: String,
    margin: Option<f64>,
    margin_absolute: Option<f64>,
    limit_value: Option<f64>,
    quantile: Option<f64>,
    alpha: f64,
    design_effect: f64,
    rows_per_second: f64,
    baseline: Option<f64>,
    deviation: Option<f64>,
    cap: Option<f64>,
    effect: f64,
    safe_margin: f64,
    safe_alpha: f64,
    copy_after: f64,
    stages: Vec<Step>,
}

#[derive(Deserialize)]
struct Step {
    percent: f64,
    seconds: f64,
}

/// What a ramp will see; documented in `sql/api/plan.sql`. The first row, of stage 0, is of all stages together. What
/// cannot be planned is an error, or, unless `raises`, that row's problem: a report of real data goes on without a plan.
#[pg_extern(immutable, parallel_safe, schema = "_flagscope", requires = ["sketch_state"])]
#[allow(clippy::type_complexity)] // the columns of one SQL row
fn forecast_ramp(
    request: Option<Document>,
    values: Option<Stored<Histogram>>,
    searches: Option<bool>,
    raises: Option<bool>,
) -> Result<
    TableIterator<
        'static,
        (
            name!(stage, i32),
            name!(rows_treatment, Option<f64>),
            name!(rows_control, Option<f64>),
            name!(smallest_effect, Option<f64>),
            name!(found, Option<f64>),
            name!(found_after, Option<f64>),
            name!(safe_after, Option<f64>),
            name!(problem, Option<String>),
        ),
    >,
    ErrorReport,
> {
    let Some(request) = request else { return Ok(TableIterator::empty()) };
    let request = request.0.and_then(read).report()?;
    let question = Question { searches: searches.unwrap_or(true), ..request.question() };
    question.check().report()?;
    let rows = match request.forecast(values.map(|values| values.0), &question) {
        Ok(rows) => rows,
        Err(problem) if raises == Some(false) => {
            vec![(0, None, None, None, None, None, None, Some(problem.to_string()))]
        }
        Err(problem) => return Err(problem).report(),
    };
    Ok(TableIterator::new(rows))
}

/// How long stages last that wait for power; documented in `sql/api/plan.sql`.
#[pg_extern(immutable, parallel_safe, schema = "_flagscope", requires = ["sketch_state"])]
fn gated_seconds(
    request: Option<Document>,
    values: Option<Stored<Histogram>>,
    longest: Option<Vec<Option<f64>>>,
    effect: Option<f64>,
) -> Result<Option<Vec<f64>>, ErrorReport> {
    let Some(request) = request else { return Ok(None) };
    let request = request.0.and_then(read).report()?;
    let longest = known(longest.unwrap_or_default()).report()?;
    let ramp = request.ramp();
    let effect = effect.filter(|effect| *effect > 1.0);
    let Some(effect) = effect else { return Ok(Some(ramp.iter().map(|stage| stage.seconds).collect())) };
    // What cannot be planned says so when it is played.
    let gated = request.watched(values.map(|values| values.0)).and_then(|w| gated(&w, &ramp, &longest, effect));
    Ok(gated.ok().map(|ramp| ramp.iter().map(|stage| stage.seconds).collect()))
}

/// How long stages last that wait until "no worse than `margin`" is shown; documented in `sql/api/plan.sql`.
#[pg_extern(immutable, parallel_safe, schema = "_flagscope", requires = ["sketch_state"])]
fn safe_seconds(
    request: Option<Document>,
    values: Option<Stored<Histogram>>,
    waits: Option<Vec<Option<bool>>>,
    margin: Option<f64>,
) -> Result<Option<Vec<f64>>, ErrorReport> {
    let Some(request) = request else { return Ok(None) };
    let request = request.0.and_then(read).report()?;
    let waits = known(waits.unwrap_or_default()).report()?;
    let ramp = request.ramp();
    let question = Question { safe: 1.0 + margin.unwrap_or(request.safe_margin), ..request.question() };
    // What cannot be planned says so when it is played.
    let safe = request.watched(values.map(|values| values.0)).and_then(|w| safe(&w, &ramp, &waits, &question));
    Ok(safe.ok().map(|ramp| ramp.iter().map(|stage| stage.seconds).collect()))
}

type Row = (i32, Option<f64>, Option<f64>, Option<f64>, Option<f64>, Option<f64>, Option<f64>, Option<String>);

fn read(json: serde_json::Value) -> CoreResult<Request> {
    serde_json::from_value(json).map_err(|problem| {
        Error::new(Kind::InvalidParameter, format!("a plan cannot be read: {problem}"))
            .hint("Its numbers must be finite.")
    })
}

impl Request {
    fn question(&self) -> Question {
        let (effect, safe, copy_after) = (self.effect, 1.0 + self.safe_margin, self.copy_after);
        Question { effect, safe, safe_alpha: self.safe_alpha, copy_after, waits: true, searches: true }
    }

    fn forecast(self, values: Option<Histogram>, question: &Question) -> CoreResult<Vec<Row>> {
        let watched = self.watched(values)?;
        let ramp = self.ramp();
        let Forecast { stages, found_after, slips, safe_after } = forecast(&watched, &ramp, question)?;
        let sum = |rows: fn(&Seen) -> f64| Some(stages.iter().map(rows).sum::<f64>());
        let last = ramp.iter().rposition(|stage| stage.share < 1.0 || watched.is_alone());
        let smallest = last.and_then(|last| stages[last].smallest);
        let (treatment, control) = (sum(|s| s.rows_treatment), sum(|s| s.rows_control));
        let whole = (0, treatment, control, smallest, Some(1.0 - slips), found_after, safe_after, None);
        let each = stages.iter().zip(1..).map(|(s, stage)| {
            (stage, Some(s.rows_treatment), Some(s.rows_control), s.smallest, Some(s.found), None, None, None)
        });
        Ok(std::iter::once(whole).chain(each).collect())
    }

    fn ramp(&self) -> Vec<Stage> {
        self.stages.iter().map(|s| Stage { share: s.percent / 100.0, seconds: s.seconds }).collect()
    }

    fn watched(&self, values: Option<Histogram>) -> CoreResult<Watched> {
        let against = match (self.limit_value, self.margin_absolute) {
            (Some(limit), _) => Against::Limit(limit),
            (None, Some(units)) => Against::Control(Margin::Absolute(units)),
            (None, None) => Against::Control(Margin::Relative(self.margin.unwrap_or_default())),
        };
        Ok(Watched {
            measure: self.measure(values)?,
            harm: if self.harm == "decrease" { Harm::Decrease } else { Harm::Increase },
            against,
            alpha: self.alpha,
            design_effect: self.design_effect,
            rows_per_second: self.rows_per_second,
        })
    }

    fn measure(&self, values: Option<Histogram>) -> CoreResult<Measure> {
        let missing =
            |what: &str| Error::new(Kind::InvalidParameter, format!("a plan of a {} needs {what}", self.kind));
        let baseline = || self.baseline.ok_or_else(|| missing("a baseline"));
        Ok(match self.kind.as_str() {
            "proportion" => Measure::Proportion(baseline()?),
            "rate" => Measure::Rate(baseline()?),
            "mean" => {
                let (mean, cap) = (baseline()?, self.cap.ok_or_else(|| missing("a cap"))?);
                Measure::Mean { mean, deviation: self.deviation.unwrap_or(mean), cap }
            }
            "quantile" => {
                let levels = self.quantile.map_or_else(|| MIX4.to_vec(), |level| vec![level]);
                Measure::Quantile { values: values.ok_or_else(|| missing("values"))?, levels }
            }
            _ => return Err(missing("another kind: it has no sequential test").hint("Plan a rate or a mean.")),
        })
    }
}

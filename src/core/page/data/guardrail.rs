//! What guardrails say and measure.

use serde::{Deserialize, Serialize};

use super::read::{list, number, text};

/// A guardrail in a rollout.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Guardrail {
    /// Its number.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Name of its metric.
    pub metric: String,
    /// Kind of the metric.
    pub kind: String,
    /// UCUM unit of the metric.
    #[serde(deserialize_with = "text")]
    pub unit: String,
    /// control, baseline or absolute.
    pub comparison: String,
    /// sequential, threshold or anomaly.
    pub test: String,
    /// What happens when it is breached.
    pub action: String,
    /// It never acts and never holds the ramp.
    pub shadow: bool,
    /// Its verdict: ok, breached, ...
    pub state: String,
    /// Why, in words.
    #[serde(deserialize_with = "text")]
    pub reason: String,
    /// Since when.
    #[serde(deserialize_with = "number")]
    pub since: Option<f64>,
    /// What the estimate is: odds_ratio, difference ...; empty: there is none.
    #[serde(deserialize_with = "text")]
    pub measure: String,
    /// The estimate.
    #[serde(deserialize_with = "number")]
    pub estimate: Option<f64>,
    /// Lower end of its interval.
    #[serde(deserialize_with = "number")]
    pub lower: Option<f64>,
    /// Upper end.
    #[serde(deserialize_with = "number")]
    pub upper: Option<f64>,
    /// The worst value that is tolerated.
    #[serde(deserialize_with = "number")]
    pub tolerated: Option<f64>,
    /// The estimate with its interval, in words.
    #[serde(deserialize_with = "text")]
    pub effect: String,
    /// The margin or the limit, in words.
    #[serde(deserialize_with = "text")]
    pub margin: String,
    /// Whose values it reads, in words.
    #[serde(deserialize_with = "text")]
    pub watches: String,
    /// Data points of the treatment.
    pub n_treatment: Option<i64>,
    /// Data points of the control.
    pub n_control: Option<i64>,
    /// Evidence now: natural logarithm of the e-value.
    #[serde(deserialize_with = "number")]
    pub log_e: Option<f64>,
    /// The most that it was.
    #[serde(deserialize_with = "number")]
    pub max_log_e: Option<f64>,
    /// Where it is breached.
    #[serde(deserialize_with = "number")]
    pub line: Option<f64>,
    /// The estimate over time.
    #[serde(deserialize_with = "list")]
    pub series: Vec<Estimate>,
}

/// What a guardrail had estimated at a time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Estimate {
    /// The time.
    #[serde(deserialize_with = "number")]
    pub at: Option<f64>,
    /// The estimate.
    #[serde(deserialize_with = "number")]
    pub estimate: Option<f64>,
    /// Lower end of its interval.
    #[serde(deserialize_with = "number")]
    pub lower: Option<f64>,
    /// Upper end.
    #[serde(deserialize_with = "number")]
    pub upper: Option<f64>,
    /// Natural logarithm of the e-value.
    #[serde(deserialize_with = "number")]
    pub log_e: Option<f64>,
}

/// A metric of a rollout.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Metric {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// Its UCUM unit.
    #[serde(deserialize_with = "text")]
    pub unit: String,
    /// Width of the buckets of its series, in seconds.
    #[serde(deserialize_with = "number")]
    pub bucket_width: Option<f64>,
    /// Each variant over the rollout's time, as variant_summary() says.
    #[serde(deserialize_with = "list")]
    pub summary: Vec<Summary>,
    /// Each variant over time.
    #[serde(deserialize_with = "list")]
    pub series: Vec<Series>,
}

/// A variant's values of a metric, all together.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Summary {
    /// Name of the variant; empty: all rows of the environment.
    pub variant: String,
    /// Data points.
    pub n: Option<i64>,
    /// Events among them.
    pub events: Option<i64>,
    /// Share, rate or ratio.
    #[serde(deserialize_with = "number")]
    pub rate: Option<f64>,
    /// Mean.
    #[serde(deserialize_with = "number")]
    pub mean: Option<f64>,
    /// Median.
    #[serde(deserialize_with = "number")]
    pub p50: Option<f64>,
    /// 95th percentile.
    #[serde(deserialize_with = "number")]
    pub p95: Option<f64>,
    /// 99th percentile.
    #[serde(deserialize_with = "number")]
    pub p99: Option<f64>,
}

/// A variant over time.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Series {
    /// Name of the variant; empty: all rows of the environment.
    pub variant: String,
    /// Its buckets, in the order of time.
    #[serde(deserialize_with = "list")]
    pub points: Vec<Point>,
}

/// A bucket of a series.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Point {
    /// When it begins.
    #[serde(deserialize_with = "number")]
    pub at: Option<f64>,
    /// Data points in it.
    pub n: Option<i64>,
    /// The metric; nothing where there is no data.
    #[serde(deserialize_with = "number")]
    pub value: Option<f64>,
}

//! Telemetry from the point of view of rollups: which rows a metric matches, and counting the rows of a statement;
//! attribution of rows without flags, tags that do not count, and conversion windows.
//!
//! What is not here: reading rows (the extension implements [`Row`] over a tuple) and storing states.

mod attribution;
mod clusters;
mod exposure;
mod filter;
mod fold;
mod lane;
mod per;
mod plan;
mod survey;
mod tally;
mod uncounted;
mod window;

pub use attribution::{By, Evaluated, Evaluation, Loose, Reach, SUBJECT_EVALUATIONS};
pub use clusters::Clusters;
pub use exposure::{EXPOSURE, Exposures, RolledOut};
pub use filter::{Filter, Found, Problem, Scalar};
pub use fold::{Fold, Group, Targets};
pub use lane::{Lane, Stages};
pub use per::Per;
pub use plan::{BUCKET_MICROS, Definition, Plan, Watch};
pub use survey::Survey;
pub use tally::{First, Tallies, Tally};
pub use uncounted::{Cause, KnownFlags, Said, Uncounted};
pub use window::{Arms, Counts, Unit, Units};

pub use crate::kind::{MetricKind, State};

use crate::error::{Error, Kind, Result};
use crate::sketch::Histogram;

/// The four signals of telemetry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Signal {
    /// A metric data point.
    Metric,
    /// A log record.
    Log,
    /// A span of a trace.
    Span,
    /// A product or system event.
    Event,
}

impl Signal {
    /// Reads the SQL label of a signal.
    pub fn from_label(label: &str) -> Result<Self> {
        match label {
            "metric" => Ok(Self::Metric),
            "log" => Ok(Self::Log),
            "span" => Ok(Self::Span),
            "event" => Ok(Self::Event),
            other => Err(Error::new(Kind::InvalidParameter, format!("there is no signal \"{other}\""))),
        }
    }

    /// The SQL label of the signal.
    pub fn label(self) -> &'static str {
        match self {
            Self::Metric => "metric",
            Self::Log => "log",
            Self::Span => "span",
            Self::Event => "event",
        }
    }
}

/// One telemetry row as seen by filters. Methods are called only when a filter needs them.
pub trait Row {
    /// The row's signal.
    fn signal(&self) -> Signal;
    /// The row's name.
    fn name(&self) -> &str;
    /// The row's value.
    fn value(&self) -> Option<f64>;
    /// The values that the row stands for when it is a point of a histogram; `value` is their mean then.
    fn distribution(&self) -> Option<Histogram> {
        None
    }
    /// The service that sent the row.
    fn service(&self) -> Option<&str>;
    /// OpenTelemetry's severity number.
    fn severity(&self) -> Option<i16>;
    /// Whether the row is an error.
    fn is_error(&self) -> Option<bool>;
    /// The row's text, such as a log's message.
    fn body(&self) -> Option<&str> {
        None
    }
    /// The value of one of the row's attributes; JSON's null is none.
    fn attribute(&self, _key: &str) -> Option<Found<'_>> {
        None
    }
}

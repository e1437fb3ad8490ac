//! The question: which rows are asked about, and which of them are events.
//!
//! What is here: a metric seen as a binary harm. What is not: where rows come from.

use std::hash::{DefaultHasher, Hash, Hasher};

pub use uuid::Uuid;

use super::gather::{Gather, Sighting, Witness};
use super::latency::{Operations, Thresholds};
use super::mask;
use crate::telemetry::{Definition, MetricKind, Row, Scalar};

/// Rows of the control without the event, of which one may be shown: those of every so many-th subject.
const SHOWN_OF: u64 = 16;
/// Attributes that are never one: OTLP's own account of a point.
const NEVER: &str = "otlp.";

/// A row of telemetry, as far as a question looks at it.
pub trait Seen: Row {
    /// Whom it is about.
    fn subject(&self) -> Option<&str>;
    /// Its trace.
    fn trace(&self) -> Option<Uuid>;
    /// The variant of a flag that was active.
    fn variant(&self, flag: &str) -> Option<&str>;
    /// Its flags and their variants.
    fn variants(&self) -> Vec<(&str, &str)>;
    /// Its attributes that are scalars, those of nested objects by dotted names.
    fn scalars(&self) -> Vec<(String, Scalar)>;
}

/// What is asked.
#[derive(Debug, Clone)]
pub struct Question {
    /// The flag.
    pub flag: String,
    /// Its treatment.
    pub treatment: String,
    /// Its control.
    pub control: String,
    /// What is counted.
    pub metric: Definition,
    /// Does less of it harm.
    pub harm_is_less: bool,
    /// Attributes that are looked at; `None`: all.
    pub attributes: Option<Vec<String>>,
}

fn operation(row: &impl Row) -> String {
    format!("{}\0{}", row.service().unwrap_or_default(), mask::template(row.name()))
}

impl Question {
    /// Is a value compared with the control's, not an event counted.
    pub fn is_of_values(&self) -> bool {
        matches!(self.metric.kind, MetricKind::Quantile | MetricKind::Mean)
    }

    /// Which arm a row belongs to: `true` for the treatment.
    pub fn arm(&self, row: &impl Seen) -> Option<bool> {
        let variant = row.variant(&self.flag)?;
        if variant == self.treatment { Some(true) } else { (variant == self.control).then_some(false) }
    }

    /// Notes a value for the thresholds of `is_event`.
    pub fn note_value(&self, row: &impl Seen, operations: &mut Operations) {
        if let (Some(treated), Some(value), true) = (self.arm(row), self.value(row), self.metric.matches(row)) {
            operations.add(&operation(row), treated, value);
        }
    }

    /// The value in the direction of harm.
    fn value(&self, row: &impl Row) -> Option<f64> {
        let value = row.value().filter(|value| value.is_finite())?;
        Some(if self.harm_is_less { -value } else { value })
    }

    /// Is a row one of the question, and then an event.
    pub fn is_event(&self, row: &impl Seen, thresholds: Option<&Thresholds>) -> Option<bool> {
        let event = self.metric.event_of(row)?;
        match thresholds {
            Some(thresholds) => Some(thresholds.is_exceeded(&operation(row), self.value(row)?)),
            None => Some(event != self.harm_is_less),
        }
    }

    /// Adds a row to what is gathered, if it is one of the question.
    pub fn gather(&self, at: i64, row: &impl Seen, thresholds: Option<&Thresholds>, gather: &mut Gather) {
        let (Some(treated), Some(event)) = (self.arm(row), self.is_event(row, thresholds)) else { return };
        let (subject, trace) = (row.subject(), row.trace());
        gather.with_subject += u64::from(subject.is_some());
        let mut hasher = DefaultHasher::new();
        // Who is randomised is who decides together: a user, else a trace, else the row.
        match (subject, trace) {
            (Some(subject), _) => subject.hash(&mut hasher),
            (None, Some(trace)) => trace.hash(&mut hasher),
            (None, None) => (at, gather.all.n_t.to_bits(), gather.all.n_c.to_bits()).hash(&mut hasher),
        }
        let hash = hasher.finish();
        let is_shown = if treated { event } else { !event && hash.is_multiple_of(SHOWN_OF) };
        let witness = is_shown.then(|| Witness { subject: subject.map(Into::into), trace, at });
        let values = self.values(row);
        let values = values.iter().map(|(name, value)| (name.as_str(), value.clone()));
        gather.add(Sighting { subject: hash, treated, event, witness }, values);
    }

    /// What a row can be told by.
    pub fn values(&self, row: &impl Seen) -> Vec<(String, Scalar)> {
        let text = |name: &str, value: &str| (name.to_owned(), Scalar::Text(value.to_owned()));
        let mut values: Vec<(String, Scalar)> =
            row.service().map(|service| text("service", service)).into_iter().collect();
        values.push(text("name", row.name()));
        let flags = row.variants().into_iter().filter(|(flag, _)| *flag != self.flag);
        values.extend(flags.map(|(flag, variant)| text(&format!("flag:{flag}"), variant)));
        values.extend(row.scalars().into_iter().filter(|(name, _)| !name.starts_with(NEVER)));
        if let Some(wanted) = &self.attributes {
            values.retain(|(name, _)| wanted.contains(name));
        }
        values
    }
}

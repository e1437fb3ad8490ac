//! The question: which rows are asked about, and which of them are events.
//!
//! What is here: a metric seen as a binary harm. What is not: where rows come from.

use std::hash::{DefaultHasher, Hash, Hasher};

pub use uuid::Uuid;

use super::Value;
use super::gather::{Gather, Witness};
use super::latency::{Thresholds, Values};
use super::operation::Operations;
use super::store;
use super::strata::Stages;
use super::versions::is_version;
use crate::telemetry::{Definition, Row};

/// Rows of the control without the event, of which one may be shown: those of every so many-th subject.
const SHOWN_OF: u64 = 16;
/// Attributes that are never one: OTLP's own account of a point.
const NEVER: &str = "otlp.";

/// The attribute of `Question::gather_mark`.
pub(super) const MARK: &str = "mark";

/// Where a row stands when one finding is computed anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// Outside of the segment.
    Outside,
    /// In it.
    Inside,
    /// In one that was found before it.
    Left,
}

/// A row of telemetry, as far as a question looks at it.
pub trait Seen: Row {
    /// Whom it is about.
    fn subject(&self) -> Option<&str>;
    /// Its trace.
    fn trace(&self) -> Option<Uuid>;
    /// Calls back with each attribute that is a scalar, those of nested objects by dotted names.
    fn each_attribute(&self, visit: impl FnMut(&str, Value<'_>));
}

/// What a row's flags say.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tags {
    /// Which arm it belongs to: `true` for the treatment.
    pub treated: Option<bool>,
    /// The other flags ("flag:" before their keys) with their variants.
    others: Vec<(String, String)>,
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
    /// What was served when.
    pub stages: Stages,
}

/// Who is randomised is who decides together: a user, else a trace, else the row, which `otherwise` tells from others.
pub fn unit(subject: Option<&str>, trace: Option<Uuid>, otherwise: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    match (subject, trace) {
        (Some(subject), _) => subject.hash(&mut hasher),
        (None, Some(trace)) => trace.hash(&mut hasher),
        (None, None) => otherwise.hash(&mut hasher),
    }
    hasher.finish()
}

impl Question {
    /// Is a value compared with the control's, not an event counted.
    pub fn is_of_values(&self) -> bool {
        self.metric.kind.rules().is_of_values()
    }

    /// What the flags of a row say, of which many rows have the same.
    pub fn tags<'f>(&self, flags: impl Iterator<Item = (&'f str, &'f str)>) -> Tags {
        let mut tags = Tags::default();
        for (flag, variant) in flags {
            if flag != self.flag {
                tags.others.push((format!("flag:{flag}"), variant.to_owned()));
            } else if variant == self.treatment {
                tags.treated = Some(true);
            } else if variant == self.control {
                tags.treated = Some(false);
            }
        }
        tags
    }

    /// Notes a value for the thresholds of `is_event`.
    pub fn note_value(&self, row: &impl Seen, tags: &Tags, operations: &mut Operations, values: &mut Values) {
        if let (Some(treated), Some(value), true) = (tags.treated, self.value(row), self.metric.matches(row)) {
            values.add(operations.number(row.service(), row.name()), treated, value);
        }
    }

    /// The value in the direction of harm.
    fn value(&self, row: &impl Row) -> Option<f64> {
        let value = row.value().filter(|value| value.is_finite())?;
        Some(if self.harm_is_less { -value } else { value })
    }

    /// Is a row one of the question, and then an event.
    pub fn is_event(
        &self,
        row: &impl Seen,
        limits: Option<&Thresholds>,
        operations: &mut Operations,
    ) -> Option<bool> {
        let event = self.metric.event_of(row)?;
        match limits {
            Some(limits) => {
                let value = self.value(row)?;
                Some(limits.is_exceeded(operations.number(row.service(), row.name()), value))
            }
            None => Some(event != self.harm_is_less),
        }
    }

    /// Adds a row of the question to what is gathered.
    pub fn gather(&self, at: i64, row: &impl Seen, tags: &Tags, event: bool, gather: &mut Gather) {
        self.gather_by(at, row, tags, event, gather, |gather| {
            self.each_value(row, tags, |name, value| {
                if is_version(name) {
                    gather.versions.note(at, tags.treated == Some(true), row.service(), name, value);
                }
                gather.value(name, value);
            });
        });
    }

    /// The same with one attribute in place of all: a mark.
    pub fn gather_mark(&self, at: i64, row: &impl Seen, tags: &Tags, event: bool, gather: &mut Gather, mark: Mark) {
        self.gather_by(at, row, tags, event, gather, |gather| {
            gather.value(MARK, Value::Number(f64::from(mark as u8)))
        });
    }

    fn gather_by(
        &self,
        at: i64,
        row: &impl Seen,
        tags: &Tags,
        event: bool,
        gather: &mut Gather,
        values: impl FnOnce(&mut Gather),
    ) {
        let Some(treated) = tags.treated else { return };
        let (name, trace) = (row.subject(), row.trace());
        gather.with_subject += u64::from(name.is_some());
        let subject = unit(name, trace, (at, gather.all.n_t.to_bits(), gather.all.n_c.to_bits()));
        let row_of = store::Row { subject, treated, event, stratum: self.stages.of(at), witness: 0 };
        if !gather.count(&row_of) {
            return;
        }
        values(gather);
        let is_shown = if treated { event } else { !event && subject.is_multiple_of(SHOWN_OF) };
        let witness = is_shown.then(|| Witness { subject: name.map(Into::into), trace, at });
        gather.keep(row_of, witness);
    }

    /// Calls back with all that a row can be told by.
    pub fn each_value(&self, row: &impl Seen, tags: &Tags, mut visit: impl FnMut(&str, Value<'_>)) {
        let mut wanted = |name: &str, value: Value<'_>| {
            if self.attributes.as_ref().is_none_or(|wanted| wanted.iter().any(|w| w == name)) {
                visit(name, value);
            }
        };
        if let Some(service) = row.service() {
            wanted("service", Value::Text(service));
        }
        wanted("name", Value::Text(row.name()));
        tags.others.iter().for_each(|(flag, variant)| wanted(flag, Value::Text(variant)));
        row.each_attribute(|name, value| {
            if !name.starts_with(NEVER) {
                wanted(name, value);
            }
        });
    }
}

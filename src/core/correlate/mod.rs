//! Why a rollout does harm: where it is, what it looks like, and whether that could be chance.
//!
//! What is here: segments, symptoms, spans and log lines of one question (a flag, two arms, a metric, a range of time),
//! as README.md in this folder derives them. What is not: reading rows, names of things, and sentences.

use std::collections::HashMap;

use crate::telemetry::Scalar;

pub mod answer;
pub mod attribute;
pub mod candidate;
pub mod chance;
pub mod compare;
pub mod condition;
pub mod correction;
pub mod counts;
pub mod findings;
pub mod gain;
pub mod gather;
pub mod latency;
pub mod lines;
pub mod mask;
pub mod metric;
pub mod operation;
pub mod path;
pub mod patterns;
pub mod question;
pub mod search;
pub mod share;
pub mod spans;
mod state;
pub mod store;
pub mod strata;
pub mod symptom;
pub mod tally;
pub mod versions;
pub mod words;

/// A map with a quick hash, seeded at random: names and values come from clients.
pub type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// A value of an attribute where it lies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'v> {
    /// A text.
    Text(&'v str),
    /// A number.
    Number(f64),
    /// A boolean.
    Bool(bool),
}

impl<'v> Value<'v> {
    /// A value that somebody owns.
    pub fn of(scalar: &'v Scalar) -> Self {
        match scalar {
            Scalar::Text(text) => Self::Text(text),
            Scalar::Number(x) => Self::Number(*x),
            Scalar::Bool(bool) => Self::Bool(*bool),
        }
    }

    /// Is it the same as one that somebody owns.
    pub fn is(&self, scalar: &Scalar) -> bool {
        *self == Value::of(scalar)
    }
}

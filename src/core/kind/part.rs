//! The parts of a metric's definition that only some kinds have.

use crate::error::{Error, Kind, Result};

/// A part of a definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// `event`: which of the matching rows are events; whoever takes it needs it.
    Event,
    /// `per`: the denominator, which is needed likewise.
    Per,
    /// `sum_values`: the numerator adds values.
    SumValues,
    /// `cap`: values above it count as it.
    Cap,
    /// `query`: rows come from a query.
    Query,
    /// `per_unit`: each subject counts once.
    PerUnit,
}

impl Part {
    /// Reads the name of the column.
    ///
    /// # Errors
    /// [`Kind::InvalidParameter`] when there is no such part.
    pub fn from_label(label: &str) -> Result<Self> {
        match label {
            "event" => Ok(Self::Event),
            "per" => Ok(Self::Per),
            "sum_values" => Ok(Self::SumValues),
            "cap" => Ok(Self::Cap),
            "query" => Ok(Self::Query),
            "per_unit" => Ok(Self::PerUnit),
            other => Err(Error::new(Kind::InvalidParameter, format!("there is no part \"{other}\" of a metric"))),
        }
    }
}

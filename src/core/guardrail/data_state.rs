//! The states that a verdict names.

use crate::error::{Error, Kind, Result};

/// Verdict of a guardrail. Only `Ok` lets a ramp advance, only `Breached` acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DataState {
    /// Enough fresh data and no sign of harm.
    Ok,
    /// Harm is shown.
    Breached,
    /// Evidence of harm is building up.
    Inconclusive,
    /// The sample is still too small.
    #[default]
    NotEnough,
    /// No data at all.
    NoData,
    /// Data stopped.
    Stale,
    /// The data of one arm stopped while the other's goes on.
    Silent,
    /// Nothing is compared: nobody is served the control, and what it was is not known.
    NoControl,
    /// It could not be judged.
    Error,
}

impl DataState {
    /// The SQL label of the state.
    pub fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Breached => "breached",
            Self::Inconclusive => "inconclusive",
            Self::NotEnough => "not_enough",
            Self::NoData => "no_data",
            Self::Stale => "stale",
            Self::Silent => "silent",
            Self::NoControl => "no_control",
            Self::Error => "error",
        }
    }

    /// Reads the SQL label.
    ///
    /// # Errors
    /// [`Kind::InvalidParameter`] when there is no such state.
    pub fn from_label(label: &str) -> Result<Self> {
        let all = [
            Self::Ok,
            Self::Breached,
            Self::Inconclusive,
            Self::NotEnough,
            Self::NoData,
            Self::Stale,
            Self::Silent,
            Self::NoControl,
            Self::Error,
        ];
        all.into_iter()
            .find(|state| state.label() == label)
            .ok_or_else(|| Error::new(Kind::InvalidParameter, format!("there is no data state \"{label}\"")))
    }
}

//! What is asked of a plan: a ramp, and what is to be found in it.

use crate::error::{Error, Kind, Result};

/// Looks of a stage.
pub const LOOKS: usize = 40;
/// Seconds between two looks, at least.
pub const SHORTEST: f64 = 10.0;

/// One stage of a ramp.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stage {
    /// The treatment's share, above 0 and at most 1.
    pub share: f64,
    /// How long it lasts, in seconds.
    pub seconds: f64,
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Question {
    /// How many times worse the treatment is: 1.5.
    pub effect: f64,
    /// What is to be excluded: "no worse than 1.2 times".
    pub safe: f64,
    /// The chance that "no worse" is said of a treatment which is: the rollout's alpha, as of live ones.
    pub safe_alpha: f64,
    /// After how many seconds without one a copy of the evidence begins.
    pub copy_after: f64,
    /// Whether a stage waits after its time as long as evidence of harm is building up (log e from half of the line on), as
    /// live ones do.
    pub waits: bool,
    /// Whether the smallest effects are looked for, and the time until "no worse": most of the work.
    pub searches: bool,
}

/// A refusal.
pub(super) fn bad<T>(message: String, hint: &str) -> Result<T> {
    Err(Error::new(Kind::InvalidParameter, message).hint(hint))
}

//! The one error of this room: something is not as it was written.

use crate::{Error, Kind};

/// What a broken file says.
pub(super) fn corrupted(problem: impl std::fmt::Display) -> Error {
    Error::new(Kind::Corrupted, problem.to_string())
}

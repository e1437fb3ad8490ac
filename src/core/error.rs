//! The one error type of the core: what kind, what was wrong, and what to do about it.
//!
//! `src/error.rs` of the extension maps [`Kind`] to an SQLSTATE; nothing else does.

/// What kind of mistake an [`Error`] reports. Each kind is one SQLSTATE for the SQL user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An argument is outside its domain (22023).
    InvalidParameter,
    /// A text form cannot be read (22P02).
    InvalidText,
    /// A binary form cannot be decoded (22P03).
    InvalidBinary,
    /// Named object does not exist (42704).
    Undefined,
    /// Something that is never done here (0A000).
    Unsupported,
    /// An input is larger or deeper than the documented bound (54000).
    LimitExceeded,
    /// A stored value has impossible content (XX001).
    Corrupted,
}

/// An error with a message (lower case, no full stop, offending value quoted) and, where it helps, a hint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What kind of mistake it was.
    pub kind: Kind,
    /// What was wrong, with the offending value.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// The result of a core function.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error without a hint.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None }
    }

    /// The same error, telling what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

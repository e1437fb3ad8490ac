//! What became of a request; HTTP and gRPC say the same in their own words.

use flagscope_core::otlp::Account;

use crate::auth::Refusal;

/// The longest error text that goes back.
const LONGEST: usize = 1024;

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Its good records are committed; of the others, how many, and the first reason.
    Stored {
        /// Records that are not.
        rejected: u64,
        /// What to tell.
        message: Option<String>,
    },
    /// It is no request of this kind.
    Bad(String),
    /// It is longer than the limit, as it came or unpacked.
    TooLong(usize),
    /// It is in a form that is not read.
    Unsupported(String),
    /// It did not come in time.
    Late,
    /// Whoever sent it may not.
    Refused(Refusal),
    /// The queue is full; for how many seconds.
    Full(u64),
    /// The database is away, or the gateway is about to end.
    Away,
    /// Whether it is stored is not known in time.
    Unknown,
    /// A defect of ours.
    Defect,
}

impl Outcome {
    /// Of a request whose rows are stored.
    pub fn of(account: Account, rows: u64) -> Self {
        let Account { rejected, first_error, replaced, is_broken } = account;
        if is_broken && rows == 0 {
            return Self::Bad(cut(first_error.unwrap_or_default()));
        }
        let told = (replaced > 0).then(|| format!("{replaced} characters that text cannot hold became U+FFFD"));
        let message = [first_error, told].into_iter().flatten().reduce(|all, one| format!("{all}; {one}"));
        Self::Stored { rejected, message: message.map(cut) }
    }

    /// How many records it says are lost.
    pub fn rejected(&self) -> u64 {
        match self {
            Self::Stored { rejected, .. } => *rejected,
            _ => 0,
        }
    }

    /// What is wrong, in words.
    pub fn words(&self) -> String {
        match self {
            Self::Stored { message, .. } => message.clone().unwrap_or_default(),
            Self::Bad(text) | Self::Unsupported(text) => text.clone(),
            Self::TooLong(limit) => format!("the request is longer than {limit} bytes"),
            Self::Late => "the body did not come in time".to_owned(),
            Self::Refused(refusal) => refusal.words().to_owned(),
            Self::Full(_) => "the queue is full".to_owned(),
            Self::Away => "the database is away".to_owned(),
            Self::Unknown => "not stored in time".to_owned(),
            Self::Defect => "a defect of the gateway".to_owned(),
        }
    }

    /// The status of HTTP, the code of gRPC, and after how many seconds to come again.
    pub fn status(&self) -> (u16, u8, Option<u64>) {
        match self {
            Self::Stored { .. } => (200, 0, None),
            Self::Bad(_) => (400, 3, None),
            Self::TooLong(_) => (413, 8, None),
            Self::Unsupported(_) => (415, 12, None),
            Self::Late => (408, 4, None),
            Self::Refused(Refusal::Unknown) => (401, 16, None),
            Self::Refused(Refusal::Forbidden) => (403, 7, None),
            Self::Refused(Refusal::TooMany(seconds)) | Self::Full(seconds) => (429, 8, Some(*seconds)),
            Self::Away => (503, 14, Some(2)),
            Self::Unknown => (503, 14, Some(1)),
            Self::Defect => (500, 13, None),
        }
    }
}

fn cut(mut text: String) -> String {
    if text.len() > LONGEST {
        text.truncate(text.floor_char_boundary(LONGEST));
        text += "...";
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_records_outweigh_a_broken_end() {
        let account =
            |rejected, is_broken| Account { rejected, is_broken, first_error: Some("x".repeat(2000)), replaced: 2 };
        assert!(matches!(Outcome::of(account(1, true), 0), Outcome::Bad(text) if text.len() == LONGEST + 3));
        assert!(matches!(Outcome::of(account(1, true), 5), Outcome::Stored { rejected: 1, .. }));
        let told = Outcome::of(Account { replaced: 2, ..Account::default() }, 5);
        assert_eq!((told.rejected(), told.words().as_str()), (0, "2 characters that text cannot hold became U+FFFD"));
        assert_eq!(Outcome::of(Account::default(), 0), Outcome::Stored { rejected: 0, message: None });
    }
}

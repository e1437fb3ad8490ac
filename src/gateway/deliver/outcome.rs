//! What the answer of a sink means: done, to be tried again, or in vain.

use std::time::Duration;

use super::post::{Answer, Unsent};

/// The first pause after a failure; it is doubled each time.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(300);
/// No receiver may ask for a longer pause.
const LONGEST_ASKED: Duration = Duration::from_secs(3600);
/// What the receiver says is wrong is tried so often: its own configuration may be what is wrong.
const TRIES: i32 = 10;
/// So much of a receiver's answer is kept.
const TOLD: usize = 200;

/// What became of a row at a sink.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The sink has it.
    Delivered,
    /// The sink is not to be told of it; why.
    Skipped(&'static str),
    /// It is tried again after that time; why.
    Again(Duration, String),
    /// It is not tried again; why.
    GivenUp(String),
}

impl Outcome {
    /// Of an answer to the attempt of that number.
    pub fn of(answer: Result<Answer, Unsent>, attempt: i32, secret: &str) -> Self {
        let answer = match answer {
            Err(Unsent(problem)) => return Self::Again(backoff(attempt), problem),
            Ok(answer) => answer,
        };
        if (200..300).contains(&answer.status) {
            return Self::Delivered;
        }
        let problem = words(&answer, secret);
        match answer.status {
            408 | 429 | 500.. => {
                let asked = answer.retry_after.map(|seconds| Duration::from_secs(seconds).min(LONGEST_ASKED));
                Self::Again(asked.unwrap_or(Duration::ZERO).max(backoff(attempt)), problem)
            }
            _ if attempt >= TRIES => Self::GivenUp(problem),
            _ => Self::Again(backoff(attempt), problem),
        }
    }

    /// As it is counted and stored: a label, the problem, and after what time it is tried again.
    pub fn noted(&self) -> (&'static str, Option<&str>, Option<Duration>) {
        match self {
            Self::Delivered => ("delivered", None, None),
            Self::Skipped(why) => ("skipped", Some(why), None),
            Self::Again(after, problem) => ("failed", Some(problem), Some(*after)),
            Self::GivenUp(problem) => ("given_up", Some(problem), None),
        }
    }
}

fn backoff(attempt: i32) -> Duration {
    let doubled = u32::try_from(attempt - 1).unwrap_or(0).min(20);
    FIRST.saturating_mul(1 << doubled).min(LONGEST)
}

fn words(answer: &Answer, secret: &str) -> String {
    let told = String::from_utf8_lossy(&answer.body);
    let told = if secret.is_empty() { told.into_owned() } else { told.replace(secret, "...") };
    let line: String = told.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(TOLD).collect();
    match answer.status {
        300..400 => format!("HTTP {}: redirects are not followed, so that no other host gets it", answer.status),
        status if line.is_empty() => format!("HTTP {status}"),
        status => format!("HTTP {status}: {line}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, retry_after: Option<u64>, attempt: i32) -> Outcome {
        let body = b"no\n  such key: s3cret".to_vec();
        Outcome::of(Ok(Answer { status, retry_after, body }), attempt, "s3cret")
    }

    #[test]
    fn what_helps_later_is_tried_again() {
        for status in [200, 202, 204] {
            assert_eq!(answered(status, None, 1), Outcome::Delivered);
        }
        let told = |status: u16| format!("HTTP {status}: no such key: ...");
        let seconds = Duration::from_secs;
        assert_eq!(answered(500, None, 1), Outcome::Again(seconds(1), told(500)));
        assert_eq!(answered(503, None, 4), Outcome::Again(seconds(8), told(503)));
        assert_eq!(answered(500, None, 60), Outcome::Again(seconds(300), told(500)));
        assert_eq!(answered(429, Some(7), 1), Outcome::Again(seconds(7), told(429)));
        assert_eq!(answered(429, Some(1_000_000), 1), Outcome::Again(seconds(3600), told(429)));
        assert_eq!(answered(404, Some(9), 9), Outcome::Again(seconds(256), told(404)));
        assert_eq!(answered(404, None, 10), Outcome::GivenUp(told(404)));
        assert!(matches!(answered(302, None, 10), Outcome::GivenUp(told) if told.contains("redirects")));
        assert_eq!(answered(408, None, 30), Outcome::Again(seconds(300), told(408)));
        let unsent = Outcome::of(Err(Unsent("refused".to_owned())), 2, "");
        assert_eq!(unsent, Outcome::Again(seconds(2), "refused".to_owned()));
    }
}

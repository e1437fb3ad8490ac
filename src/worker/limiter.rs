//! Limits how often both worker processes write the same message to the log.

use std::time::{Duration, Instant};

/// Keeps a message that recurs at every tick from filling the log.
#[derive(Default)]
pub struct Limiter {
    last: Option<(String, Instant)>,
}

impl Limiter {
    /// A repeated message is logged once a minute.
    const SAME: Duration = Duration::from_secs(60);
    /// Messages that differ (by numbers in their text) are logged once a second.
    const OTHER: Duration = Duration::from_secs(1);

    /// May this message be logged now? If so, it counts as logged.
    pub fn allows(&mut self, message: &str, now: Instant) -> bool {
        let quiet = self.last.as_ref().is_some_and(|(last, at)| {
            now.duration_since(*at) < if last == message { Self::SAME } else { Self::OTHER }
        });
        if !quiet {
            self.last = Some((message.to_owned(), now));
        }
        !quiet
    }
}

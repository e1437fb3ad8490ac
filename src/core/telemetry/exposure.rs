//! Exposures: which subject was served which variant of a flag that is being rolled out, or on watch after its rollout.
//!
//! Here are the exposures of one statement, each (flag, variant, subject) once. Not here: who is new, which the tick
//! finds out (`sql/api/health.sql`).

use std::collections::{BTreeMap, HashMap};

/// OpenTelemetry's name of the event that says a flag was evaluated.
pub const EXPOSURE: &str = "feature_flag.evaluation";

/// Variants of the flags that are being rolled out, by environment.
#[derive(Debug, Default)]
pub struct RolledOut {
    /// environment -> flag -> variant -> the time from which on its exposures no longer count.
    by_flag: HashMap<String, HashMap<String, HashMap<String, i64>>>,
}

impl RolledOut {
    /// Adds a flag with treatment and control. Of a rollout that is over `until` is the end of its watch (microseconds
    /// since 2000): exposures say themselves when they were, so nobody has to be told when a watch ends.
    pub fn add(&mut self, environment: &str, flag: &str, variants: [&str; 2], until: Option<i64>) {
        let flags = self.by_flag.entry(environment.to_owned()).or_default();
        let until = until.unwrap_or(i64::MAX);
        flags.entry(flag.to_owned()).or_default().extend(variants.map(|variant| (variant.to_owned(), until)));
    }

    /// Whether nothing is rolled out.
    pub fn is_empty(&self) -> bool {
        self.by_flag.is_empty()
    }
}

/// The exposures of one statement.
#[derive(Debug)]
pub struct Exposures<'p> {
    rolled_out: &'p RolledOut,
    /// (environment, flag, variant, subject) -> earliest time, in one fixed order.
    seen: BTreeMap<(String, String, String, String), i64>,
}

impl<'p> Exposures<'p> {
    /// None yet.
    pub fn new(rolled_out: &'p RolledOut) -> Self {
        Self { rolled_out, seen: BTreeMap::new() }
    }

    /// Notes that a subject was served variants of flags, in an environment given by its key.
    pub fn note<'a>(
        &mut self,
        environment: &str,
        tags: impl Iterator<Item = (&'a str, &'a str)>,
        subject: &str,
        ts: i64,
    ) {
        let Some(flags) = self.rolled_out.by_flag.get(environment) else { return };
        for (flag, variant) in tags {
            if flags.get(flag).and_then(|variants| variants.get(variant)).is_some_and(|until| ts < *until) {
                let key = (environment.to_owned(), flag.to_owned(), variant.to_owned(), subject.to_owned());
                let earliest = self.seen.entry(key).or_insert(ts);
                *earliest = ts.min(*earliest);
            }
        }
    }

    /// Flag, environment, variant, subject, earliest time.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, &str, &str, i64)> {
        self.seen.iter().map(|((environment, flag, variant, subject), &ts)| {
            (flag.as_str(), environment.as_str(), variant.as_str(), subject.as_str(), ts)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_counts_once_a_variant_and_with_its_earliest_time() {
        let mut rolled_out = RolledOut::default();
        assert!(rolled_out.is_empty());
        rolled_out.add("production", "f", ["on", "off"], None);
        let mut exposures = Exposures::new(&rolled_out);
        for (subject, variant, ts) in [("u", "on", 9), ("u", "on", 5), ("u", "off", 7), ("v", "other", 1)] {
            exposures.note("production", [("f", variant), ("g", "on")].into_iter(), subject, ts);
        }
        exposures.note("staging", [("f", "on")].into_iter(), "w", 1);
        let seen: Vec<_> = exposures.iter().collect();
        assert_eq!(seen, [("f", "production", "off", "u", 7), ("f", "production", "on", "u", 5)]);
    }

    #[test]
    fn after_its_rollout_a_flag_is_on_watch_up_to_a_time() {
        let mut rolled_out = RolledOut::default();
        rolled_out.add("production", "f", ["on", "off"], Some(10));
        let mut exposures = Exposures::new(&rolled_out);
        for (subject, ts) in [("u", 9), ("v", 10), ("w", 11), ("w", -5)] {
            exposures.note("production", [("f", "on")].into_iter(), subject, ts);
        }
        let seen: Vec<_> = exposures.iter().map(|(.., subject, ts)| (subject, ts)).collect();
        assert_eq!(seen, [("u", 9), ("w", -5)]);
    }
}

//! Exposures: which subject was served which variant of a flag that is being rolled out.
//!
//! Here are the exposures of one statement, each (flag, variant, subject) once. Not here: who is new, which the tick
//! finds out (`sql/api/health.sql`).

use std::collections::{BTreeMap, HashMap, HashSet};

/// OpenTelemetry's name of the event that says a flag was evaluated.
pub const EXPOSURE: &str = "feature_flag.evaluation";

/// Variants of the flags that are being rolled out, by environment.
#[derive(Debug, Default)]
pub struct RolledOut {
    by_flag: HashMap<String, HashMap<String, HashSet<String>>>,
}

impl RolledOut {
    /// Adds a flag with treatment and control.
    pub fn add(&mut self, environment: &str, flag: &str, variants: [&str; 2]) {
        let flags = self.by_flag.entry(environment.to_owned()).or_default();
        flags.entry(flag.to_owned()).or_default().extend(variants.map(str::to_owned));
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
            if flags.get(flag).is_some_and(|variants| variants.contains(variant)) {
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
        rolled_out.add("production", "f", ["on", "off"]);
        let mut exposures = Exposures::new(&rolled_out);
        for (subject, variant, ts) in [("u", "on", 9), ("u", "on", 5), ("u", "off", 7), ("v", "other", 1)] {
            exposures.note("production", [("f", variant), ("g", "on")].into_iter(), subject, ts);
        }
        exposures.note("staging", [("f", "on")].into_iter(), "w", 1);
        let seen: Vec<_> = exposures.iter().collect();
        assert_eq!(seen, [("f", "production", "off", "u", 7), ("f", "production", "on", "u", 5)]);
    }
}

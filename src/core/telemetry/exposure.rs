//! Exposures: which subject was served which variant of a flag that is being rolled out, or watched after its rollout.
//!
//! Here: the exposures of one statement, each (flag, variant, subject) once. Not here: who is new, which the tick
//! determines (`sql/api/health.sql`).

use std::collections::{BTreeMap, HashMap};

/// OpenTelemetry's name of the event that reports a flag evaluation.
pub const EXPOSURE: &str = "feature_flag.evaluation";

/// Variants of the flags that are being rolled out, by environment.
#[derive(Debug, Default)]
pub struct RolledOut {
    /// environment -> flag -> variant -> its arm.
    by_flag: HashMap<String, HashMap<String, HashMap<String, Arm>>>,
    /// Flag, environment and variant of each arm.
    names: Vec<[String; 3]>,
}

/// The treatment or the control of a rollout.
#[derive(Debug)]
struct Arm {
    number: u32,
    /// The time from which on its exposures no longer count.
    until: i64,
}

impl RolledOut {
    /// Adds a flag with treatment and control. For a completed rollout `until` is the end of its watch (microseconds
    /// since 2000): exposures have times, so the end of a watch needs no notification.
    pub fn add(&mut self, environment: &str, flag: &str, variants: [&str; 2], until: Option<i64>) {
        let flags = self.by_flag.entry(environment.to_owned()).or_default();
        let until = until.unwrap_or(i64::MAX);
        let arms = flags.entry(flag.to_owned()).or_default();
        for variant in variants {
            let number = self.names.len() as u32;
            let arm = arms.entry(variant.to_owned()).or_insert(Arm { number, until });
            arm.until = until;
            if arm.number == number {
                self.names.push([flag, environment, variant].map(str::to_owned));
            }
        }
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
    /// subject -> arm -> earliest time. In a fixed order that keeps a subject's exposures together, so that they are
    /// usually consumed together.
    seen: BTreeMap<String, BTreeMap<u32, i64>>,
    /// How many they are.
    number: usize,
}

impl<'p> Exposures<'p> {
    /// None yet.
    pub fn new(rolled_out: &'p RolledOut) -> Self {
        Self { rolled_out, seen: BTreeMap::new(), number: 0 }
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
            let arm = flags.get(flag).and_then(|variants| variants.get(variant));
            if let Some(arm) = arm.filter(|arm| ts < arm.until) {
                if !self.seen.contains_key(subject) {
                    self.seen.insert(subject.to_owned(), BTreeMap::new());
                }
                let Some(seen) = self.seen.get_mut(subject) else { continue };
                let is_new =
                    seen.insert(arm.number, seen.get(&arm.number).map_or(ts, |known| ts.min(*known))).is_none();
                self.number += usize::from(is_new);
            }
        }
    }

    /// How many there are.
    pub fn number(&self) -> usize {
        self.number
    }

    /// Flag, environment, variant, subject and earliest time of each.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, &str, &str, i64)> {
        let rolled_out = self.rolled_out;
        self.seen.iter().flat_map(move |(subject, arms)| {
            arms.iter().filter_map(move |(&arm, &ts)| {
                let [flag, environment, variant] = rolled_out.names.get(arm as usize)?;
                Some((flag.as_str(), environment.as_str(), variant.as_str(), subject.as_str(), ts))
            })
        })
    }

    /// Forgets the exposures so far, after they were written.
    pub fn clear(&mut self) {
        self.seen.clear();
        self.number = 0;
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
        assert_eq!(seen, [("f", "production", "on", "u", 5), ("f", "production", "off", "u", 7)]);
        assert_eq!(exposures.number(), 2);
        exposures.clear();
        assert_eq!((exposures.iter().count(), exposures.number()), (0, 0));
    }

    #[test]
    fn the_exposures_of_a_subject_lie_together() {
        let mut rolled_out = RolledOut::default();
        rolled_out.add("production", "f", ["on", "off"], None);
        rolled_out.add("production", "f", ["new", "off"], Some(10));
        let mut exposures = Exposures::new(&rolled_out);
        for subject in ["v", "u"] {
            for (variant, ts) in [("on", 1), ("off", 11), ("new", 9), ("off", 9)] {
                exposures.note("production", [("f", variant)].into_iter(), subject, ts);
            }
        }
        let seen: Vec<_> = exposures.iter().map(|(.., variant, subject, ts)| (subject, variant, ts)).collect();
        // The rollout that was added last says until when the arm that both have counts.
        let of = |s| [(s, "on", 1), (s, "off", 9), (s, "new", 9)];
        assert_eq!(seen, [of("u"), of("v")].concat());
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

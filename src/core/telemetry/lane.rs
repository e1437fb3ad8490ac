//! Lanes: the order in which ticks consume deltas.
//!
//! One statement may insert days of past telemetry. Its deltas must not delay current ones, on which breaches are
//! decided. The lane of a delta determines only how soon it is read; each delta is counted once.

use std::collections::HashMap;

use super::BUCKET_MICROS;

/// How long before the writer's clock a bucket may be to count as current, in microseconds. Exporters send every few
/// seconds, at most every minute or so.
const NOW_MICROS: i64 = 600_000_000;

/// The lanes, in the order in which a tick consumes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Current, of the running stage of a rollout.
    Now,
    /// Late, of the running stage of a rollout.
    Late,
    /// From before the running stage, or of a flag without a rollout.
    Past,
}

impl Lane {
    /// All of them, in their order.
    pub const ALL: [Self; 3] = [Self::Now, Self::Late, Self::Past];
}

/// The starts of the stages of live and watched rollouts.
#[derive(Debug, Default)]
pub struct Stages {
    /// environment -> flag -> start of the stage in microseconds
    since: HashMap<String, HashMap<String, i64>>,
}

impl Stages {
    /// Adds the stage of a flag's rollout in an environment, given by its key. Of two, the earlier one counts.
    pub fn add(&mut self, environment: &str, flag: &str, since: i64) {
        let flags = self.since.entry(environment.to_owned()).or_default();
        let earliest = flags.entry(flag.to_owned()).or_insert(since);
        *earliest = since.min(*earliest);
    }

    /// The lane of a bucket, given by its start, when the writer's clock says `now`.
    pub fn lane(&self, environment: &str, flag: &str, bucket: i64, now: i64) -> Lane {
        let since = self.since.get(environment).and_then(|flags| flags.get(flag));
        match since {
            Some(since) if bucket.saturating_add(BUCKET_MICROS) > *since => {
                if bucket >= now.saturating_sub(NOW_MICROS) { Lane::Now } else { Lane::Late }
            }
            _ => Lane::Past,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_running_stage_is_judged_by_comes_first() {
        let mut stages = Stages::default();
        let (start, now) = (1_000 * BUCKET_MICROS, 2_000 * BUCKET_MICROS);
        stages.add("production", "f", start);
        stages.add("production", "f", start + 1);
        let lane = |environment, flag, bucket| stages.lane(environment, flag, bucket, now);
        assert_eq!(lane("production", "f", now), Lane::Now);
        assert_eq!(lane("production", "f", now - NOW_MICROS), Lane::Now);
        assert_eq!(lane("production", "f", now - NOW_MICROS - 1), Lane::Late);
        // A clock that is ahead of the writer's is no reason to wait.
        assert_eq!(lane("production", "f", i64::MAX - BUCKET_MICROS), Lane::Now);
        // The bucket in which the stage began is its own, the one before is not.
        assert_eq!(lane("production", "f", start), Lane::Late);
        assert_eq!(lane("production", "f", start - BUCKET_MICROS), Lane::Past);
        assert_eq!(lane("production", "f", i64::MIN), Lane::Past);
        assert_eq!(lane("staging", "f", now), Lane::Past);
        assert_eq!(lane("production", "g", now), Lane::Past);
    }
}

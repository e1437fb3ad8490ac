//! Exposures: who was given a variant of a flag that is being rolled out, recorded here for applications that record none.
//!
//! Only answers to one flag count. Whoever is sent all flags, or their rules, has not been exposed to any.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use flagscope_core::targeting::Answer;
use serde_json::{Value, json};

use super::Set;
use crate::gateway::Gateway;
use crate::telemetry;

/// The same exposure is not recorded again within this time.
const QUIET: Duration = Duration::from_secs(600);
/// So many are remembered in each of two generations.
const REMEMBERED: usize = 50_000;

/// What was recorded lately.
pub struct Exposures {
    hasher: RandomState,
    seen: Mutex<Seen>,
}

/// Two generations: what the newer one has not seen may be in the older one, which is forgotten as a whole.
struct Seen {
    new: HashSet<u64>,
    old: HashSet<u64>,
    begun: Instant,
}

impl Default for Exposures {
    fn default() -> Self {
        let seen = Seen { new: HashSet::new(), old: HashSet::new(), begun: Instant::now() };
        Self { hasher: RandomState::new(), seen: Mutex::new(seen) }
    }
}

impl Exposures {
    /// Whether something was not recorded lately; from now on it was.
    fn is_first(&self, of: (&str, &str, i64, &str), now: Instant) -> bool {
        let hash = self.hasher.hash_one(of);
        let mut seen = self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if now.duration_since(seen.begun) >= QUIET || seen.new.len() >= REMEMBERED {
            seen.old = std::mem::take(&mut seen.new);
            seen.begun = now;
        }
        !seen.old.contains(&hash) && seen.new.insert(hash)
    }

    /// What could not be recorded may be so the next time.
    fn forget(&self, of: (&str, &str, i64, &str)) {
        let hash = self.hasher.hash_one(of);
        self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner).new.remove(&hash);
    }
}

/// Records an answer, where that is wanted. It never waits: without room in the queue it is dropped, and counted.
pub fn record(gateway: &Arc<Gateway>, set: &Arc<Set>, key: &str, answer: &Answer, subject: Option<&str>) {
    if !gateway.config.exposures {
        return;
    }
    let (Some(subject), Some(variant), None) = (subject, answer.variant, answer.error) else { return };
    let Some(version) = set.entry(key).filter(|entry| entry.is_split()).map(|entry| entry.version) else { return };
    let of = (set.loaded.key.as_str(), key, version, subject);
    if !gateway.exposures.is_first(of, Instant::now()) {
        return;
    }
    let body = event(of, variant, answer.reason.label(), SystemTime::now()).to_string();
    let Some(stored) = telemetry::record(gateway, body.into()) else {
        gateway.exposures.forget(of);
        gateway.metrics.exposures.add("outcome=\"dropped\"", 1);
        return;
    };
    let (gateway, set, key, subject) = (Arc::clone(gateway), Arc::clone(set), key.to_owned(), subject.to_owned());
    tokio::spawn(async move {
        let is_stored = stored.await;
        if !is_stored {
            gateway.exposures.forget((&set.loaded.key, &key, version, &subject));
        }
        gateway.metrics.exposures.add(if is_stored { "outcome=\"stored\"" } else { "outcome=\"dropped\"" }, 1);
    });
}

/// The event as OpenTelemetry's semantic conventions 1.44 have it, in a request of OTLP.
fn event(of: (&str, &str, i64, &str), variant: &str, reason: &str, at: SystemTime) -> Value {
    let (environment, flag, version, subject) = of;
    let text = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
    let nanos = at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    let attributes = [
        text("feature_flag.key", flag),
        text("feature_flag.result.variant", variant),
        text("feature_flag.result.reason", reason),
        text("feature_flag.context.id", subject),
        text("feature_flag.version", &version.to_string()),
        text("feature_flag.provider.name", "flagscope-gateway"),
    ];
    let record =
        json!({"timeUnixNano": nanos.to_string(), "eventName": "feature_flag.evaluation", "attributes": attributes});
    let resource = [text("service.name", "flagscope-gateway"), text("deployment.environment.name", environment)];
    json!({"resourceLogs": [{"resource": {"attributes": resource}, "scopeLogs": [{"logRecords": [record]}]}]})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exposure_counts_once_in_a_while() {
        let exposures = Exposures::default();
        let start = Instant::now();
        let (ann, bob) = (("production", "shop", 1, "ann"), ("production", "shop", 1, "bob"));
        assert!(exposures.is_first(ann, start) && !exposures.is_first(ann, start));
        assert!(exposures.is_first(bob, start));
        assert!(exposures.is_first(("production", "shop", 2, "ann"), start), "another version of the flag");
        exposures.forget(bob);
        assert!(exposures.is_first(bob, start), "it could not be stored");
        assert!(!exposures.is_first(ann, start + QUIET), "the older generation still knows it");
        assert!(exposures.is_first(ann, start + QUIET * 2));
    }

    #[test]
    fn what_is_remembered_has_a_limit() {
        let exposures = Exposures::default();
        let start = Instant::now();
        for n in 0..REMEMBERED as i64 * 3 {
            exposures.is_first(("production", "shop", n, "ann"), start);
        }
        let seen = exposures.seen.lock().unwrap();
        assert!(seen.new.len() <= REMEMBERED && seen.old.len() <= REMEMBERED);
    }
}

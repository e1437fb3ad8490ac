//! Flags out: the set of each environment in memory, how it follows the database, and the protocols that ask it.
//!
//! `set` is a set, compiled; `follow` keeps it as the database has it; `snapshot` keeps it over a restart; `evaluate` reads
//! a context; `exposure` records who was given what; `ofrep` and `events` are OFREP, `etag` says what has not changed; `rpc` is flagd's evaluation, `sync` its
//! sync, `wire` their Struct.
//!
//! Invariant: a request sees one set from its beginning to its end, and never waits for the database.

mod etag;
mod evaluate;
mod events;
mod exposure;
mod follow;
pub mod ofrep;
pub mod rpc;
mod set;
pub mod snapshot;
pub mod sync;
mod wire;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use hyper::header::HeaderMap;
use tokio::sync::{Notify, watch};

use crate::auth::{Auth, Caller, Refusal, Scope};

pub use exposure::Exposures;
pub use follow::{Follower, Start};
pub use set::{Loaded, Set};

/// The flags of every environment that is served.
pub struct Flags {
    sets: Vec<Followed>,
    /// Whether the database answered when it was last asked.
    pub is_up: AtomicBool,
    /// Somebody knows of a newer set.
    pub wanted: Notify,
}

/// An environment that is served.
pub struct Followed {
    /// The name it was asked for by: a key, an alias, or empty for the server's own.
    pub asked: String,
    /// Its flags; none before they were loaded.
    pub set: watch::Sender<Option<Arc<Set>>>,
    /// When the database last said that this is what it has, in Unix seconds.
    confirmed: AtomicI64,
}

impl Flags {
    /// Of these environments; the first is for those who name none.
    pub fn new(environments: impl IntoIterator<Item = String>) -> Self {
        let sets = environments.into_iter().map(|asked| Followed {
            asked,
            set: watch::Sender::new(None),
            confirmed: AtomicI64::new(0),
        });
        Self { sets: sets.collect(), is_up: AtomicBool::new(false), wanted: Notify::new() }
    }

    /// All of them.
    pub fn all(&self) -> &[Followed] {
        &self.sets
    }

    /// The environment for those who name none.
    pub fn default(&self) -> Option<&Followed> {
        self.sets.first()
    }

    /// The environment that was asked for by a name, or whose key it is.
    pub fn named(&self, name: &str) -> Option<&Followed> {
        let is_key = |followed: &&Followed| followed.now().is_some_and(|set| set.loaded.key == name);
        self.sets.iter().find(|followed| followed.asked == name).or_else(|| self.sets.iter().find(is_key))
    }

    /// Which environment a request is for, and whose it is: the key decides, and among its environments the selector, in
    /// the request or in a header (`flagSetId=staging`, or the name alone).
    pub fn admit<'a>(
        &'a self,
        auth: &Auth,
        headers: &HeaderMap,
        scope: Scope,
        selector: Option<&str>,
    ) -> Result<(&'a Followed, Caller), Refusal> {
        let caller = auth.admit(headers, scope)?;
        let header = headers.get("flagd-selector").and_then(|value| value.to_str().ok());
        let asked = selector.or(header).filter(|text| !text.is_empty());
        let asked = asked.map(|text| text.strip_prefix("flagSetId=").unwrap_or(text));
        let own = caller.as_ref().map(|key| &key.environments).filter(|environments| !environments.is_empty());
        let followed = match (asked, own) {
            (None, None) => self.default(),
            (None, Some(own)) => own.first().and_then(|name| self.named(name)),
            (Some(name), None) => self.named(name),
            (Some(name), Some(own)) => self.named(name).filter(|followed| {
                own.iter().filter_map(|name| self.named(name)).any(|allowed| std::ptr::eq(allowed, *followed))
            }),
        };
        followed.map(|followed| (followed, caller)).ok_or(Refusal::Forbidden)
    }

    /// Whether each has a set.
    pub fn are_loaded(&self) -> bool {
        self.sets.iter().all(|followed| followed.set.borrow().is_some())
    }

    /// Whether the database answered when it was last asked.
    pub fn is_up(&self) -> bool {
        self.is_up.load(Ordering::Relaxed)
    }
}

impl Followed {
    /// Takes a set from a snapshot.
    pub fn restore(&self, saved: snapshot::Saved) -> Result<(), serde_json::Error> {
        let at = saved.at();
        let set = Set::new(saved.loaded, at, None)?;
        self.confirmed.store(unix(at), Ordering::Relaxed);
        self.set.send_replace(Some(Arc::new(set)));
        Ok(())
    }

    /// The database has just said that this is what it has.
    fn confirm(&self) {
        self.confirmed.store(unix(SystemTime::now()), Ordering::Relaxed);
    }

    /// How many seconds ago the database last said that this is what it has.
    pub fn age(&self) -> i64 {
        unix(SystemTime::now()) - self.confirmed.load(Ordering::Relaxed)
    }

    /// The set of now.
    pub fn now(&self) -> Option<Arc<Set>> {
        self.set.borrow().clone()
    }
}

fn unix(at: SystemTime) -> i64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}

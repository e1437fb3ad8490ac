//! When a backend's cached configuration becomes invalid.
//!
//! A change of configuration sends a relcache invalidation for a marker, a relation that nobody reads. It reaches every
//! backend no later than its next access, is sent only on commit, and is seen by the changing transaction from its next
//! command on. So a cache is never stale after a commit. There is one marker for each topic, so that a change of one
//! does not invalidate what is cached of another; and queries must not read a marker, or their plans would be
//! invalidated, too.

use std::cell::Cell;
use std::ffi::CStr;

use pgrx::pg_sys;

/// The topic of a change of configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    /// Flags; `_flagscope.flag_change` tells which.
    Flags,
    /// Environments and segments, which any flag may depend on.
    Environments,
    /// Metrics, guardrails and settings, which the counting of telemetry depends on.
    Metrics,
}

impl Topic {
    const ALL: [Self; 3] = [Self::Flags, Self::Environments, Self::Metrics];

    /// The topic of that name.
    pub fn from_label(label: &str) -> Option<Self> {
        match label {
            "flags" => Some(Self::Flags),
            "environments" => Some(Self::Environments),
            "metrics" => Some(Self::Metrics),
            _ => None,
        }
    }

    fn marker(self) -> pg_sys::Oid {
        private_table(match self {
            Self::Flags => c"flags_changed",
            Self::Environments => c"environments_changed",
            Self::Metrics => c"metrics_changed",
        })
    }
}

/// How often each topic has changed, as far as this backend knows: data cached under other numbers is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Generation {
    /// Of flags.
    pub flags: u64,
    /// Of environments and segments.
    pub environments: u64,
    /// Of metrics, guardrails and settings.
    pub metrics: u64,
}

thread_local! {
    static GENERATION: Cell<Generation> = const { Cell::new(Generation { flags: 0, environments: 0, metrics: 0 }) };
    static MARKERS: Cell<[pg_sys::Oid; 3]> = const { Cell::new([pg_sys::Oid::INVALID; 3]) };
    /// DROP and CREATE EXTENSION change the OIDs of the markers; the old ones are used until the new ones are known.
    static ARE_KNOWN: Cell<bool> = const { Cell::new(false) };
    static REGISTERED: Cell<bool> = const { Cell::new(false) };
}

/// The generation of configuration.
pub fn generation() -> Generation {
    if !REGISTERED.replace(true) {
        // SAFETY: the callback is a plain function that lives as long as the backend.
        unsafe { pg_sys::CacheRegisterRelcacheCallback(Some(on_invalidation), pg_sys::Datum::from(0)) };
    }
    // SAFETY: may be called at any time inside a transaction; it is cheap when nothing has changed. A prepared
    // statement in a long transaction takes no new lock that would do it.
    unsafe { pg_sys::AcceptInvalidationMessages() };
    if !ARE_KNOWN.get() {
        let markers = Topic::ALL.map(Topic::marker);
        MARKERS.set(markers);
        ARE_KNOWN.set(!markers.contains(&pg_sys::Oid::INVALID));
    }
    GENERATION.get()
}

/// Tells every backend, on commit, that configuration has changed.
pub fn invalidate(topic: Topic) {
    let marker = topic.marker();
    if marker != pg_sys::Oid::INVALID {
        // SAFETY: the relation exists, else its OID would be invalid.
        unsafe { pg_sys::CacheInvalidateRelcacheByRelid(marker) };
    }
}

/// The OID of a relation in the schema `flagscope`, invalid when there is none.
pub fn table(name: &CStr) -> pg_sys::Oid {
    relation(c"flagscope", name)
}

/// The OID of a relation in the schema `_flagscope`, invalid when there is none.
pub fn private_table(name: &CStr) -> pg_sys::Oid {
    relation(c"_flagscope", name)
}

fn relation(schema: &CStr, name: &CStr) -> pg_sys::Oid {
    // SAFETY: look-ups in the system caches with NUL-terminated names.
    unsafe {
        let schema = pg_sys::get_namespace_oid(schema.as_ptr(), true);
        if schema == pg_sys::Oid::INVALID {
            return pg_sys::Oid::INVALID;
        }
        pg_sys::get_relname_relid(name.as_ptr(), schema)
    }
}

/// Called by PostgreSQL for every invalidated relation; an invalid OID stands for all of them.
unsafe extern "C-unwind" fn on_invalidation(_: pg_sys::Datum, relation: pg_sys::Oid) {
    let is_meant = |marker| u64::from(relation == marker || relation == pg_sys::Oid::INVALID);
    let [flags, environments, metrics] = MARKERS.get().map(is_meant);
    if flags + environments + metrics > 0 {
        let was = GENERATION.get();
        GENERATION.set(Generation {
            flags: was.flags + flags,
            environments: was.environments + environments,
            metrics: was.metrics + metrics,
        });
        ARE_KNOWN.set(false);
    }
}

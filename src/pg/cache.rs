//! When a backend's cached configuration is out of date.
//!
//! A change of configuration sends a relcache invalidation for `flagscope.flag_state` (which thereby marks all
//! configuration tables): it reaches every backend at the latest when it next looks, is sent only on commit, and is
//! seen by the changing transaction itself from its next command on. So a cache is never stale after a commit.

use std::cell::Cell;

use pgrx::pg_sys;

thread_local! {
    static GENERATION: Cell<u64> = const { Cell::new(0) };
    static MARKER: Cell<pg_sys::Oid> = const { Cell::new(pg_sys::Oid::INVALID) };
    static REGISTERED: Cell<bool> = const { Cell::new(false) };
}

/// The generation of configuration: a cache made under another one is out of date.
pub fn generation() -> u64 {
    if !REGISTERED.replace(true) {
        // SAFETY: the callback is a plain function that lives as long as the backend.
        unsafe { pg_sys::CacheRegisterRelcacheCallback(Some(on_invalidation), pg_sys::Datum::from(0)) };
    }
    // SAFETY: may be called at any time inside a transaction; it is cheap when nothing has changed. A prepared
    // statement in a long transaction takes no new lock that would do it.
    unsafe { pg_sys::AcceptInvalidationMessages() };
    if MARKER.get() == pg_sys::Oid::INVALID {
        MARKER.set(marker());
    }
    GENERATION.get()
}

/// Tells every backend, on commit, that configuration has changed.
pub fn invalidate() {
    let marker = marker();
    if marker != pg_sys::Oid::INVALID {
        // SAFETY: the relation exists, else its OID would be invalid.
        unsafe { pg_sys::CacheInvalidateRelcacheByRelid(marker) };
    }
}

/// The OID of a table in the schema `flagscope`, invalid when there is none.
pub fn table(name: &std::ffi::CStr) -> pg_sys::Oid {
    // SAFETY: look-ups in the system caches with NUL-terminated names.
    unsafe {
        let schema = pg_sys::get_namespace_oid(c"flagscope".as_ptr(), true);
        if schema == pg_sys::Oid::INVALID {
            return pg_sys::Oid::INVALID;
        }
        pg_sys::get_relname_relid(name.as_ptr(), schema)
    }
}

fn marker() -> pg_sys::Oid {
    table(c"flag_state")
}

/// Called by PostgreSQL for every invalidated relation; an invalid OID stands for all of them.
unsafe extern "C-unwind" fn on_invalidation(_: pg_sys::Datum, relation: pg_sys::Oid) {
    if relation == MARKER.get() || relation == pg_sys::Oid::INVALID {
        GENERATION.set(GENERATION.get() + 1);
        MARKER.set(pg_sys::Oid::INVALID); // DROP and CREATE EXTENSION give it another OID
    }
}

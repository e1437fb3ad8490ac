//! Whether the current statement restores a dump. The rows of a dump were counted and attributed in their original
//! database.

use std::ffi::CStr;

use pgrx::pg_sys;

/// Is the session loading a dump: a superuser with the settings at the beginning of every dump of `pg_dump`? Its rows
/// are stored unchanged. Triggers of configuration tables check the same (`sql/api/restore.sql`).
pub fn is_restoring() -> bool {
    // SAFETY: settings of this process, which has one thread; the path is never NULL once settings are read, and if it
    // were, it would count as not empty.
    unsafe {
        !pg_sys::check_function_bodies
            && !pg_sys::namespace_search_path.is_null()
            && CStr::from_ptr(pg_sys::namespace_search_path).is_empty()
            && pg_sys::superuser()
    }
}

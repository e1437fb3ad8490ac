//! Confines a user's query: it runs with the rights of a role, read only, under a pinned search_path, and without
//! lasting effects.
//!
//! The query itself is a SELECT, but functions that it calls may do anything that its role may. So it runs in a
//! subtransaction that is rolled back once the rows are read: role, settings, notifications, large objects, temporary
//! objects, cursors, locks. The few functions whose effects survive a rollback are refused.

use std::cell::Cell;
use std::ffi::{CStr, CString, c_int, c_void};
use std::panic::AssertUnwindSafe;

use flagscope_core::{Error, Kind, Result};
use pgrx::PgTryBuilder;
use pgrx::pg_sys::panic::{CaughtError, ErrorReport};
use pgrx::prelude::*;

use crate::error::{LONGEST, cut, error_report};

/// The search_path of a query: all other names must be written with their schema.
const SEARCH_PATH: &CStr = c"pg_catalog, pg_temp";

/// PostgreSQL's own functions whose effects survive a rollback: locks of the session (taking and releasing), the seed
/// of random(), non-transactional messages to logical decoding. By name, because OIDs and signatures differ by version.
const LASTING: [&CStr; 9] = [
    c"pg_advisory_lock",
    c"pg_advisory_lock_shared",
    c"pg_try_advisory_lock",
    c"pg_try_advisory_lock_shared",
    c"pg_advisory_unlock",
    c"pg_advisory_unlock_shared",
    c"pg_advisory_unlock_all",
    c"setseed",
    c"pg_logical_emit_message",
];

/// Does some work as a role (`None`: as the caller), confined as described above.
///
/// # Errors
/// What the work says; PostgreSQL's own errors are raised.
pub fn confined<T>(role: Option<&str>, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let _watch = Watch::begin();
    let subtransaction = Subtransaction::begin();
    PgTryBuilder::new(AssertUnwindSafe(|| {
        enter(role)?;
        work()
    }))
    .catch_others(raise)
    .finally(|| subtransaction.roll_back())
    .execute()
}

/// Raises an error again with a message of a readable length: PostgreSQL's messages may repeat the query or its data.
fn raise<T>(error: CaughtError) -> T {
    match error {
        CaughtError::PostgresError(report) if report.message().len() > LONGEST => {
            let message = cut(report.message().to_owned());
            std::panic::panic_any(ErrorReport::new(report.sql_error_code(), message, "flagscope"))
        }
        other => other.rethrow(),
    }
}

/// Switches to the role and its settings; the end of the subtransaction restores everything.
fn enter(role: Option<&str>) -> Result<()> {
    // SAFETY: reads and writes the session's variables; names are NUL-terminated.
    unsafe {
        let (mut was, mut context) = (pg_sys::Oid::INVALID, 0);
        pg_sys::GetUserIdAndSecContext(&raw mut was, &raw mut context);
        let role = role.map_or(Ok(was), named)?;
        let restricted = pg_sys::SECURITY_LOCAL_USERID_CHANGE | pg_sys::SECURITY_RESTRICTED_OPERATION;
        pg_sys::SetUserIdAndSecContext(role, context | restricted as c_int);
        pg_sys::set_config_option(
            c"search_path".as_ptr(),
            SEARCH_PATH.as_ptr(),
            pg_sys::GucContext::PGC_USERSET,
            pg_sys::GucSource::PGC_S_SESSION,
            pg_sys::GucAction::GUC_ACTION_SAVE,
            true,
            0,
            false,
        );
        pg_sys::XactReadOnly = true;
    }
    Ok(())
}

fn named(role: &str) -> Result<pg_sys::Oid> {
    let missing = || Error::new(Kind::Undefined, format!("role \"{role}\", which owns the metric, does not exist"));
    let name = CString::new(role).map_err(|_| missing())?;
    // SAFETY: a look-up in the system caches.
    match unsafe { pg_sys::get_role_oid(name.as_ptr(), true) } {
        pg_sys::Oid::INVALID => Err(missing()),
        oid => Ok(oid),
    }
}

/// A subtransaction that is always rolled back, with its own nesting level of settings.
#[derive(Clone, Copy)]
struct Subtransaction {
    memory: pg_sys::MemoryContext,
    owner: pg_sys::ResourceOwner,
}

impl Subtransaction {
    fn begin() -> Self {
        // SAFETY: inside a transaction. As PL/pgSQL does for a block with an exception clause: the work goes on in the
        // memory context that it was called in.
        unsafe {
            let was = Self { memory: pg_sys::CurrentMemoryContext, owner: pg_sys::CurrentResourceOwner };
            pg_sys::BeginInternalSubTransaction(std::ptr::null());
            pg_sys::MemoryContextSwitchTo(was.memory);
            was
        }
    }

    fn roll_back(self) {
        // SAFETY: ends what `begin` began: the work has ended those of its own, or its error is caught, which is when
        // PostgreSQL wants a subtransaction rolled back.
        unsafe {
            pg_sys::RollbackAndReleaseCurrentSubTransaction();
            pg_sys::MemoryContextSwitchTo(self.memory);
            pg_sys::CurrentResourceOwner = self.owner;
        }
    }
}

thread_local! {
    /// The hook that was installed before ours.
    static NEXT: Cell<pg_sys::object_access_hook_type> = const { Cell::new(None) };
}

/// While it exists, PostgreSQL calls our hook for every function that is about to run, also inside of others.
struct Watch;

impl Watch {
    fn begin() -> Self {
        // SAFETY: a variable of the backend, which has one thread; the hook has the signature PostgreSQL asks for.
        unsafe {
            NEXT.set(pg_sys::object_access_hook);
            pg_sys::object_access_hook = Some(on_access);
        }
        Self
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // SAFETY: as it was found.
        unsafe { pg_sys::object_access_hook = NEXT.take() };
    }
}

/// The hook. It holds nothing that needs dropping, because errors jump over it by longjmp.
unsafe extern "C-unwind" fn on_access(
    access: pg_sys::ObjectAccessType::Type,
    class: pg_sys::Oid,
    object: pg_sys::Oid,
    part: c_int,
    argument: *mut c_void,
) {
    if let Some(next) = NEXT.get() {
        // SAFETY: PostgreSQL's own arguments, handed on unchanged.
        unsafe { next(access, class, object, part, argument) };
    }
    if access == pg_sys::ObjectAccessType::OAT_FUNCTION_EXECUTE && is_lasting(object) {
        refuse();
    }
}

/// Whether a function is one of those with lasting effects. Functions of the same name in other schemas are users' own.
fn is_lasting(function: pg_sys::Oid) -> bool {
    if function.to_u32() >= pg_sys::FirstNormalObjectId {
        return false;
    }
    // SAFETY: a look-up in the system caches; the name is NUL-terminated, in the memory of the call.
    unsafe {
        let name = pg_sys::get_func_name(function);
        !name.is_null() && LASTING.contains(&CStr::from_ptr(name))
    }
}

#[pg_guard]
extern "C-unwind" fn refuse() {
    let message =
        "a metric's query cannot use a function that leaves something behind, such as a lock of the session";
    let hint = "Refused are pg_advisory_lock() and its kin but for pg_advisory_xact_lock(), setseed() and pg_logical_emit_message().";
    std::panic::panic_any(error_report(Error::new(Kind::Unsupported, message).hint(hint)));
}

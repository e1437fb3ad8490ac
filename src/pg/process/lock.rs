//! Heavyweight locks, taken only if they are free: the worker never waits.

use pgrx::prelude::*;

/// The fourth field of an advisory lock's tag tells its origin: 1 and 2 are the SQL functions. 3 is ours, so that no
/// session can take the worker's lock by `pg_advisory_lock`.
const ADVISORY_FLAGSCOPE: u16 = 3;

/// The result of looking for the extension.
pub enum Extension {
    /// There is none in this database.
    Absent,
    /// DROP EXTENSION is running.
    Changing,
    /// It exists, and stays until the end of this transaction.
    Shared,
}

/// Become the only worker of this database until the process ends. False: there already is one.
pub fn claim_database() -> bool {
    // SAFETY: MyDatabaseId is a plain variable, set by the connection.
    let database = unsafe { pg_sys::MyDatabaseId };
    let tag = pg_sys::LOCKTAG {
        locktag_field1: database.to_u32(),
        locktag_field2: 0,
        locktag_field3: 0,
        locktag_field4: ADVISORY_FLAGSCOPE,
        locktag_type: pg_sys::LockTagType::LOCKTAG_ADVISORY as u8,
        locktag_lockmethodid: pg_sys::USER_LOCKMETHOD as u8,
    };
    try_lock(&tag, pg_sys::ExclusiveLock, true)
}

/// Is no statement waiting for exclusive access to our database (DROP, RENAME, SET TABLESPACE, or CREATE DATABASE ..
/// TEMPLATE)?
pub fn database_is_free() -> bool {
    // SAFETY: MyDatabaseId is a plain variable, set by the connection.
    is_free(unsafe { pg_sys::MyDatabaseId })
}

/// The same for any database: could a session connect now? Inside a transaction.
pub fn is_free(database: pg_sys::Oid) -> bool {
    // RowExclusiveLock is what a connecting session takes; those statements hold Share or AccessExclusive.
    let mode = pg_sys::RowExclusiveLock;
    let tag = object_tag(pg_sys::InvalidOid, pg_sys::DatabaseRelationId, database);
    let free = try_lock(&tag, mode, false);
    if free {
        // SAFETY: the lock was taken just above. It is let go at once: only the answer is wanted.
        unsafe { pg_sys::LockRelease(&tag, mode as _, false) };
    }
    free
}

/// Keep the extension until the end of the transaction, unless it is being dropped.
///
/// DROP EXTENSION locks the extension before its tables. A tick takes the same lock first, and only if it is free, so
/// it never waits for a table that is being dropped, and the two cannot deadlock.
pub fn share_extension() -> Extension {
    let Some(extension) = extension() else { return Extension::Absent };
    // SAFETY: MyDatabaseId is a plain variable, set by the connection.
    let tag = object_tag(unsafe { pg_sys::MyDatabaseId }, pg_sys::ExtensionRelationId, extension);
    if !try_lock(&tag, pg_sys::AccessShareLock, false) {
        return Extension::Changing;
    }
    // SAFETY: inside a transaction. Without it a DROP that committed between look and lock could stay unseen.
    unsafe { pg_sys::AcceptInvalidationMessages() };
    if self::extension() == Some(extension) { Extension::Shared } else { Extension::Absent }
}

/// The OID of the extension in this database.
fn extension() -> Option<pg_sys::Oid> {
    // SAFETY: a catalog look-up inside a transaction; the name is a static C string.
    let oid = unsafe { pg_sys::get_extension_oid(c"flagscope".as_ptr(), true) };
    (oid != pg_sys::InvalidOid).then_some(oid)
}

/// The tag of a database object; of a shared object if `database` is invalid.
fn object_tag(database: pg_sys::Oid, class: pg_sys::Oid, object: pg_sys::Oid) -> pg_sys::LOCKTAG {
    pg_sys::LOCKTAG {
        locktag_field1: database.to_u32(),
        locktag_field2: class.to_u32(),
        locktag_field3: object.to_u32(),
        locktag_field4: 0,
        locktag_type: pg_sys::LockTagType::LOCKTAG_OBJECT as u8,
        locktag_lockmethodid: pg_sys::DEFAULT_LOCKMETHOD as u8,
    }
}

/// Take a lock if that needs no wait.
fn try_lock(tag: &pg_sys::LOCKTAG, mode: u32, for_session: bool) -> bool {
    // SAFETY: the tag is well formed; a transaction lock is asked for only inside a transaction.
    let result = unsafe { pg_sys::LockAcquire(tag, mode as _, for_session, true) };
    result != pg_sys::LockAcquireResult::LOCKACQUIRE_NOT_AVAIL
}

//! The list of databases, read by a process that is not connected to any.

use super::lock;
use pgrx::prelude::*;
use std::ptr::null_mut;

/// A database that a worker may connect to.
pub struct Database {
    pub oid: u32,
    /// It is being dropped, copied or renamed.
    pub busy: bool,
}

/// Read pg_database; inside a transaction. Templates, closed and half-dropped databases are left out.
pub fn databases() -> Vec<Database> {
    let mut found = Vec::new();
    // SAFETY: pg_database is a shared catalog that any process may read inside a transaction; each tuple is valid
    // until the next call, and its fixed part has the layout of FormData_pg_database.
    unsafe {
        let relation = pg_sys::table_open(pg_sys::DatabaseRelationId, pg_sys::AccessShareLock as _);
        let scan = pg_sys::systable_beginscan(relation, pg_sys::InvalidOid, false, null_mut(), 0, null_mut());
        loop {
            let tuple = pg_sys::systable_getnext(scan);
            if tuple.is_null() {
                break;
            }
            let row = &*pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_database>();
            if row.datallowconn && !row.datistemplate && row.datconnlimit != pg_sys::DATCONNLIMIT_INVALID_DB {
                found.push(Database { oid: row.oid.to_u32(), busy: !lock::is_free(row.oid) });
            }
        }
        pg_sys::systable_endscan(scan);
        pg_sys::table_close(relation, pg_sys::AccessShareLock as _);
    }
    found
}

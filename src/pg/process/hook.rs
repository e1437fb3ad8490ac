//! Stops workers for the four statements that need a database without sessions, and tells the worker of others.
//!
//! DROP DATABASE, CREATE DATABASE .. TEMPLATE, ALTER DATABASE .. RENAME and .. SET TABLESPACE give up after five
//! seconds if a background worker stays connected. So the workers of that database are stopped first. The launcher
//! restarts them after a second; by then the statement holds its lock, on which new workers wait without being counted
//! as sessions.

use super::peer;
use crate::pg::wake;
use pgrx::pg_sys::NodeTag;
use pgrx::prelude::*;
use std::ffi::{CStr, c_char};
use std::ptr::null;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Longest wait for workers to end; an idle one needs about a millisecond, a tick ends at its next interrupt check.
const PATIENCE: Duration = Duration::from_secs(2);
/// Pause between two checks, in microseconds.
const LOOK: std::ffi::c_long = 1000;

type Utility = unsafe extern "C-unwind" fn(
    *mut pg_sys::PlannedStmt,
    *const c_char,
    bool,
    pg_sys::ProcessUtilityContext::Type,
    pg_sys::ParamListInfo,
    *mut pg_sys::QueryEnvironment,
    *mut pg_sys::DestReceiver,
    *mut pg_sys::QueryCompletion,
);

/// The hook that was installed before ours, or PostgreSQL's own function.
static NEXT: OnceLock<Utility> = OnceLock::new();

// Not pgrx's binding: its guard turns every error of every utility statement into a Rust panic and reports it anew,
// without the error's position, context and constraint name.
unsafe extern "C-unwind" {
    #[link_name = "standard_ProcessUtility"]
    fn standard_process_utility(
        statement: *mut pg_sys::PlannedStmt,
        query: *const c_char,
        read_only: bool,
        context: pg_sys::ProcessUtilityContext::Type,
        params: pg_sys::ParamListInfo,
        environment: *mut pg_sys::QueryEnvironment,
        receiver: *mut pg_sys::DestReceiver,
        completion: *mut pg_sys::QueryCompletion,
    );
}

/// Install the hook, in front of existing ones. Called once, in the postmaster.
pub fn install() {
    // SAFETY: `_PG_init` runs in the only thread; the hook has the signature PostgreSQL asks for.
    unsafe {
        if NEXT.set(pg_sys::ProcessUtility_hook.unwrap_or(standard_process_utility)).is_ok() {
            pg_sys::ProcessUtility_hook = Some(process_utility);
        }
    }
}

/// The hook. It holds nothing that needs dropping, because errors jump over it by longjmp.
unsafe extern "C-unwind" fn process_utility(
    statement: *mut pg_sys::PlannedStmt,
    query: *const c_char,
    read_only: bool,
    context: pg_sys::ProcessUtilityContext::Type,
    params: pg_sys::ParamListInfo,
    environment: *mut pg_sys::QueryEnvironment,
    receiver: *mut pg_sys::DestReceiver,
    completion: *mut pg_sys::QueryCompletion,
) {
    // SAFETY: PostgreSQL hands a valid statement to the hook, and the hook hands all of it on unchanged.
    unsafe {
        match (*(*statement).utilityStmt).type_ {
            NodeTag::T_TransactionStmt | NodeTag::T_DropStmt | NodeTag::T_DropOwnedStmt => {
                note_news((*statement).utilityStmt);
            }
            tag if is_about_databases(tag) => make_way((*statement).utilityStmt),
            _ => {}
        }
        let next = NEXT.get().copied().unwrap_or(standard_process_utility);
        next(statement, query, read_only, context, params, environment, receiver, completion);
    }
}

/// Wakes the worker after a statement of which it would not hear: COMMIT PREPARED, whose transaction may have left
/// something to judge (the server does not tell), and those that may take the extension away.
#[pg_guard]
extern "C-unwind" fn note_news(statement: *mut pg_sys::Node) {
    use pg_sys::ObjectType::{OBJECT_EXTENSION, OBJECT_SCHEMA};
    use pg_sys::TransactionStmtKind::TRANS_STMT_COMMIT_PREPARED;
    // SAFETY: each cast follows the node's tag, see `process_utility`.
    let is_news = unsafe {
        match (*statement).type_ {
            NodeTag::T_TransactionStmt => {
                (*statement.cast::<pg_sys::TransactionStmt>()).kind == TRANS_STMT_COMMIT_PREPARED
            }
            NodeTag::T_DropStmt => {
                let removed = (*statement.cast::<pg_sys::DropStmt>()).removeType;
                removed == OBJECT_EXTENSION || removed == OBJECT_SCHEMA
            }
            _ => true,
        }
    };
    if is_news {
        wake::on_commit();
    }
}

/// The only cost of the hook for other statements.
fn is_about_databases(tag: NodeTag) -> bool {
    matches!(
        tag,
        NodeTag::T_DropdbStmt | NodeTag::T_CreatedbStmt | NodeTag::T_AlterDatabaseStmt | NodeTag::T_RenameStmt
    )
}

/// Stop the workers of the database that the statement needs exclusively, and wait until they have ended.
///
/// They must have ended, not only been signalled: DROP DATABASE .. WITH (FORCE) by an owner who is not a superuser
/// fails when it meets a superuser's process.
#[pg_guard]
extern "C-unwind" fn make_way(statement: *mut pg_sys::Node) {
    // SAFETY: the statement is one of the four kinds, see `process_utility`.
    let (name, creates) = unsafe { (database_name(statement), (*statement).type_ == NodeTag::T_CreatedbStmt) };
    if creates || !name.is_null() {
        // So that the stopped workers are restarted, and a copy of a database with the extension gets one.
        peer::wake_launcher_on_commit();
    }
    // SAFETY: a name of a statement is a C string.
    let Some(database) = (unsafe { owned_database(name) }) else { return };
    let workers = peer::stop_workers(database);
    let begun = Instant::now();
    while workers.iter().any(|pid| peer::is_running(*pid)) && begun.elapsed() < PATIENCE {
        // SAFETY: sleeps.
        unsafe { pg_sys::pg_usleep(LOOK) };
        check_for_interrupts!();
    }
}

/// The database of that name, if the user owns it; otherwise the statement will fail, and no worker needs to stop.
unsafe fn owned_database(name: *const c_char) -> Option<pg_sys::Oid> {
    if name.is_null() {
        return None;
    }
    // SAFETY: a catalog look-up inside the statement's transaction; the caller vouches for the name.
    let database = unsafe { pg_sys::get_database_oid(name, true) };
    (database != pg_sys::InvalidOid && is_owner(database)).then_some(database)
}

/// The database named in the statement; NULL if the statement does not need exclusive access.
unsafe fn database_name(statement: *mut pg_sys::Node) -> *const c_char {
    // SAFETY: each cast follows the node's tag.
    unsafe {
        match (*statement).type_ {
            NodeTag::T_DropdbStmt => (*statement.cast::<pg_sys::DropdbStmt>()).dbname,
            NodeTag::T_CreatedbStmt => option((*statement.cast::<pg_sys::CreatedbStmt>()).options, c"template"),
            NodeTag::T_AlterDatabaseStmt => {
                let alter = &*statement.cast::<pg_sys::AlterDatabaseStmt>();
                let moves = !option(alter.options, c"tablespace").is_null();
                if moves { alter.dbname } else { null() }
            }
            NodeTag::T_RenameStmt => {
                let rename = &*statement.cast::<pg_sys::RenameStmt>();
                let renames = rename.renameType == pg_sys::ObjectType::OBJECT_DATABASE;
                if renames { rename.subname } else { null() }
            }
            _ => null(),
        }
    }
}

/// The text of an option, NULL if it is absent or DEFAULT. CREATE DATABASE without TEMPLATE copies template1, which
/// has no worker because it is a template.
unsafe fn option(options: *mut pg_sys::List, name: &CStr) -> *const c_char {
    // SAFETY: the options of these statements are NIL or a list of DefElem.
    unsafe {
        let cells = options.as_ref().map_or(0, |list| list.length as usize);
        (0..cells)
            .map(|cell| (*(*options).elements.add(cell)).ptr_value.cast::<pg_sys::DefElem>())
            .find(|option| CStr::from_ptr((**option).defname) == name && !(**option).arg.is_null())
            .map_or(null(), |option| pg_sys::defGetString(option))
    }
}

/// Does the current user own the database?
fn is_owner(database: pg_sys::Oid) -> bool {
    // SAFETY: a catalog look-up inside a transaction.
    unsafe {
        let user = pg_sys::GetUserId();
        #[cfg(feature = "pg15")]
        return pg_sys::pg_database_ownercheck(database, user);
        #[cfg(not(feature = "pg15"))]
        return pg_sys::object_ownercheck(pg_sys::DatabaseRelationId, database, user);
    }
}

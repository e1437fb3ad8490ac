//! Finds out which transactions have locked a row, from the row's header; SQL shows only the raw xmax.

use pgrx::pg_sys;

/// The pids of the open transactions that have locked a row against updates; 0 stands for a prepared transaction.
///
/// Empty if the relation is not an ordinary table, or there is no row at the place.
pub fn pids(relation: pg_sys::Oid, place: pg_sys::ItemPointerData) -> Vec<i32> {
    // SAFETY: the relation is opened with a lock and closed; the header is copied while its buffer is pinned.
    let header = unsafe {
        let relation = pg_sys::table_open(relation, pg_sys::AccessShareLock as _);
        let header = header(relation, place);
        pg_sys::table_close(relation, pg_sys::AccessShareLock as _);
        header
    };
    let Some((mask, xmax)) = header else { return Vec::new() };
    // SAFETY: a mask and an xmax that belong together.
    let mut pids: Vec<i32> = unsafe { holders(mask, xmax) }.into_iter().filter_map(pid).collect();
    pids.sort_unstable();
    pids.dedup();
    pids
}

/// The row's infomask and raw xmax.
unsafe fn header(relation: pg_sys::Relation, place: pg_sys::ItemPointerData) -> Option<(u32, pg_sys::TransactionId)> {
    // SAFETY: the caller holds the relation; a block beyond its end is not read; the buffer is released.
    unsafe {
        let block = u32::from(place.ip_blkid.bi_hi) << 16 | u32::from(place.ip_blkid.bi_lo);
        let is_heap = (*(*relation).rd_rel).relkind == pg_sys::RELKIND_RELATION as std::ffi::c_char
            && (*(*relation).rd_rel).relam == pg_sys::HEAP_TABLE_AM_OID;
        if !is_heap || block >= pg_sys::RelationGetNumberOfBlocksInFork(relation, pg_sys::ForkNumber::MAIN_FORKNUM) {
            return None;
        }
        let mut tuple = pg_sys::HeapTupleData { t_self: place, ..Default::default() };
        let mut buffer = pg_sys::InvalidBuffer as pg_sys::Buffer;
        if !pg_sys::heap_fetch(relation, &raw mut pg_sys::SnapshotAnyData, &mut tuple, &mut buffer, false) {
            return None;
        }
        let data = &*tuple.t_data;
        let header = (u32::from(data.t_infomask), data.t_choice.t_heap.t_xmax);
        pg_sys::ReleaseBuffer(buffer);
        Some(header)
    }
}

/// The transactions of an xmax: one, or the members of a multixact, except those with a shared key lock as taken by
/// foreign keys.
unsafe fn holders(mask: u32, xmax: pg_sys::TransactionId) -> Vec<pg_sys::TransactionId> {
    let lock_only = mask & pg_sys::HEAP_XMAX_LOCK_ONLY != 0;
    if mask & pg_sys::HEAP_XMAX_INVALID != 0 {
        return Vec::new();
    }
    if mask & pg_sys::HEAP_XMAX_IS_MULTI == 0 {
        let key_share = lock_only && mask & LOCK_MASK == pg_sys::HEAP_XMAX_KEYSHR_LOCK;
        return if key_share { Vec::new() } else { vec![xmax] };
    }
    if lock_only && mask & LOCK_MASK == 0 {
        return Vec::new(); // from before a pg_upgrade of 9.2: nobody can hold it any more
    }
    let mut members = std::ptr::null_mut();
    // SAFETY: the xmax is a multixact; its members are palloc'ed and copied before anything else runs.
    unsafe {
        let count = pg_sys::GetMultiXactIdMembers(xmax, &mut members, false, lock_only);
        if count <= 0 || members.is_null() {
            return Vec::new();
        }
        std::slice::from_raw_parts(members, count as usize)
            .iter()
            .filter(|member| member.status != pg_sys::MultiXactStatus::MultiXactStatusForKeyShare)
            .map(|member| member.xid)
            .collect()
    }
}

/// The kind of lock; both bits together mean FOR SHARE.
const LOCK_MASK: u32 = pg_sys::HEAP_XMAX_KEYSHR_LOCK | pg_sys::HEAP_XMAX_EXCL_LOCK;

/// The process that runs a transaction; 0 for a prepared one, `None` once it has ended.
fn pid(xid: pg_sys::TransactionId) -> Option<i32> {
    // SAFETY: looks into shared memory; the top of a transaction that is in progress can still be found.
    unsafe {
        if pg_sys::TransactionIdIsCurrentTransactionId(xid) {
            return Some(pg_sys::MyProcPid);
        }
        if !pg_sys::TransactionIdIsInProgress(xid) {
            return None;
        }
        Some(pg_sys::BackendXidGetPid(pg_sys::SubTransGetTopmostTransaction(xid)))
    }
}

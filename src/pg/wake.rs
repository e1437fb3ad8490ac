//! Wakes a database's worker when a transaction commits that left something for the next tick.
//!
//! Each worker has a slot in shared memory with its database, its latch, and a mark that something waits. A committing
//! backend sets the mark, and the latch only if the mark was not set: so a writer at full speed sends one signal a tick
//! and not one a commit. The mark is set when others can see what was committed (PostgreSQL calls the callback after
//! that), and the worker takes it before its tick looks: nothing falls between.

use std::cell::Cell;
use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering};

use pgrx::prelude::*;
use pgrx::{PGRXSharedMemory, PgAtomic, pg_shmem_init};

use super::process;

/// Workers that can be woken, more than any server has databases that take part; a worker without a slot looks on its
/// own, see `claim`. 16 kB of shared memory.
const SLOTS: usize = 1024;

/// A worker that can be woken. Nobody's while `database` is 0, which is no OID.
struct Slot {
    database: AtomicU32,
    pending: AtomicBool,
    latch: AtomicPtr<pg_sys::Latch>,
}

struct Board([Slot; SLOTS]);

// SAFETY: atomics alone, and a pointer into PostgreSQL's own shared memory, which every process has at the same address.
unsafe impl PGRXSharedMemory for Board {}

// SAFETY: no other extension has this name.
static BOARD: PgAtomic<Board> = unsafe { PgAtomic::new(c"flagscope workers") };

thread_local! {
    /// The worker's own slot.
    static OWN: Cell<Option<usize>> = const { Cell::new(None) };
    /// The outermost subtransaction of this transaction that wants the worker woken. Those inside it have larger numbers,
    /// and those that ended before it began have smaller ones: so the least of all says enough when one is rolled back.
    static WANTED: Cell<Option<pg_sys::SubTransactionId>> = const { Cell::new(None) };
    static REGISTERED: Cell<bool> = const { Cell::new(false) };
}

/// Ask for the shared memory; only while `shared_preload_libraries` are loaded.
#[allow(unexpected_cfgs)] // pgrx's macro asks for versions of PostgreSQL that this crate has no feature for.
pub fn reserve() {
    pg_shmem_init!(BOARD = Board([const { Slot::free() }; SLOTS]));
}

impl Slot {
    const fn free() -> Self {
        Self { database: AtomicU32::new(0), pending: AtomicBool::new(false), latch: AtomicPtr::new(null_mut()) }
    }
}

/// The slots in the order in which a database's is looked for: its own place first.
fn slots(database: u32) -> impl Iterator<Item = (usize, &'static Slot)> {
    let board = process::preloaded().then(|| BOARD.get());
    let first = database as usize % SLOTS;
    board.into_iter().flat_map(move |board| (first..SLOTS).chain(0..first).map(|place| (place, &board.0[place])))
}

fn own_database() -> u32 {
    // SAFETY: a plain variable, set by the connection.
    unsafe { pg_sys::MyDatabaseId }.to_u32()
}

/// Take a slot for this process, the only worker of its database, until it ends. False: all are taken.
pub fn claim() -> bool {
    let database = own_database();
    let free = |slot: &Slot| slot.database.compare_exchange(0, database, Ordering::AcqRel, Ordering::Relaxed).is_ok();
    let Some((place, slot)) = slots(database).find(|(_, slot)| free(slot)) else { return false };
    slot.pending.store(false, Ordering::Release);
    // SAFETY: the latch of a process lies in its PGPROC, in shared memory. Who sets it after this process has ended wakes
    // whoever has that PGPROC then, to no harm: PostgreSQL itself expects latches to be set without a reason.
    unsafe {
        slot.latch.store(pg_sys::MyLatch, Ordering::Release);
        pg_sys::before_shmem_exit(Some(release), pg_sys::Datum::from(0));
    }
    OWN.set(Some(place));
    true
}

/// Give the slot back; called by PostgreSQL when the process ends.
unsafe extern "C-unwind" fn release(_code: std::ffi::c_int, _argument: pg_sys::Datum) {
    if let Some(place) = OWN.take() {
        let slot = &BOARD.get().0[place];
        slot.latch.store(null_mut(), Ordering::Release);
        slot.database.store(0, Ordering::Release);
    }
}

/// Was this worker woken since it last asked?
pub fn take() -> bool {
    OWN.get().is_some_and(|place| BOARD.get().0[place].pending.swap(false, Ordering::AcqRel))
}

/// When this transaction commits, and the subtransaction at hand with it, wake the worker of this database.
pub fn on_commit() {
    // What a worker's own tick leaves, the tick knows of.
    if !process::preloaded() || OWN.get().is_some() {
        return;
    }
    // SAFETY: inside a transaction; the callbacks are plain functions that live as long as the backend.
    let current = unsafe {
        if !REGISTERED.replace(true) {
            pg_sys::RegisterXactCallback(Some(at_end), null_mut());
            pg_sys::RegisterSubXactCallback(Some(at_end_of_part), null_mut());
        }
        pg_sys::GetCurrentSubTransactionId()
    };
    WANTED.set(Some(WANTED.get().map_or(current, |wanted| wanted.min(current))));
}

/// At the end of a transaction. Nothing here can fail: an error after the commit would take the server down.
unsafe extern "C-unwind" fn at_end(event: pg_sys::XactEvent::Type, _argument: *mut c_void) {
    use pg_sys::XactEvent::{XACT_EVENT_ABORT, XACT_EVENT_COMMIT, XACT_EVENT_PREPARE};
    match event {
        XACT_EVENT_COMMIT if WANTED.take().is_some() => wake(own_database()),
        // What is prepared is told by COMMIT PREPARED (process/hook.rs), in whatever session that is.
        XACT_EVENT_ABORT | XACT_EVENT_PREPARE => WANTED.set(None),
        _ => {}
    }
}

/// At the end of a subtransaction: what it and those inside it wanted goes with it when it is rolled back.
unsafe extern "C-unwind" fn at_end_of_part(
    event: pg_sys::SubXactEvent::Type,
    own: pg_sys::SubTransactionId,
    _parent: pg_sys::SubTransactionId,
    _argument: *mut c_void,
) {
    if event == pg_sys::SubXactEvent::SUBXACT_EVENT_ABORT_SUB && WANTED.get().is_some_and(|wanted| wanted >= own) {
        WANTED.set(None);
    }
}

fn wake(database: u32) {
    let Some((_, slot)) = slots(database).find(|(_, slot)| slot.database.load(Ordering::Acquire) == database) else {
        return; // no worker: the next one begins with a tick
    };
    if !slot.pending.swap(true, Ordering::AcqRel) {
        let latch = slot.latch.load(Ordering::Acquire);
        if !latch.is_null() {
            // SAFETY: a latch in shared memory, see `claim`.
            unsafe { pg_sys::SetLatch(latch) };
        }
    }
}

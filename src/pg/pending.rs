//! Where the rows lie that a statement leaves to attribution: a row trigger notes them, the statement's trigger, which
//! comes last, takes them. The transition table cannot say it, and the values of a row do not find it again cheaply.

use std::cell::RefCell;

use pgrx::{PgTrigger, pg_sys};

/// Rows and traces noted in one transaction.
#[derive(Default)]
pub struct Pending {
    transaction: u32,
    /// Partitions of the rows without flags.
    pub partitions: Vec<pg_sys::Oid>,
    /// Their places.
    pub places: Vec<pg_sys::ItemPointerData>,
    /// Traces of new flag evaluations.
    pub traces: Vec<pgrx::Uuid>,
    /// The earliest and the latest time of all of them, in microseconds since 2000.
    pub range: Option<(i64, i64)>,
}

thread_local! {
    static PENDING: RefCell<Pending> = RefCell::new(Pending::default());
}

/// Notes the row at hand of an AFTER INSERT row trigger.
pub fn note(trigger: &PgTrigger) {
    let data = trigger.trigger_data();
    // SAFETY: a row trigger has a tuple of its relation; the columns are found by name, and are of the types read.
    unsafe {
        let (relation, tuple) = (data.tg_relation, data.tg_trigtuple);
        let column = |name: &std::ffi::CStr| {
            let number = pg_sys::SPI_fnumber((*relation).rd_att, name.as_ptr());
            let mut is_null = true;
            let datum = pg_sys::heap_getattr(tuple, number, (*relation).rd_att, &mut is_null);
            (!is_null).then_some(datum)
        };
        let ts = column(c"ts").map_or(0, |datum| datum.value() as i64);
        let trace = column(c"flags").and(column(c"trace_id"));
        let trace = trace.and_then(|datum| <pgrx::Uuid as pgrx::FromDatum>::from_datum(datum, false));
        PENDING.with_borrow_mut(|pending| {
            pending.begin(pg_sys::GetTopTransactionId().into_inner());
            pending.range = Some(pending.range.map_or((ts, ts), |(from, to)| (from.min(ts), to.max(ts))));
            match trace {
                Some(trace) => pending.traces.push(trace),
                None => {
                    pending.partitions.push((*relation).rd_id);
                    pending.places.push((*tuple).t_self);
                }
            }
        });
    }
}

/// Takes what was noted in this transaction.
pub fn take() -> Option<Pending> {
    PENDING.with_borrow_mut(|pending| {
        pending.range?;
        // SAFETY: reads a variable of the session.
        pending.begin(unsafe { pg_sys::GetTopTransactionIdIfAny() }.into_inner());
        let taken = std::mem::take(pending);
        taken.range.is_some().then_some(taken)
    })
}

impl Pending {
    /// Forgets what another transaction noted and, failing, never took. What a failed statement of this one left lies
    /// where no row is visible.
    fn begin(&mut self, transaction: u32) {
        if self.transaction != transaction {
            *self = Self { transaction, ..Self::default() };
        }
    }
}

/// Runs `work` with the rights of telemetry's owner, as PostgreSQL's own foreign key triggers do: who may write
/// telemetry need not be able to read it.
pub fn as_owner<T>(work: impl FnOnce() -> T) -> T {
    // SAFETY: an error unwinds to PostgreSQL, whose abort restores the user; the relation is locked while it is open.
    unsafe {
        let (mut user, mut context) = (pg_sys::Oid::INVALID, 0);
        pg_sys::GetUserIdAndSecContext(&mut user, &mut context);
        let oid = super::cache::table(c"telemetry");
        let owner = if oid == pg_sys::Oid::INVALID {
            user
        } else {
            let relation = pgrx::PgRelation::with_lock(oid, pg_sys::AccessShareLock as pg_sys::LOCKMODE);
            (*(*relation.as_ptr()).rd_rel).relowner
        };
        pg_sys::SetUserIdAndSecContext(owner, context | pg_sys::SECURITY_LOCAL_USERID_CHANGE as i32);
        let result = work();
        pg_sys::SetUserIdAndSecContext(user, context);
        result
    }
}

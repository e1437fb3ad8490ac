//! The rows of a statement that need attribution: noted by a row trigger, taken by the statement trigger, which runs
//! last. The transition table does not tell where the rows are, and finding them by their values would be expensive.

use std::cell::RefCell;
use std::collections::HashMap;

use pgrx::{FromDatum, PgTrigger, Uuid, pg_sys};

use super::jsonb::text_at;

/// A row without flags.
#[derive(Debug, Clone, Copy)]
pub struct Noted {
    /// Its partition.
    pub partition: pg_sys::Oid,
    /// Its place there.
    pub place: pg_sys::ItemPointerData,
    /// Its time, in microseconds since 2000.
    pub ts: i64,
    /// Its trace.
    pub trace: Option<Uuid>,
    /// Number of its subject among the texts.
    pub subject: Option<u32>,
    /// Number of its environment, as it was written, among the texts.
    pub environment: Option<u32>,
}

/// Rows and traces noted of one statement.
#[derive(Default)]
pub struct Pending {
    /// Transaction and subtransaction. The ids of a failed one are never current again, so its notes are never taken;
    /// its rows are gone, and others may be at their places.
    within: (u32, u32),
    /// Rows without flags.
    pub rows: Vec<Noted>,
    /// Traces of new flag evaluations, with the times of the evaluations.
    pub traces: Vec<(i64, Uuid)>,
    /// Subjects and environments, each once, because rows share them.
    pub texts: Vec<String>,
    numbers: HashMap<String, u32>,
}

/// The columns that are noted, in the order of [`Positions`].
const NAMES: [&std::ffi::CStr; 5] = [c"ts", c"flags", c"trace_id", c"subject", c"environment"];

/// A relation, its number of columns (which grows whenever a column moves), and the positions of [`NAMES`] in it.
type Positions = (pg_sys::Oid, i32, [usize; NAMES.len()]);

thread_local! {
    /// Notes of the running statement, after those of statements in whose triggers it runs.
    static PENDING: RefCell<Vec<Pending>> = const { RefCell::new(Vec::new()) };
    /// The relations at hand: a batch writes to one or two.
    static POSITIONS: RefCell<Option<Positions>> = const { RefCell::new(None) };
}

/// Notes the current row of an AFTER INSERT row trigger; returns how many are noted.
pub fn note(trigger: &PgTrigger) -> usize {
    let data = trigger.trigger_data();
    // SAFETY: a row trigger has a tuple of its relation, and the arrays have room for its columns; these are found by
    // name, and are of the types read.
    unsafe {
        let (relation, tuple) = (data.tg_relation, data.tg_trigtuple);
        let descriptor = (*relation).rd_att;
        let columns = (*descriptor).natts as usize;
        let (mut values, mut nulls) = (vec![pg_sys::Datum::from(0); columns], vec![true; columns]);
        pg_sys::heap_deform_tuple(tuple, descriptor, values.as_mut_ptr(), nulls.as_mut_ptr());
        let [ts, flags, trace, subject, environment] = positions(relation);
        let (ts, trace) = (values[ts].value() as i64, Uuid::from_datum(values[trace], nulls[trace]));
        PENDING.with_borrow_mut(|statements| {
            let pending = of_statement(statements);
            if let Some(trace) = trace.filter(|_| !nulls[flags]) {
                pending.traces.push((ts, trace));
            } else {
                let subject = pending.number(text_at(values[subject], nulls[subject]));
                let environment = pending.number(text_at(values[environment], nulls[environment]));
                let (partition, place) = ((*relation).rd_id, (*tuple).t_self);
                pending.rows.push(Noted { partition, place, ts, trace, subject, environment });
            }
            pending.rows.len() + pending.traces.len()
        })
    }
}

/// # Safety
/// The relation is a telemetry table, open.
unsafe fn positions(relation: pg_sys::Relation) -> [usize; NAMES.len()] {
    // SAFETY: as the caller promises; telemetry has these columns, and numbers of columns begin at 1.
    unsafe {
        let (oid, descriptor) = ((*relation).rd_id, (*relation).rd_att);
        let known = POSITIONS.with_borrow(|p| p.filter(|p| (p.0, p.1) == (oid, (*descriptor).natts)));
        let (.., found) = known.unwrap_or_else(|| {
            let found = NAMES.map(|name| (pg_sys::SPI_fnumber(descriptor, name.as_ptr()) - 1) as usize);
            (oid, (*descriptor).natts, found)
        });
        if known.is_none() {
            POSITIONS.set(Some((oid, (*descriptor).natts, found)));
        }
        found
    }
}

/// The notes of the running statement. Those of other transactions, and of statements that began later, are obsolete.
fn of_statement(statements: &mut Vec<Pending>) -> &mut Pending {
    // SAFETY: both read variables of the session; a row was inserted, so there is a transaction with a number.
    let within = unsafe { (pg_sys::GetTopTransactionId().into_inner(), pg_sys::GetCurrentSubTransactionId()) };
    statements.retain(|s| s.within.0 == within.0 && s.within.1 <= within.1);
    if statements.last().is_none_or(|s| s.within != within) {
        statements.push(Pending { within, ..Pending::default() });
    }
    let last = statements.len() - 1;
    &mut statements[last]
}

/// Takes the notes of the running statement.
pub fn take() -> Option<Pending> {
    PENDING.with_borrow_mut(|statements| {
        if statements.is_empty() {
            return None;
        }
        let taken = std::mem::take(of_statement(statements));
        statements.pop();
        (!taken.rows.is_empty() || !taken.traces.is_empty()).then_some(taken)
    })
}

impl Pending {
    /// The text by its number.
    pub fn text(&self, number: u32) -> &str {
        &self.texts[number as usize]
    }

    fn number(&mut self, text: Option<&str>) -> Option<u32> {
        let text = text?;
        Some(self.numbers.get(text).copied().unwrap_or_else(|| {
            let next = self.texts.len() as u32;
            self.texts.push(text.to_owned());
            self.numbers.insert(text.to_owned(), next);
            next
        }))
    }
}

/// Runs `work` with the rights of telemetry's owner, like PostgreSQL's own foreign key triggers: a role that may write
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

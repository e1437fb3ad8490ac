//! The old rows of an UPDATE statement, in the order of the new ones: PostgreSQL writes both transition tables row by row.

use pgrx::{PgTrigger, pg_sys};

use super::jsonb::Jsonb;

/// The flags of updated rows before the update.
pub struct Before {
    store: *mut pg_sys::Tuplestorestate,
    slot: *mut pg_sys::TupleTableSlot,
    flags: i32,
    /// Rows are fetched into this slot, which outlives the caller's memory: rows of a store that has spilled to disk
    /// are copies, freed by the next fetch.
    memory: pg_sys::MemoryContext,
}

impl Before {
    /// The old rows; `None` for a statement that has none.
    pub fn of(trigger: &PgTrigger) -> Option<Self> {
        let data = trigger.trigger_data();
        if data.tg_oldtable.is_null() {
            return None;
        }
        // SAFETY: inside an AFTER STATEMENT trigger tg_oldtable is a tuplestore of the relation's rows, and both live
        // until the trigger returns.
        unsafe {
            let descriptor = (*data.tg_relation).rd_att;
            let flags = pg_sys::SPI_fnumber(descriptor, c"flags".as_ptr());
            let slot = pg_sys::MakeSingleTupleTableSlot(descriptor, &raw const pg_sys::TTSOpsMinimalTuple);
            pg_sys::tuplestore_select_read_pointer(data.tg_oldtable, 0);
            pg_sys::tuplestore_rescan(data.tg_oldtable);
            Some(Self { store: data.tg_oldtable, slot, flags, memory: pg_sys::CurrentMemoryContext })
        }
    }

    /// The flags of the next row.
    pub fn next(&mut self) -> Option<Jsonb<'_>> {
        // SAFETY: the column is a jsonb; what is given back is used before the next row is fetched, as the borrow says.
        unsafe {
            if self.flags <= 0 {
                return None;
            }
            let previous = pg_sys::MemoryContextSwitchTo(self.memory);
            let found = pg_sys::tuplestore_gettupleslot(self.store, true, false, self.slot);
            pg_sys::MemoryContextSwitchTo(previous);
            if !found {
                return None;
            }
            pg_sys::slot_getsomeattrs_int(self.slot, self.flags);
            let at = self.flags as usize - 1;
            let is_null = *(*self.slot).tts_isnull.add(at);
            (!is_null).then(|| Jsonb::new(*(*self.slot).tts_values.add(at)))
        }
    }
}

impl Drop for Before {
    fn drop(&mut self) {
        // SAFETY: made by `of`, dropped once.
        unsafe { pg_sys::ExecDropSingleTupleTableSlot(self.slot) };
    }
}

//! The transition table of a statement trigger, read directly from its tuplestore: without a plan or copies of rows.

use pgrx::{PgMemoryContexts, PgTrigger, pg_sys};

use super::row::{Columns, SignalLabels, TelemetryRow};

/// Rows between two resets of the memory used by detoasted values.
const ROWS_PER_RESET: u32 = 256;

/// Calls `fold` for every inserted row, with its time (microseconds since 2000) and itself. Rows of an unknown signal
/// or without a time cannot be in the table.
pub fn for_each_row(trigger: &PgTrigger, labels: &SignalLabels, mut fold: impl FnMut(i64, &TelemetryRow)) {
    let data = trigger.trigger_data();
    if data.tg_newtable.is_null() {
        return;
    }
    let mut memory = PgMemoryContexts::new("flagscope fold");
    // SAFETY: inside an AFTER STATEMENT trigger tg_newtable is a tuplestore of the relation's rows; the slot is
    // dropped before the tuplestore is. Values of a row are used only until the next row is fetched.
    unsafe {
        let descriptor = (*data.tg_relation).rd_att;
        let Some(columns) = Columns::find(descriptor) else { return };
        let slot = pg_sys::MakeSingleTupleTableSlot(descriptor, &raw const pg_sys::TTSOpsMinimalTuple);
        pg_sys::tuplestore_select_read_pointer(data.tg_newtable, 0);
        pg_sys::tuplestore_rescan(data.tg_newtable);
        let mut rows = 0_u32;
        while pg_sys::tuplestore_gettupleslot(data.tg_newtable, true, false, slot) {
            let previous = pg_sys::MemoryContextSwitchTo(memory.value());
            if let Some((ts, row)) = read(slot, columns, labels) {
                fold(ts, &row);
            }
            pg_sys::MemoryContextSwitchTo(previous);
            rows += 1;
            if rows.is_multiple_of(ROWS_PER_RESET) {
                memory.reset();
            }
        }
        pg_sys::ExecDropSingleTupleTableSlot(slot);
    }
}

unsafe fn read<'t>(
    slot: *mut pg_sys::TupleTableSlot,
    columns: Columns,
    labels: &SignalLabels,
) -> Option<(i64, TelemetryRow<'t>)> {
    // SAFETY: once all attributes are deformed, both arrays hold tts_nvalid entries until the slot is cleared.
    let (values, nulls) = unsafe {
        let attributes = (*(*slot).tts_tupleDescriptor).natts;
        pg_sys::slot_getsomeattrs_int(slot, attributes);
        let n = attributes as usize;
        (std::slice::from_raw_parts((*slot).tts_values, n), std::slice::from_raw_parts((*slot).tts_isnull, n))
    };
    TelemetryRow::new(values, nulls, columns, labels)
}

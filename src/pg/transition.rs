//! The transition table of a statement trigger, read straight from its tuplestore: no plan, no copy of rows.

use flagscope_core::telemetry::{Row, Scalar, Signal};
use pgrx::{PgMemoryContexts, PgTrigger, pg_sys};

use super::jsonb::{Jsonb, plain_at, text_at};

/// Rows between two resets of the memory that detoasted values take.
const ROWS_PER_RESET: u32 = 256;

/// The columns of telemetry that the fold reads, in the order of [`Columns`].
const NAMES: [&str; 11] = [
    "ts",
    "signal",
    "name",
    "value",
    "flags",
    "environment",
    "service",
    "severity",
    "is_error",
    "attributes",
    "subject",
];

/// Zero-based positions of [`NAMES`] in the tuple.
#[derive(Debug, Clone, Copy)]
struct Columns([usize; NAMES.len()]);

/// The labels of the enum `signal` by their OIDs.
pub type SignalLabels = [(pg_sys::Oid, Signal)];

/// One row of the transition table.
pub struct TransitionRow<'t> {
    values: &'t [pg_sys::Datum],
    nulls: &'t [bool],
    columns: Columns,
    signal: Signal,
}

/// Calls `fold` for every inserted row, with its time (microseconds since 2000) and itself. Rows of an unknown signal
/// or without a time cannot be in the table.
pub fn for_each_row(trigger: &PgTrigger, labels: &SignalLabels, mut fold: impl FnMut(i64, &TransitionRow)) {
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
            if let Some((ts, row)) = TransitionRow::read(slot, columns, labels) {
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

impl Columns {
    /// Finds the columns by name: a partition may have them in another order than its parent.
    unsafe fn find(descriptor: pg_sys::TupleDesc) -> Option<Self> {
        let mut found = [usize::MAX; NAMES.len()];
        // SAFETY: the descriptor belongs to an open relation and outlives this borrow.
        let attributes = unsafe { pgrx::PgTupleDesc::from_pg_unchecked(descriptor) };
        for (i, attribute) in attributes.iter().enumerate() {
            if let Some(wanted) = NAMES.iter().position(|n| *n == attribute.name()) {
                found[wanted] = i;
            }
        }
        found.iter().all(|i| *i != usize::MAX).then_some(Self(found))
    }
}

impl<'t> TransitionRow<'t> {
    unsafe fn read(
        slot: *mut pg_sys::TupleTableSlot,
        columns: Columns,
        labels: &SignalLabels,
    ) -> Option<(i64, Self)> {
        // SAFETY: once all attributes are deformed, both arrays hold tts_nvalid entries until the slot is cleared.
        let (values, nulls) = unsafe {
            let attributes = (*(*slot).tts_tupleDescriptor).natts;
            pg_sys::slot_getsomeattrs_int(slot, attributes);
            let n = attributes as usize;
            (std::slice::from_raw_parts((*slot).tts_values, n), std::slice::from_raw_parts((*slot).tts_isnull, n))
        };
        let [ts, signal, ..] = columns.0;
        if nulls[ts] || nulls[signal] {
            return None;
        }
        // An enum is its label's OID.
        let label = pg_sys::Oid::from_u32(values[signal].value() as u32);
        let signal = labels.iter().find(|(oid, _)| *oid == label)?.1;
        Some((values[ts].value() as i64, Self { values, nulls, columns, signal }))
    }

    fn text(&self, column: usize) -> Option<&str> {
        let i = self.columns.0[column];
        // SAFETY: the column is a text; the row outlives the borrow.
        unsafe { text_at(self.values[i], self.nulls[i]) }
    }

    fn jsonb(&self, column: usize) -> Option<Jsonb<'_>> {
        let i = self.columns.0[column];
        // SAFETY: the column is a jsonb; the row outlives the borrow.
        (!self.nulls[i]).then(|| unsafe { Jsonb::new(self.values[i]) })
    }

    /// The row's flags.
    pub fn flags(&self) -> Option<Jsonb<'_>> {
        self.jsonb(4)
    }

    /// The row's environment, as it was written.
    pub fn environment(&self) -> Option<&str> {
        self.text(5)
    }

    /// The user, device or account that the row is about.
    pub fn subject(&self) -> Option<&str> {
        self.text(10)
    }
}

impl Row for TransitionRow<'_> {
    fn signal(&self) -> Signal {
        self.signal
    }

    fn name(&self) -> &str {
        self.text(2).unwrap_or_default()
    }

    fn value(&self) -> Option<f64> {
        let i = self.columns.0[3];
        // SAFETY: the column is a float8.
        unsafe { plain_at(self.values[i], self.nulls[i]) }
    }

    fn service(&self) -> Option<&str> {
        self.text(6)
    }

    fn severity(&self) -> Option<i16> {
        let i = self.columns.0[7];
        // SAFETY: the column is a smallint.
        unsafe { plain_at(self.values[i], self.nulls[i]) }
    }

    fn is_error(&self) -> Option<bool> {
        let i = self.columns.0[8];
        // SAFETY: the column is a boolean.
        unsafe { plain_at(self.values[i], self.nulls[i]) }
    }

    fn has_attribute(&self, key: &str, value: &Scalar) -> bool {
        self.jsonb(9).is_some_and(|attributes| attributes.has(key, value))
    }
}

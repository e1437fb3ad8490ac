//! Reading a frozen chunk: segment by segment, those that may have what is asked for, and then the rows that came late.

use std::collections::HashMap;

use flagscope_core::frozen::{Column, Data, File, Value};
use flagscope_core::{Error, Kind, Result};
use pgrx::{PgMemoryContexts, check_for_interrupts, pg_guard, pg_sys};

use super::convert::{self, EPOCH, Field};
use super::freeze::raise;
use super::inline::{clear, evaluate, nodes, numbers};
use super::memory::Memory;
use super::modify::late_table;
use super::plan::Test;
use super::store::{Options, Stored, Table, damaged, private_table};

/// The place of `ts` in a segment.
const TS: usize = 0;

/// What a query's conditions leave, as far as they skip segments.
#[derive(Debug, Default)]
struct Wanted {
    /// From and to, both included, in microseconds since 1970.
    since: i64,
    until: i64,
    /// Each list is one condition.
    traces: Vec<Vec<Vec<u8>>>,
    subjects: Vec<Vec<Vec<u8>>>,
    /// A condition compares with NULL.
    nothing: bool,
}

/// A segment that is being read.
struct Reading {
    number: i32,
    /// Its rows that are left, the last one first.
    rows: Vec<usize>,
    /// The columns that are needed, in the order of the scan's fields.
    columns: Vec<Option<Data>>,
    /// Values that are dear to make, by where their text lies: a dictionary's text is one for all rows.
    made: HashMap<*const u8, pg_sys::Datum>,
}

struct Scan {
    options: Options,
    snapshot: pg_sys::Snapshot,
    is_own_snapshot: bool,
    segments: Option<Table>,
    late: Option<Table>,
    late_fields: Vec<Field>,
    /// The columns that the query needs.
    fields: Vec<Field>,
    /// Conditions, each with what it compares with.
    tests: Vec<(Test, *mut pg_sys::ExprState)>,
    wanted: Option<Wanted>,
    reading: Option<Reading>,
    is_late: bool,
    /// For values of the segment at hand.
    memory: Memory,
    seen: i64,
    opened: i64,
}

/// Opens the tables.
#[pg_guard]
pub unsafe extern "C-unwind" fn begin(node: *mut pg_sys::ForeignScanState, flags: std::ffi::c_int) {
    if flags & pg_sys::EXEC_FLAG_EXPLAIN_ONLY as i32 != 0 {
        return;
    }
    // SAFETY: PostgreSQL hands over a node of a plan of ours; the state ends with the query's memory.
    unsafe {
        let relation = (*node).ss.ss_currentRelation;
        let options = Options::of((*relation).rd_id);
        let plan = (*node).ss.ps.plan.cast::<pg_sys::ForeignScan>();
        let states = pg_sys::ExecInitExprList((*plan).fdw_exprs, node.cast());
        let numbers: Vec<i32> = numbers((*plan).fdw_private).collect();
        let (tests, columns) = numbers.split_at(numbers.iter().position(|number| *number == -1).unwrap_or(0));
        let tests = tests.iter().filter_map(|test| Test::ALL.get(*test as usize).copied());
        // -1 itself is among the columns, and means no column of its own: a system column, as all below 0.
        let whole_row = columns.contains(&0);
        let (mut fields, _) = convert::fields((*relation).rd_att).unwrap_or_else(|error| raise(error));
        fields.retain(|field| whole_row || columns[1..].contains(&(field.attribute as i32 + 1)));
        // A query in parallel mode cannot take a snapshot of its own.
        let is_own_snapshot = !pg_sys::IsInParallelMode();
        let snapshot = if is_own_snapshot {
            pg_sys::RegisterSnapshot(pg_sys::GetLatestSnapshot())
        } else {
            (*(*node).ss.ps.state).es_snapshot
        };
        let segments = private_table(&options.segments).unwrap_or_else(|error| raise(error));
        let late = Table::open(late_table(), snapshot);
        let (late_fields, _) = convert::fields(late.descriptor()).unwrap_or_else(|error| raise(error));
        let scan = Scan {
            segments: Some(Table::open(segments, snapshot)),
            late: Some(late),
            options,
            snapshot,
            is_own_snapshot,
            late_fields,
            fields,
            tests: tests.zip(nodes(states)).collect(),
            wanted: None,
            reading: None,
            is_late: false,
            memory: Memory::under((*(*node).ss.ps.state).es_query_cxt),
            seen: 0,
            opened: 0,
        };
        let mut memory = PgMemoryContexts::For((*(*node).ss.ps.state).es_query_cxt);
        (*node).fdw_state = memory.leak_and_drop_on_delete(scan).cast();
    }
}

/// The next row.
#[pg_guard]
pub unsafe extern "C-unwind" fn iterate(node: *mut pg_sys::ForeignScanState) -> *mut pg_sys::TupleTableSlot {
    // SAFETY: the node's state is ours; values lie in memory that lasts until the next row is asked for.
    unsafe {
        let scan = &mut *(*node).fdw_state.cast::<Scan>();
        let slot = (*node).ss.ss_ScanTupleSlot;
        clear(slot);
        if scan.wanted.is_none() {
            scan.wanted = Some(wanted(&scan.tests, (*node).ss.ps.ps_ExprContext));
        }
        if scan.fill(slot).unwrap_or_else(|error| raise(error)) {
            pg_sys::ExecStoreVirtualTuple(slot);
        }
        slot
    }
}

/// Begins again, perhaps with other values to compare with.
#[pg_guard]
pub unsafe extern "C-unwind" fn again(node: *mut pg_sys::ForeignScanState) {
    // SAFETY: the node's state is ours.
    unsafe {
        let scan = &mut *(*node).fdw_state.cast::<Scan>();
        (scan.wanted, scan.reading, scan.is_late) = (None, None, false);
        scan.segments.iter_mut().chain(&mut scan.late).for_each(Table::rewind);
    }
}

/// Gives the tables back.
#[pg_guard]
pub unsafe extern "C-unwind" fn end(node: *mut pg_sys::ForeignScanState) {
    // SAFETY: the node's state is ours, if it began.
    unsafe {
        let Some(scan) = (*node).fdw_state.cast::<Scan>().as_mut() else { return };
        scan.reading = None;
        scan.segments.take().into_iter().chain(scan.late.take()).for_each(Table::close);
        if std::mem::take(&mut scan.is_own_snapshot) {
            pg_sys::UnregisterSnapshot(scan.snapshot);
        }
    }
}

/// EXPLAIN (ANALYZE): how many segments there were, and how many were opened.
#[pg_guard]
pub unsafe extern "C-unwind" fn explain(node: *mut pg_sys::ForeignScanState, to: *mut pg_sys::ExplainState) {
    // SAFETY: the node's state is ours, if it began; labels are C strings.
    unsafe {
        let Some(scan) = (*node).fdw_state.cast::<Scan>().as_ref() else { return };
        if (*to).analyze {
            pg_sys::ExplainPropertyInteger(c"Segments".as_ptr(), std::ptr::null(), scan.seen, to);
            pg_sys::ExplainPropertyInteger(c"Segments Read".as_ptr(), std::ptr::null(), scan.opened, to);
        }
    }
}

/// Computes what the conditions compare with.
///
/// # Safety
/// States of the node whose context it is.
unsafe fn wanted(tests: &[(Test, *mut pg_sys::ExprState)], context: *mut pg_sys::ExprContext) -> Wanted {
    let mut wanted = Wanted { since: i64::MIN, until: i64::MAX, ..Wanted::default() };
    for (test, state) in tests {
        // SAFETY: as the caller promises; results lie in the current memory and are copied at once.
        let Some(datum) = (unsafe { evaluate(*state, context) }) else {
            wanted.nothing = true;
            continue;
        };
        let at = (datum.value() as i64).saturating_add(EPOCH);
        // SAFETY: values of the types that the test's operator takes.
        unsafe {
            match test {
                Test::At => wanted.narrow(at, at),
                Test::From => wanted.narrow(at, i64::MAX),
                Test::To => wanted.narrow(i64::MIN, at),
                Test::After => wanted.narrow(at.saturating_add(1), i64::MAX),
                Test::Before => wanted.narrow(i64::MIN, at.saturating_sub(1)),
                Test::Trace => wanted.traces.push(vec![(*datum.cast_mut_ptr::<[u8; 16]>()).to_vec()]),
                Test::Subject => wanted.subjects.push(vec![convert::bytes(datum)]),
                Test::Traces => {
                    let traces = elements(datum, pg_sys::UUIDOID);
                    wanted.traces.push(traces.map(|trace| (*trace.cast_mut_ptr::<[u8; 16]>()).to_vec()).collect());
                }
                Test::Subjects => {
                    wanted.subjects.push(elements(datum, pg_sys::TEXTOID).map(|text| convert::bytes(text)).collect());
                }
            }
        }
    }
    wanted
}

/// The elements of an array that are not NULL.
///
/// # Safety
/// An array of this type.
unsafe fn elements(array: pg_sys::Datum, of: pg_sys::Oid) -> impl Iterator<Item = pg_sys::Datum> {
    let (mut values, mut nulls, mut n) = (std::ptr::null_mut(), std::ptr::null_mut(), 0);
    let (mut length, mut by_value, mut align) = (0_i16, false, 0);
    // SAFETY: as the caller promises; what is made lies in the current memory.
    unsafe {
        pg_sys::get_typlenbyvalalign(of, &raw mut length, &raw mut by_value, &raw mut align);
        let array = pg_sys::pg_detoast_datum(array.cast_mut_ptr()).cast();
        let (values, nulls) = (&raw mut values, &raw mut nulls);
        pg_sys::deconstruct_array(array, of, i32::from(length), by_value, align, values, nulls, &raw mut n);
    }
    // SAFETY: so many values and marks were made.
    (0..usize::try_from(n).unwrap_or(0)).filter_map(move |at| unsafe { (!*nulls.add(at)).then(|| *values.add(at)) })
}

impl Wanted {
    fn narrow(&mut self, since: i64, until: i64) {
        (self.since, self.until) = (self.since.max(since), self.until.min(until));
    }

    fn may_be_in(&self, segment: &Stored) -> bool {
        let head = segment.head();
        let traces = |traces: &Vec<Vec<u8>>| traces.iter().any(|trace| head.may_have_trace(trace));
        let subjects = |subjects: &Vec<Vec<u8>>| subjects.iter().any(|subject| head.may_have_subject(subject));
        !self.nothing
            && head.may_have_time(self.since, self.until)
            && self.traces.iter().all(traces)
            && self.subjects.iter().all(subjects)
    }

    /// Rows of a segment that may be wanted, the last one first.
    fn rows(&self, file: &File) -> Result<Vec<usize>> {
        let mut rows: Vec<usize> = (0..file.rows()).rev().collect();
        if self.since > i64::MIN || self.until < i64::MAX {
            let Some(times) = file.column(TS)? else { return Ok(rows) };
            rows.retain(|row| times.long(*row).is_some_and(|at| self.since <= at && at <= self.until));
        }
        for (name, lists) in [("trace_id", &self.traces), ("subject", &self.subjects)] {
            if lists.is_empty() || rows.is_empty() {
                continue;
            }
            let Some(column) = Column::place(name).map_or(Ok(None), |place| file.column(place))? else { continue };
            for list in lists {
                rows.retain(|row| column.bytes(*row).is_some_and(|value| list.iter().any(|known| known == value)));
            }
        }
        Ok(rows)
    }
}

impl Scan {
    /// Fills the slot with the next row; false: there is none.
    ///
    /// # Safety
    /// The slot is empty and has the relation's columns.
    unsafe fn fill(&mut self, slot: *mut pg_sys::TupleTableSlot) -> Result<bool> {
        // SAFETY: as the caller promises.
        unsafe {
            while !self.is_late {
                if let Some(row) = self.reading.as_mut().and_then(|reading| reading.rows.pop()) {
                    return self.fill_frozen(row, slot).map(|()| true);
                }
                check_for_interrupts!();
                self.reading = None;
                self.memory.reset();
                self.is_late = !self.open_next()?;
            }
            Ok(self.fill_late(slot))
        }
    }

    /// Opens the next segment that may have what is wanted; false: there is none.
    fn open_next(&mut self) -> Result<bool> {
        let (Some(segments), Some(wanted)) = (&mut self.segments, &self.wanted) else { return Ok(false) };
        let name = &self.options.segments;
        while let Some((values, nulls, _)) = segments.next_row() {
            self.seen += 1;
            // SAFETY: a row of a table of segments, whose file is read while it is the current one.
            let Some(stored) = (unsafe { Stored::of(values, nulls) }) else {
                let problem = Error::new(Kind::Corrupted, "it has other columns");
                return Err(damaged(name, None, &problem));
            };
            let broken = |problem: Error| damaged(name, Some(stored.number), &problem);
            stored.head().check().map_err(broken)?;
            if !wanted.may_be_in(&stored) {
                continue;
            }
            self.opened += 1;
            let file = stored.open().map_err(broken)?;
            let rows = wanted.rows(&file).map_err(broken)?;
            if rows.is_empty() {
                continue;
            }
            let columns = self.fields.iter().map(|field| file.column(field.column));
            let columns = columns.collect::<Result<Vec<_>>>().map_err(broken)?;
            self.reading = Some(Reading { number: stored.number, rows, columns, made: HashMap::new() });
            return Ok(true);
        }
        Ok(false)
    }

    /// # Safety
    /// As `fill`.
    unsafe fn fill_frozen(&mut self, row: usize, slot: *mut pg_sys::TupleTableSlot) -> Result<()> {
        let Some(reading) = &mut self.reading else { return Ok(()) };
        // SAFETY: as the caller promises; there is room for every column.
        unsafe {
            let slot = &mut *slot;
            let n = (*slot.tts_tupleDescriptor).natts as usize;
            let values = std::slice::from_raw_parts_mut(slot.tts_values, n);
            let nulls = std::slice::from_raw_parts_mut(slot.tts_isnull, n);
            nulls.fill(true);
            for (field, column) in self.fields.iter_mut().zip(&reading.columns) {
                let Some(value) = column.as_ref().and_then(|column| column.get(row)) else { continue };
                let datum = match value {
                    Value::Bytes(text) if field.is_dear() => match reading.made.get(&text.as_ptr()) {
                        Some(datum) => *datum,
                        None => {
                            let datum = self.memory.inside(|| field.write(value))?;
                            reading.made.insert(text.as_ptr(), datum);
                            datum
                        }
                    },
                    value => field.write(value)?,
                };
                (values[field.attribute], nulls[field.attribute]) = (datum, false);
            }
            pgrx::itemptr::item_pointer_set_all(&mut slot.tts_tid, reading.number as u32, row as u16 + 1);
        }
        Ok(())
    }

    /// A row that came late, of this chunk's times; false: there are no more.
    ///
    /// # Safety
    /// As `fill`.
    unsafe fn fill_late(&mut self, slot: *mut pg_sys::TupleTableSlot) -> bool {
        let Some(late) = &mut self.late else { return false };
        let ts = self.late_fields.iter().find(|field| field.column == TS).map_or(0, |field| field.attribute);
        while let Some((stored, missing, place)) = late.next_row() {
            let at = (stored[ts].value() as i64).wrapping_add(EPOCH);
            if at < self.options.lower || at >= self.options.upper {
                continue;
            }
            // SAFETY: as the caller promises; values point into the page, which is held until the next row is read.
            unsafe {
                let slot = &mut *slot;
                let n = (*slot.tts_tupleDescriptor).natts as usize;
                let values = std::slice::from_raw_parts_mut(slot.tts_values, n);
                let nulls = std::slice::from_raw_parts_mut(slot.tts_isnull, n);
                nulls.fill(true);
                for field in &self.fields {
                    let Some(from) = self.late_fields.iter().find(|from| from.column == field.column) else {
                        continue;
                    };
                    values[field.attribute] = stored[from.attribute];
                    nulls[field.attribute] = missing[from.attribute];
                }
                // Apart from the numbers of segments.
                let (block, offset) = pgrx::itemptr::item_pointer_get_both(place);
                pgrx::itemptr::item_pointer_set_all(&mut slot.tts_tid, block | 0x8000_0000, offset);
            }
            return true;
        }
        false
    }
}

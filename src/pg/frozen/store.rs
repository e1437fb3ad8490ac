//! The table of a chunk's segments, and rows that arrived after the chunk was frozen, read as they are stored.

use std::ffi::{CStr, CString};

use flagscope_core::frozen::{File, Head};
use flagscope_core::{Error, Kind, Result};
use pgrx::pg_sys;

use super::convert::{self, EPOCH};
use super::inline::nodes;

/// What a frozen chunk's foreign table says of itself.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Name of the table of its segments, in `_flagscope`.
    pub segments: String,
    /// How many rows were frozen.
    pub rows: i64,
    /// Its first time, and the first one after it, in microseconds since 1970.
    pub lower: i64,
    /// As `lower`.
    pub upper: i64,
}

impl Options {
    /// The options of a foreign table.
    pub fn of(table: pg_sys::Oid) -> Self {
        let mut found = Self::default();
        // SAFETY: the table is a foreign one, whose options are a list of DefElem with texts.
        unsafe {
            for option in nodes::<pg_sys::DefElem>((*pg_sys::GetForeignTable(table)).options) {
                let value = CStr::from_ptr(pg_sys::defGetString(option)).to_string_lossy().into_owned();
                let number = || value.parse().unwrap_or_default();
                match CStr::from_ptr((*option).defname).to_bytes() {
                    b"segments" => found.segments = value,
                    b"rows" => found.rows = number(),
                    b"lower" => found.lower = number(),
                    b"upper" => found.upper = number(),
                    _ => {}
                }
            }
        }
        found
    }
}

/// A table that is read from its beginning to its end.
pub struct Table {
    relation: pg_sys::Relation,
    scan: pg_sys::TableScanDesc,
    /// Its end was reached: asked once more, PostgreSQL would begin again.
    is_over: bool,
    values: Vec<pg_sys::Datum>,
    nulls: Vec<bool>,
}

impl Table {
    /// Opens a table.
    ///
    /// # Safety
    /// The snapshot stays registered or active until the table is closed.
    pub unsafe fn open(table: pg_sys::Oid, snapshot: pg_sys::Snapshot) -> Self {
        // SAFETY: as the caller promises. Tables of the extension are heaps.
        unsafe {
            let relation = pg_sys::table_open(table, pg_sys::AccessShareLock as pg_sys::LOCKMODE);
            let how = pg_sys::ScanOptions::SO_TYPE_SEQSCAN
                | pg_sys::ScanOptions::SO_ALLOW_STRAT
                | pg_sys::ScanOptions::SO_ALLOW_PAGEMODE;
            let scan = pg_sys::heap_beginscan(
                relation,
                snapshot,
                0,
                std::ptr::null_mut(),
                std::ptr::null_mut(),
                how as pg_sys::uint32,
            );
            let columns = (*(*relation).rd_att).natts as usize;
            Self {
                relation,
                scan,
                is_over: false,
                values: vec![pg_sys::Datum::from(0); columns],
                nulls: vec![true; columns],
            }
        }
    }

    /// The table's columns.
    pub fn descriptor(&self) -> pg_sys::TupleDesc {
        // SAFETY: the relation is open.
        unsafe { (*self.relation).rd_att }
    }

    /// The next row: its values, which of them are NULL, and its place; valid until the next call.
    pub fn next_row(&mut self) -> Option<(&[pg_sys::Datum], &[bool], pg_sys::ItemPointerData)> {
        if self.is_over {
            return None;
        }
        // SAFETY: the scan is open; there is room for every column.
        unsafe {
            let tuple = pg_sys::heap_getnext(self.scan, pg_sys::ScanDirection::ForwardScanDirection);
            if tuple.is_null() {
                self.is_over = true;
                return None;
            }
            pg_sys::heap_deform_tuple(
                tuple,
                (*self.relation).rd_att,
                self.values.as_mut_ptr(),
                self.nulls.as_mut_ptr(),
            );
            Some((&self.values, &self.nulls, (*tuple).t_self))
        }
    }

    /// Begins again.
    pub fn rewind(&mut self) {
        self.is_over = false;
        // SAFETY: the scan is open.
        unsafe { pg_sys::heap_rescan(self.scan, std::ptr::null_mut(), false, false, false, false) }
    }

    /// Gives the table back; after an error PostgreSQL does that.
    pub fn close(self) {
        // SAFETY: both are open.
        unsafe {
            pg_sys::heap_endscan(self.scan);
            pg_sys::table_close(self.relation, pg_sys::NoLock as pg_sys::LOCKMODE);
        }
    }
}

/// OID of a table of the extension's private schema.
pub fn private_table(name: &str) -> Result<pg_sys::Oid> {
    let missing = || {
        Error::new(Kind::Corrupted, format!("table _flagscope.\"{name}\" does not exist"))
            .hint("It has the rows of a frozen chunk: restore it from a backup.")
    };
    let wanted = CString::new(name).map_err(|_| missing())?;
    // SAFETY: look-ups in the catalog.
    let found = unsafe {
        let schema = pg_sys::get_namespace_oid(c"_flagscope".as_ptr(), true);
        pg_sys::get_relname_relid(wanted.as_ptr(), schema)
    };
    if found == pg_sys::InvalidOid { Err(missing()) } else { Ok(found) }
}

/// A segment as it is stored, its file not yet read.
#[derive(Debug)]
pub struct Stored {
    /// Its number in the table.
    pub number: i32,
    rows: i32,
    first: i64,
    last: i64,
    traces: Vec<u8>,
    subjects: Vec<u8>,
    seal: Vec<u8>,
    parquet: pg_sys::Datum,
}

impl Stored {
    /// From a row of the table of segments.
    ///
    /// # Safety
    /// The values are those of a row of such a table, `parquet` is used while it is the current one.
    pub unsafe fn of(values: &[pg_sys::Datum], nulls: &[bool]) -> Option<Self> {
        if values.len() != 8 || nulls.iter().any(|is_null| *is_null) {
            return None;
        }
        // SAFETY: as the caller promises: number, rows, first_ts, last_ts, traces, subjects, seal, parquet.
        unsafe {
            Some(Self {
                number: convert::plain(values[0], false)?,
                rows: convert::plain(values[1], false)?,
                first: (values[2].value() as i64).wrapping_add(EPOCH),
                last: (values[3].value() as i64).wrapping_add(EPOCH),
                traces: convert::bytes(values[4]),
                subjects: convert::bytes(values[5]),
                seal: convert::bytes(values[6]),
                parquet: values[7],
            })
        }
    }

    /// What is known without the file.
    pub fn head(&self) -> Head<'_> {
        let Self { rows, first, last, traces, subjects, seal, .. } = self;
        Head { rows: *rows, first: *first, last: *last, traces, subjects, seal }
    }

    /// Reads and opens the file.
    pub fn open(&self) -> Result<File> {
        // SAFETY: the row is still the current one.
        self.head().open(unsafe { convert::bytes(self.parquet) })
    }
}

/// The error of a segment that is not as it was written.
pub fn damaged(table: &str, number: Option<i32>, problem: &Error) -> Error {
    let which = number.map_or_else(|| "a segment".to_owned(), |number| format!("segment {number}"));
    Error::new(Kind::Corrupted, format!("{which} of _flagscope.\"{table}\" is damaged: {}", problem.message)).hint(
        "Restore this row of the table from a backup, or give its rows up by DELETE; thaw_chunk() then brings back the \
         others.",
    )
}

//! Rows of a cursor and the composite values in them, read by the names of their columns; and rows that a function gives
//! back. SQL declares the cursor, so that its query stands there and its plan is kept; Rust reads what it loads.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::CString;
use std::rc::Rc;

use flagscope_core::sketch::Sketch;
use flagscope_core::{Error, Kind, Result};
use pgrx::{FromDatum, IntoDatum, PgMemoryContexts, pg_sys};

use super::value::Stored;

/// Rows fetched at a time; their memory is given back before the next.
const ROWS_PER_FETCH: i64 = 1000;

/// The columns of a row type. The descriptor lives as long as the memory that it was made in.
#[derive(Debug)]
struct RowType {
    descriptor: pg_sys::TupleDesc,
    /// Names in order, each with its place and its type.
    columns: Vec<(String, usize, pg_sys::Oid)>,
}

impl RowType {
    /// # Safety
    /// The descriptor lives longer than this.
    unsafe fn new(descriptor: pg_sys::TupleDesc) -> Self {
        // SAFETY: as the caller promises.
        let attributes = unsafe { pgrx::PgTupleDesc::from_pg_unchecked(descriptor) };
        let live = attributes.iter().enumerate().filter(|(_, attribute)| !attribute.attisdropped);
        let mut columns: Vec<_> = live.map(|(i, a)| (a.name().to_owned(), i, a.atttypid)).collect();
        columns.sort_by(|(a, ..), (b, ..)| a.cmp(b));
        Self { descriptor, columns }
    }

    fn find(&self, name: &str) -> Option<(usize, pg_sys::Oid)> {
        let found = self.columns.binary_search_by(|(column, ..)| column.as_str().cmp(name)).ok()?;
        let (_, place, oid) = self.columns[found];
        Some((place, oid))
    }

    fn width(&self) -> usize {
        // SAFETY: the descriptor is alive as long as this.
        unsafe { (*self.descriptor).natts as usize }
    }
}

/// Composite types and enum labels that were met in a cursor's rows.
#[derive(Debug, Default)]
struct Known {
    types: RefCell<HashMap<pg_sys::Oid, Rc<RowType>>>,
    labels: RefCell<HashMap<pg_sys::Oid, Rc<str>>>,
}

/// One row, or a composite value in it.
#[derive(Debug)]
pub struct Record<'k> {
    of: Rc<RowType>,
    values: Vec<pg_sys::Datum>,
    nulls: Vec<bool>,
    known: &'k Known,
}

impl<'k> Record<'k> {
    fn place(&self, name: &str) -> Result<(usize, pg_sys::Oid)> {
        self.of.find(name).ok_or_else(|| mismatch(name, "is missing"))
    }

    /// The value of a column; `None` for NULL.
    ///
    /// # Errors
    /// [`Kind::Corrupted`] when there is no such column, or it is of another type.
    pub fn get<T: FromDatum + IntoDatum>(&self, name: &str) -> Result<Option<T>> {
        let (place, oid) = self.place(name)?;
        if !T::is_compatible_with(oid) {
            return Err(mismatch(name, "is of another type than wanted"));
        }
        // SAFETY: the value is of a type that T reads.
        Ok(unsafe { T::from_datum(self.values[place], self.nulls[place]) })
    }

    /// The value of a column that cannot be NULL.
    ///
    /// # Errors
    /// As [`Record::get`], and [`Kind::Corrupted`] for NULL.
    pub fn known<T: FromDatum + IntoDatum>(&self, name: &str) -> Result<T> {
        self.get(name)?.ok_or_else(|| mismatch(name, "is NULL"))
    }

    /// A column's time, in microseconds since 2000.
    ///
    /// # Errors
    /// [`Kind::Corrupted`] when there is no such column, or it is no timestamptz.
    pub fn time(&self, name: &str) -> Result<Option<i64>> {
        let (place, oid) = self.place(name)?;
        if oid != pg_sys::TIMESTAMPTZOID {
            return Err(mismatch(name, "is no time"));
        }
        Ok((!self.nulls[place]).then(|| self.values[place].value() as i64))
    }

    /// A column's interval in microseconds, as PostgreSQL compares intervals: a month has 30 days, a day 24 hours.
    ///
    /// # Errors
    /// [`Kind::Corrupted`] when there is no such column, or it is of another type.
    pub fn microseconds(&self, name: &str) -> Result<Option<i64>> {
        const DAY: i64 = 86_400_000_000;
        let (place, oid) = self.place(name)?;
        if oid != pg_sys::INTERVALOID {
            return Err(mismatch(name, "is no interval"));
        }
        // SAFETY: the value is an interval, which is passed by reference.
        let interval =
            (!self.nulls[place]).then(|| unsafe { *self.values[place].cast_mut_ptr::<pg_sys::Interval>() });
        Ok(interval.map(|i| (i64::from(i.month) * 30 + i64::from(i.day)).saturating_mul(DAY).saturating_add(i.time)))
    }

    /// The label of a column's enum.
    ///
    /// # Errors
    /// [`Kind::Corrupted`] when there is no such column, or it is NULL or no enum.
    pub fn label(&self, name: &str) -> Result<Rc<str>> {
        let (place, oid) = self.place(name)?;
        // SAFETY: a look-up in the system cache.
        if self.nulls[place] || !unsafe { pg_sys::type_is_enum(oid) } {
            return Err(mismatch(name, "is NULL or no enum"));
        }
        let label = pg_sys::Oid::from_u32(self.values[place].value() as u32);
        let mut labels = self.known.labels.borrow_mut();
        Ok(labels.entry(label).or_insert_with(|| pgrx::enum_helper::lookup_enum_by_oid(label).0.into()).clone())
    }

    /// The sketch in a column, or why it cannot be decoded.
    ///
    /// # Errors
    /// [`Kind::Corrupted`] when there is no such column, and as [`Sketch::decode`].
    pub fn sketch<S: Sketch>(&self, name: &str) -> Result<Option<S>> {
        let (place, _) = self.place(name)?;
        if self.nulls[place] {
            return Ok(None);
        }
        // SAFETY: sketches are varlenas; a copy that is not compressed lies in the current memory context.
        let bytes = unsafe {
            let varlena = pg_sys::pg_detoast_datum_packed(self.values[place].cast_mut_ptr());
            pgrx::varlena_to_byte_slice(varlena)
        };
        S::decode(bytes).map(Some)
    }

    /// The composite value in a column; `None` for NULL.
    ///
    /// # Errors
    /// [`Kind::Corrupted`] when there is no such column, or its type is not composite.
    pub fn record(&self, name: &str) -> Result<Option<Record<'k>>> {
        let (place, oid) = self.place(name)?;
        // SAFETY: a look-up in the system cache.
        if !unsafe { pg_sys::type_is_rowtype(oid) } {
            return Err(mismatch(name, "is no row"));
        }
        if self.nulls[place] {
            return Ok(None);
        }
        // SAFETY: the value is of a composite type with a descriptor; both arrays get one entry for each column.
        unsafe {
            let of = self.known.of(oid);
            let header =
                pg_sys::pg_detoast_datum(self.values[place].cast_mut_ptr()).cast::<pg_sys::HeapTupleHeaderData>();
            let mut tuple = pg_sys::HeapTupleData {
                t_len: pgrx::varsize(header.cast()) as u32,
                t_data: header,
                ..Default::default()
            };
            Ok(Some(deform(of, &mut tuple, self.known)))
        }
    }

    /// The value of a column as it lies there, with its type; `None`: there is no such column.
    fn raw(&self, name: &str) -> Option<(pg_sys::Datum, bool, pg_sys::Oid)> {
        let (place, oid) = self.of.find(name)?;
        Some((self.values[place], self.nulls[place], oid))
    }
}

impl Known {
    /// # Safety
    /// The type is a named composite one.
    unsafe fn of(&self, oid: pg_sys::Oid) -> Rc<RowType> {
        let mut types = self.types.borrow_mut();
        // SAFETY: as the caller promises; the copy lives to the end of the transaction, longer than any cursor.
        Rc::clone(types.entry(oid).or_insert_with(|| unsafe {
            let mut memory = PgMemoryContexts::TopTransactionContext;
            memory.switch_to(|_| Rc::new(RowType::new(pg_sys::lookup_rowtype_tupdesc_copy(oid, -1))))
        }))
    }
}

fn mismatch(name: &str, problem: &str) -> Error {
    Error::new(Kind::Corrupted, format!("column \"{name}\" of what was loaded {problem}"))
        .hint("The extension's library and its SQL script are not of one version.")
}

/// # Safety
/// The tuple is of the row type.
unsafe fn deform<'k>(of: Rc<RowType>, tuple: pg_sys::HeapTuple, known: &'k Known) -> Record<'k> {
    let n = of.width();
    let (mut values, mut nulls) = (vec![pg_sys::Datum::from(0); n], vec![true; n]);
    // SAFETY: as the caller promises; both arrays have room for every column.
    unsafe { pg_sys::heap_deform_tuple(tuple, of.descriptor, values.as_mut_ptr(), nulls.as_mut_ptr()) };
    Record { of, values, nulls, known }
}

/// Calls `visit` for every row of an open cursor.
///
/// # Errors
/// [`Kind::Undefined`] when no cursor has that name, and what `visit` says: no more rows are read then.
pub fn for_each_row(cursor: &str, mut visit: impl FnMut(&Record) -> Result<()>) -> Result<()> {
    let undefined = || Error::new(Kind::Undefined, format!("cursor \"{cursor}\" does not exist"));
    let name = CString::new(cursor).map_err(|_| undefined())?;
    let known = Known::default();
    // SAFETY: the SPI connection is given back before returning; an error unwinds to PostgreSQL, whose abort gives it back.
    // Rows are used only until the next ones are fetched, and what is detoasted for them lies in `memory`. The first
    // descriptor lives as long as the portal, which its own query keeps open.
    unsafe {
        let portal = pg_sys::SPI_cursor_find(name.as_ptr());
        if portal.is_null() {
            return Err(undefined());
        }
        let mut memory = PgMemoryContexts::new("flagscope loaded rows");
        pg_sys::SPI_connect();
        let mut visited = Ok(());
        while visited.is_ok() {
            pg_sys::SPI_cursor_fetch(portal, true, ROWS_PER_FETCH);
            let table = pg_sys::SPI_tuptable;
            if pg_sys::SPI_processed == 0 || table.is_null() {
                break;
            }
            let of = Rc::new(RowType::new((*table).tupdesc));
            let tuples = std::slice::from_raw_parts((*table).vals, pg_sys::SPI_processed as usize);
            let previous = pg_sys::MemoryContextSwitchTo(memory.value());
            visited = tuples.iter().try_for_each(|tuple| visit(&deform(Rc::clone(&of), *tuple, &known)));
            pg_sys::MemoryContextSwitchTo(previous);
            memory.reset();
            pg_sys::SPI_freetuptable(table);
        }
        pg_sys::SPI_finish();
        visited
    }
}

/// The rows that a set-returning function of a composite type gives back.
pub struct Given {
    of: RowType,
    store: *mut pg_sys::Tuplestorestate,
    values: Vec<pg_sys::Datum>,
    nulls: Vec<bool>,
}

impl Given {
    /// The result of the call at hand, empty as yet.
    pub fn of(call: pg_sys::FunctionCallInfo) -> Self {
        // SAFETY: called with the call of a set-returning function of a composite type, which PostgreSQL checks; the
        // descriptor and the store live until its query ends.
        unsafe {
            pg_sys::InitMaterializedSRF(call, 0);
            let result = (*call).resultinfo.cast::<pg_sys::ReturnSetInfo>();
            let of = RowType::new((*result).setDesc);
            let n = of.width();
            Self { of, store: (*result).setResult, values: vec![pg_sys::Datum::from(0); n], nulls: vec![true; n] }
        }
    }

    /// Begins a row: all columns that a record has by the same name and type are taken from there.
    pub fn copy(&mut self, from: &Record) {
        for (name, place, oid) in &self.of.columns {
            if let Some((value, is_null, _)) = from.raw(name).filter(|(.., of)| of == oid) {
                (self.values[*place], self.nulls[*place]) = (value, is_null);
            }
        }
    }

    /// Takes a column from a record's column of another name.
    ///
    /// # Errors
    /// [`Kind::Corrupted`] when there are no such columns of one type.
    pub fn copy_as(&mut self, from: &Record, name: &str, to: &str) -> Result<()> {
        match (from.raw(name), self.of.find(to)) {
            (Some((value, is_null, of)), Some((place, oid))) if of == oid => {
                (self.values[place], self.nulls[place]) = (value, is_null);
                Ok(())
            }
            _ => Err(mismatch(to, "is missing or of another type")),
        }
    }

    /// Sets a column to a sketch.
    ///
    /// # Errors
    /// [`Kind::Corrupted`] when there is no such column.
    pub fn set_sketch<S: Sketch>(&mut self, name: &str, sketch: Option<&S>) -> Result<()> {
        let (place, _) = self.of.find(name).ok_or_else(|| mismatch(name, "is missing"))?;
        let datum = sketch.map(Stored::to_datum);
        (self.values[place], self.nulls[place]) = (datum.unwrap_or(pg_sys::Datum::from(0)), datum.is_none());
        Ok(())
    }

    /// Sets a column of the row.
    ///
    /// # Errors
    /// [`Kind::Corrupted`] when there is no such column, or it is of another type.
    pub fn set<T: IntoDatum>(&mut self, name: &str, value: T) -> Result<()> {
        let (place, oid) = self.of.find(name).ok_or_else(|| mismatch(name, "is missing"))?;
        if !T::is_compatible_with(oid) {
            return Err(mismatch(name, "is of another type than given"));
        }
        let datum = value.into_datum();
        (self.values[place], self.nulls[place]) = (datum.unwrap_or(pg_sys::Datum::from(0)), datum.is_none());
        Ok(())
    }

    /// Sets a column to a time in microseconds since 2000.
    ///
    /// # Errors
    /// [`Kind::Corrupted`] when there is no such column, or it is no timestamptz.
    pub fn set_time(&mut self, name: &str, at: Option<i64>) -> Result<()> {
        match self.of.find(name) {
            Some((place, pg_sys::TIMESTAMPTZOID)) => {
                (self.values[place], self.nulls[place]) = (pg_sys::Datum::from(at.unwrap_or(0)), at.is_none());
                Ok(())
            }
            _ => Err(mismatch(name, "is missing or no time")),
        }
    }

    /// Sets a column of a composite type by its fields; those that are not named are NULL.
    ///
    /// # Errors
    /// As [`Given::set`].
    pub fn set_record(&mut self, name: &str, fields: Option<&[(&str, Option<pg_sys::Datum>)]>) -> Result<()> {
        let (place, oid) = self.of.find(name).ok_or_else(|| mismatch(name, "is missing"))?;
        self.nulls[place] = fields.is_none();
        let Some(fields) = fields else { return Ok(()) };
        // SAFETY: the type is a named composite one; the tuple gets one value for each column.
        unsafe {
            let of = RowType::new(pg_sys::lookup_rowtype_tupdesc_copy(oid, -1));
            let (mut values, mut nulls) = (vec![pg_sys::Datum::from(0); of.width()], vec![true; of.width()]);
            for (field, datum) in fields {
                let (place, _) = of.find(field).ok_or_else(|| mismatch(field, "is missing"))?;
                (values[place], nulls[place]) = (datum.unwrap_or(pg_sys::Datum::from(0)), datum.is_none());
            }
            let tuple = pg_sys::heap_form_tuple(of.descriptor, values.as_mut_ptr(), nulls.as_mut_ptr());
            self.values[place] = pg_sys::heap_copy_tuple_as_datum(tuple, of.descriptor);
        }
        Ok(())
    }

    /// Ends the row.
    pub fn put(&mut self) {
        // SAFETY: both arrays have one entry for each column; the store copies them.
        unsafe {
            let (values, nulls) = (self.values.as_mut_ptr(), self.nulls.as_mut_ptr());
            pg_sys::tuplestore_putvalues(self.store, self.of.descriptor, values, nulls);
        }
        self.nulls.fill(true);
    }
}

/// An argument of the call at hand; `None` for NULL.
pub fn argument<T: FromDatum>(call: pg_sys::FunctionCallInfo, place: usize) -> Option<T> {
    // SAFETY: PostgreSQL gives a call as many arguments as the function has, of the types of its SQL signature.
    unsafe {
        let arguments = (*call).args.as_slice((*call).nargs as usize);
        arguments.get(place).and_then(|argument| T::from_datum(argument.value, argument.isnull))
    }
}

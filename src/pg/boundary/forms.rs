//! The forms in which a varlena meets a function: as it was made, with a header of one byte, compressed, out of line.

use std::cell::Cell;
use std::ffi::{CString, c_char};

use pgrx::datum::DatumWithOid;
use pgrx::pg_sys::Datum;
use pgrx::prelude::*;

/// The content of a varlena, whatever its form.
pub fn content(datum: Datum) -> Vec<u8> {
    // SAFETY: the callers have a varlena.
    unsafe { pgrx::varlena_to_byte_slice(pg_sys::pg_detoast_datum_packed(datum.cast_mut_ptr())) }.to_vec()
}

/// A value of a type of variable length in every form that it can have, each with its name.
pub fn of(value: Datum, type_name: &str) -> Result<Vec<(&'static str, Datum)>, spi::Error> {
    let mut forms = vec![("plain", value)];
    forms.extend(short(value).map(|datum| ("with a header of one byte", datum)));
    forms.extend(compressed(value).map(|datum| ("compressed", datum)));
    forms.push(("out of line", stored(value, type_name, "EXTERNAL")?));
    forms.push(("out of line or compressed, as the table likes", stored(value, type_name, "EXTENDED")?));
    Ok(forms)
}

/// The same with a header of one byte, as tuples have it, and off its alignment; none when it is too long.
fn short(value: Datum) -> Option<Datum> {
    let bytes = content(value);
    // SAFETY: palloc gives what is asked for; one byte of header says the length with itself, of which it has 126 at most.
    (bytes.len() < 126).then(|| unsafe {
        let place = pg_sys::palloc(bytes.len() + 2).cast::<u8>().add(1);
        place.write(((bytes.len() as u8 + 1) << 1) | 1);
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), place.add(1), bytes.len());
        Datum::from(place)
    })
}

// PostgreSQL's own, which pgrx does not bind.
unsafe extern "C-unwind" {
    fn toast_compress_datum(value: Datum, method: c_char) -> Datum;
}

/// The same compressed; none when that does not make it smaller.
fn compressed(value: Datum) -> Option<Datum> {
    // SAFETY: the value is a varlena with a plain header; "p" is the method that every server has.
    let datum = unsafe { toast_compress_datum(value, b'p' as c_char) };
    (datum.value() != 0).then_some(datum)
}

thread_local! {
    /// How many tables there are: each form has its own, since an out of line value lies beside its table.
    static TABLES: Cell<u32> = const { Cell::new(0) };
}

/// The same as a tuple of a table points to it: SPI hands on what the tuple has.
fn stored(value: Datum, type_name: &str, storage: &str) -> Result<Datum, spi::Error> {
    let number = TABLES.replace(TABLES.get() + 1);
    Spi::run(&format!("CREATE TEMP TABLE stored_{number} (value {type_name}) ON COMMIT DROP"))?;
    Spi::run(&format!(
        "ALTER TABLE stored_{number} ALTER value SET STORAGE {storage}, SET (toast_tuple_target = 128)"
    ))?;
    // SAFETY: the datum is of the type that is named.
    let argument = unsafe { DatumWithOid::new(Raw(value), pgrx::wrappers::regtypein(type_name)) };
    Spi::run_with_args(&format!("INSERT INTO stored_{number} VALUES ($1)"), &[argument])?;
    Ok(first_of(&format!("SELECT value FROM stored_{number}")))
}

/// A datum that goes to SPI as it is.
struct Raw(Datum);

impl IntoDatum for Raw {
    fn into_datum(self) -> Option<Datum> {
        Some(self.0)
    }

    fn type_oid() -> pg_sys::Oid {
        pg_sys::BYTEAOID
    }
}

/// The first value of a query's first row, in the form that the tuple has, in a copy that outlives SPI.
fn first_of(query: &str) -> Datum {
    let query = CString::new(query).unwrap_or_default();
    // SAFETY: SPI is connected for the query, which gives a row; the copy is made in the transaction's memory.
    unsafe {
        pg_sys::SPI_connect();
        pg_sys::SPI_execute(query.as_ptr(), false, 1);
        let table = &*pg_sys::SPI_tuptable;
        let before = pg_sys::MemoryContextSwitchTo(pg_sys::TopTransactionContext);
        let (tuple, descriptor) = (pg_sys::heap_copytuple(*table.vals), pg_sys::CreateTupleDescCopy(table.tupdesc));
        pg_sys::MemoryContextSwitchTo(before);
        pg_sys::SPI_finish();
        let mut is_null = false;
        pg_sys::SPI_getbinval(tuple, descriptor, 1, &mut is_null)
    }
}

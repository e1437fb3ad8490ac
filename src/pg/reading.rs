//! The result of a metric's query: which columns are read, as text, and which a result must have.

use std::ffi::{CStr, c_int};

use flagscope_core::{Error, Kind, Result};
use pgrx::prelude::*;

/// The columns that are read; `value` is required, and one of the first two.
const COLUMNS: [&CStr; 5] = [c"subject", c"variant", c"value", c"exposure", c"ts"];

/// One row: the columns of [`COLUMNS`] as text.
pub type Given = [Option<String>; COLUMNS.len()];

/// The error for anything but one SELECT.
pub(super) const NOT_ONE_SELECT: &str = "a metric's query is one SELECT";

/// The rows of the last SPI query.
///
/// # Safety
/// The last call of SPI was a query that succeeded with a table of rows.
pub(super) unsafe fn rows() -> Result<Vec<Given>> {
    // SAFETY: the query has just succeeded, so the table is there with SPI_processed rows.
    unsafe {
        let table = &*pg_sys::SPI_tuptable;
        let numbers = numbers(table.tupdesc)?;
        let tuples = match pg_sys::SPI_processed as usize {
            0 => &[],
            n => std::slice::from_raw_parts(table.vals, n),
        };
        let field = |tuple: pg_sys::HeapTuple, number: c_int| {
            let value =
                if number > 0 { pg_sys::SPI_getvalue(tuple, table.tupdesc, number) } else { std::ptr::null_mut() };
            (!value.is_null()).then(|| {
                let text = CStr::from_ptr(value).to_string_lossy().into_owned();
                pg_sys::pfree(value.cast());
                text
            })
        };
        Ok(tuples.iter().map(|&tuple| numbers.map(|number| field(tuple, number))).collect())
    }
}

/// The positions of [`COLUMNS`] in a result, 0 or less for missing ones.
///
/// # Safety
/// The descriptor is that of a result, or null.
pub(super) unsafe fn numbers(descriptor: pg_sys::TupleDesc) -> Result<[c_int; COLUMNS.len()]> {
    if descriptor.is_null() {
        return Err(bad(NOT_ONE_SELECT.to_owned()));
    }
    // SAFETY: the descriptor is that of a result; system columns have negative numbers, which no result has.
    let numbers = unsafe { COLUMNS.map(|name| pg_sys::SPI_fnumber(descriptor, name.as_ptr())) };
    match numbers {
        [subject, variant, ..] if subject <= 0 && variant <= 0 => {
            Err(bad("the query gives neither a column \"subject\" nor \"variant\"".to_owned()))
        }
        [_, _, value, ..] if value <= 0 => Err(bad("the query gives no column \"value\"".to_owned())),
        numbers => Ok(numbers),
    }
}

/// An error about a query, with a hint on what it must be like.
pub(super) fn bad(message: String) -> Error {
    Error::new(Kind::InvalidParameter, message).hint(
        "It gives columns subject or variant, and value (a number or a boolean); for rates exposure; ts if a row has a time. \
         Its parameters $1 and $2 are the range of time; names are written with their schema.",
    )
}

//! NULL at the SQL boundary: the only way from an argument's datum to one of our types. Each type implements `ArgAbi`
//! by [`nullable`] and [`present`], so that NULL becomes `None` or an error (22023), and never reaches an unchecked
//! unwrap. `clippy.toml` forbids those everywhere; `tools/house` checks that a function that accepts NULL for one of
//! its arguments accepts it for all.

use flagscope_core::{Error, Kind};
use pgrx::callconv::Arg;
use pgrx::datum::FromDatum;
use pgrx::nullable::Nullable;
use pgrx::pg_sys;

use crate::error::error_report;

/// The value of an argument that may be NULL.
///
/// # Safety
/// The argument's SQL type is that of `T`.
pub unsafe fn nullable<T: FromDatum>(arg: Arg<'_, '_>) -> Nullable<T> {
    // SAFETY: as the caller promises; the datum comes with its own mark of NULL.
    unsafe { arg.unbox_arg_using_from_datum::<T>() }.into()
}

/// The value of an argument that a function takes without `Option`: NULL is the caller's mistake.
///
/// # Safety
/// The argument's SQL type is that of `T`.
pub unsafe fn present<T: FromDatum>(arg: Arg<'_, '_>) -> T {
    let number = arg.index() + 1;
    // SAFETY: as the caller promises; the datum comes with its own mark of NULL.
    unsafe { arg.unbox_arg_using_from_datum() }.unwrap_or_else(|| refuse(format!("argument {number} cannot be NULL")))
}

/// An element of an array that is not NULL.
///
/// # Safety
/// The datum is of `T`'s type.
pub unsafe fn element<T: FromDatum>(datum: pg_sys::Datum) -> T {
    // SAFETY: as the caller promises.
    unsafe { T::from_datum(datum, false) }.unwrap_or_else(|| refuse("an element cannot be NULL".to_owned()))
}

/// Ends the call with an error, like PostgreSQL's own functions.
fn refuse(message: String) -> ! {
    std::panic::panic_any(error_report(Error::new(Kind::InvalidParameter, message)))
}

//! A jsonb argument as a tree of values, with our own error if it cannot be read: pgrx's type raises an internal error
//! for jsonb that serde_json cannot represent (a number beyond a double, more than 128 levels).

use flagscope_core::{Error, Kind, Result};
use pgrx::callconv::{Arg, ArgAbi};
use pgrx::datum::{FromDatum, IntoDatum};
use pgrx::nullable::Nullable;
use pgrx::pgrx_sql_entity_graph::metadata::{
    ArgumentError, ReturnsError, ReturnsRef, SqlMappingRef, SqlTranslatable,
};
use pgrx::{JsonB, pg_sys};
use serde_json::Value;

use super::argument;

/// A JSON document, or why it cannot be read.
#[derive(Debug)]
pub struct Document(pub Result<Value>);

impl FromDatum for Document {
    unsafe fn from_polymorphic_datum(datum: pg_sys::Datum, is_null: bool, _: pg_sys::Oid) -> Option<Self> {
        if is_null {
            return None;
        }
        // SAFETY: the caller has a datum of type jsonb; JsonbToCString gives a NUL-terminated text in memory of its own.
        let text = unsafe {
            let varlena = pg_sys::pg_detoast_datum(datum.cast_mut_ptr());
            let content = pgrx::varlena_to_byte_slice(varlena);
            let root = content.as_ptr().cast_mut().cast();
            std::ffi::CStr::from_ptr(pg_sys::JsonbToCString(std::ptr::null_mut(), root, content.len() as i32))
        };
        Some(Self(serde_json::from_slice(text.to_bytes()).map_err(|problem| {
            Error::new(Kind::InvalidParameter, format!("a JSON document cannot be read: {problem}"))
                .hint("Numbers must fit a double precision, and 127 levels are the deepest.")
        })))
    }
}

impl IntoDatum for Document {
    fn into_datum(self) -> Option<pg_sys::Datum> {
        self.0.ok().and_then(|value| JsonB(value).into_datum())
    }

    fn type_oid() -> pg_sys::Oid {
        pg_sys::JSONBOID
    }
}

// SAFETY: decoded from the argument's datum by FromDatum.
unsafe impl<'fcx> ArgAbi<'fcx> for Document {
    unsafe fn unbox_arg_unchecked(arg: Arg<'_, 'fcx>) -> Self {
        // SAFETY: the argument is a jsonb.
        unsafe { argument::present(arg) }
    }

    unsafe fn unbox_nullable_arg(arg: Arg<'_, 'fcx>) -> Nullable<Self> {
        // SAFETY: the argument is a jsonb.
        unsafe { argument::nullable(arg) }
    }
}

// SAFETY: the same type in SQL as pgrx's own.
unsafe impl SqlTranslatable for Document {
    const TYPE_IDENT: &'static str = <JsonB as SqlTranslatable>::TYPE_IDENT;
    const TYPE_ORIGIN: pgrx::pgrx_sql_entity_graph::metadata::TypeOrigin = <JsonB as SqlTranslatable>::TYPE_ORIGIN;
    const ARGUMENT_SQL: std::result::Result<SqlMappingRef, ArgumentError> = <JsonB as SqlTranslatable>::ARGUMENT_SQL;
    const RETURN_SQL: std::result::Result<ReturnsRef, ReturnsError> = <JsonB as SqlTranslatable>::RETURN_SQL;
}

//! Sketches of the core as SQL values: a varlena with the sketch's own binary form.

use flagscope_core::sketch::Sketch;
use pgrx::callconv::{Arg, ArgAbi, BoxRet, FcInfo};
use pgrx::datum::{Datum, FromDatum, IntoDatum, UnboxDatum};
use pgrx::nullable::Nullable;
use pgrx::pg_sys;
use pgrx::pgrx_sql_entity_graph::metadata::{
    ArgumentError, ReturnsError, ReturnsRef, SqlMappingRef, SqlTranslatable, TypeOrigin,
};

use super::argument;
use crate::error::error_report;

/// A sketch at the SQL boundary.
#[derive(Debug, Clone)]
pub struct Stored<S>(pub S);

impl<S: Sketch> Stored<S> {
    /// The sketch as a new varlena in the current memory context.
    pub fn to_datum(sketch: &S) -> pg_sys::Datum {
        let bytes = sketch.encode();
        // SAFETY: palloc gives `size` bytes or raises; the header is written before anyone reads it.
        unsafe {
            let size = bytes.len() + pg_sys::VARHDRSZ;
            let varlena = pg_sys::palloc(size).cast::<pg_sys::varlena>();
            pgrx::set_varsize_4b(varlena, size as i32);
            let content = pgrx::vardata_any(varlena).cast_mut().cast::<u8>();
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), content, bytes.len());
            pg_sys::Datum::from(varlena)
        }
    }
}

impl<S: Sketch> FromDatum for Stored<S> {
    unsafe fn from_polymorphic_datum(datum: pg_sys::Datum, is_null: bool, _: pg_sys::Oid) -> Option<Self> {
        if is_null {
            return None;
        }
        // SAFETY: the caller has a datum of this type, which is a varlena.
        let sketch = unsafe {
            let varlena = pg_sys::pg_detoast_datum_packed(datum.cast_mut_ptr());
            S::decode(pgrx::varlena_to_byte_slice(varlena))
        };
        match sketch {
            Ok(sketch) => Some(Self(sketch)),
            Err(error) => {
                error_report(error).report(pgrx::PgLogLevel::ERROR);
                None
            }
        }
    }
}

impl<S: Sketch> IntoDatum for Stored<S> {
    fn into_datum(self) -> Option<pg_sys::Datum> {
        Some(Self::to_datum(&self.0))
    }

    fn type_oid() -> pg_sys::Oid {
        pgrx::wrappers::regtypein(&format!("flagscope.{}", S::NAME))
    }
}

// SAFETY: a sketch owns its content, so it lives as long as anyone wants.
unsafe impl<S: Sketch> UnboxDatum for Stored<S> {
    type As<'dat>
        = Self
    where
        Self: 'dat;

    unsafe fn unbox<'dat>(datum: Datum<'dat>) -> Self::As<'dat>
    where
        Self: 'dat,
    {
        // SAFETY: as the caller promises; the datum without its lifetime is the same.
        unsafe { argument::element(std::mem::transmute::<Datum<'dat>, pg_sys::Datum>(datum)) }
    }
}

// SAFETY: decoded from the argument's datum by FromDatum.
unsafe impl<'fcx, S: Sketch + 'fcx> ArgAbi<'fcx> for Stored<S> {
    unsafe fn unbox_arg_unchecked(arg: Arg<'_, 'fcx>) -> Self {
        // SAFETY: the argument is of this type.
        unsafe { argument::present(arg) }
    }

    unsafe fn unbox_nullable_arg(arg: Arg<'_, 'fcx>) -> Nullable<Self> {
        // SAFETY: the argument is of this type.
        unsafe { argument::nullable(arg) }
    }
}

// SAFETY: into_datum allocates in the current memory context, as a function's result must be.
unsafe impl<S: Sketch> BoxRet for Stored<S> {
    unsafe fn box_into<'fcx>(self, fcinfo: &mut FcInfo<'fcx>) -> Datum<'fcx> {
        // SAFETY: the datum is a varlena of this type.
        unsafe { fcinfo.return_raw_datum(Self::to_datum(&self.0)) }
    }
}

// SAFETY: the SQL type is made in sql/schema/sketch.sql with the name that the sketch states.
unsafe impl<S: Sketch> SqlTranslatable for Stored<S> {
    const TYPE_IDENT: &'static str = S::NAME;
    const TYPE_ORIGIN: TypeOrigin = TypeOrigin::External;
    const ARGUMENT_SQL: Result<SqlMappingRef, ArgumentError> = Ok(SqlMappingRef::As(S::NAME));
    const RETURN_SQL: Result<ReturnsRef, ReturnsError> = Ok(ReturnsRef::One(SqlMappingRef::As(S::NAME)));
}

/// Decodes the rest of a message that a client sent in binary form, and marks it as read.
pub fn read_message<S>(
    mut message: pgrx::datum::Internal,
    decode: impl FnOnce(&[u8]) -> flagscope_core::Result<S>,
) -> flagscope_core::Result<S> {
    let nothing = flagscope_core::Error::new(flagscope_core::Kind::InvalidBinary, "message is empty");
    // SAFETY: a receive function's argument is a StringInfo; cursor and len bound its unread bytes.
    unsafe {
        let Some(buffer) = message.get_mut::<pg_sys::StringInfoData>() else { return Err(nothing) };
        let start = buffer.data.cast::<u8>().add(buffer.cursor as usize);
        let bytes = std::slice::from_raw_parts(start, (buffer.len - buffer.cursor) as usize);
        buffer.cursor = buffer.len;
        decode(bytes)
    }
}

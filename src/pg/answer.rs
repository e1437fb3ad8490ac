//! A JSON value on its way to SQL. What most answers consist of (a boolean, a string, an object without members) is written
//! as PostgreSQL stores it; everything else takes pgrx's way, by a text that jsonb's input function reads. It takes 0.4 us
//! less a value, and `evaluate_all` returns two of them a row.

use pgrx::callconv::{BoxRet, FcInfo};
use pgrx::datum::{Datum, IntoDatum};
use pgrx::pgrx_sql_entity_graph::metadata::{
    ArgumentError, ReturnsError, ReturnsRef, SqlMappingRef, SqlTranslatable, TypeOrigin,
};
use pgrx::{JsonB, pg_sys};
use serde_json::Value;

// As jsonb.h has them: a value alone is an array of one entry, and the entry of a string is its length.
const ALONE: u32 = pg_sys::JB_FSCALAR | pg_sys::JB_FARRAY | 1;
const NO_MEMBERS: u32 = pg_sys::JB_FOBJECT;
const LONGEST: usize = pg_sys::JENTRY_OFFLENMASK as usize;

/// A JSON value that a function returns.
#[derive(Debug)]
pub struct AnsweredValue(pub Value);

/// The content of a jsonb of one of the short forms.
fn stored(value: &Value) -> Option<Vec<u8>> {
    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_ne_bytes()).collect::<Vec<u8>>();
    match value {
        Value::Bool(value) => {
            Some(words(&[ALONE, if *value { pg_sys::JENTRY_ISBOOL_TRUE } else { pg_sys::JENTRY_ISBOOL_FALSE }]))
        }
        Value::String(text) if text.len() <= LONGEST && !text.contains('\0') => {
            let mut content = words(&[ALONE, text.len() as u32]);
            content.extend_from_slice(text.as_bytes());
            Some(content)
        }
        Value::Object(members) if members.is_empty() => Some(words(&[NO_MEMBERS])),
        _ => None,
    }
}

impl IntoDatum for AnsweredValue {
    fn into_datum(self) -> Option<pg_sys::Datum> {
        match stored(&self.0) {
            // A bytea is a length and its content, as a jsonb is.
            Some(content) => content.into_datum(),
            None => JsonB(self.0).into_datum(),
        }
    }

    fn type_oid() -> pg_sys::Oid {
        pg_sys::JSONBOID
    }
}

// SAFETY: into_datum makes a jsonb.
unsafe impl BoxRet for AnsweredValue {
    unsafe fn box_into<'fcx>(self, fcinfo: &mut FcInfo<'fcx>) -> Datum<'fcx> {
        match self.into_datum() {
            // SAFETY: the datum is of this type.
            Some(datum) => unsafe { fcinfo.return_raw_datum(datum) },
            None => fcinfo.return_null(),
        }
    }
}

// SAFETY: the same type in SQL as pgrx's own.
unsafe impl SqlTranslatable for AnsweredValue {
    const TYPE_IDENT: &'static str = <JsonB as SqlTranslatable>::TYPE_IDENT;
    const TYPE_ORIGIN: TypeOrigin = <JsonB as SqlTranslatable>::TYPE_ORIGIN;
    const ARGUMENT_SQL: std::result::Result<SqlMappingRef, ArgumentError> = <JsonB as SqlTranslatable>::ARGUMENT_SQL;
    const RETURN_SQL: std::result::Result<ReturnsRef, ReturnsError> = <JsonB as SqlTranslatable>::RETURN_SQL;
}

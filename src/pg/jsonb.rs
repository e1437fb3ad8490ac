//! Reads jsonb in place: without a copy and without a tree of values.

use std::mem::MaybeUninit;

use flagscope_core::Result;
use flagscope_core::targeting::ContextBuilder;
use flagscope_core::telemetry::{Found, Said};
use pgrx::callconv::{Arg, ArgAbi};
use pgrx::nullable::Nullable;
use pgrx::pgrx_sql_entity_graph::metadata::{
    ArgumentError, ReturnsError, ReturnsRef, SqlMappingRef, SqlTranslatable, TypeOrigin,
};
use pgrx::{FromDatum, JsonB, direct_function_call, pg_sys};

use super::argument;

/// Digits of a number shown in an error where a text was expected; a numeric has up to 131,072.
const MOST_DIGITS: usize = 100;

/// A jsonb value inside a tuple.
#[derive(Clone, Copy)]
pub struct Jsonb<'t> {
    varlena: &'t [u8],
    container: *mut pg_sys::JsonbContainer,
}

impl<'t> Jsonb<'t> {
    /// Wraps a detoasted jsonb datum.
    ///
    /// # Safety
    /// The datum is a jsonb that stays where it is for `'t`.
    pub unsafe fn new(datum: pg_sys::Datum) -> Self {
        // SAFETY: a jsonb is a varlena whose content begins with its root container; a short header would put the
        // container off its alignment, so such a datum is copied (pg_detoast_datum unpacks it).
        unsafe {
            let varlena = pg_sys::pg_detoast_datum(datum.cast_mut_ptr());
            let content = pgrx::varlena_to_byte_slice(varlena);
            Self { varlena: content, container: content.as_ptr().cast_mut().cast() }
        }
    }

    /// The bytes of the value: equal bytes are equal values.
    pub fn bytes(&self) -> &'t [u8] {
        self.varlena
    }

    /// The entries of an object whose values are texts.
    pub fn text_entries(&self) -> Vec<(&'t str, &'t str)> {
        let mut entries = Vec::new();
        // SAFETY: a text points into the container, which outlives it.
        self.each_entry(|key, value| entries.extend(unsafe { text(value) }.map(|text| (key, text))));
        entries
    }

    /// All entries of an object; values other than texts as JSON, containers shortened.
    pub fn entries(&self) -> Vec<(&'t str, Said<'t>)> {
        let mut entries = Vec::new();
        // SAFETY: as above.
        self.each_entry(|key, value| entries.push((key, unsafe { said(value) })));
        entries
    }

    /// Calls back with every entry of an object; nested values are given as a whole.
    fn each_entry(&self, mut entry: impl FnMut(&'t str, &pg_sys::JsonbValue)) {
        if !self.is_object() {
            return;
        }
        let mut key = None;
        // SAFETY: the iterator is PostgreSQL's own, over a container that outlives it; strings point into it.
        unsafe {
            let mut iterator = pg_sys::JsonbIteratorInit(self.container);
            let mut value = MaybeUninit::<pg_sys::JsonbValue>::zeroed().assume_init();
            loop {
                match pg_sys::JsonbIteratorNext(&mut iterator, &mut value, true) {
                    pg_sys::JsonbIteratorToken::WJB_DONE => return,
                    pg_sys::JsonbIteratorToken::WJB_KEY => key = text(&value),
                    pg_sys::JsonbIteratorToken::WJB_VALUE => {
                        if let Some(key) = key.take() {
                            entry(key, &value);
                        }
                    }
                    _ => {}
                }
            }
        }
    }

    /// The value of an entry of an object; JSON's null is none.
    pub fn get(&self, key: &str) -> Option<Found<'t>> {
        if !self.is_object() {
            return None;
        }
        // SAFETY: the container is an object; the result is written to `value`, which outlives the look-up.
        unsafe {
            let mut value = MaybeUninit::<pg_sys::JsonbValue>::zeroed().assume_init();
            let found = pg_sys::getKeyJsonValueFromContainer(
                self.container,
                key.as_ptr().cast(),
                key.len() as i32,
                &mut value,
            );
            if found.is_null() { None } else { found_in(&value) }
        }
    }

    /// Builds the value as the context of an evaluation.
    pub fn feed(&self, builder: &mut ContextBuilder) -> Result<()> {
        // SAFETY: the iterator is PostgreSQL's own, over a container that outlives it; strings point into it.
        unsafe {
            let is_scalar = (*self.container).header & pg_sys::JB_FSCALAR != 0;
            let mut iterator = pg_sys::JsonbIteratorInit(self.container);
            let mut value = MaybeUninit::<pg_sys::JsonbValue>::zeroed().assume_init();
            loop {
                match pg_sys::JsonbIteratorNext(&mut iterator, &mut value, false) {
                    pg_sys::JsonbIteratorToken::WJB_DONE => return Ok(()),
                    pg_sys::JsonbIteratorToken::WJB_BEGIN_OBJECT => builder.begin_object()?,
                    // A scalar at the top level is stored as an array of one.
                    pg_sys::JsonbIteratorToken::WJB_BEGIN_ARRAY if !is_scalar => builder.begin_array()?,
                    pg_sys::JsonbIteratorToken::WJB_END_ARRAY if !is_scalar => builder.end()?,
                    pg_sys::JsonbIteratorToken::WJB_END_OBJECT => builder.end()?,
                    pg_sys::JsonbIteratorToken::WJB_KEY => builder.key(text(&value).unwrap_or_default())?,
                    pg_sys::JsonbIteratorToken::WJB_VALUE | pg_sys::JsonbIteratorToken::WJB_ELEM => {
                        feed_scalar(&value, builder)?;
                    }
                    _ => {}
                }
            }
        }
    }

    fn is_object(&self) -> bool {
        // SAFETY: every container begins with its header.
        unsafe { (*self.container).header & pg_sys::JB_FOBJECT != 0 }
    }
}

unsafe fn feed_scalar(value: &pg_sys::JsonbValue, builder: &mut ContextBuilder) -> Result<()> {
    // SAFETY: the type says which member of the union is set; numeric_out gives a NUL-terminated text.
    unsafe {
        match value.type_ {
            pg_sys::jbvType::jbvString => builder.string(text(value).unwrap_or_default()),
            pg_sys::jbvType::jbvBool => builder.boolean(value.val.boolean),
            pg_sys::jbvType::jbvNumeric => {
                let datum = pg_sys::Datum::from(value.val.numeric);
                let number: Option<&std::ffi::CStr> = direct_function_call(pg_sys::numeric_out, &[Some(datum)]);
                builder.number(number.and_then(|n| n.to_str().ok()).unwrap_or_default())
            }
            _ => builder.null(),
        }
    }
}

/// A value that a row has for a flag.
unsafe fn said<'t>(value: &pg_sys::JsonbValue) -> Said<'t> {
    // SAFETY: the type says which member of the union is set; numeric_out gives a NUL-terminated text.
    unsafe {
        if let Some(variant) = text(value) {
            return Said::Text(variant);
        }
        Said::Other(match value.type_ {
            pg_sys::jbvType::jbvBool => value.val.boolean.to_string(),
            pg_sys::jbvType::jbvNumeric => {
                let number: Option<&std::ffi::CStr> =
                    direct_function_call(pg_sys::numeric_out, &[Some(pg_sys::Datum::from(value.val.numeric))]);
                number.and_then(|n| n.to_str().ok()).unwrap_or_default().chars().take(MOST_DIGITS).collect()
            }
            pg_sys::jbvType::jbvNull => "null".to_owned(),
            // With nested values skipped a container comes as its binary form.
            _ => "{...}".to_owned(),
        })
    }
}

/// A text value, in place.
unsafe fn text<'t>(value: &pg_sys::JsonbValue) -> Option<&'t str> {
    if value.type_ != pg_sys::jbvType::jbvString {
        return None;
    }
    // SAFETY: the type says which member of the union is set; val points to len bytes of the container.
    unsafe {
        let string = value.val.string;
        std::str::from_utf8(std::slice::from_raw_parts(string.val.cast::<u8>(), string.len as usize)).ok()
    }
}

/// A value as a filter sees it.
unsafe fn found_in<'t>(value: &pg_sys::JsonbValue) -> Option<Found<'t>> {
    // SAFETY: the type says which member of the union is set.
    unsafe {
        match value.type_ {
            pg_sys::jbvType::jbvNull => None,
            pg_sys::jbvType::jbvString => Some(text(value).map_or(Found::Other, Found::Text)),
            pg_sys::jbvType::jbvBool => Some(Found::Bool(value.val.boolean)),
            pg_sys::jbvType::jbvNumeric => Some(number(value.val.numeric).map_or(Found::Other, Found::Number)),
            _ => Some(Found::Other),
        }
    }
}

/// A numeric as a double, infinite beyond its range.
///
/// # Safety
/// The numeric lies in a jsonb.
unsafe fn number(numeric: pg_sys::Numeric) -> Option<f64> {
    // SAFETY: a numeric is a varlena.
    unsafe {
        let content = pgrx::varlena_to_byte_slice(numeric.cast());
        whole(content).or_else(|| {
            pgrx::direct_function_call(pg_sys::numeric_float8_no_overflow, &[Some(pg_sys::Datum::from(numeric))])
        })
    }
}

/// A whole number below 10^16 from the content of a numeric in its short form (PostgreSQL's numeric.c: sign, display scale
/// and weight in 16 bits, then digits of base 10,000): most numbers of telemetry, without the detour by text that
/// `numeric_float8` takes (measured: 15 against 150 ns).
fn whole(content: &[u8]) -> Option<f64> {
    let (header, digits) = content.split_first_chunk::<2>()?;
    let (header, count) = (u16::from_ne_bytes(*header), digits.len() / 2);
    let is_short = header & 0xC000 == 0x8000;
    let weight = usize::from(header & 0x3F);
    // A weight below 0 has bit 0x40, a digit behind the last whole one is a fraction.
    if !is_short || header & 0x40 != 0 || weight > 3 || count > weight + 1 {
        return None;
    }
    let mut whole = 0_u64;
    for place in 0..=weight {
        let digit = digits.get(2 * place..2 * place + 2).map_or(0, |pair| u16::from_ne_bytes([pair[0], pair[1]]));
        whole = whole * 10_000 + u64::from(digit);
    }
    let sign = if header & 0x2000 == 0 { 1.0 } else { -1.0 };
    Some(sign * whole as f64)
}

/// A text datum, in place; `None` for NULL and for text that is not UTF-8.
///
/// # Safety
/// The datum is a text that stays where it is for `'t`.
pub unsafe fn text_at<'t>(datum: pg_sys::Datum, is_null: bool) -> Option<&'t str> {
    if is_null {
        return None;
    }
    // SAFETY: as the caller promises.
    unsafe {
        let varlena = pg_sys::pg_detoast_datum_packed(datum.cast_mut_ptr());
        std::str::from_utf8(pgrx::varlena_to_byte_slice(varlena)).ok()
    }
}

/// A datum of a fixed-width type; `None` for NULL.
///
/// # Safety
/// The datum is of `T`'s type.
pub unsafe fn plain_at<T: FromDatum>(datum: pg_sys::Datum, is_null: bool) -> Option<T> {
    // SAFETY: as the caller promises.
    unsafe { T::from_datum(datum, is_null) }
}

impl FromDatum for Jsonb<'_> {
    unsafe fn from_polymorphic_datum(datum: pg_sys::Datum, is_null: bool, _: pg_sys::Oid) -> Option<Self> {
        // SAFETY: the caller has a datum of type jsonb.
        (!is_null).then(|| unsafe { Self::new(datum) })
    }
}

// SAFETY: an argument's datum stays where it is for the call.
unsafe impl<'fcx> ArgAbi<'fcx> for Jsonb<'fcx> {
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
unsafe impl SqlTranslatable for Jsonb<'_> {
    const TYPE_IDENT: &'static str = <JsonB as SqlTranslatable>::TYPE_IDENT;
    const TYPE_ORIGIN: TypeOrigin = <JsonB as SqlTranslatable>::TYPE_ORIGIN;
    const ARGUMENT_SQL: std::result::Result<SqlMappingRef, ArgumentError> = <JsonB as SqlTranslatable>::ARGUMENT_SQL;
    const RETURN_SQL: std::result::Result<ReturnsRef, ReturnsError> = <JsonB as SqlTranslatable>::RETURN_SQL;
}

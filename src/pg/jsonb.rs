//! Reading jsonb where it lies: no copy, no tree of values.

use std::mem::MaybeUninit;

use flagscope_core::telemetry::Scalar;
use pgrx::{FromDatum, pg_sys};

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
        if !self.is_object() {
            return entries;
        }
        let mut key = None;
        // SAFETY: the iterator is PostgreSQL's own, over a container that outlives it; strings point into it.
        unsafe {
            let mut iterator = pg_sys::JsonbIteratorInit(self.container);
            let mut value = MaybeUninit::<pg_sys::JsonbValue>::zeroed().assume_init();
            loop {
                match pg_sys::JsonbIteratorNext(&mut iterator, &mut value, true) {
                    pg_sys::JsonbIteratorToken::WJB_DONE => return entries,
                    pg_sys::JsonbIteratorToken::WJB_KEY => key = text(&value),
                    pg_sys::JsonbIteratorToken::WJB_VALUE => {
                        entries.extend(key.take().zip(text(&value)));
                    }
                    _ => {}
                }
            }
        }
    }

    /// Whether an object has an entry with exactly this value.
    pub fn has(&self, key: &str, wanted: &Scalar) -> bool {
        if !self.is_object() {
            return false;
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
            !found.is_null() && equals(&value, wanted)
        }
    }

    fn is_object(&self) -> bool {
        // SAFETY: every container begins with its header.
        unsafe { (*self.container).header & pg_sys::JB_FOBJECT != 0 }
    }
}

/// A text value, where it lies.
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

unsafe fn equals(value: &pg_sys::JsonbValue, wanted: &Scalar) -> bool {
    // SAFETY: the type says which member of the union is set.
    unsafe {
        match (value.type_, wanted) {
            (pg_sys::jbvType::jbvString, Scalar::Text(wanted)) => text(value) == Some(wanted.as_str()),
            (pg_sys::jbvType::jbvBool, Scalar::Bool(wanted)) => value.val.boolean == *wanted,
            (pg_sys::jbvType::jbvNumeric, Scalar::Number(wanted)) => {
                let datum = pg_sys::Datum::from(value.val.numeric);
                let number = pgrx::direct_function_call::<f64>(pg_sys::numeric_float8_no_overflow, &[Some(datum)]);
                number == Some(*wanted)
            }
            _ => false,
        }
    }
}

/// A text datum, where it lies; `None` for NULL and for text that is not UTF-8.
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

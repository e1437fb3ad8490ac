//! Values of telemetry's columns between PostgreSQL's forms and those of a segment. Both ways are exact.

use std::collections::HashMap;
use std::ffi::CStr;

use flagscope_core::frozen::{COLUMNS, Column, Kind, Value};
use flagscope_core::{Error, Kind as Mistake, Result};
use pgrx::{FromDatum, IntoDatum, direct_function_call_as_datum, pg_sys};

/// Microseconds from 1970, where a segment's times begin, to 2000, where PostgreSQL's do.
pub const EPOCH: i64 = 946_684_800_000_000;

/// How a column's values lie in PostgreSQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Time,
    Text,
    /// An enum, by its type's OID.
    Label(pg_sys::Oid),
    Json,
    Float,
    Small,
    Truth,
    Uuid,
    /// The bytes of a varlena, whatever they mean.
    Bytes,
}

/// A column of a relation that a segment keeps.
pub struct Field {
    /// Its place in the relation, from 0.
    pub attribute: usize,
    /// Its place in [`COLUMNS`].
    pub column: usize,
    form: Form,
    /// Labels of an enum that were met.
    labels: HashMap<Vec<u8>, pg_sys::Datum>,
    texts: HashMap<u32, Vec<u8>>,
}

/// The columns of a relation that segments have, and the first one that they do not have.
///
/// # Safety
/// The descriptor belongs to an open relation.
pub unsafe fn fields(descriptor: pg_sys::TupleDesc) -> Result<(Vec<Field>, Option<String>)> {
    // SAFETY: as the caller promises.
    let attributes = unsafe { pgrx::PgTupleDesc::from_pg_unchecked(descriptor) };
    let (mut fields, mut unknown) = (Vec::with_capacity(COLUMNS.len()), None);
    for (attribute, definition) in attributes.iter().enumerate().filter(|(_, definition)| !definition.attisdropped) {
        match Column::place(definition.name()) {
            Some(column) => fields.push(Field::new(attribute, column, definition.atttypid)?),
            None => unknown = unknown.or_else(|| Some(definition.name().to_owned())),
        }
    }
    Ok((fields, unknown))
}

impl Field {
    fn new(attribute: usize, column: usize, oid: pg_sys::Oid) -> Result<Self> {
        // SAFETY: a look-up in the catalog.
        let is_enum = unsafe { pg_sys::type_is_enum(oid) };
        let form = match COLUMNS[column].kind {
            Kind::Time if oid == pg_sys::TIMESTAMPTZOID => Form::Time,
            Kind::Text if oid == pg_sys::TEXTOID => Form::Text,
            Kind::Text if is_enum => Form::Label(oid),
            Kind::Json if oid == pg_sys::JSONBOID => Form::Json,
            Kind::Float if oid == pg_sys::FLOAT8OID => Form::Float,
            Kind::Small if oid == pg_sys::INT2OID => Form::Small,
            Kind::Truth if oid == pg_sys::BOOLOID => Form::Truth,
            Kind::Uuid if oid == pg_sys::UUIDOID => Form::Uuid,
            // SAFETY: a look-up in the catalog.
            Kind::Bytes if unsafe { pg_sys::get_typlen(oid) } == -1 => Form::Bytes,
            _ => {
                let message = format!("column \"{}\" has a type that a segment cannot keep", COLUMNS[column].name);
                return Err(Error::new(Mistake::Unsupported, message));
            }
        };
        Ok(Self { attribute, column, form, labels: HashMap::new(), texts: HashMap::new() })
    }

    /// Calls back with the value as a segment keeps it. `scratch` is for texts of JSON.
    ///
    /// # Safety
    /// The datum is one of this column; what is detoasted stays in the current memory context.
    pub unsafe fn read<R>(
        &mut self,
        datum: pg_sys::Datum,
        scratch: pg_sys::StringInfo,
        given: impl FnOnce(Value) -> R,
    ) -> R {
        // SAFETY: each form is that of the column's type; the bytes are used before the context is reset.
        unsafe {
            match self.form {
                Form::Time => given(Value::Long((datum.value() as i64).wrapping_add(EPOCH))),
                Form::Float => given(Value::Float(f64::from_bits(datum.value() as u64))),
                Form::Small => given(Value::Small(i32::from(datum.value() as i16))),
                Form::Truth => given(Value::Truth(datum.value() as u8 != 0)),
                Form::Uuid => given(Value::Bytes(&*datum.cast_mut_ptr::<[u8; 16]>())),
                Form::Text | Form::Bytes => {
                    let varlena = pg_sys::pg_detoast_datum_packed(datum.cast_mut_ptr());
                    given(Value::Bytes(pgrx::varlena_to_byte_slice(varlena)))
                }
                Form::Label(_) => {
                    let text = self.texts.entry(datum.value() as u32).or_insert_with(|| label_text(datum));
                    given(Value::Bytes(text))
                }
                Form::Json => {
                    let json = pg_sys::pg_detoast_datum(datum.cast_mut_ptr());
                    let size = pgrx::varsize_any(json);
                    pg_sys::resetStringInfo(scratch);
                    let root = json.cast::<u8>().add(pg_sys::VARHDRSZ).cast();
                    pg_sys::JsonbToCString(scratch, root, i32::try_from(size).unwrap_or(i32::MAX));
                    let text = std::slice::from_raw_parts((*scratch).data.cast::<u8>(), (*scratch).len as usize);
                    given(Value::Bytes(text))
                }
            }
        }
    }

    /// The value as PostgreSQL has it, in the current memory context.
    pub fn write(&mut self, value: Value) -> Result<pg_sys::Datum> {
        let datum = match (self.form, value) {
            (Form::Time, Value::Long(value)) => Some(pg_sys::Datum::from(value.wrapping_sub(EPOCH))),
            (Form::Float, Value::Float(value)) => value.into_datum(),
            (Form::Small, Value::Small(value)) => i16::try_from(value).ok().and_then(IntoDatum::into_datum),
            (Form::Truth, Value::Truth(value)) => value.into_datum(),
            (Form::Uuid, Value::Bytes(value)) if value.len() == 16 => Some(copy(value)),
            (Form::Text | Form::Bytes, Value::Bytes(value)) => Some(varlena(value)),
            (Form::Label(oid), Value::Bytes(value)) => match self.labels.get(value) {
                Some(datum) => Some(*datum),
                None => {
                    let datum = c_string(value, |text| label(text, oid))?;
                    self.labels.insert(value.to_vec(), datum);
                    Some(datum)
                }
            },
            // SAFETY: jsonb_in reads a NUL-terminated text, and returns a jsonb of its own.
            (Form::Json, Value::Bytes(value)) => Some(c_string(value, |text| unsafe {
                let text = pg_sys::Datum::from(text.as_ptr());
                direct_function_call_as_datum(pg_sys::jsonb_in, &[Some(text)]).unwrap_or(pg_sys::Datum::from(0))
            })?),
            _ => None,
        };
        datum.ok_or_else(|| {
            let message = format!("a value of column \"{}\" is of another type", COLUMNS[self.column].name);
            Error::new(Mistake::Corrupted, message)
        })
    }

    /// Is a value dear to make, so that it is worth to remember it.
    pub fn is_dear(&self) -> bool {
        self.form == Form::Json
    }
}

/// The label of an enum's value.
fn label_text(datum: pg_sys::Datum) -> Vec<u8> {
    // SAFETY: the datum is an enum's; the result is a C string of the current memory context.
    unsafe {
        let text = direct_function_call_as_datum(pg_sys::enum_out, &[Some(datum)]);
        text.map(|text| CStr::from_ptr(text.cast_mut_ptr()).to_bytes().to_vec()).unwrap_or_default()
    }
}

fn label(text: &CStr, oid: pg_sys::Oid) -> pg_sys::Datum {
    let arguments = [Some(pg_sys::Datum::from(text.as_ptr())), Some(pg_sys::Datum::from(oid))];
    // SAFETY: enum_in reads a NUL-terminated text, and raises for a label that the type does not have.
    unsafe { direct_function_call_as_datum(pg_sys::enum_in, &arguments) }.unwrap_or(pg_sys::Datum::from(0))
}

/// Calls with the bytes as a C string of the current memory context.
fn c_string<R>(bytes: &[u8], call: impl FnOnce(&CStr) -> R) -> Result<R> {
    // SAFETY: palloc gives room for the bytes and the NUL, or raises.
    let text = unsafe {
        let room = pg_sys::palloc(bytes.len() + 1).cast::<u8>();
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), room, bytes.len());
        room.add(bytes.len()).write(0);
        std::slice::from_raw_parts(room, bytes.len() + 1)
    };
    let text = CStr::from_bytes_with_nul(text)
        .map_err(|_| Error::new(Mistake::Corrupted, "a text has a NUL, which PostgreSQL has in none"))?;
    Ok(call(text))
}

fn copy(bytes: &[u8]) -> pg_sys::Datum {
    // SAFETY: palloc gives room for the bytes, or raises.
    unsafe {
        let room = pg_sys::palloc(bytes.len()).cast::<u8>();
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), room, bytes.len());
        pg_sys::Datum::from(room)
    }
}

/// A varlena with these bytes.
pub fn varlena(bytes: &[u8]) -> pg_sys::Datum {
    // SAFETY: palloc gives room for header and bytes, or raises; the header is written before anyone reads it.
    unsafe {
        let size = bytes.len() + pg_sys::VARHDRSZ;
        let varlena = pg_sys::palloc(size).cast::<pg_sys::varlena>();
        pgrx::set_varsize_4b(varlena, size as i32);
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), varlena.cast::<u8>().add(pg_sys::VARHDRSZ), bytes.len());
        pg_sys::Datum::from(varlena)
    }
}

/// The bytes of a varlena, copied.
///
/// # Safety
/// The datum is a varlena.
pub unsafe fn bytes(datum: pg_sys::Datum) -> Vec<u8> {
    // SAFETY: as the caller promises; what is detoasted is given back at once.
    unsafe {
        let stored: *mut pg_sys::varlena = datum.cast_mut_ptr();
        let whole = pg_sys::pg_detoast_datum_packed(stored);
        let bytes = pgrx::varlena_to_byte_slice(whole).to_vec();
        if whole != stored {
            pg_sys::pfree(whole.cast());
        }
        bytes
    }
}

/// A plain value that is not NULL.
///
/// # Safety
/// The datum is of the type.
pub unsafe fn plain<T: FromDatum>(datum: pg_sys::Datum, is_null: bool) -> Option<T> {
    // SAFETY: as the caller promises.
    unsafe { T::from_datum(datum, is_null) }
}

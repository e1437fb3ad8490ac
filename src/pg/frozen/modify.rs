//! What is written to a frozen chunk: new rows go beside its segments, changes of rows are refused.

use std::ffi::CStr;

use flagscope_core::{Error, Kind};
use pgrx::{pg_guard, pg_sys};

use super::convert;
use super::freeze::raise;
use super::store::private_table;

/// All columns of telemetry in the order of `core::frozen::COLUMNS`.
const INSERT: &CStr = c"INSERT INTO _flagscope.telemetry_late (ts, signal, name, value, unit, subject, flags, environment, \
    service, severity, is_error, trace_id, span_id, parent_span_id, body, attributes, attribution, ts_nanos, distribution, \
    instance) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)";
const COLUMNS: usize = flagscope_core::frozen::COLUMNS.len();

/// Stores a row that arrives after its chunk was frozen, as the owner of telemetry, whose triggers count it. "Nothing was
/// done" is the answer: a foreign table's rows cannot be collected for the statement's own triggers.
#[pg_guard]
pub unsafe extern "C-unwind" fn insert(
    _estate: *mut pg_sys::EState,
    target: *mut pg_sys::ResultRelInfo,
    slot: *mut pg_sys::TupleTableSlot,
    _plan_slot: *mut pg_sys::TupleTableSlot,
) -> *mut pg_sys::TupleTableSlot {
    // SAFETY: PostgreSQL hands over the target relation and a slot of its columns; the user is set back, by PostgreSQL if
    // the statement fails.
    unsafe {
        let descriptor = (*slot).tts_tupleDescriptor;
        if (*slot).tts_nvalid < (*descriptor).natts as pg_sys::AttrNumber {
            pg_sys::slot_getsomeattrs_int(slot, (*descriptor).natts);
        }
        let (fields, _) = convert::fields(descriptor).unwrap_or_else(|error| raise(error));
        let mut types = [pg_sys::TEXTOID; COLUMNS];
        let (mut values, mut nulls) = ([pg_sys::Datum::from(0); COLUMNS], [b'n' as std::ffi::c_char; COLUMNS]);
        for field in &fields {
            let place = field.attribute;
            types[field.column] = pgrx::PgTupleDesc::from_pg_unchecked(descriptor)
                .get(place)
                .map_or(pg_sys::TEXTOID, |definition| definition.atttypid);
            values[field.column] = *(*slot).tts_values.add(place);
            if !*(*slot).tts_isnull.add(place) {
                nulls[field.column] = b' ' as std::ffi::c_char;
            }
        }
        let owner = (*(*(*target).ri_RelationDesc).rd_rel).relowner;
        let (mut user, mut context) = (pg_sys::InvalidOid, 0);
        pg_sys::GetUserIdAndSecContext(&raw mut user, &raw mut context);
        pg_sys::SetUserIdAndSecContext(owner, context | pg_sys::SECURITY_LOCAL_USERID_CHANGE as i32);
        pg_sys::SPI_connect();
        let (types, values) = (types.as_mut_ptr(), values.as_mut_ptr());
        let done =
            pg_sys::SPI_execute_with_args(INSERT.as_ptr(), COLUMNS as i32, types, values, nulls.as_ptr(), false, 0);
        if done < 0 {
            raise(Error::new(Kind::Unsupported, format!("a late row could not be stored (SPI: {done})")));
        }
        pg_sys::SPI_finish();
        pg_sys::SetUserIdAndSecContext(user, context);
    }
    std::ptr::null_mut()
}

#[pg_guard]
pub unsafe extern "C-unwind" fn update(
    _estate: *mut pg_sys::EState,
    target: *mut pg_sys::ResultRelInfo,
    _slot: *mut pg_sys::TupleTableSlot,
    _plan_slot: *mut pg_sys::TupleTableSlot,
) -> *mut pg_sys::TupleTableSlot {
    refuse(target)
}

#[pg_guard]
pub unsafe extern "C-unwind" fn delete(
    _estate: *mut pg_sys::EState,
    target: *mut pg_sys::ResultRelInfo,
    _slot: *mut pg_sys::TupleTableSlot,
    _plan_slot: *mut pg_sys::TupleTableSlot,
) -> *mut pg_sys::TupleTableSlot {
    refuse(target)
}

fn refuse(target: *mut pg_sys::ResultRelInfo) -> ! {
    // SAFETY: the target's relation is open; its name is a C string.
    let name = unsafe {
        let name = &raw const (*(*(*target).ri_RelationDesc).rd_rel).relname.data;
        CStr::from_ptr(name.cast()).to_string_lossy().into_owned()
    };
    let message = format!("rows of chunk _flagscope.\"{name}\" cannot be changed: it is frozen");
    let hint = format!("SELECT flagscope.thaw_chunk('_flagscope.{name}') makes it an ordinary partition again.");
    raise(Error::new(Kind::Unsupported, message).hint(hint))
}

/// The table of rows that came after their chunk was frozen.
pub fn late_table() -> pg_sys::Oid {
    private_table("telemetry_late").unwrap_or_else(|error| raise(error))
}

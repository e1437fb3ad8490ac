//! Rows of telemetry as the executor hands them out: no copy of a row, no column that nobody asks for.
//!
//! A receiver of our own takes the place of SPI's, which copies every row into a table. What the caller may not see, by
//! rights or by row security, does not come, since this is a query like any other.

use std::ffi::CStr;

use flagscope_core::correlate::Value;
use flagscope_core::correlate::question::{Seen, Uuid};
use flagscope_core::telemetry::{Found, Row, Signal};
use pgrx::prelude::*;
use pgrx::{IntoDatum, PgMemoryContexts};

use super::flat;
use super::jsonb::plain_at;
use super::row::SignalLabels;

/// The columns in the order in which `SeenRow` reads them.
const QUERY: &CStr =
    c"SELECT ts, signal, name, value, flags, environment, service, severity, is_error, attributes, subject, \
    trace_id, span_id, parent_span_id, body, ts_nanos FROM flagscope.telemetry \
    WHERE ts OPERATOR(pg_catalog.>=) $1 AND ts OPERATOR(pg_catalog.<) $2";
const COLUMNS: usize = 16;
/// Rows after which what was decompressed for them is given back.
const ROWS_AT_A_TIME: u64 = 1_000;

/// One row, as its values lie in memory.
pub struct SeenRow<'t> {
    values: &'t [pg_sys::Datum],
    nulls: &'t [bool],
    signal: Signal,
}

/// The bytes of a varlena, where it lies unless it is compressed or stored apart.
///
/// # Safety
/// The datum is a varlena that stays where it is for `'t`.
unsafe fn bytes<'t>(datum: pg_sys::Datum) -> &'t [u8] {
    // SAFETY: as the caller promises; what is decompressed lies in the current memory context, which is given back after
    // the row was looked at.
    unsafe {
        let mut varlena: *mut pg_sys::varlena = datum.cast_mut_ptr();
        if pgrx::varatt_is_4b_c(varlena) || pgrx::varatt_is_1b_e(varlena) {
            varlena = pg_sys::pg_detoast_datum_packed(varlena);
        }
        pgrx::varlena_to_byte_slice(varlena)
    }
}

impl<'t> SeenRow<'t> {
    fn bytes(&self, column: usize) -> Option<&'t [u8]> {
        // SAFETY: the column is a varlena; the row outlives the borrow.
        (!self.nulls[column]).then(|| unsafe { bytes(self.values[column]) })
    }

    fn text(&self, column: usize) -> Option<&'t str> {
        self.bytes(column).and_then(|text| std::str::from_utf8(text).ok())
    }

    /// The bytes of the row's flags, a jsonb.
    pub fn flags(&self) -> Option<&'t [u8]> {
        self.bytes(4)
    }

    /// The row's environment, as it was written.
    pub fn environment(&self) -> Option<&'t str> {
        self.text(5)
    }

    /// A log's text.
    pub fn body(&self) -> Option<&'t str> {
        self.text(14)
    }

    /// Ids of a span and its parent; 0 for none.
    pub fn span_ids(&self) -> (u64, u64) {
        let id = |column| {
            let bytes: Option<[u8; 8]> = self.bytes(column).and_then(|bytes| bytes.try_into().ok());
            bytes.map_or(0, u64::from_be_bytes)
        };
        (id(12), id(13))
    }

    /// Nanoseconds beyond the microsecond.
    pub fn nanos(&self) -> i64 {
        // SAFETY: the column is a smallint.
        unsafe { plain_at::<i16>(self.values[15], self.nulls[15]) }.map_or(0, i64::from)
    }
}

impl Row for SeenRow<'_> {
    fn signal(&self) -> Signal {
        self.signal
    }

    fn name(&self) -> &str {
        self.text(2).unwrap_or_default()
    }

    fn value(&self) -> Option<f64> {
        // SAFETY: the column is a float8.
        unsafe { plain_at(self.values[3], self.nulls[3]) }
    }

    fn service(&self) -> Option<&str> {
        self.text(6)
    }

    fn severity(&self) -> Option<i16> {
        // SAFETY: the column is a smallint.
        unsafe { plain_at(self.values[7], self.nulls[7]) }
    }

    fn is_error(&self) -> Option<bool> {
        // SAFETY: the column is a boolean.
        unsafe { plain_at(self.values[8], self.nulls[8]) }
    }

    fn body(&self) -> Option<&str> {
        self.text(14)
    }

    fn attribute(&self, key: &str) -> Option<Found<'_>> {
        self.bytes(9).and_then(|attributes| flat::found(attributes, key))
    }
}

impl Seen for SeenRow<'_> {
    fn subject(&self) -> Option<&str> {
        self.text(10)
    }

    fn trace(&self) -> Option<Uuid> {
        // SAFETY: a uuid is 16 bytes by reference; the row outlives the borrow.
        (!self.nulls[11]).then(|| Uuid::from_bytes(unsafe { *self.values[11].cast_mut_ptr::<[u8; 16]>() }))
    }

    fn each_attribute(&self, visit: impl FnMut(&str, Value<'_>)) {
        if let Some(attributes) = self.bytes(9) {
            flat::each_scalar(attributes, visit);
        }
    }
}

/// Where the executor puts rows.
#[repr(C)]
struct Receiver<'f> {
    /// First, so that a pointer to one is a pointer to the other.
    base: pg_sys::DestReceiver,
    labels: &'f SignalLabels,
    memory: PgMemoryContexts,
    received: u64,
    on_row: &'f mut dyn FnMut(i64, &SeenRow) -> bool,
}

/// Takes one row; false ends the query.
#[pg_guard]
unsafe extern "C-unwind" fn receive(slot: *mut pg_sys::TupleTableSlot, receiver: *mut pg_sys::DestReceiver) -> bool {
    // SAFETY: PostgreSQL hands over the receiver that it was given, and a slot with the query's columns, valid until the
    // return.
    unsafe {
        let receiver = &mut *receiver.cast::<Receiver>();
        let slot = &mut *slot;
        if usize::try_from(slot.tts_nvalid).unwrap_or(0) < COLUMNS {
            pg_sys::slot_getsomeattrs_int(slot, COLUMNS as i32);
        }
        let values = std::slice::from_raw_parts(slot.tts_values, COLUMNS);
        let nulls = std::slice::from_raw_parts(slot.tts_isnull, COLUMNS);
        // An enum is its label's OID.
        let label = pg_sys::Oid::from_u32(values[1].value() as u32);
        let Some((_, signal)) = receiver.labels.iter().find(|(oid, _)| *oid == label) else { return true };
        let previous = pg_sys::MemoryContextSwitchTo(receiver.memory.value());
        let goes_on = (receiver.on_row)(values[0].value() as i64, &SeenRow { values, nulls, signal: *signal });
        pg_sys::MemoryContextSwitchTo(previous);
        receiver.received += 1;
        if receiver.received.is_multiple_of(ROWS_AT_A_TIME) {
            receiver.memory.reset();
        }
        goes_on
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn start(
    _receiver: *mut pg_sys::DestReceiver,
    _operation: std::ffi::c_int,
    _columns: pg_sys::TupleDesc,
) {
}

#[pg_guard]
unsafe extern "C-unwind" fn end(_receiver: *mut pg_sys::DestReceiver) {}

/// Calls back with every row from `since` to before `until` (microseconds since 2000) that the calling query's own snapshot
/// and the caller's rights show, until it says false.
pub fn for_each(since: i64, until: i64, labels: &SignalLabels, on_row: &mut dyn FnMut(i64, &SeenRow) -> bool) {
    let mut receiver = Receiver {
        base: pg_sys::DestReceiver {
            receiveSlot: Some(receive),
            rStartup: Some(start),
            rShutdown: Some(end),
            rDestroy: Some(end),
            mydest: pg_sys::CommandDest::DestNone,
        },
        labels,
        memory: PgMemoryContexts::new("flagscope scanned rows"),
        received: 0,
        on_row,
    };
    // SAFETY: the query has two parameters, both given; it runs under the active snapshot, which is the calling query's,
    // and is over before the receiver is. An error unwinds to PostgreSQL, whose abort gives back what SPI holds.
    unsafe {
        pg_sys::SPI_connect();
        let parameters = pg_sys::makeParamList(2);
        let given = (*parameters).params.as_mut_slice(2);
        for (parameter, time) in given.iter_mut().zip([since, until]) {
            parameter.value = time.into_datum().unwrap_or(pg_sys::Datum::from(0));
            parameter.isnull = false;
            parameter.pflags = pg_sys::PARAM_FLAG_CONST as u16;
            parameter.ptype = pg_sys::TIMESTAMPTZOID;
        }
        let options = pg_sys::SPIExecuteOptions {
            params: parameters,
            read_only: true,
            allow_nonatomic: false,
            must_return_tuples: false,
            tcount: 0,
            dest: (&raw mut receiver).cast(),
            owner: std::ptr::null_mut(),
        };
        pg_sys::SPI_execute_extended(QUERY.as_ptr(), &options);
        pg_sys::SPI_finish();
    }
}

//! One telemetry row as it is counted: its values in place, detoasted only when a filter needs them.

use std::cell::OnceCell;

use flagscope_core::sketch::Histogram;
use flagscope_core::telemetry::{Found, Row, Signal};
use pgrx::{FromDatum, pg_sys};

use super::jsonb::{Jsonb, plain_at, text_at};
use super::value::Stored;

/// The columns of telemetry that are read, in the order of [`Columns`].
const NAMES: [&str; 14] = [
    "ts",
    "signal",
    "name",
    "value",
    "flags",
    "environment",
    "service",
    "severity",
    "is_error",
    "attributes",
    "subject",
    "distribution",
    "body",
    "instance",
];

/// Zero-based positions of [`NAMES`] in the tuple.
#[derive(Debug, Clone, Copy)]
pub struct Columns([usize; NAMES.len()]);

/// The labels of the enum `signal` by their OIDs.
pub type SignalLabels = [(pg_sys::Oid, Signal)];

/// One row, with its values in memory.
pub struct TelemetryRow<'t> {
    values: &'t [pg_sys::Datum],
    nulls: &'t [bool],
    columns: Columns,
    signal: Signal,
    /// Its attributes, unpacked once however many conditions ask.
    attributes: OnceCell<Option<Jsonb<'t>>>,
}

impl Columns {
    /// Finds the columns by name, because a partition may have them in another order than its parent.
    ///
    /// # Safety
    /// The descriptor is one of telemetry or of a query that gives its columns.
    pub unsafe fn find(descriptor: pg_sys::TupleDesc) -> Option<Self> {
        let mut found = [usize::MAX; NAMES.len()];
        // SAFETY: the descriptor belongs to an open relation and outlives this borrow.
        let attributes = unsafe { pgrx::PgTupleDesc::from_pg_unchecked(descriptor) };
        for (i, attribute) in attributes.iter().enumerate() {
            if let Some(wanted) = NAMES.iter().position(|n| *n == attribute.name()) {
                found[wanted] = i;
            }
        }
        found.iter().all(|i| *i != usize::MAX).then_some(Self(found))
    }
}

impl<'t> TelemetryRow<'t> {
    /// A row from its values, with its time; `None` for what cannot occur in the table.
    pub fn new(
        values: &'t [pg_sys::Datum],
        nulls: &'t [bool],
        columns: Columns,
        labels: &SignalLabels,
    ) -> Option<(i64, Self)> {
        let [ts, signal, ..] = columns.0;
        if nulls[ts] || nulls[signal] {
            return None;
        }
        // An enum is its label's OID.
        let label = pg_sys::Oid::from_u32(values[signal].value() as u32);
        let signal = labels.iter().find(|(oid, _)| *oid == label)?.1;
        let attributes = OnceCell::new();
        Some((values[ts].value() as i64, Self { values, nulls, columns, signal, attributes }))
    }

    fn text(&self, column: usize) -> Option<&str> {
        let i = self.columns.0[column];
        // SAFETY: the column is a text; the row outlives the borrow.
        unsafe { text_at(self.values[i], self.nulls[i]) }
    }

    fn jsonb(&self, column: usize) -> Option<Jsonb<'t>> {
        let i = self.columns.0[column];
        // SAFETY: the column is a jsonb; it stays where it is as long as the row's values.
        (!self.nulls[i]).then(|| unsafe { Jsonb::new(self.values[i]) })
    }

    /// The row's flags.
    pub fn flags(&self) -> Option<Jsonb<'_>> {
        self.jsonb(4)
    }

    /// The row's environment, as it was written.
    pub fn environment(&self) -> Option<&str> {
        self.text(5)
    }

    /// The user, device or account that the row is about.
    pub fn subject(&self) -> Option<&str> {
        self.text(10)
    }

    /// The process that sent the row.
    pub fn instance(&self) -> Option<&str> {
        self.text(13)
    }
}

impl Row for TelemetryRow<'_> {
    fn signal(&self) -> Signal {
        self.signal
    }

    fn name(&self) -> &str {
        self.text(2).unwrap_or_default()
    }

    fn value(&self) -> Option<f64> {
        let i = self.columns.0[3];
        // SAFETY: the column is a float8.
        unsafe { plain_at(self.values[i], self.nulls[i]) }
    }

    fn distribution(&self) -> Option<Histogram> {
        let i = self.columns.0[11];
        // SAFETY: the column is a histogram; nulls are not decoded.
        unsafe { Stored::from_datum(self.values[i], self.nulls[i]) }.map(|Stored(histogram)| histogram)
    }

    fn service(&self) -> Option<&str> {
        self.text(6)
    }

    fn severity(&self) -> Option<i16> {
        let i = self.columns.0[7];
        // SAFETY: the column is a smallint.
        unsafe { plain_at(self.values[i], self.nulls[i]) }
    }

    fn is_error(&self) -> Option<bool> {
        let i = self.columns.0[8];
        // SAFETY: the column is a boolean.
        unsafe { plain_at(self.values[i], self.nulls[i]) }
    }

    fn body(&self) -> Option<&str> {
        self.text(12)
    }

    fn attribute(&self, key: &str) -> Option<Found<'_>> {
        self.attributes.get_or_init(|| self.jsonb(9)).as_ref()?.get(key)
    }
}

//! Rows as bytes, to hand them from one process to another: the gateway decodes, and PostgreSQL stores what it is given
//! (`ingest_rows`). A version first, then rows of fields in one order; what is absent is a bit of the row's head.
//!
//! Invariant: any bytes are rows or an error, never a panic, and take no more memory than a few times their length.

use uuid::Uuid;

use super::json::Json;
use super::row::Row;
use crate::sketch::{Histogram, Sketch};
use crate::telemetry::Signal;
use crate::{Error, Kind, Result};

/// The first byte of packed rows: another form gets another one.
pub const PACKED_VERSION: u8 = 2;

/// The last time that OTLP can say, in microseconds: in the year 2554.
const LAST: i64 = (u64::MAX / 1000) as i64;

const SIGNALS: [Signal; 4] = [Signal::Metric, Signal::Log, Signal::Span, Signal::Event];

/// Appends a row; into an empty buffer the version first.
pub fn pack(out: &mut Vec<u8>, row: &Row) {
    if out.is_empty() {
        out.push(PACKED_VERSION);
    }
    let mut writer = Writer { out, present: 0, place: 0 };
    writer.begin();
    let head = writer.out.len() - 4;
    let signal = SIGNALS.iter().position(|signal| *signal == row.signal).unwrap_or_default();
    writer.out.push(signal as u8 | u8::from(row.cumulative) << 4);
    writer.out.extend_from_slice(&row.ts.to_le_bytes());
    writer.out.extend_from_slice(&row.nanos.to_le_bytes());
    writer.bytes(row.name.as_bytes());
    writer.optional(row.value, |out, value| out.extend_from_slice(&value.to_le_bytes()));
    writer.optional_bytes(row.distribution.as_ref().map(Sketch::encode).as_deref());
    for text in [&row.unit, &row.subject, &row.environment, &row.service, &row.body] {
        writer.optional_bytes(text.as_ref().map(String::as_bytes));
    }
    writer.optional_bytes(row.flags.as_ref().map(|flags| flags.to_string()).as_ref().map(String::as_bytes));
    writer.optional_bytes(row.attributes.as_ref().map(|json| json.as_str().as_bytes()));
    writer.optional(row.severity, |out, severity| out.extend_from_slice(&severity.to_le_bytes()));
    writer.optional(row.is_error, |out, is_error| out.push(u8::from(is_error)));
    writer.optional(row.trace_id, |out, id| out.extend_from_slice(id.as_bytes()));
    for id in [row.span_id, row.parent_span_id] {
        writer.optional(id, |out, id| out.extend_from_slice(&id));
    }
    writer.optional_bytes(row.instance.as_ref().map(String::as_bytes));
    let present = writer.present.to_le_bytes();
    if let Some(place) = out.get_mut(head..head + 4) {
        place.copy_from_slice(&present);
    }
}

struct Writer<'o> {
    out: &'o mut Vec<u8>,
    present: u32,
    place: u32,
}

impl Writer<'_> {
    fn begin(&mut self) {
        self.out.extend_from_slice(&[0; 4]);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        // A row comes from a request of 64 MiB at most.
        self.out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        self.out.extend_from_slice(bytes);
    }

    fn optional<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Vec<u8>, T)) {
        if let Some(value) = value {
            self.present |= 1 << self.place;
            write(self.out, value);
        }
        self.place += 1;
    }

    fn optional_bytes(&mut self, value: Option<&[u8]>) {
        self.optional(value, |out, bytes| {
            out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
            out.extend_from_slice(bytes);
        });
    }
}

/// The rows in a buffer, one by one; after an error there is none.
pub fn unpack(bytes: &[u8]) -> impl Iterator<Item = Result<Row>> {
    let mut reader = Reader { rest: bytes, present: 0 };
    let mut first = true;
    std::iter::from_fn(move || {
        if std::mem::take(&mut first) && !reader.rest.is_empty() {
            match reader.array::<1>() {
                Ok([PACKED_VERSION]) => {}
                Ok([other]) => {
                    reader.rest = &[];
                    let text = format!("packed rows of form {other} are not read, {PACKED_VERSION} is");
                    return Some(Err(Error::new(Kind::InvalidBinary, text)));
                }
                Err(error) => return Some(Err(error)),
            }
        }
        if reader.rest.is_empty() {
            return None;
        }
        let row = reader.row();
        if row.is_err() {
            reader.rest = &[];
        }
        Some(row)
    })
}

struct Reader<'b> {
    rest: &'b [u8],
    /// What the row has, a bit for each field that it may lack.
    present: u32,
}

impl<'b> Reader<'b> {
    fn row(&mut self) -> Result<Row> {
        self.present = u32::from_le_bytes(self.array()?);
        let [kind] = self.array()?;
        let signal = SIGNALS.get(usize::from(kind & 0xF)).copied().ok_or_else(|| damaged("a signal"))?;
        let (ts, nanos) = (i64::from_le_bytes(self.array()?), u16::from_le_bytes(self.array()?));
        if nanos > 999 || !(0..=LAST).contains(&ts) {
            return Err(damaged("a time"));
        }
        let mut row = Row::new(signal, "", 0);
        (row.ts, row.nanos, row.cumulative) = (ts, nanos, kind >> 4 == 1);
        row.name = self.text()?;
        row.value = self.optional(|reader| Ok(f64::from_le_bytes(reader.array()?)))?;
        row.distribution = self.optional(|reader| Histogram::decode(reader.bytes()?))?;
        row.unit = self.optional(Self::text)?;
        row.subject = self.optional(Self::text)?;
        row.environment = self.optional(Self::text)?;
        row.service = self.optional(Self::text)?;
        row.body = self.optional(Self::text)?;
        row.flags = self.optional(|reader| serde_json::from_str(&reader.text()?).map_err(|_| damaged("flags")))?;
        row.attributes = self.optional(Self::json)?;
        row.severity = self.optional(|reader| Ok(i16::from_le_bytes(reader.array()?)))?;
        row.is_error = self.optional(|reader| Ok(reader.array::<1>()? != [0]))?;
        row.trace_id = self.optional(|reader| Ok(Uuid::from_bytes(reader.array()?)))?;
        row.span_id = self.optional(Self::array)?;
        row.parent_span_id = self.optional(Self::array)?;
        row.instance = self.optional(Self::text)?;
        Ok(row)
    }

    fn optional<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<Option<T>> {
        let is_present = self.present & 1 == 1;
        self.present >>= 1;
        if is_present { read(self).map(Some) } else { Ok(None) }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or_else(|| damaged("an end"))?;
        self.rest = rest;
        Ok(*bytes)
    }

    fn bytes(&mut self) -> Result<&'b [u8]> {
        let length = u32::from_le_bytes(self.array()?) as usize;
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or_else(|| damaged("a length"))?;
        self.rest = rest;
        Ok(bytes)
    }

    /// A text that PostgreSQL can hold.
    fn text(&mut self) -> Result<String> {
        let text = std::str::from_utf8(self.bytes()?).map_err(|_| damaged("a text"))?;
        if text.contains('\0') { Err(damaged("a text")) } else { Ok(text.to_owned()) }
    }

    /// An object, checked, since jsonb's own reader would tell of an error in words that name no row.
    fn json(&mut self) -> Result<Json> {
        let text = self.text()?;
        let checked: std::result::Result<&serde_json::value::RawValue, _> = serde_json::from_str(&text);
        match checked {
            Ok(_) if text.starts_with('{') => Ok(Json::of_text(text)),
            _ => Err(damaged("attributes")),
        }
    }
}

fn damaged(what: &str) -> Error {
    Error::new(Kind::InvalidBinary, format!("packed rows are damaged: {what} is wrong"))
}

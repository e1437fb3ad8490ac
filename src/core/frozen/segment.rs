//! A segment: rows become one, and what is kept beside its file.

use twox_hash::XxHash3_128;

use super::column::{COLUMNS, Column};
use super::data::{Builder, Data, Value};
use super::fault::corrupted;
use super::{MOST_BYTES, MOST_ROWS, filter, read::File, write};
use crate::Result;

/// Rows that become a segment.
#[derive(Debug)]
pub struct Rows {
    columns: Vec<Builder>,
    bytes: usize,
}

/// A segment as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// How many rows it has.
    pub rows: i32,
    /// Time of its first row, in microseconds since 1970.
    pub first: i64,
    /// Time of its last row.
    pub last: i64,
    /// Filter of its traces.
    pub traces: Vec<u8>,
    /// Filter of its subjects.
    pub subjects: Vec<u8>,
    /// Checksums of what stands before this, and of the file.
    pub seal: Vec<u8>,
    /// The file.
    pub parquet: Vec<u8>,
}

/// What is known of a segment without its file.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    /// As in [`Segment`].
    pub rows: i32,
    /// As in [`Segment`].
    pub first: i64,
    /// As in [`Segment`].
    pub last: i64,
    /// As in [`Segment`].
    pub traces: &'a [u8],
    /// As in [`Segment`].
    pub subjects: &'a [u8],
    /// As in [`Segment`].
    pub seal: &'a [u8],
}

impl Default for Rows {
    fn default() -> Self {
        Self { columns: COLUMNS.iter().map(|column| Builder::new(column.kind)).collect(), bytes: 0 }
    }
}

impl Rows {
    /// Adds the value of a column to the row at hand; each row has one of every column.
    ///
    /// # Errors
    /// The value is not of the column's kind.
    pub fn push(&mut self, column: usize, value: Option<Value>) -> Result<()> {
        self.bytes += match value {
            Some(Value::Bytes(bytes)) => bytes.len(),
            _ => 8,
        };
        self.columns[column].push(value)
    }

    /// Are there enough rows for a segment.
    pub fn is_full(&self) -> bool {
        self.columns[0].len() >= MOST_ROWS || self.bytes >= MOST_BYTES
    }

    /// Are there none.
    pub fn is_empty(&self) -> bool {
        self.columns[0].is_empty()
    }

    /// The segment of these rows, read back and compared with them, value by value.
    ///
    /// # Errors
    /// A value did not come back as it was.
    pub fn freeze(self) -> Result<Segment> {
        let columns = self.columns.into_iter().map(Builder::finish).collect::<Result<Vec<_>>>()?;
        let [ts, trace, subject] = ["ts", "trace_id", "subject"].map(|name| Column::place(name).unwrap_or_default());
        let times = || (0..columns[ts].len()).filter_map(|row| columns[ts].long(row));
        let mut segment = Segment {
            rows: i32::try_from(columns[ts].len()).map_err(corrupted)?,
            first: times().min().unwrap_or_default(),
            last: times().max().unwrap_or_default(),
            traces: filter::of(&columns[trace])?,
            subjects: filter::of(&columns[subject])?,
            seal: Vec::new(),
            parquet: write::file(&columns)?,
        };
        segment.seal = [segment.head().sum(), sum_of(&segment.parquet)].concat();
        compare(&columns, &segment.parquet)?;
        Ok(segment)
    }
}

/// Raises unless a file has exactly these columns.
fn compare(columns: &[Data], parquet: &[u8]) -> Result<()> {
    let file = File::open(parquet.to_vec())?;
    for (place, column) in columns.iter().enumerate() {
        if !file.column(place)?.is_some_and(|read| read.is_same(column)) {
            let name = COLUMNS[place].name;
            return Err(corrupted(format!("column \"{name}\" of a segment was not read back as it was written")));
        }
    }
    Ok(())
}

fn sum_of(bytes: &[u8]) -> [u8; 16] {
    XxHash3_128::oneshot(bytes).to_be_bytes()
}

impl Segment {
    /// What is known without the file.
    pub fn head(&self) -> Head<'_> {
        let Self { rows, first, last, traces, subjects, seal, .. } = self;
        Head { rows: *rows, first: *first, last: *last, traces, subjects, seal }
    }
}

impl Head<'_> {
    fn sum(&self) -> [u8; 16] {
        let mut hasher = XxHash3_128::new();
        hasher.write(&self.rows.to_be_bytes());
        hasher.write(&self.first.to_be_bytes());
        hasher.write(&self.last.to_be_bytes());
        // The length tells where one filter ends.
        hasher.write(&(self.traces.len() as u64).to_be_bytes());
        hasher.write(self.traces);
        hasher.write(self.subjects);
        hasher.finish_128().to_be_bytes()
    }

    /// Is it as it was written.
    ///
    /// # Errors
    /// A bit of it has flipped.
    pub fn check(&self) -> Result<()> {
        if self.seal.len() == 32 && self.seal[..16] == self.sum() {
            return Ok(());
        }
        Err(corrupted("what is kept beside its file does not match its checksum"))
    }

    /// Opens the file, which must be as it was written.
    ///
    /// # Errors
    /// A bit of it has flipped.
    pub fn open(&self, parquet: Vec<u8>) -> Result<File> {
        if self.seal.len() != 32 || self.seal[16..] != sum_of(&parquet) {
            return Err(corrupted("its Parquet file does not match its checksum"));
        }
        let file = File::open(parquet)?;
        if usize::try_from(self.rows) != Ok(file.rows()) {
            return Err(corrupted(format!("its Parquet file has {} rows instead of {}", file.rows(), self.rows)));
        }
        Ok(file)
    }

    /// May it have rows from `since` to `until`, both included.
    pub fn may_have_time(&self, since: i64, until: i64) -> bool {
        self.first <= until && since <= self.last
    }

    /// May it have rows of this trace; false is certain.
    pub fn may_have_trace(&self, trace: &[u8]) -> bool {
        filter::may_have(self.traces, trace)
    }

    /// May it have rows of this subject; false is certain.
    pub fn may_have_subject(&self, subject: &[u8]) -> bool {
        filter::may_have(self.subjects, subject)
    }
}

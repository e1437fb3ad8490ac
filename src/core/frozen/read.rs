//! Reading a segment's file, column by column.

use bytes::Bytes;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::DataType;
use parquet::file::reader::{FileReader, SerializedFileReader};

use super::column::{COLUMNS, Kind};
use super::data::{Data, Values};
use super::fault::corrupted;
use crate::Result;

/// A segment's file, opened.
pub struct File {
    reader: SerializedFileReader<Bytes>,
    rows: usize,
    /// Where each of [`COLUMNS`] is in the file.
    places: [Option<usize>; COLUMNS.len()],
}

impl File {
    /// Opens a file.
    ///
    /// # Errors
    /// It is none of ours.
    pub fn open(bytes: Vec<u8>) -> Result<Self> {
        let reader = SerializedFileReader::new(Bytes::from(bytes)).map_err(corrupted)?;
        let metadata = reader.metadata();
        if metadata.num_row_groups() != 1 {
            return Err(corrupted(format!("a file has {} row groups instead of one", metadata.num_row_groups())));
        }
        let rows = usize::try_from(metadata.file_metadata().num_rows()).map_err(corrupted)?;
        let schema = metadata.file_metadata().schema_descr();
        let places = std::array::from_fn(|column| {
            schema.columns().iter().position(|found| found.name() == COLUMNS[column].name)
        });
        Ok(Self { reader, rows, places })
    }

    /// How many rows it has.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The values of the column at this place of [`COLUMNS`]; `None`: the file does not have it.
    ///
    /// # Errors
    /// The column cannot be read.
    pub fn column(&self, column: usize) -> Result<Option<Data>> {
        let Some(place) = self.places[column] else { return Ok(None) };
        let group = self.reader.get_row_group(0).map_err(corrupted)?;
        let (kind, rows) = (COLUMNS[column].kind, self.rows);
        let (present, values) = match (kind, group.get_column_reader(place).map_err(corrupted)?) {
            (Kind::Time, ColumnReader::Int64ColumnReader(from)) => all(from, rows, Values::Long)?,
            (Kind::Float, ColumnReader::DoubleColumnReader(from)) => all(from, rows, Values::Float)?,
            (Kind::Small, ColumnReader::Int32ColumnReader(from)) => all(from, rows, Values::Small)?,
            (Kind::Truth, ColumnReader::BoolColumnReader(from)) => all(from, rows, Values::Truth)?,
            (Kind::Uuid, ColumnReader::FixedLenByteArrayColumnReader(from)) => all(from, rows, Values::Fixed)?,
            (Kind::Text | Kind::Json | Kind::Bytes, ColumnReader::ByteArrayColumnReader(from)) => {
                all(from, rows, Values::Bytes)?
            }
            _ => return Err(corrupted(format!("column \"{}\" has another type", COLUMNS[column].name))),
        };
        Data::new(present, values).map(Some)
    }
}

/// Which rows have a value, and the values.
fn all<T: DataType>(
    mut from: ColumnReaderImpl<T>,
    rows: usize,
    values_of: impl FnOnce(Vec<T::T>) -> Values,
) -> Result<(Vec<i16>, Values)> {
    let (mut present, mut values) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
    let mut read = 0;
    while read < rows {
        let (records, _, _) =
            from.read_records(rows - read, Some(&mut present), None, &mut values).map_err(corrupted)?;
        if records == 0 {
            return Err(corrupted(format!("a column has {read} rows instead of {rows}")));
        }
        read += records;
    }
    if present.is_empty() {
        present = vec![1; rows]; // a column that is never NULL has no levels
    }
    Ok((present, values_of(values)))
}

//! Writing a segment's file.

use std::collections::HashSet;
use std::sync::Arc;

use foldhash::fast::RandomState;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::data_type::{
    BoolType, ByteArrayType, DataType, DoubleType, FixedLenByteArrayType, Int32Type, Int64Type,
};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::ColumnPath;

use super::column::{COLUMNS, Column, Kind};
use super::data::{Data, Values};
use super::fault::corrupted;
use crate::Result;

/// One page and one dictionary for each column: with the usual pages of 1 MB a row takes a third more.
const PAGE: usize = 16 << 20;
/// Values that are looked at to see whether a column repeats itself.
const SAMPLE: usize = 4_096;

/// A Parquet file of these columns, which are those of [`COLUMNS`].
pub(super) fn file(columns: &[Data]) -> Result<Vec<u8>> {
    let properties = Arc::new(properties(columns)?);
    let mut writer = SerializedFileWriter::new(Vec::new(), Column::file_schema()?, properties).map_err(corrupted)?;
    let mut group = writer.next_row_group().map_err(corrupted)?;
    for (definition, column) in COLUMNS.iter().zip(columns) {
        let mut to = group.next_column().map_err(corrupted)?.ok_or_else(|| corrupted("a column is missing"))?;
        let levels = (!definition.is_required).then_some(column.present.as_slice());
        match &column.values {
            Values::Long(values) => put::<Int64Type>(&mut to, values, levels)?,
            Values::Float(values) => put::<DoubleType>(&mut to, values, levels)?,
            Values::Small(values) => put::<Int32Type>(&mut to, values, levels)?,
            Values::Truth(values) => put::<BoolType>(&mut to, values, levels)?,
            Values::Bytes(values) => put::<ByteArrayType>(&mut to, values, levels)?,
            Values::Fixed(values) => put::<FixedLenByteArrayType>(&mut to, values, levels)?,
        }
        to.close().map_err(corrupted)?;
    }
    group.close().map_err(corrupted)?;
    writer.into_inner().map_err(corrupted)
}

fn put<T: DataType>(to: &mut SerializedColumnWriter, values: &[T::T], levels: Option<&[i16]>) -> Result<()> {
    to.typed::<T>().write_batch(values, levels, None).map(drop).map_err(corrupted)
}

fn properties(columns: &[Data]) -> Result<WriterProperties> {
    let mut properties = WriterProperties::builder()
        .set_created_by("flagscope".to_owned())
        .set_writer_version(WriterVersion::PARQUET_2_0)
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3).map_err(corrupted)?))
        .set_dictionary_page_size_limit(PAGE)
        .set_data_page_size_limit(PAGE)
        .set_data_page_row_count_limit(usize::MAX)
        .set_offset_index_disabled(true)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_column_statistics_enabled(ColumnPath::from("ts"), EnabledStatistics::Chunk);
    for (definition, column) in COLUMNS.iter().zip(columns) {
        if repeats(column) {
            continue;
        }
        let path = ColumnPath::from(definition.name);
        properties = properties.set_column_dictionary_enabled(path.clone(), false);
        let encoding = match definition.kind {
            Kind::Time | Kind::Small => Encoding::DELTA_BINARY_PACKED,
            Kind::Float => Encoding::BYTE_STREAM_SPLIT,
            Kind::Text | Kind::Json | Kind::Bytes => Encoding::DELTA_LENGTH_BYTE_ARRAY,
            Kind::Truth | Kind::Uuid => Encoding::PLAIN,
        };
        properties = properties.set_column_encoding(path, encoding);
    }
    Ok(properties.build())
}

/// Does a dictionary of the column's values save anything: not if nearly each is another one.
fn repeats(column: &Data) -> bool {
    fn distinct<'a>(values: impl Iterator<Item = &'a [u8]>) -> bool {
        let (mut seen, mut n) = (HashSet::<&[u8], RandomState>::default(), 0);
        for value in values.take(SAMPLE) {
            seen.insert(value);
            n += 1;
        }
        seen.len() * 4 <= n * 3
    }
    match &column.values {
        Values::Long(_) => false,
        Values::Truth(_) | Values::Small(_) => true,
        Values::Float(values) => {
            let bits: HashSet<u64, RandomState> = values.iter().take(SAMPLE).map(|value| value.to_bits()).collect();
            bits.len() * 4 <= values.len().min(SAMPLE) * 3
        }
        Values::Bytes(values) => distinct(values.iter().map(|value| value.data())),
        Values::Fixed(values) => distinct(values.iter().map(|value| value.data())),
    }
}

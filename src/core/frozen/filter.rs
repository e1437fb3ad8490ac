//! Which traces or subjects a segment may have: a split-block Bloom filter, as in Parquet, but beside the file, so that a
//! segment is skipped without being read.

use std::collections::HashSet;

use foldhash::fast::RandomState;
use parquet::bloom_filter::Sbbf;

use super::data::Data;
use super::fault::corrupted;
use crate::Result;

/// How often a filter says yes where there is none. At 20,000 rows of 3,000 traces it then has 4 kB.
const WRONG: f64 = 0.01;

/// The filter of a column; empty if it has no values.
pub(super) fn of(column: &Data) -> Result<Vec<u8>> {
    let values: HashSet<&[u8], RandomState> = (0..column.len()).filter_map(|row| column.bytes(row)).collect();
    if values.is_empty() {
        return Ok(Vec::new());
    }
    let mut filter = Sbbf::new_with_ndv_fpp(values.len() as u64, WRONG).map_err(corrupted)?;
    values.iter().for_each(|value| filter.insert(*value));
    let mut bytes = Vec::new();
    filter.write_bitset(&mut bytes).map_err(corrupted)?;
    Ok(bytes)
}

/// May the column have this value; false is certain.
pub(super) fn may_have(filter: &[u8], value: &[u8]) -> bool {
    !filter.is_empty() && Sbbf::new(filter).check(value)
}

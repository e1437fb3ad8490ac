//! Frozen telemetry: rows of a chunk that nobody will change, kept as segments. A segment is one whole Parquet file of up to
//! [`MOST_ROWS`] rows, so that DuckDB, Spark and the like read it as it is, with what says without opening it whether it has
//! rows of a time, a trace or a subject, and with a seal: any bit that flips in either is noticed.
//!
//! What is here: the columns, writing and reading a file, filters, the seal. What is not: where segments are kept and whose
//! rows they are (`pg/frozen/`, `sql/api/frozen.sql`).

mod column;
mod data;
mod fault;
mod filter;
mod read;
mod segment;
mod write;

pub use column::{COLUMNS, Column, Kind};
pub use data::{Builder, Data, Value};
pub use read::File;
pub use segment::{Head, Rows, Segment};

/// Rows of a segment at most. More compress better (10,000: 33.4 bytes a row, 30,000: 31.7, 100,000: 30.8), fewer are sooner
/// read for a single trace.
pub const MOST_ROWS: usize = 20_000;
/// Bytes of values after which a segment ends even if it has fewer rows: bounds the memory that freezing and reading need.
pub const MOST_BYTES: usize = 24 << 20;

//! The columns of a segment: those of `flagscope.telemetry`.

use std::sync::Arc;

use parquet::basic::{ConvertedType, LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::schema::types::Type;

use super::fault::corrupted;
use crate::Result;

/// What the values of a column are, and with that how they are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Microseconds since 1970, in UTC.
    Time,
    /// UTF-8.
    Text,
    /// A JSON value as text.
    Json,
    /// A double.
    Float,
    /// A smallint.
    Small,
    /// A boolean.
    Truth,
    /// 16 bytes.
    Uuid,
    /// Any bytes.
    Bytes,
}

/// A column of telemetry.
#[derive(Debug)]
pub struct Column {
    /// Its name, in the table and in the file.
    pub name: &'static str,
    /// What its values are.
    pub kind: Kind,
    /// Is it NOT NULL.
    pub is_required: bool,
}

const fn column(name: &'static str, kind: Kind) -> Column {
    Column { name, kind, is_required: false }
}

const fn required(name: &'static str, kind: Kind) -> Column {
    Column { name, kind, is_required: true }
}

/// All columns, in the order of a file.
pub const COLUMNS: [Column; 20] = [
    required("ts", Kind::Time),
    required("signal", Kind::Text),
    required("name", Kind::Text),
    column("value", Kind::Float),
    column("unit", Kind::Text),
    column("subject", Kind::Text),
    column("flags", Kind::Json),
    column("environment", Kind::Text),
    column("service", Kind::Text),
    column("severity", Kind::Small),
    column("is_error", Kind::Truth),
    column("trace_id", Kind::Uuid),
    column("span_id", Kind::Bytes),
    column("parent_span_id", Kind::Bytes),
    column("body", Kind::Text),
    column("attributes", Kind::Json),
    column("attribution", Kind::Text),
    column("ts_nanos", Kind::Small),
    column("distribution", Kind::Bytes),
    column("instance", Kind::Text),
];

impl Column {
    /// Place of the column of this name.
    pub fn place(name: &str) -> Option<usize> {
        COLUMNS.iter().position(|column| column.name == name)
    }

    /// The column in a Parquet schema.
    fn schema(&self) -> Result<Type> {
        let (physical, length) = match self.kind {
            Kind::Time => (Physical::INT64, -1),
            Kind::Text | Kind::Json | Kind::Bytes => (Physical::BYTE_ARRAY, -1),
            Kind::Float => (Physical::DOUBLE, -1),
            Kind::Small => (Physical::INT32, -1),
            Kind::Truth => (Physical::BOOLEAN, -1),
            Kind::Uuid => (Physical::FIXED_LEN_BYTE_ARRAY, 16),
        };
        let logical = match self.kind {
            Kind::Time => Some(LogicalType::timestamp(true, TimeUnit::MICROS)),
            Kind::Text => Some(LogicalType::String),
            Kind::Json => Some(LogicalType::Json),
            Kind::Small => Some(LogicalType::integer(16, true)),
            Kind::Uuid => Some(LogicalType::Uuid),
            Kind::Float | Kind::Truth | Kind::Bytes => None,
        };
        Type::primitive_type_builder(self.name, physical)
            .with_repetition(if self.is_required { Repetition::REQUIRED } else { Repetition::OPTIONAL })
            .with_converted_type(ConvertedType::NONE)
            .with_logical_type(logical)
            .with_length(length)
            .build()
            .map_err(corrupted)
    }

    /// The schema of a file.
    pub(super) fn file_schema() -> Result<Arc<Type>> {
        let fields = COLUMNS.iter().map(|column| column.schema().map(Arc::new)).collect::<Result<Vec<_>>>()?;
        Type::group_type_builder("telemetry").with_fields(fields).build().map(Arc::new).map_err(corrupted)
    }
}

//! Every error a user can see, and its SQLSTATE: the one place where the core's kinds become PostgreSQL's codes.

use flagscope_core::{Error, Kind};
use pgrx::PgSqlErrorCode;
use pgrx::pg_sys::panic::ErrorReport;

/// Turns a core result into one that a `#[pg_extern]` can return, keeping message, hint and SQLSTATE.
pub trait Report<T> {
    /// The same result with PostgreSQL's error.
    fn report(self) -> Result<T, ErrorReport>;
}

impl<T> Report<T> for flagscope_core::Result<T> {
    fn report(self) -> Result<T, ErrorReport> {
        self.map_err(error_report)
    }
}

/// PostgreSQL's form of a core error.
pub fn error_report(error: Error) -> ErrorReport {
    let report = ErrorReport::new(sqlstate(error.kind), error.message, "flagscope");
    match error.hint {
        Some(hint) => report.set_hint(hint),
        None => report,
    }
}

fn sqlstate(kind: Kind) -> PgSqlErrorCode {
    match kind {
        Kind::InvalidParameter => PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
        Kind::InvalidText => PgSqlErrorCode::ERRCODE_INVALID_TEXT_REPRESENTATION,
        Kind::InvalidBinary => PgSqlErrorCode::ERRCODE_INVALID_BINARY_REPRESENTATION,
        Kind::Undefined => PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT,
        Kind::LimitExceeded => PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
        Kind::Corrupted => PgSqlErrorCode::ERRCODE_DATA_CORRUPTED,
    }
}

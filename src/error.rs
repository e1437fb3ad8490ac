//! Every error that a user can see, with its SQLSTATE: the one place where the core's kinds of errors become
//! PostgreSQL's codes.

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

/// The longest message or hint, in bytes: it may repeat client input of any size.
pub const LONGEST: usize = 600;

/// PostgreSQL's form of a core error.
pub fn error_report(error: Error) -> ErrorReport {
    let report = ErrorReport::new(sqlstate(error.kind), cut(error.message), "flagscope");
    match error.hint {
        Some(hint) => report.set_hint(cut(hint)),
        None => report,
    }
}

/// A text of a readable length.
pub fn cut(text: String) -> String {
    if text.len() <= LONGEST {
        return text;
    }
    format!("{} ... ({} bytes in all)", &text[..text.floor_char_boundary(LONGEST)], text.len())
}

/// Hides from clients what is meant for developers: while RUST_BACKTRACE is set in the server's environment, pgrx adds
/// a backtrace to the DETAIL of every error that passes through Rust. The place of a panic goes to the server's log
/// instead.
pub fn keep_backtraces_from_clients() {
    std::panic::set_hook(Box::new(|info| {
        // An error of PostgreSQL is a panic, too, while it passes through Rust, but one without a text.
        if let (Some(message), Some(place)) = (info.payload_as_str(), info.location()) {
            eprintln!("flagscope: internal error at {place}: {}", cut(message.to_owned()));
        }
    }));
}

fn sqlstate(kind: Kind) -> PgSqlErrorCode {
    match kind {
        Kind::InvalidParameter => PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
        Kind::InvalidText => PgSqlErrorCode::ERRCODE_INVALID_TEXT_REPRESENTATION,
        Kind::InvalidBinary => PgSqlErrorCode::ERRCODE_INVALID_BINARY_REPRESENTATION,
        Kind::Undefined => PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT,
        Kind::Unsupported => PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED,
        Kind::LimitExceeded => PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
        Kind::Corrupted => PgSqlErrorCode::ERRCODE_DATA_CORRUPTED,
    }
}

/// The SQLSTATE from five characters, as SQL gives it for a caught error; None if PostgreSQL has no such code.
pub fn named(sqlstate: &str) -> Option<PgSqlErrorCode> {
    // Six bits for each character, lowest first (MAKE_SQLSTATE).
    let packed =
        |code: i32, (place, byte): (usize, u8)| code | (i32::from(byte.wrapping_sub(b'0') & 0x3f) << (6 * place));
    let code = PgSqlErrorCode::from(sqlstate.bytes().take(5).enumerate().fold(0, packed));
    (sqlstate.len() == 5 && (code != PgSqlErrorCode::ERRCODE_INTERNAL_ERROR || sqlstate == "XX000")).then_some(code)
}

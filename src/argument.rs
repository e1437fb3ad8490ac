//! Checks of SQL arguments, with one message for each mistake: they must be given, have no NULL among their entries,
//! and counts must not be negative.

use flagscope_core::{Error, Kind, Result};

/// An argument that cannot be NULL.
pub fn given<T>(name: &str, argument: Option<T>) -> Result<T> {
    argument.ok_or_else(|| Error::new(Kind::InvalidParameter, format!("{name} cannot be NULL")))
}

/// The entries of an array, none of which may be NULL.
pub fn known<T>(entries: Vec<Option<T>>) -> Result<Vec<T>> {
    entries.into_iter().map(|entry| given("a number in a list", entry)).collect()
}

/// A count, which cannot be negative.
pub fn count(n: i64) -> Result<u64> {
    u64::try_from(n)
        .map_err(|_| Error::new(Kind::InvalidParameter, format!("a count cannot be negative, got \"{n}\"")))
}

/// The entries of an array of counts.
pub fn counts(entries: Vec<Option<i64>>) -> Result<Vec<u64>> {
    known(entries)?.into_iter().map(count).collect()
}

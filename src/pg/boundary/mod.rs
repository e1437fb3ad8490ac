//! What only Rust inside a backend can say of this room: every conversion, with each form that PostgreSQL may store a value
//! in. Tests by pgrx's `#[pg_test]`, compiled with feature `boundary` alone; `tests/boundary/run` calls each in a
//! transaction that it rolls back, on a private cluster.

use pgrx::pg_schema;

mod forms;
mod rows;
mod values;

/// A test's end: an error is a failure, too.
type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Where the tests are functions.
#[pg_schema]
mod tests {}

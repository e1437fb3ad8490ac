//! Sequential tests.

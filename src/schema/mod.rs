//! The one list that composes sql/ in order. Tables and types come first (`state.rs`: `sql/schema/`), then aggregates
//! (`aggregate.rs`), then code by topic (`api.rs`: `sql/api/`); every file names the one before it, since unrelated items
//! have no stable order.

mod aggregate;
mod api;
mod state;

use pgrx::pg_schema;

/// The private schema, declared so that `#[pg_extern(schema = "_flagscope")]` may name it; bootstrap.sql creates it.
#[pg_schema]
mod _flagscope {}

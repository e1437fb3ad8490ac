//! The pure half of flagscope: everything that can be decided without a database.
//!
//! What is here: sketches (mergeable states), statistics (sequential tests), anomaly scores, targeting (who gets which variant),
//! OTLP decoding (JSON and protobuf), telemetry matching, kinds of metrics, guardrails (from a stratum to a verdict), what a
//! ramp will be able to see (`planner`), the calendar, when a worker ticks, text charts, pages of the
//! console, and names that were meant.
//!
//! What is not: PostgreSQL, a clock, randomness, input or output. Time, settings and seeds are arguments, so every
//! result can be replayed. The crate knows nothing of pgrx (`cargo tree -p flagscope-core` shows it).
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod anomaly;
pub mod calendar;
pub mod chart;
pub mod correlate;
pub mod error;
pub mod frozen;
pub mod guardrail;
pub mod kind;
pub mod names;
pub mod otlp;
pub mod pace;
pub mod page;
pub mod planner;
pub mod protobuf;
pub mod sketch;
pub mod stats;
pub mod targeting;
pub mod telemetry;

pub use error::{Error, Kind, Result};

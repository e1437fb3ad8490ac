//! The decision tests beside their rivals on simulated rollouts.
//!
//! A tick is 5 seconds, every tick is looked at, alpha is 0.05, an alarm is latched. The increments are those of
//! `flagscope_core::stats`, the rivals see the same draws. What the worker adds around them (SQL, transactions) is
//! tested elsewhere.
#![deny(missing_docs)]

pub mod cells;
pub mod counts;
pub mod draws;
pub mod latency;
pub mod rivals;
pub mod shares;
pub mod table;

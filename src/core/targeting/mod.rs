//! Targeting: which variant of a flag a context gets, and why.
//!
//! What is here: definitions of flags, their compiled rules (JsonLogic with flagd's operators), contexts, the order
//! of decisions of an evaluation, its explanation, and flagd's document format in and out. What is not: keeping
//! flags (the extension caches them) and a clock (the time is part of the context).
//!
//! The door is [`Flag::new`] for what is compiled once, [`Session::begin`] for each call, [`evaluate`] for each flag.

mod advice;
mod bucket;
mod cbor;
mod check;
mod clock;
mod context;
mod convert;
mod definition;
mod evaluate;
mod explain;
pub mod flagd;
mod loose;
mod meter;
pub mod ofrep;
mod operator;
mod outcome;
mod prerequisite;
mod rule;
mod schema;
mod stored;
mod version;

pub use bucket::{Bucketing, WEIGHT_TOTAL, bucket};
pub use check::{MAX_RULE_BYTES, MAX_RULE_DEPTH, Problem, check};
pub use context::{Context, ContextBuilder, FLAGS_PER_CONTEXT, MAX_CONTEXT_BYTES, MAX_CONTEXT_DEPTH, Session};
pub use definition::{Definition, Flag, Prerequisite, Split, ValueType};
pub use evaluate::{Answer, ErrorCode, Reason, evaluate};
pub use explain::{Explanation, explain};
pub use outcome::{Outcomes, outcomes, unknown_variants};
pub use prerequisite::Lookup;
pub use rule::Rule;
pub use schema::check_values;
pub use stored::{Parts, Stored};

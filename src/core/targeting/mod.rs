//! Targeting: which variant of a flag a targeting key gets, and why.
//!
//! What is here: flagd's bucketing and the order of decisions of an evaluation. What is not: reading flags (the
//! extension caches them) and JsonLogic rules.

mod bucket;
mod evaluate;

pub use bucket::{Bucketing, WEIGHT_TOTAL, bucket};
pub use evaluate::{Answer, Flag, Reason, Split, evaluate};

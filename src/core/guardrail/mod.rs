//! Guardrails: what one stratum adds to a rule's evidence, and what the evidence says.
//!
//! What is here: the choice of test by metric and comparison, the evidence, and the verdict in words. What is not: the tests
//! themselves (`stats`), and what a verdict does to a rollout (SQL, `sql/api/ramp.sql`).

mod anomaly;
mod evidence;
mod sums;
mod verdict;
mod weigh;

pub use evidence::{gather, log_e};
pub use sums::{centre_of, next_centre, next_past};
pub use verdict::{DataState, Standing, Verdict, verdict};
pub use weigh::{Against, Counted, Rule, Side, Weighed, levels, weigh, weigh_counts};

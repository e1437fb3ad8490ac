//! Sequential tests: evidence that stays valid however often it is looked at.
//!
//! What is here: test P (proportions), its one-sample form, test Q (exceedance of a predictable threshold), the
//! mixture that turns log likelihood ratios into one e-value, and the estimates that people look at. Apart from these
//! stands `report`: classical tests for one look at the end.
//!
//! What is not: ticks, windows, thresholds of alarm, verdicts. A caller adds the increments of each closed tick to a
//! vector `ell` and rejects, latched, when [`mixture::log_e`] reaches log(1 / alpha).
//!
//! Formulas, proofs, sources and measurements: statistics.md sections 2, 3, 6 and 10.

pub mod exceedance;
mod hypergeometric;
pub mod mixture;
pub mod proportion;
pub mod report;
pub mod score;
pub mod tilt;

//! Sequential tests: evidence that stays valid however often it is looked at.
//!
//! What is here, by the letters of README.md: P and P1 (`tilt`), R (`rate`), M (`mean`), Mt (`student`), Q
//! (`exceedance`), Qs (`strict`), H (`label`), T (`ratio`), S (`share`, and for a rollout `split`); the mixture that turns log likelihood ratios
//! into one e-value, combinations of e-values, and the estimates and intervals that people look at. Apart
//! from these stands `report`: classical tests for one look at the end.
//!
//! What is not: ticks, windows, thresholds of alarm, verdicts. A caller adds the increments of each closed tick to a
//! vector `ell` and rejects, latched, when [`mixture::log_e`] reaches log(1 / alpha) ([`process::Process`] does so).
//!
//! To show that a treatment is *safe*, test the other direction: the null "effect at least the margin". For P, R and Q
//! that is the other [`tilt::Harm`] with the inverse margin, for M and T the other one with the same margin.
//!
//! Formulas, proofs, sources and measurements: README.md.

pub mod answer;
pub mod beta_binomial;
pub mod combine;
pub mod dependence;
pub mod exceedance;
mod hypergeometric;
pub mod label;
pub mod margin;
pub mod mean;
pub mod mixture;
pub mod normal;
pub mod power;
pub mod process;
pub mod proportion;
pub mod rate;
pub mod ratio;
pub mod report;
pub mod row_share;
pub mod score;
pub mod share;
mod special;
pub mod split;
pub mod strict;
pub mod student;
pub mod tilt;

pub(crate) use hypergeometric::hypergeometric_tail;
pub(crate) use special::ln_beta_ratio;

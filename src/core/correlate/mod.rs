//! Why a rollout does harm: where it is, what it looks like, and whether that could be chance.
//!
//! What is here: segments, symptoms, spans and log lines of one question (a flag, two arms, a metric, a range of time),
//! as README.md in this folder derives them. What is not: reading rows, names of things, and sentences.

pub mod answer;
pub mod attribute;
pub mod candidate;
pub mod chance;
pub mod condition;
pub mod counts;
pub mod gain;
pub mod gather;
pub mod latency;
pub mod mask;
pub mod path;
pub mod patterns;
pub mod question;
pub mod search;
pub mod store;
pub mod symptom;
pub mod words;

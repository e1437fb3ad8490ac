//! What pages are made of, as `sql/api/page.sql` writes it.
//!
//! Times are seconds since 1970, UTC. Numbers that JSON cannot hold (NaN, infinities, which `jsonb` writes as text) are
//! missing, and so is every field that is left out.

mod guardrail;
mod message;
mod overview;
mod read;
mod rollout;
mod trace;

pub use guardrail::{Estimate, Guardrail, Metric, Point, Series, Summary};
pub use message::Message;
pub use overview::{FlagRow, Health, Overview, RolloutRow};
pub use rollout::{Decision, Delivery, Finding, RampPoint, Rollout, RolloutPage, Sent, Stage, TraceExample};
pub use trace::{Span, TracePage};

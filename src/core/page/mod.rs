//! Pages for people: data in, one self-contained HTML page out.
//!
//! Everything that a page shows comes from its data, a `jsonb` that SQL makes (`sql/api/page.sql`), so the page of the console
//! and the file of `flagscope.rollout_page()` are the same. A page names no other host, has its style and its charts (SVG) inside,
//! needs no script, and shows whatever applications sent as text: maud escapes every value.

mod chart;
mod data;
mod message;
mod rollout;
mod rollouts;
mod scale;
mod shell;
mod state;
mod trace;
mod words;

pub use data::{
    Decision, Delivery, Estimate, Finding, FlagRow, Guardrail, Health, Message, Metric, Overview, Point, RampPoint,
    Rollout, RolloutPage, RolloutRow, Sent, Series, Span, Stage, Summary, TraceExample, TracePage,
};
pub use message::{Login, render_login, render_message};
pub use rollout::render_rollout;
pub use rollouts::render_rollouts;
pub use shell::{Account, Action, Events, Field, Shell};
pub use trace::render_trace;

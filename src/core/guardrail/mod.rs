//! Guardrails: from what a tick brings to evidence and a verdict.
//!
//! What is here: [`step`], the one judge of a guardrail, and what it is made of; what several guardrails say [`together`].
//! What is not: the tests themselves (`stats`), what differs between kinds of metrics (`kind`), and what a verdict does to a
//! rollout (SQL, `sql/api/ramp.sql`).

mod anomaly;
mod budget;
mod data_state;
mod due;
mod evidence;
mod look;
mod noise;
mod pair;
mod rhythm;
mod rule;
mod safety;
mod series_words;
mod sighting;
mod source;
mod standing;
mod status;
mod step;
mod strata;
mod together;
mod verdict;
mod whose;
mod words;

pub use budget::{first_share, half, left_at_start};
pub use data_state::DataState;
pub use due::{Pending, is_due, newest_point};
pub use evidence::{gather, log_e};
pub use noise::{Minute, Noise, noise, spread};
pub use rhythm::Rhythm;
pub use rule::{Comparison, Rule, Test};
pub use safety::Data;
pub use sighting::{Sighting, alarm_score};
pub use source::is_shared;
pub use standing::{Standing, is_eventless};
pub use status::{Arrived, Before, Evaluation, Safety, Stage, Status, Stepped, Stratum, Waiting};
pub use step::{failed, step, try_step};
pub use strata::{Arrivals, Batch, Closed, Pairing, stratum_of};
pub use together::{Blamed, Member, together};
pub use verdict::{Verdict, verdict};
pub use whose::Whose;
pub use words::{Words, not_fresh};

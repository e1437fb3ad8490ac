//! Which data is compared now. Against the control it comes in pairs (`strata`); what failed and what is gathered waits here.

use std::borrow::Cow;

use super::rule::Rule;
use super::status::{Arrived, Status, Stratum};
use crate::error::Result;

/// Treatment and control.
pub(super) type Arms<'a> = [Option<Cow<'a, Stratum>>; 2];

/// What waits, and what came, as one.
pub(super) fn merged<'a>(
    waiting: Option<Stratum>,
    came: Option<Cow<'a, Stratum>>,
) -> Result<Option<Cow<'a, Stratum>>> {
    Ok(match (waiting, came) {
        (Some(mut waiting), Some(came)) => {
            waiting.merge(&came)?;
            Some(Cow::Owned(waiting))
        }
        (Some(waiting), None) => Some(Cow::Owned(waiting)),
        (None, came) => came,
    })
}

/// Number of data points of an arm.
pub(super) fn n(arm: &Option<Cow<'_, Stratum>>) -> u64 {
    arm.as_ref().map_or(0, |stratum| stratum.state.n)
}

/// The arms to compare now.
pub(super) fn pair<'a>(rule: &Rule, status: &mut Status, came: &'a Arrived, at: i64) -> Result<Arms<'a>> {
    let mut t = came.treatment.as_ref().map(Cow::Borrowed);
    let mut c = came.control.as_ref().map(Cow::Borrowed);
    if status.failures > 0 {
        // What could not be judged then is judged now.
        let waited = std::mem::take(&mut status.waiting);
        (t, c) = (merged(waited.treatment, t)?, merged(waited.control, c)?);
    }
    if rule.gathers_parts() {
        return Ok([gathered(rule, status, t, at)?, c].map(|arm| arm.filter(|_| status.waiting.since.is_none())));
    }
    Ok([t, c])
}

/// What is counted and what it is counted per come by different requests, seconds apart (logs at once, spans in batches),
/// and evidence is latched at its maximum: they are gathered for a while and weighed as one.
fn gathered<'a>(
    rule: &Rule,
    status: &mut Status,
    came: Option<Cow<'a, Stratum>>,
    at: i64,
) -> Result<Option<Cow<'a, Stratum>>> {
    let t = merged(status.waiting.treatment.take(), came)?;
    let since = status.waiting.since.take();
    if t.is_some() && since.is_none_or(|since| (0..rule.pairing).contains(&at.saturating_sub(since))) {
        status.waiting.treatment = t.map(Cow::into_owned);
        status.waiting.since = since.or(Some(at));
        return Ok(None);
    }
    Ok(t)
}

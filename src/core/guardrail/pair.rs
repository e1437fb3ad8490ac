//! Which data is compared now: an arm that comes alone waits for the other one.

use std::borrow::Cow;

use super::rule::Rule;
use super::status::{Arrived, Status, Stratum, Waiting};
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

/// The arms to compare now; what waits for the other arm stays in the status.
pub(super) fn pair<'a>(
    rule: &Rule,
    status: &mut Status,
    came: &'a Arrived,
    is_alone: bool,
    at: i64,
) -> Result<Arms<'a>> {
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
    if !rule.is_of_control() || is_alone || (t.is_none() && c.is_none()) {
        return Ok([t, c]);
    }
    let waited = std::mem::take(&mut status.waiting);
    // Else what waited found nobody to be compared with.
    let since = waited.since.filter(|since| at.saturating_sub(*since) <= rule.pairing);
    if since.is_some() {
        (t, c) = (merged(waited.treatment, t)?, merged(waited.control, c)?);
    }
    let begins = rule.kind.rules().begins_memory(&status.memory, status.margin, c.as_ref().map(|c| &c.state));
    if begins || (n(&t) > 0 && n(&c) > 0) {
        return Ok([t, c]);
    }
    // An arm that comes alone tells a stratified test nothing; together with the other arm's next data it does. When arms
    // arrive does not depend on what is in them, so the test stays valid; what it is judged at stays as it is meanwhile.
    let [treatment, control] = [t, c].map(|arm| arm.map(Cow::into_owned));
    status.waiting = Waiting { treatment, control, since: since.or(Some(at)) };
    Ok([None, None])
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

//! m of n: a threshold is breached when enough of its last looks, one window apart, were beyond the limit.

use super::data_state::DataState;
use super::rule::Rule;
use super::status::Status;

/// Counts the look at hand, and overrules the verdict where other looks say more.
pub(super) fn look(rule: &Rule, status: &mut Status, at: i64) {
    if !matches!(status.state, DataState::Ok | DataState::Breached) {
        return; // a look that saw too little is none
    }
    // Looks less than one window apart overlap: the later one overwrites the current one.
    let is_new = status.looked_at.is_none_or(|looked| at < looked || at >= looked.saturating_add(rule.window));
    if is_new {
        let kept = rule.of_looks.saturating_sub(1).min(status.looks.len());
        status.looks.drain(..status.looks.len() - kept);
        status.looked_at = Some(at);
    } else {
        status.looks.pop();
    }
    status.looks.push(status.state == DataState::Breached);
    let beyond = status.looks.iter().filter(|look| **look).count();
    if beyond > 0 && beyond < rule.breaches {
        status.state = DataState::Inconclusive;
        status.reason = format!(
            "{beyond} of {} looks beyond the limit, {} make a breach; now {}",
            status.looks.len(),
            rule.breaches,
            status.reason
        );
    } else if beyond >= rule.breaches && status.state == DataState::Ok {
        status.state = DataState::Breached;
        status.reason =
            format!("{beyond} of the last {} looks beyond the limit; now {}", status.looks.len(), status.reason);
    }
}

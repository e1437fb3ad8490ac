//! The verdict: a data state and the reason in words, from where a guardrail stands.
//!
//! Order matters. A breach comes first: it needs no minimum sample, since a sequential test is exact from the first
//! event on. Then what is missing, then what is uncertain; only what is left is ok. How each is told is in `words` and `series_words`.

use super::anomaly;
use super::data_state::DataState;
use super::series_words;
use super::standing::Standing;
use super::words::{self, Words};

/// A state and its reason in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The state.
    pub state: DataState,
    /// Why, in words.
    pub words: Words,
}

/// Judges where a guardrail stands.
pub fn verdict(s: &Standing) -> Verdict {
    let (state, words) = breach(s)
        .map(|words| (DataState::Breached, words))
        .or_else(|| missing(s))
        .or_else(|| uncertain(s).map(|words| (DataState::Inconclusive, words)))
        .unwrap_or_else(|| (DataState::Ok, clear(s)));
    Verdict { state, words }
}

fn breach(s: &Standing) -> Option<Words> {
    if s.is_sequential() && s.status.max_log_e >= s.line() {
        return Some(words::proven(s));
    }
    // The e-values may fall again; what they said together once stays, as one's own maximum does.
    if let Some(reason) = &s.status.joint {
        return Some(reason.clone().into());
    }
    // A threshold controls no error, so it waits for its sample.
    if s.is_threshold() && s.status.n_treatment >= s.rule.min_sample && s.is_beyond_limit() {
        return Some(words::threshold(s, true));
    }
    s.anomaly.filter(|a| anomaly::is_breach(s, a)).map(|a| series_words::unusual(s, a))
}

fn missing(s: &Standing) -> Option<(DataState, Words)> {
    if s.is_without_control() {
        return Some((DataState::NoControl, words::alone(s)));
    }
    if let Some(arm) = s.silent_arm() {
        return Some((DataState::Silent, words::silent(s, arm)));
    }
    match s.status.last_data_at {
        None if s.is_excused() => return Some((DataState::NotEnough, words::expected(s))),
        None => return Some((DataState::NoData, words::no_data(s))),
        Some(last) if s.at.saturating_sub(last) > s.rule.stale_after && !s.is_excused() => {
            return Some((DataState::Stale, words::stale(s, last)));
        }
        _ => {}
    }
    if s.is_of_both() && s.status.n_control == 0 {
        return Some((DataState::NotEnough, words::no_control(s)));
    }
    if s.status.stage_treatment.min(s.stage_control()) < s.wanted() {
        return Some((DataState::NotEnough, words::too_few(s)));
    }
    if s.is_threshold() && s.status.value.is_none() {
        return Some((DataState::NoData, words::empty_window(s)));
    }
    s.anomaly.and_then(|a| series_words::unjudged(s, a)).map(|words| (DataState::NotEnough, words))
}

/// Half of the line on the log scale (e = 10 at alpha 0.01): widening the exposure now would be a bet.
fn uncertain(s: &Standing) -> Option<Words> {
    if s.is_sequential() && s.status.log_e >= s.line() / 2.0 {
        return Some(words::building_up(s));
    }
    let a = s.anomaly?;
    if anomaly::is_uncertain(a) { Some(series_words::unusual(s, a)) } else { series_words::begun(s, a) }
}

fn clear(s: &Standing) -> Words {
    match s.anomaly {
        Some(a) => series_words::usual(s, a),
        None if s.is_threshold() && s.status.value.is_some() => words::threshold(s, false),
        // What everybody hopes for, and what a misspelt event looks like.
        None if s.is_eventless() => words::eventless(s),
        None => words::no_harm(s),
    }
}

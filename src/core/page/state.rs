//! States as people see them: a word, and a colour that says the same.

use maud::{Markup, html};

use super::words::label;

/// The class of a status of a rollout in the style.
pub fn of_status(status: &str) -> &'static str {
    match status {
        "running" => "live",
        "completed" => "ok",
        "rolled_back" => "critical",
        "held" | "paused" => "warning",
        _ => "info",
    }
}

/// The class of a state of a guardrail or of health.
pub fn of_state(state: &str) -> &'static str {
    match state {
        "ok" => "ok",
        "breached" | "critical" => "critical",
        "error" | "silent" | "no_data" | "stale" | "warning" => "warning",
        _ => "info",
    }
}

/// A word with its colour.
pub fn chip(state: &str, class: &str) -> Markup {
    html! { span class={ "state " (class) } { (label(state)) } }
}

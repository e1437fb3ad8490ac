//! What a person on call asks first.

use maud::{Markup, html};

use super::super::state::{chip, of_status};
use super::super::words::{ago, percent, short, time};
use super::super::{Decision, Rollout, RolloutPage};

/// Is it serving, what was decided, why, what now.
pub fn now(page: &RolloutPage) -> Markup {
    let rollout = &page.rollout;
    let last = page.decisions.iter().rev().find(|d| !d.shadow && d.action != "warn");
    html! {
        section class={ "now " (of_status(&rollout.status)) } aria-label="Now" {
            dl {
                dt { "Serving" }
                dd.big { (chip(&rollout.status, of_status(&rollout.status))) " " (serving(rollout)) }
                @if rollout.since.is_some() {
                    dd.mute { "since " (time(rollout.since)) @if let Some(ago) = ago(rollout.since, page.at) { ", " (ago) } }
                }
                @if let Some(decision) = last { (decided(decision)) }
                @let findings: Vec<_> = page.findings.iter().filter(|f| f.rank <= 3).take(3).collect();
                @if !findings.is_empty() {
                    dt { "Why" }
                    @for finding in findings { dd { (short(&finding.sentence, 400)) } }
                }
                dt { "What now" }
                dd { (what_now(rollout)) }
                @if !rollout.problem.is_empty() {
                    dt { "Problem" } dd.critical { "It could not be decided: " (short(&rollout.problem, 500)) }
                }
            }
        }
    }
}

fn decided(decision: &Decision) -> Markup {
    html! {
        dt { "Decided" }
        dd {
            strong { (decision.title) } " by " (short(&decision.actor, 60)) ", " (time(decision.at))
            @if !decision.reason.is_empty() { ": " (short(&decision.reason, 600)) }
        }
    }
}

fn serving(rollout: &Rollout) -> String {
    let (treatment, control) = (short(&rollout.treatment, 60), short(&rollout.control, 60));
    let share = rollout.percent.unwrap_or(0.0);
    match rollout.status.as_str() {
        "draft" => format!("Not started: nobody gets “{treatment}”"),
        _ if !rollout.enabled && rollout.ended_at.is_none() => {
            format!("The flag is disabled: nobody gets “{treatment}”")
        }
        _ if share <= 0.0 => format!("Nobody gets “{treatment}”; “{control}” is served"),
        _ if share >= 100.0 => format!("Everybody gets “{treatment}”"),
        _ => format!("{} of users get “{treatment}”, the others “{control}”", percent(rollout.percent)),
    }
}

fn what_now(rollout: &Rollout) -> Markup {
    let id = rollout.id;
    html! {
        @match rollout.status.as_str() {
            "rolled_back" => { "Nothing is running. Once the cause is mended: " code { "SELECT flagscope.restart_rollout(" (id) ");" } },
            "completed" => {
                "It is over."
                @if rollout.follow_up_until.is_some() { " Guardrails may still roll it back until " (time(rollout.follow_up_until)) "." }
            },
            "draft" => { "It starts with " code { "SELECT flagscope.start_rollout(" (id) ");" } },
            _ if rollout.needs_approval => {
                strong { "A person must approve stage " (rollout.stage) "." } " It waits for: " (short(&rollout.waiting_for, 600))
            },
            _ if rollout.waiting_for.is_empty() => { "Nothing is known of what it waits for." },
            _ => { "It waits for: " (short(&rollout.waiting_for, 600)) },
        }
    }
}

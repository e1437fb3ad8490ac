//! The ramp, its stages and decisions on one time axis, and each decision in words.

use maud::{Markup, html};

use super::super::chart::{Chart, Layer, Mark};
use super::super::scale::Scale;
use super::super::state::{chip, of_state};
use super::super::words::{Unit, percent, short, time};
use super::super::{Decision, RolloutPage};
use super::plan::{plan, span};

/// Decisions that are marked in charts: those that changed something, at most the last 30, by their number in the list.
pub fn marks(page: &RolloutPage) -> Vec<Mark> {
    let changes: Vec<_> = page.decisions.iter().zip(1..).filter(|(d, _)| is_change(d)).collect();
    let first = changes.len().saturating_sub(30);
    let mark =
        |d: &Decision, n: i32| Some(Mark { at: d.at?, words: n.to_string(), name: of_state(&d.severity).to_owned() });
    changes[first..].iter().filter_map(|(d, n)| mark(d, *n)).collect()
}

fn is_change(decision: &Decision) -> bool {
    !decision.shadow && decision.action != "warn"
}

fn ramp(page: &RolloutPage, marks: &[Mark]) -> Option<Markup> {
    let span = span(page)?;
    let mut points: Vec<(f64, f64)> =
        page.ramp.iter().filter_map(|p| Some((p.at?, p.percent?))).filter(|(at, _)| *at <= span.1).collect();
    // What began before is shown from the edge on.
    points.iter_mut().for_each(|(at, _)| *at = at.max(span.0));
    let most = points.iter().map(|p| p.1).fold(0.0, f64::max);
    let chart = Chart {
        title: format!("Share of users that get {}, over time", short(&page.rollout.treatment, 60)),
        span,
        scale: Scale::over([0.0, if most > 50.0 { 100.0 } else { most * 1.2 }].into_iter()),
        unit: Unit::PERCENT,
        layers: vec![Layer::Steps { name: "ramp", points }],
        marks,
    };
    Some(chart.svg())
}

/// The section with the ramp, the plan, and the decisions.
pub fn timeline(page: &RolloutPage, marks: &[Mark]) -> Markup {
    html! {
        section aria-labelledby="ramp" {
            h2 #ramp { "Ramp and decisions" }
            div.card {
                @if let Some(chart) = ramp(page, marks) {
                    p.mute { "Share of users that get “" (short(&page.rollout.treatment, 60)) "”. Numbers mark the decisions that are listed below. Times in UTC." }
                    (chart)
                } @else { p { "It was never started. This is its plan:" } }
                details #plan open[page.rollout.started_at.is_none()] { summary { "Stages of the plan" } (plan(page)) }
            }
            ol.plain {
                // The newest one first: it is the one that is asked about.
                @for (decision, n) in page.decisions.iter().zip(1..).collect::<Vec<_>>().into_iter().rev().take(60) {
                    (told(decision, n))
                }
            }
            @if page.decisions.len() > 60 { p.mute { (page.decisions.len() - 60) " earlier decisions are in flagscope.decision." } }
        }
    }
}

fn told(decision: &Decision, n: usize) -> Markup {
    html! {
        li {
            strong { (n) ". " } (time(decision.at)) " "
            (chip(&decision.title, if decision.severity == "info" { "live" } else { of_state(&decision.severity) })) " "
            @if decision.from_percent != decision.to_percent && !decision.title.contains('%') {
                (percent(decision.from_percent)) " to " (percent(decision.to_percent)) " "
            }
            "by " (short(&decision.actor, 60))
            @if !decision.reason.is_empty() { ": " (short(&decision.reason, 500)) }
            @if !decision.explanation.is_empty() {
                details id={ "decision-" (decision.id) } { summary { "The numbers that it rests on" } pre { (short(&decision.explanation, 4000)) } }
            }
        }
    }
}

//! One rollout: first whether it is serving, what was decided, why, and what now; then everything that it rests on.

mod guardrails;
mod metrics;
mod now;
mod plan;
mod timeline;

use maud::{Markup, html};

use super::state::{chip, of_state};
use super::words::{duration, label, number, short, time};
use super::{RolloutPage, Shell};

/// A page is at most so long, in bytes; what would be beyond is left out, and said.
const LONGEST: usize = 190_000;

/// The page of a rollout.
pub fn render_rollout(page: &RolloutPage, shell: &Shell) -> String {
    let rollout = &page.rollout;
    let marks = timeline::marks(page);
    let mut body = vec![
        html! {
            h1 {
                (short(&rollout.flag, 120))
                small { "Rollout " (rollout.id) " in " (short(&rollout.environment, 60)) ", as of " (time(page.at)) }
            }
        },
        now::now(page),
        shell.forms(),
        timeline::timeline(page, &marks),
        why(page, shell),
        traces(page, shell),
        messages(page),
        health(page),
    ];
    let used: usize = body.iter().map(|part| part.0.len()).sum();
    // Of what is left, two thirds are for guardrails.
    let left = LONGEST.saturating_sub(used + include_str!("../style.css").len() + 2000);
    let guardrails = guardrails::guardrails(page, &marks, left * 2 / 3);
    let left = left.saturating_sub(guardrails.0.len());
    body.insert(5, guardrails);
    body.insert(6, metrics::metrics(page, &marks, left));
    let title = format!("{}: {}, rollout {}", label(&rollout.status), short(&rollout.flag, 60), rollout.id);
    shell.page(&title, &html! { @for part in &body { (part) } })
}

fn why(page: &RolloutPage, shell: &Shell) -> Markup {
    html! {
        section aria-labelledby="why" {
            h2 #why { "Why: where the harm is" }
            @if page.findings.is_empty() {
                p { "Nothing is kept. The worker looks into each automatic rollback and hold; "
                    code { "SELECT flagscope.explain_rollout(" (page.rollout.id) ");" } " looks now." }
            }
            ol.plain {
                @for finding in page.findings.iter().take(20) {
                    li {
                        (short(&finding.sentence, 600)) " "
                        span.mute {
                            (finding.kind) ", decision " (finding.decision_id)
                            @if let Some(p) = finding.p_value { ", by chance " (chance(p)) }
                        }
                        @if shell.base.is_some() { @for trace in finding.traces.iter().take(3) { " " (trace_link(shell, trace, "trace")) } }
                    }
                }
            }
        }
    }
}

fn chance(p: f64) -> String {
    if p < 0.0001 { "p below 0.0001".to_owned() } else { format!("p {}", number(Some(p))) }
}

fn trace_link(shell: &Shell, id: &str, words: &str) -> Markup {
    html! {
        @if let Some(link) = shell.trace_link(id) {
            a href=(link) { (words) " " (short(id, 8)) }
        } @else { code { (id) } }
    }
}

fn traces(page: &RolloutPage, shell: &Shell) -> Markup {
    html! {
        @if !page.traces.is_empty() {
            section aria-labelledby="traces" {
                h2 #traces { "Requests worth a look" }
                ul.plain {
                    @for trace in page.traces.iter().take(20) {
                        li {
                            @if trace.is_error { (chip("failed", "critical")) " " }
                            strong { (short(&trace.name, 100)) }
                            " with " (short(&trace.variant, 60)) ", " (duration(trace.duration)) ", " (time(trace.at))
                            @if !trace.service.is_empty() { ", service " (short(&trace.service, 60)) }
                            @if !trace.message.is_empty() { ": " (short(&trace.message, 200)) }
                            " " (trace_link(shell, &trace.trace_id, "trace"))
                        }
                    }
                }
                @if shell.base.is_none() { p.mute { "All of one: " code { "SELECT * FROM flagscope.trace('...');" } } }
            }
        }
    }
}

fn messages(page: &RolloutPage) -> Markup {
    html! {
        @if !page.messages.is_empty() {
            section aria-labelledby="messages" {
                h2 #messages { "Who was told" }
                ul.plain {
                    @for sent in page.messages.iter().take(30) {
                        li {
                            (chip(&sent.event, of_state(&sent.severity))) " " (time(sent.at)) ": " (short(&sent.sentence, 300))
                            " " span.mute { (told(sent)) }
                        }
                    }
                }
            }
        }
    }
}

fn told(sent: &super::Sent) -> String {
    if sent.deliveries.is_empty() {
        return match sent.delivered_at {
            Some(at) => format!("Delivered {}.", time(Some(at))),
            None => "Not delivered to anybody yet.".to_owned(),
        };
    }
    let each: Vec<String> = sent
        .deliveries
        .iter()
        .take(10)
        .map(|delivery| {
            let what = match (delivery.ended_at, delivery.problem.as_str()) {
                (Some(at), "") => format!("told {}", time(Some(at))),
                (Some(_), problem) => format!("given up: {}", short(problem, 100)),
                (None, "") => "not yet told".to_owned(),
                (None, problem) => format!("not yet told: {}", short(problem, 100)),
            };
            format!("{}: {what}", short(&delivery.sink, 60))
        })
        .collect();
    format!("{}.", each.join("; "))
}

fn health(page: &RolloutPage) -> Markup {
    html! {
        @if !page.health.is_empty() || !page.notes.is_empty() {
            section aria-labelledby="health" {
                h2 #health { "Can the numbers be trusted" }
                ul.plain {
                    @for rule in &page.health { li { (chip(&rule.state, of_state(&rule.state))) " " (rule.name) ": " (short(&rule.reason, 300)) } }
                    @for note in page.notes.iter().take(40) { li { (short(note, 300)) } }
                }
            }
        }
    }
}

//! One trace, as a waterfall.

use maud::{Markup, html};
use serde_json::Value;

use super::state::chip;
use super::words::{duration, label, short, time};
use super::{Shell, Span, TracePage};

/// A page is at most so long, in bytes; what would be beyond is left out, and said.
const LONGEST: usize = 185_000;

/// The page of a trace.
pub fn render_trace(page: &TracePage, shell: &Shell) -> String {
    let began = page.spans.iter().filter_map(|span| span.at).fold(f64::INFINITY, f64::min);
    let began = Some(began).filter(|at| at.is_finite());
    let ends = page.spans.iter().filter_map(|span| Some(span.after? + span.duration.unwrap_or(0.0)));
    let length = ends.fold(0.0, f64::max);
    let mut items = Vec::new();
    let mut used = 0;
    for span in &page.spans {
        let item = item(span, items.len(), length);
        used += item.0.len();
        if used > LONGEST {
            break;
        }
        items.push(item);
    }
    let failed = page.spans.iter().filter(|span| span.is_error == Some(true)).count();
    let body = html! {
        h1 { "Trace " code { (short(&page.trace_id, 64)) } small { "Began " (time(began)) ", took " (duration(Some(length))) } }
        p {
            (page.rows.max(0)) " rows"
            @if failed > 0 { ", " span.critical { (failed) " failed" } }
            ". "
            @for id in page.rollouts.iter().take(20) {
                @if let Some(link) = shell.rollout_link(*id) { a href=(link) { "Rollout " (id) } " " } @else { "Rollout " (id) " " }
            }
        }
        (flags(page))
        h2 #spans { "What happened, in the order of time" }
        ol.plain.fall aria-labelledby="spans" { @for item in &items { (item) } }
        @if (items.len() as i64) < page.rows {
            p { (page.rows - items.len() as i64) " more rows are not shown: "
                code { "SELECT * FROM flagscope.trace('" (short(&page.trace_id, 64)) "');" } }
        }
    };
    shell.page(&format!("Trace {}", short(&page.trace_id, 64)), &body)
}

/// Flags that were active in any row, with their variants.
fn flags(page: &TracePage) -> Markup {
    let mut seen: Vec<(&str, &str)> = page
        .spans
        .iter()
        .filter_map(|span| span.flags.as_ref()?.as_object())
        .flat_map(|flags| flags.iter().map(|(key, variant)| (key.as_str(), variant.as_str().unwrap_or_default())))
        .collect();
    seen.sort_unstable();
    seen.dedup();
    html! {
        @if !seen.is_empty() {
            h2 #flags { "Flags" }
            ul aria-labelledby="flags" { @for (key, variant) in seen.iter().take(30) { li { (short(key, 100)) ": " strong { (short(variant, 60)) } } } }
        }
    }
}

fn item(span: &Span, nth: usize, length: f64) -> Markup {
    let depth = span.depth.clamp(0, 6);
    html! {
        li class={ "d" (depth) } {
            @if span.signal != "span" { span.mute { (label(&span.signal)) } " " }
            strong { (short(&span.name, 200)) }
            @if span.is_error == Some(true) { " " (chip("failed", "critical")) }
            " " span.mute {
                "after " (duration(span.after))
                @if span.duration.is_some() { ", took " (duration(span.duration)) @if span.self_duration != span.duration { " (" (duration(span.self_duration)) " itself)" } }
                @if !span.service.is_empty() { ", " (short(&span.service, 60)) }
                @if !span.subject.is_empty() { ", for " (short(&span.subject, 60)) }
            }
            @if !span.body.is_empty() { p { (short(&span.body, 500)) } }
            @for problem in span.problems.iter().take(5) { p.critical { (short(problem, 500)) } }
            (bar(span, length))
            (attributes(span, nth))
        }
    }
}

/// Where a span lies in the whole trace; darker is the part of it that was not its children's.
fn bar(span: &Span, length: f64) -> Markup {
    let (Some(after), Some(took)) = (span.after, span.duration) else { return html! {} };
    if length <= 0.0 {
        return html! {};
    }
    let part = |x: f64| format!("{}%", ((x / length).clamp(0.0, 1.0) * 10_000.0).round() / 100.0);
    let class = if span.is_error == Some(true) { "bar critical" } else { "bar" };
    // At least a hair, so that it is seen.
    let took = took.max(length * 0.003);
    let own = span.self_duration.unwrap_or(took).clamp(length * 0.003, took);
    html! {
        svg aria-hidden="true" {
            rect.track width="100%" height="10" {}
            rect class={ (class) " self" } x=(part(after)) width=(part(took)) height="10" {}
            rect class=(class) x=(part(after)) width=(part(own)) height="10" {}
        }
    }
}

fn attributes(span: &Span, nth: usize) -> Markup {
    let Some(Value::Object(attributes)) = &span.attributes else { return html! {} };
    html! {
        @if !attributes.is_empty() {
            details id={ "attributes-" (nth) } { summary { (attributes.len()) " attributes" }
                ul { @for (key, value) in attributes.iter().take(40) {
                    li { (short(key, 100)) ": " (match value { Value::String(text) => short(text, 200), other => short(&other.to_string(), 200) }) }
                } }
            }
        }
    }
}

//! What both variants measured, over time and all together.

use maud::{Markup, html};

use super::super::chart::{Chart, Layer, Mark, POINTS, numbers, sampled};
use super::super::scale::Scale;
use super::super::words::{Unit, count, short, time};
use super::super::{Metric, Point, RolloutPage, Summary};
use super::plan::span;

/// Metrics that have a chart, at most.
const CHARTS: usize = 12;
/// Variants in a chart, at most.
const VARIANTS: usize = 4;

/// The section of metrics in at most so many bytes.
pub fn metrics(page: &RolloutPage, marks: &[Mark], room: usize) -> Markup {
    let mut cards = Vec::new();
    let mut used = 0;
    for metric in &page.metrics {
        let card = card(metric, page, marks, cards.len());
        used += card.0.len();
        if used > room {
            break;
        }
        cards.push(card);
    }
    html! {
        @if !page.metrics.is_empty() {
            section aria-labelledby="metrics" {
                h2 #metrics { "Metrics of both variants" }
                p.mute { "Over the time of the rollout, as flagscope.variant_summary() says. " (keys(page)) }
                div.two { @for card in &cards { (card) } }
                @if cards.len() < page.metrics.len() { p.mute { (page.metrics.len() - cards.len()) " more are in flagscope.bi_metric." } }
            }
        }
    }
}

fn class(variant: &str, page: &RolloutPage) -> &'static str {
    match variant {
        v if v == page.rollout.treatment => "treatment",
        v if v == page.rollout.control => "control",
        _ => "other",
    }
}

fn name(variant: &str) -> String {
    if variant.is_empty() { "(all rows)".to_owned() } else { short(variant, 60) }
}

fn keys(page: &RolloutPage) -> Markup {
    html! {
        @for (variant, class, role) in [(&page.rollout.treatment, "treatment", "treatment"), (&page.rollout.control, "control", "control")] {
            span.key {
                svg.chart aria-hidden="true" viewBox="0 0 28 8" { path class=(class) d="M0 4L28 4" {} }
                (name(variant)) " (" (role) ")"
            }
        }
    }
}

fn card(metric: &Metric, page: &RolloutPage, marks: &[Mark], nth: usize) -> Markup {
    let unit = Unit::new(&metric.kind, &metric.unit);
    html! {
        article.card {
            h3 { (short(&metric.name, 80)) " " span.mute { (metric.kind) } }
            (summary(metric, unit))
            @if let (true, Some(span)) = (nth < CHARTS, span(page)) {
                @let (chart, headings, rows) = chart(metric, page, unit, span, marks);
                (chart)
                (numbers(&format!("metric-{nth}"), &format!("{} by variant, over time", short(&metric.name, 80)), &headings.iter().map(String::as_str).collect::<Vec<_>>(), &rows))
            }
        }
    }
}

fn summary(metric: &Metric, unit: Unit) -> Markup {
    type Told = (&'static str, fn(&Summary) -> Option<f64>);
    let columns: [Told; 5] =
        [("Value", |s| s.rate), ("Mean", |s| s.mean), ("p50", |s| s.p50), ("p95", |s| s.p95), ("p99", |s| s.p99)];
    let shown: Vec<&Told> = columns.iter().filter(|(_, x)| metric.summary.iter().any(|s| x(s).is_some())).collect();
    let has_events = metric.summary.iter().any(|s| s.events.is_some());
    html! {
        @if metric.summary.is_empty() { p { "There is no data." } } @else {
            div.scroll tabindex="0" role="region" aria-label={ (short(&metric.name, 80)) " by variant" } {
                table {
                    thead { tr { th scope="col" { "Variant" }
                        @for (heading, _) in &shown { th.n scope="col" { (heading) } }
                        @if has_events { th.n scope="col" { "Events" } } th.n scope="col" { "Data points" } } }
                    tbody { @for s in metric.summary.iter().take(VARIANTS * 2) {
                        tr { th scope="row" { (name(&s.variant)) }
                            @for (_, x) in &shown { td.n { (unit.tell(x(s))) } }
                            @if has_events { td.n { (count(s.events)) } } td.n { (count(s.n)) } }
                    } }
                }
            }
        }
    }
}

/// A chart, and the headings and rows of its table.
type Drawn = (Markup, Vec<String>, Vec<Vec<String>>);

fn chart(metric: &Metric, page: &RolloutPage, unit: Unit, span: (f64, f64), marks: &[Mark]) -> Drawn {
    let series: Vec<(&str, Vec<Point>)> =
        metric.series.iter().take(VARIANTS).map(|s| (s.variant.as_str(), sampled(&s.points, POINTS))).collect();
    let values = series.iter().flat_map(|(_, points)| points.iter().filter_map(|p| p.value));
    if values.clone().next().is_none() {
        return (html! {}, Vec::new(), Vec::new());
    }
    // Shares, rates and durations are read from 0 on.
    let least = values.clone().fold(f64::INFINITY, f64::min);
    let scale = Scale::over(values.chain((least >= 0.0).then_some(0.0))).with_room(0.08);
    // A bucket is drawn in its middle.
    let middle = metric.bucket_width.unwrap_or(0.0) / 2.0;
    let line = |variant: &str, points: &[Point]| Layer::Line {
        name: class(variant, page),
        points: points.iter().filter_map(|p| Some((p.at? + middle, p.value))).collect(),
    };
    // The treatment is drawn last, over the others.
    let layers = series.iter().rev().map(|(variant, points)| line(variant, points)).collect();
    let title = format!("{} by variant, over time", short(&metric.name, 80));
    let headings =
        std::iter::once("From".to_owned()).chain(series.iter().map(|(variant, _)| name(variant))).collect();
    (Chart { title, span, scale, unit, layers, marks }.svg(), headings, rows(&series, unit))
}

fn rows(series: &[(&str, Vec<Point>)], unit: Unit) -> Vec<Vec<String>> {
    let row = |p: &Point| {
        let at = |points: &[Point]| points.iter().find(|q| q.at == p.at).and_then(|q| q.value);
        std::iter::once(time(p.at)).chain(series.iter().map(|(_, points)| unit.tell(at(points)))).collect()
    };
    series.first().map(|(_, points)| points.iter().map(row).collect()).unwrap_or_default()
}

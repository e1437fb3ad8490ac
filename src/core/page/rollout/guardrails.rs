//! Each guardrail: its verdict, and its estimate over time against what is tolerated.

use maud::{Markup, html};

use super::super::chart::{Chart, Layer, Mark, POINTS, numbers, sampled};
use super::super::scale::Scale;
use super::super::state::{chip, of_state};
use super::super::words::{Unit, count, is_ratio, label, measure, number, short, time};
use super::super::{Estimate, Guardrail, RolloutPage};
use super::plan::span;

/// Guardrails that have a chart, at most; the worst come first.
const CHARTS: usize = 12;

/// The section of guardrails in at most so many bytes.
pub fn guardrails(page: &RolloutPage, marks: &[Mark], room: usize) -> Markup {
    let span = span(page);
    let mut cards = Vec::new();
    let mut used = 0;
    for guardrail in page.guardrails.iter().take(CHARTS) {
        let card = card(guardrail, span, marks);
        // A third stays for the rows of those without a chart.
        if !cards.is_empty() && used + card.0.len() > room * 2 / 3 {
            break;
        }
        used += card.0.len();
        cards.push(card);
    }
    let rest = &page.guardrails[cards.len()..];
    html! {
        section aria-labelledby="guardrails" {
            h2 #guardrails { "Guardrails" }
            @if page.guardrails.is_empty() { p { "There is none: the ramp goes on by time alone, whatever happens." } }
            @else { p.mute { (tally(page)) } }
            div.two { @for card in &cards { (card) } }
            (table(rest, room.saturating_sub(used)))
        }
    }
}

fn tally(page: &RolloutPage) -> String {
    let mut states: Vec<(&str, usize)> = Vec::new();
    for guardrail in &page.guardrails {
        match states.iter_mut().find(|(state, _)| *state == guardrail.state) {
            Some((_, n)) => *n += 1,
            None => states.push((&guardrail.state, 1)),
        }
    }
    let words: Vec<String> = states.iter().map(|(state, n)| format!("{n} {}", label(state))).collect();
    format!("{}. Intervals hold at every look, unless a guardrail says otherwise.", words.join(", "))
}

fn rule(g: &Guardrail) -> String {
    let against = match g.comparison.as_str() {
        "control" => "against the control",
        "baseline" => "against the control’s past",
        _ => "against a limit",
    };
    let margin = if g.margin.is_empty() { String::new() } else { format!(", {}", short(&g.margin, 80)) };
    let breach =
        if g.shadow { "shadow: never acts".to_owned() } else { format!("when breached: {}", label(&g.action)) };
    format!("{} {}, {against}{margin}; {breach}", short(&g.metric, 60), short(&g.watches, 60))
}

fn card(g: &Guardrail, span: Option<(f64, f64)>, marks: &[Mark]) -> Markup {
    html! {
        article.card {
            h3 { (chip(&g.state, of_state(&g.state))) " " (short(&g.name, 80)) }
            p { (short(&g.reason, 400)) }
            @if !g.effect.is_empty() { p { "Estimate: " (short(&g.effect, 200)) } }
            p.mute { (rule(g)) "; " (count(g.n_treatment)) " data points of the treatment, " (count(g.n_control)) " of the control"
                @if g.since.is_some() { "; in this state since " (time(g.since)) } }
            @if let Some(span) = span { (estimates(g, span, marks)) }
        }
    }
}

fn unit<'a>(g: &'a Guardrail) -> Unit<'a> {
    match g.measure.as_str() {
        "score" => Unit::PLAIN,
        measure if is_ratio(measure) => Unit::PLAIN,
        // A share of values, whatever their unit.
        "share_above" => Unit::new("proportion", ""),
        _ => Unit::new(&g.kind, &g.unit),
    }
}

fn estimates(g: &Guardrail, span: (f64, f64), marks: &[Mark]) -> Markup {
    let points = sampled(&g.series, POINTS);
    if points.iter().any(|p| p.estimate.is_some()) {
        estimate(g, &points, span, marks)
    } else {
        evidence(g, &points, span, marks)
    }
}

fn estimate(g: &Guardrail, points: &[Estimate], span: (f64, f64), marks: &[Mark]) -> Markup {
    let unit = unit(g);
    let ratio = is_ratio(&g.measure);
    let same = if ratio { Some(1.0) } else { (g.measure == "difference").then_some(0.0) };
    // The first intervals are far wider than all that follows: they are cut at the edge of the chart.
    let known: Vec<f64> = points.iter().filter_map(|p| p.estimate).collect();
    let last = points.last().map_or([None, None], |p| [p.lower, p.upper]);
    let others = [g.tolerated, same, g.lower, g.upper].into_iter().chain(last).flatten();
    let values = known.iter().skip(known.len() / 4).copied().chain(others);
    let scale = Scale::over(values.filter(|x| !ratio || *x > 0.0));
    let scale = if ratio { scale.logarithmic() } else { scale }.with_room(0.1);
    let band = points.iter().filter(|p| p.estimate.is_some()).filter_map(|p| {
        let open = |end: Option<f64>, beyond: f64| end.or((p.lower.is_some() || p.upper.is_some()).then_some(beyond));
        Some((p.at?, open(p.lower, f64::NEG_INFINITY)?, open(p.upper, f64::INFINITY)?))
    });
    let level = |name, at: f64, words: String| Layer::Level { name, at, words };
    let mut layers = vec![
        Layer::Band { name: "interval", points: band.collect() },
        Layer::Line { name: "estimate", points: points.iter().filter_map(|p| Some((p.at?, p.estimate))).collect() },
    ];
    // Not where the other line is.
    let apart = |at: f64| match (g.tolerated.and_then(|limit| scale.place(limit)), scale.place(at)) {
        (Some(limit), Some(at)) => (limit - at).abs() > 0.12,
        _ => true,
    };
    let told = |at| if apart(at) { "as the control".to_owned() } else { String::new() };
    layers.extend(same.map(|at| level("same", at, told(at))));
    layers.extend(g.tolerated.map(|at| level("limit", at, format!("tolerated: {}", unit.tell(Some(at))))));
    // A threshold that has no data now has no name of its estimate either.
    let what = measure(if g.measure.is_empty() { "window" } else { &g.measure });
    let has_interval = points.iter().any(|p| p.lower.is_some() || p.upper.is_some());
    let title = format!("{}: {what}, over time", short(&g.name, 80));
    let rows: Vec<Vec<String>> = points
        .iter()
        .map(|p| vec![time(p.at), unit.tell(p.estimate), unit.tell(p.lower), unit.tell(p.upper), number(p.log_e)])
        .collect();
    html! {
        p.mute {
            "Line: " (what) @if has_interval { "; shaded: its interval" } ". Times in UTC."
        }
        (Chart { title: title.clone(), span, scale, unit, layers, marks }.svg())
        (numbers(&format!("numbers-{}", g.id), &title, &["Time", "Estimate", "Lower", "Upper", "ln e"], &rows))
    }
}

/// What is known without an estimate: how far the evidence is from the line where the guardrail is breached.
fn evidence(g: &Guardrail, points: &[Estimate], span: (f64, f64), marks: &[Mark]) -> Markup {
    let known: Vec<(f64, Option<f64>)> = points.iter().filter_map(|p| Some((p.at?, p.log_e))).collect();
    if known.iter().filter(|(_, x)| x.is_some()).count() < 2 || g.line.is_none() {
        return html! {};
    }
    let scale = Scale::over(known.iter().filter_map(|p| p.1).chain(g.line).chain([0.0])).with_room(0.1);
    let mut layers = vec![Layer::Line { name: "estimate", points: known.clone() }];
    layers.extend(g.line.map(|at| Layer::Level { name: "limit", at, words: "breached from here on".to_owned() }));
    let title = format!("{}: evidence of harm, over time", short(&g.name, 80));
    let rows: Vec<Vec<String>> = known.iter().map(|(at, x)| vec![time(Some(*at)), number(*x)]).collect();
    html! {
        p.mute { "Evidence of harm (ln e) over time, in UTC." }
        (Chart { title: title.clone(), span, scale, unit: Unit::PLAIN, layers, marks }.svg())
        (numbers(&format!("numbers-{}", g.id), &title, &["Time", "ln e"], &rows))
    }
}

/// Those without a chart, as rows.
fn table(rest: &[Guardrail], room: usize) -> Markup {
    let mut rows = Vec::new();
    let mut used = 0;
    for g in rest {
        let row = html! {
            tr { th scope="row" { (short(&g.name, 80)) } td { (chip(&g.state, of_state(&g.state))) }
                td { (short(&g.effect, 80)) } td { (short(&g.reason, 160)) } }
        };
        used += row.0.len();
        if used > room {
            break;
        }
        rows.push(row);
    }
    html! {
        @if !rows.is_empty() {
            div.scroll tabindex="0" role="region" aria-label="More guardrails" {
                table {
                    thead { tr { th scope="col" { "Guardrail" } th scope="col" { "State" } th scope="col" { "Estimate" } th scope="col" { "Why" } } }
                    tbody { @for row in &rows { (row) } }
                }
            }
        }
        @if rows.len() < rest.len() { p.mute { (rest.len() - rows.len()) " more are in flagscope.bi_guardrail." } }
    }
}

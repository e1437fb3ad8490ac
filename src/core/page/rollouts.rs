//! All flags and rollouts: those that need somebody first.

use maud::{Markup, html};

use super::state::{chip, of_state, of_status};
use super::words::{label, minute, percent, short, time};
use super::{FlagRow, Overview, RolloutRow, Shell};

/// The list is at most so long, in bytes; what would be beyond is left out, and said.
const LONGEST: usize = 185_000;
/// Rows with everything that is known take at most so much of it; those after them are short.
const IN_FULL: usize = 140_000;

/// Each flag with its rollout.
pub fn render_rollouts(overview: &Overview, shell: &Shell) -> String {
    let of = |place| overview.flags.iter().filter(move |flag| self::place(flag) == place).collect::<Vec<_>>();
    let parts = [Place::Urgent, Place::Live, Place::Over, Place::None].map(|place| (place, of(place)));
    let mut left = IN_FULL;
    let mut sections = Vec::new();
    for (place, flags) in parts.iter().filter(|(_, flags)| !flags.is_empty()) {
        let section = if *place == Place::None { None } else { Some(in_full(*place, flags, shell, &mut left)) };
        sections.extend(section);
        let shown = if *place == Place::None { 0 } else { shown(flags, sections.last()) };
        let rest = &flags[shown..];
        if !rest.is_empty() {
            let used: usize = sections.iter().map(|s| s.html.0.len()).sum();
            sections.push(in_short(*place, rest, shell, LONGEST.saturating_sub(used), shown == 0));
        }
    }
    let body = html! {
        h1 { "Flags and rollouts" small { "As of " (time(overview.at)) } }
        p { (tally(&parts)) }
        (health(overview))
        @for section in &sections { (section.html) }
        @if overview.flags.is_empty() { p { "There is no flag yet: " code { "SELECT flagscope.create_flag('new-checkout');" } } }
    };
    shell.page("Flags and rollouts", &body)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Urgent,
    Live,
    Over,
    None,
}

struct Section {
    html: Markup,
    rows: usize,
}

fn shown(flags: &[&FlagRow], section: Option<&Section>) -> usize {
    section.map_or(0, |section| section.rows.min(flags.len()))
}

fn place(flag: &FlagRow) -> Place {
    let Some(rollout) = &flag.rollout else { return Place::None };
    match rollout.status.as_str() {
        "rolled_back" | "completed" => Place::Over,
        _ if needs_somebody(flag, rollout) => Place::Urgent,
        _ => Place::Live,
    }
}

fn needs_somebody(flag: &FlagRow, rollout: &RolloutRow) -> bool {
    rollout.needs_approval && rollout.waiting_for.contains("approve_stage")
        || rollout.status == "held"
        || !rollout.problem.is_empty()
        || rollout.status != "draft" && !flag.enabled
        || ["critical", "warning"].contains(&of_state(&rollout.guardrail_state))
}

fn tally(parts: &[(Place, Vec<&FlagRow>)]) -> String {
    let words: Vec<String> = parts
        .iter()
        .map(|(place, flags)| {
            let what = match place {
                Place::Urgent => "need somebody",
                Place::Live => "under way",
                Place::Over => "with a rollout that is over",
                Place::None => "without a rollout",
            };
            format!("{} {what}", flags.len())
        })
        .collect();
    format!("{}.", words.join(", "))
}

fn health(overview: &Overview) -> Markup {
    html! {
        @if !overview.health.is_empty() {
            section.now.critical aria-labelledby="health" {
                h2 #health { "The judging itself" }
                ul.plain { @for rule in overview.health.iter().take(20) {
                    li { (chip(&rule.state, of_state(&rule.state))) " " (short(&rule.name, 60)) ": " (short(&rule.reason, 300)) }
                } }
            }
        }
    }
}

fn heading(place: Place) -> (&'static str, &'static str) {
    match place {
        Place::Urgent => ("urgent", "Needs somebody"),
        Place::Live => ("live", "Under way"),
        Place::Over => ("over", "Over"),
        Place::None => ("none", "Flags without a rollout"),
    }
}

fn key(flag: &FlagRow, shell: &Shell) -> Markup {
    let name = short(&flag.flag, 60);
    html! {
        @match flag.rollout.as_ref().and_then(|rollout| shell.rollout_link(rollout.id)) {
            Some(link) => { a href=(link) { (name) } },
            None => { (name) },
        }
        " " span.mute { (short(&flag.environment, 30)) }
    }
}

/// Rows with everything that is known, as many as there is room for.
fn in_full(place: Place, flags: &[&FlagRow], shell: &Shell, left: &mut usize) -> Section {
    let mut rows = Vec::new();
    for (flag, rollout) in flags.iter().filter_map(|flag| Some((flag, flag.rollout.as_ref()?))) {
        let row = row(flag, rollout, shell);
        let Some(rest) = left.checked_sub(row.0.len()) else { break };
        *left = rest;
        rows.push(row);
    }
    let (id, words) = heading(place);
    let waits = if place == Place::Over { "Why it ended" } else { "Waits for" };
    let html = html! {
        section aria-labelledby=(id) {
            h2 id=(id) { (words) }
            @if !rows.is_empty() {
                table.flags {
                    thead { tr { th scope="col" { "Flag" } th scope="col" { "Status" } th scope="col" { "Share" }
                        th scope="col" { (waits) } th scope="col" { "Since (UTC)" } th scope="col" { "Worst guardrail" } } }
                    tbody { @for row in &rows { (row) } }
                }
            }
        }
    };
    Section { html, rows: rows.len() }
}

fn row(flag: &FlagRow, rollout: &RolloutRow, shell: &Shell) -> Markup {
    let is_over = place(flag) == Place::Over;
    let waits = if is_over { &rollout.last_reason } else { &rollout.waiting_for };
    html! {
        tr {
            th scope="row" { (key(flag, shell)) }
            td { (chip(&rollout.status, of_status(&rollout.status))) @if !flag.enabled { " flag is off" } }
            td { (percent(rollout.percent)) @if rollout.stage > 0 && !is_over { " (" (rollout.stage) "/" (rollout.stages) ")" } }
            td {
                @if !rollout.problem.is_empty() { span.critical { (short(&rollout.problem, 120)) } " " }
                (short(waits, 120))
            }
            td { (minute(rollout.since)) }
            td { @if !rollout.guardrail.is_empty() {
                (short(&rollout.guardrail, 40)) " " span class=(of_state(&rollout.guardrail_state)) { (label(&rollout.guardrail_state)) }
            } }
        }
    }
}

/// Flags as a list, as many as there is room for.
fn in_short(place: Place, flags: &[&FlagRow], shell: &Shell, room: usize, has_heading: bool) -> Section {
    let mut items = Vec::new();
    let mut used = 400;
    for flag in flags {
        let item = html! {
            li { (key(flag, shell)) " "
                @match &flag.rollout {
                    Some(rollout) => { (label(&rollout.status)) " " (percent(rollout.percent)) },
                    None if flag.archived => { "archived" },
                    None if !flag.enabled => { "off" },
                    None => { "serves " (short(&flag.variant, 30)) },
                }
            }
        };
        used += item.0.len();
        if used > room {
            break;
        }
        items.push(item);
    }
    let (id, words) = heading(place);
    let id = format!("{id}-list");
    let html = html! {
        @if has_heading { h2 id=(id) { (words) } } @else { h3 id=(id) { "More of these" } }
        ul.short aria-labelledby=(id) { @for item in &items { (item) } }
        @if items.len() < flags.len() {
            p { (flags.len() - items.len()) " more are not shown: " code { "SELECT * FROM flagscope.bi_rollout;" } }
        }
    };
    Section { html, rows: items.len() }
}

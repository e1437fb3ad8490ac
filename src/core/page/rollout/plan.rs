//! What a rollout was to do: its stages as a table, and the time that its charts show.

use maud::{Markup, html};

use super::super::RolloutPage;
use super::super::state::chip;
use super::super::words::{minute, percent, short};

/// The time that charts show: from the start to the end, or to now.
pub fn span(page: &RolloutPage) -> Option<(f64, f64)> {
    let since = page.rollout.started_at?;
    let until = page.rollout.ended_at.or(page.at)?.max(since + 10.0);
    let room = (until - since) / 30.0;
    Some((since - room, until + room))
}

/// The plan as a table: it is the table of the first chart, too.
pub fn plan(page: &RolloutPage) -> Markup {
    let rollout = &page.rollout;
    html! {
        @if !page.stages.is_empty() {
            div.scroll tabindex="0" role="region" aria-label="Stages" {
                table {
                    thead { tr { th scope="col" { "Stage" } th scope="col" { "Share" } th scope="col" { "Entered (UTC)" }
                        th scope="col" { "Ends after" } } }
                    tbody {
                        @for stage in page.stages.iter().take(100) {
                            tr {
                                th scope="row" { (stage.ordinal)
                                    @if stage.ordinal == rollout.stage && rollout.ended_at.is_none() { " " (chip("now", "live")) } }
                                td { (percent(stage.percent)) }
                                td { (minute(stage.entered_at)) }
                                td { (short(&stage.conditions, 200))
                                    @if !stage.approved_by.is_empty() { "; approved by " (short(&stage.approved_by, 60)) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

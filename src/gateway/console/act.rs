//! What people do to a rollout: a form of its page becomes a call of the SQL function that everybody uses, and so a decision
//! with a name and a reason.

use flagscope_core::page::{Action, Field, Rollout};
use tokio_postgres::types::Type;

use super::fault::Fault;
use super::pool::Value;
use super::visit::Visit;
use super::{Console, read, reply};
use crate::log;
use crate::web::{self, Request, Response};

/// Something that can be done.
pub struct Verb {
    /// Its name in addresses.
    name: &'static str,
    label: &'static str,
    hint: &'static str,
    is_danger: bool,
    /// The query: $1 the rollout, $2 the stage that was seen, $3 whether rules are overridden, $4 the reason, $5 who.
    query: &'static str,
    /// Words for overriding what speaks against it; none: nothing does.
    override_label: Option<&'static str>,
    is_possible: fn(&Rollout) -> bool,
}

/// All of them, in the order of the page.
const VERBS: [Verb; 6] = [
    Verb {
        name: "approve",
        label: "Approve this stage",
        hint: "The ramp goes on to the next stage as soon as the other conditions of this one are met.",
        is_danger: false,
        query: "SELECT flagscope.approve_stage($1, stage => $2, reason => $4, actor => $5) WHERE $3 IS NOT NULL",
        override_label: None,
        is_possible: |rollout| rollout.needs_approval,
    },
    Verb {
        name: "resume",
        label: "Resume",
        hint: "The ramp goes on. The stage begins again, and breached guardrails begin with new evidence.",
        is_danger: false,
        query: "SELECT flagscope.resume_rollout($1, override => $3, reason => $4, actor => $5) WHERE $2 IS NOT NULL",
        override_label: Some("Even during a change freeze"),
        is_possible: |rollout| matches!(rollout.status.as_str(), "paused" | "held"),
    },
    Verb {
        name: "advance",
        label: "Advance to the next stage",
        hint: "Now, without waiting for the conditions of this stage; from the last stage it completes the rollout.",
        is_danger: false,
        query: "SELECT flagscope.advance_rollout($1, stage => $2, override => $3, reason => $4, actor => $5)",
        override_label: Some("Even during a change freeze"),
        is_possible: |rollout| rollout.status == "running",
    },
    Verb {
        name: "pause",
        label: "Pause",
        hint: "The share stays as it is; guardrails go on watching.",
        is_danger: false,
        query: "SELECT flagscope.pause_rollout($1, reason => $4, actor => $5) WHERE ($2, $3) IS NOT NULL",
        override_label: None,
        is_possible: |rollout| matches!(rollout.status.as_str(), "running" | "held"),
    },
    Verb {
        name: "step_back",
        label: "Step back",
        hint: "To the share of the stage before, and hold there until somebody resumes.",
        is_danger: true,
        query: "SELECT flagscope.step_back_rollout($1, stage => $2, reason => $4, actor => $5) WHERE $3 IS NOT NULL",
        override_label: None,
        is_possible: |rollout| matches!(rollout.status.as_str(), "running" | "paused" | "held") && rollout.stage > 0,
    },
    Verb {
        name: "rollback",
        label: "Roll back",
        hint: "The rollout ends, and everyone is served what was served before it.",
        is_danger: true,
        query: "SELECT flagscope.rollback_rollout($1, reason => $4, actor => $5) WHERE ($2, $3) IS NOT NULL",
        override_label: None,
        is_possible: |rollout| matches!(rollout.status.as_str(), "running" | "paused" | "held" | "completed"),
    },
];

impl Verb {
    /// The one of a name.
    pub fn named(name: &str) -> Option<&'static Self> {
        VERBS.iter().find(|verb| verb.name == name)
    }
}

/// The forms on a rollout's page: those of a key with the scope `operate` alone.
pub fn actions(visit: &Visit<'_>, rollout: &Rollout) -> Vec<Action> {
    if !visit.session.as_ref().is_some_and(|session| session.key.operates()) {
        return Vec::new();
    }
    let stage = Field { name: "stage".to_owned(), value: rollout.stage.to_string() };
    let possible = VERBS.iter().filter(|verb| (verb.is_possible)(rollout));
    let form = |verb: &Verb| Action {
        label: verb.label.to_owned(),
        address: format!("/rollout/{}/{}", rollout.id, verb.name),
        hint: verb.hint.to_owned(),
        is_danger: verb.is_danger,
        override_label: verb.override_label.map(str::to_owned),
        fields: vec![visit.proof(), stage.clone()],
    };
    possible.map(form).collect()
}

/// Does what a form says, and shows the rollout.
pub async fn answer(
    console: &Console,
    visit: &Visit<'_>,
    request: Request,
    id: i64,
    verb: &Verb,
) -> Result<Response, Fault> {
    let form = visit.form(console, request).await?;
    let Some(session) = visit.session.as_ref().filter(|session| session.key.operates()) else {
        return Err(Fault::Forbidden("Your key may read, and nothing else: it needs the scope operate.".to_owned()));
    };
    read::check_environment(console, visit, id).await?;
    let field = |name: &str| web::parameter(Some(&form), name).unwrap_or_default().trim().to_owned();
    let (reason, overrides, actor) = (field("reason"), field("override") == "on", session.actor());
    if reason.is_empty() {
        return Err(Fault::Form(
            "A reason is missing: it stands in the decision, for those who ask later.".to_owned(),
        ));
    }
    let Ok(stage) = field("stage").parse::<i32>() else {
        return Err(Fault::Form("The form does not say which stage you saw.".to_owned()));
    };
    let values: [Value<'_>; 5] = [
        (&id, Type::INT8),
        (&stage, Type::INT4),
        (&overrides, Type::BOOL),
        (&reason, Type::TEXT),
        (&actor, Type::TEXT),
    ];
    console.pool.query(verb.query, &values).await?;
    log::info("somebody acted in the console", &[("rollout", &id), ("action", &verb.name), ("actor", &actor)]);
    Ok(reply::see(&format!("/rollout/{id}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_offered_fits_the_status() {
        let offered = |status: &str, stage, needs_approval| {
            let rollout = Rollout { status: status.to_owned(), stage, needs_approval, ..Rollout::default() };
            let names = VERBS.iter().filter(|verb| (verb.is_possible)(&rollout)).map(|verb| verb.name);
            names.collect::<Vec<_>>().join(" ")
        };
        // What check_action() of sql/api/decision.sql allows people.
        assert_eq!(offered("draft", 0, false), "");
        assert_eq!(offered("running", 1, false), "advance pause step_back rollback");
        assert_eq!(offered("running", 1, true), "approve advance pause step_back rollback");
        assert_eq!(offered("held", 0, false), "resume pause rollback");
        assert_eq!(offered("paused", 2, false), "resume step_back rollback");
        assert_eq!(offered("completed", 5, false), "rollback");
        assert_eq!(offered("rolled_back", 5, false), "");
    }

    #[test]
    fn every_query_has_all_values() {
        for verb in &VERBS {
            assert!((1..=5).all(|place| verb.query.contains(&format!("${place}"))), "{}", verb.name);
        }
    }
}

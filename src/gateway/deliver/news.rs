//! A row of the outbox in words, the same for every sink that is read by people.

use std::time::SystemTime;

use serde_json::Value;

/// The longest text that goes to a sink; Slack takes 3000 characters, a card of Teams 28 KiB in all.
const LONGEST: usize = 2500;

/// A row of the outbox.
#[derive(Clone, Copy)]
pub struct News<'a> {
    /// Its number.
    pub id: i64,
    /// `decision`, `approval`, `health` or `correlation`.
    pub kind: &'a str,
    /// What is told.
    pub payload: &'a Value,
    /// The same as it is stored.
    pub text: &'a str,
    /// The database it comes from.
    pub database: &'a str,
    /// The time at which it is sent.
    pub at: SystemTime,
}

impl News<'_> {
    /// A text of the payload; empty where there is none.
    pub fn field(&self, name: &str) -> &str {
        self.payload.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// A value of the payload as text.
    pub fn shown(&self, name: &str) -> String {
        match self.payload.get(name) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
        }
    }

    /// What tells a repeated message from a new one.
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        vec![("idempotency-key", format!("flagscope-{}", self.id))]
    }

    /// One line: what happened.
    pub fn title(&self) -> String {
        let (flag, environment) = (self.field("flag"), self.field("environment"));
        match self.kind {
            // What a ramp waited for may be over because the rollout is: that is not "ok again".
            "health" if self.field("event") == "over" => format!("Over: {}", self.field("name")),
            "health" if self.field("state") == "ok" => format!("flagscope: {} is ok again", self.field("name")),
            "health" => format!("flagscope: {} is {}", self.field("name"), self.field("state")),
            "correlation" => format!("Why: {} of {flag} in {environment}", did(self.field("action"))),
            "approval" if self.field("state") == "ok" => {
                format!("Approval no longer awaited: {flag} in {environment}")
            }
            "approval" => format!("Approval awaited: {flag} in {environment}"),
            "decision" if self.is_shadow() => {
                format!("Not done, only tried out: {} of {flag} in {environment}", did(self.field("action")))
            }
            "decision" => {
                format!("{}: {flag} in {environment}{}", self.done(), self.share())
            }
            other => format!("flagscope: {other}"),
        }
    }

    /// What was done, as it is read at a glance: what was done to a rollout, not what to do.
    fn done(&self) -> String {
        let done = match self.field("action") {
            "start" => "Started",
            "advance" => "Advanced",
            "approve" => "Approved",
            "pause" => "Paused",
            "resume" => "Resumed",
            "complete" => "Completed",
            "warn" => "Warning",
            "hold" => "Held",
            "step_back" => "Stepped back",
            "rollback" => "Rolled back",
            "disable" => "Flag disabled",
            other => other,
        };
        match (self.field("event"), self.field("action")) {
            ("silent", "warn") => "Silent".to_owned(),
            ("silent", _) => format!("{done}, silent"),
            _ => done.to_owned(),
        }
    }

    /// The share of users before and after, where it changed.
    fn share(&self) -> String {
        let percent = |name| self.payload.get(name).and_then(Value::as_f64);
        match (percent("from_percent"), percent("to_percent")) {
            (Some(from), Some(to)) if from != to => format!(", {from} % to {to} % of users"),
            _ => String::new(),
        }
    }

    /// The name of what begins or ends here, if it has an end of its own: a part of the judging, a wait, a health rule. What
    /// else happens to a rollout is over with its next step.
    pub fn lasting(&self) -> Option<&str> {
        let name = self.field("name");
        (matches!(self.kind, "health" | "decision") && !name.is_empty()).then_some(name)
    }

    /// Whether only a shadow rule would have done it.
    pub fn is_shadow(&self) -> bool {
        self.payload.get("shadow").and_then(Value::as_bool).unwrap_or_default()
    }

    /// Why, in words.
    pub fn why(&self) -> String {
        let findings = self.payload.get("findings").and_then(Value::as_array);
        let text = match findings {
            Some(findings) => findings.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n"),
            None => self.field("reason").to_owned(),
        };
        cut(text, LONGEST)
    }

    /// All of it in one sentence, as the database says it.
    pub fn sentence(&self) -> String {
        match self.field("sentence") {
            "" => format!("{}: {}", self.title(), self.why()),
            sentence => cut(sentence.to_owned(), LONGEST),
        }
    }

    /// Whether there are findings that the sentence, which has the first, leaves out.
    pub fn has_more_findings(&self) -> bool {
        self.payload.get("findings").and_then(Value::as_array).is_some_and(|findings| findings.len() > 1)
    }

    /// Where to look (setting `message.link`), if it is an address that a browser opens.
    pub fn link(&self) -> Option<&str> {
        let link = self.field("link");
        let opens = link.starts_with("https://") || link.starts_with("http://");
        (opens && !link.contains(|c: char| c.is_whitespace() || c.is_control())).then_some(link)
    }

    /// Names and values beside it; none is empty.
    pub fn facts(&self) -> Vec<(&'static str, String)> {
        let guardrail = self.payload.pointer("/rule/name").and_then(Value::as_str).unwrap_or_default();
        let by = match self.kind {
            "decision" => self.shown("actor"),
            _ => String::new(),
        };
        let since = if self.kind == "health" { self.shown("since") } else { String::new() };
        let facts = [
            ("Flag", self.shown("flag")),
            ("Environment", self.shown("environment")),
            ("Rollout", self.shown("rollout_id")),
            ("Guardrail", guardrail.to_owned()),
            ("By", by),
            ("Since", since),
            ("Database", self.database.to_owned()),
        ];
        facts
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| (name, cut(value, 200)))
            .collect()
    }

    /// The query that tells more.
    pub fn query(&self) -> String {
        match self.kind {
            "health" => "SELECT * FROM flagscope.status()".to_owned(),
            "correlation" => format!("SELECT * FROM flagscope.correlate_decision({})", self.shown("decision_id")),
            "approval" => format!("SELECT flagscope.rollout_report({})", self.shown("rollout_id")),
            _ => format!("SELECT flagscope.explain_decision({})", self.shown("id")),
        }
    }
}

/// An action as a noun.
fn did(action: &str) -> &str {
    match action {
        "start" => "start",
        "advance" => "next stage",
        "approve" => "approval",
        "pause" => "pause",
        "resume" => "resumption",
        "complete" => "completion",
        "warn" => "warning",
        "hold" => "hold",
        "step_back" => "step back",
        "rollback" => "rollback",
        "disable" => "disabling",
        other => other,
    }
}

/// A text that is not longer than so many characters.
pub fn cut(text: String, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text,
        Some((end, _)) => format!("{} ...", &text[..end]),
    }
}

//! Prometheus's Alertmanager, API v2: a problem is an alert, whose labels say which; its end is the same alert with `endsAt`.
//!
//! Source: prometheus/alertmanager, api/v2/openapi.yaml (postableAlerts).

use serde_json::{Value, json};

use super::alert::{Alert, Severity, time};
use super::news::News;
use super::post::Message;
use crate::log;

/// An alert without an end would be over after Alertmanager's `resolve_timeout`.
const FOR_EVER: &str = "2100-01-01T00:00:00Z";

/// The message for Alertmanager.
pub fn message(news: &News) -> Option<Message> {
    let alert = Alert::of(news)?;
    let alerts: Vec<Value> = match (news.lasting(), alert) {
        // What has an end of its own keeps its severity until it is over.
        (Some(_), Alert::Over) => vec![over(news, Severity::of_lasting(news))],
        (Some(_), _) => vec![begins(news, Severity::of_lasting(news), FOR_EVER.to_owned())],
        (_, Alert::Over) => Severity::ALL.map(|severity| over(news, severity)).into(),
        (_, Alert::Lasts(severity)) => one_of_two(news, severity, FOR_EVER.to_owned()),
        (_, Alert::Passes(severity, after)) => one_of_two(news, severity, log::time(news.at + after)),
    };
    Some(Message { body: Value::from(alerts).to_string().into_bytes(), headers: news.headers() })
}

/// A rollout has one problem at a time: what begins with one severity ends with the other.
fn one_of_two(news: &News, severity: Severity, end: String) -> Vec<Value> {
    let alert = |of: Severity| if of == severity { begins(news, of, end.clone()) } else { over(news, of) };
    Severity::ALL.map(alert).into()
}

fn begins(news: &News, severity: Severity, end: String) -> Value {
    let (labels, annotations) = (labels(news, severity), annotations(news));
    let mut alert = json!({"labels": labels, "annotations": annotations, "startsAt": time(news), "endsAt": end});
    if let Some(link) = news.link() {
        alert["generatorURL"] = link.into();
    }
    alert
}

/// Without a beginning: Alertmanager knows it.
fn over(news: &News, severity: Severity) -> Value {
    let end = if news.kind == "health" { log::time(news.at) } else { time(news) };
    json!({"labels": labels(news, severity), "annotations": annotations(news), "endsAt": end})
}

fn labels(news: &News, severity: Severity) -> Value {
    match news.lasting() {
        Some(name) => json!({
            "alertname": "FlagscopeHealth",
            "severity": severity.label(),
            "database": news.database,
            "name": name,
        }),
        None => json!({
            "alertname": "FlagscopeDecision",
            "severity": severity.label(),
            "database": news.database,
            "flag": news.field("flag"),
            "environment": news.field("environment"),
            "rollout": news.shown("rollout_id"),
        }),
    }
}

fn annotations(news: &News) -> Value {
    let guardrail = news.payload.pointer("/rule/name").and_then(Value::as_str);
    let mut all = json!({"summary": news.title(), "description": news.why(), "explain": news.query()});
    for (name, value) in [("action", Some(news.field("action"))), ("guardrail", guardrail)] {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            all[name] = value.into();
        }
    }
    all
}

//! PagerDuty, Events API v2: a problem triggers an incident, its end resolves it, by the same key.
//!
//! Source: developer.pagerduty.com, Events API v2, "Send an alert event" (PD-CEF).

use serde_json::{Map, Value, json};

use super::alert::{Alert, time};
use super::news::{News, cut};
use super::post::Message;

/// The longest summary that PagerDuty takes.
const SUMMARY: usize = 1000;

/// The message for PagerDuty.
pub fn message(news: &News, routing_key: &str) -> Option<Message> {
    let alert = Alert::of(news)?;
    let mut event = json!({"routing_key": routing_key, "dedup_key": key(news), "event_action": "resolve"});
    if let Some(severity) = alert.severity() {
        let mut details: Map<String, Value> =
            news.facts().into_iter().map(|(name, value)| (name.to_lowercase(), value.into())).collect();
        details.insert("explain".to_owned(), news.query().into());
        event["event_action"] = "trigger".into();
        event["client"] = "flagscope".into();
        if let Some(link) = news.link() {
            event["client_url"] = link.into();
            event["links"] = json!([{"href": link, "text": "Open the rollout"}]);
        }
        event["payload"] = json!({
            "summary": cut(format!("{}: {}", news.title(), news.why()), SUMMARY),
            "source": news.database,
            "severity": severity.label(),
            "timestamp": time(news),
            "component": if news.kind == "health" { "flagscope" } else { news.field("flag") },
            "group": if news.kind == "health" { "flagscope" } else { news.field("environment") },
            "class": if news.kind == "health" { "health" } else { news.field("action") },
            "custom_details": details,
        });
    }
    Some(Message { body: event.to_string().into_bytes(), headers: news.headers() })
}

/// One incident for what has an end of its own, and one for all else that happens to a rollout.
fn key(news: &News) -> String {
    let which = match news.lasting() {
        Some(name) => format!("health/{name}"),
        None => format!("rollout/{}", news.shown("rollout_id")),
    };
    // PagerDuty takes 255 characters.
    cut(format!("flagscope/{}/{which}", news.database), 250)
}

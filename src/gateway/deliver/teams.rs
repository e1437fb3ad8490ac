//! Microsoft Teams: an Adaptive Card for a workflow "Post to a channel when a webhook request is received".
//!
//! Source: learn.microsoft.com, "Create incoming webhooks with Workflows for Microsoft Teams"; adaptivecards.io, schema 1.4.
//! Texts are runs, which have no Markdown: a name in a text makes no link.

use serde_json::{Value, json};

use super::alert::{Alert, Severity};
use super::news::News;
use super::post::Message;

/// The message for Teams.
pub fn message(news: &News) -> Message {
    let colour = match Alert::of(news).map(Alert::severity) {
        Some(Some(Severity::Critical)) => "attention",
        Some(Some(Severity::Warning)) => "warning",
        Some(None) => "good",
        None => "default",
    };
    let mut body = vec![run(
        &json!({"type": "TextRun", "text": news.title(), "weight": "bolder", "size": "medium", "color": colour}),
    )];
    if !news.why().is_empty() {
        body.push(run(&json!({"type": "TextRun", "text": news.why()})));
    }
    let facts: Vec<Value> = news.facts().iter().map(|(name, value)| json!({"title": name, "value": value})).collect();
    body.push(json!({"type": "FactSet", "facts": facts}));
    body.push(run(&json!({"type": "TextRun", "text": news.query(), "fontType": "monospace", "isSubtle": true})));
    let mut card = json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": body,
    });
    if let Some(link) = news.link() {
        card["actions"] = json!([{"type": "Action.OpenUrl", "title": "Open the rollout", "url": link}]);
    }
    let attachment =
        json!({"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": null, "content": card});
    let whole = json!({"type": "message", "attachments": [attachment]});
    Message { body: whole.to_string().into_bytes(), headers: news.headers() }
}

fn run(run: &Value) -> Value {
    json!({"type": "RichTextBlock", "inlines": [run]})
}

//! Slack's incoming webhooks: blocks for people, and a text for notifications.
//!
//! Source: docs.slack.dev, "Sending messages using incoming webhooks", "Formatting message text" (`&`, `<` and `>` are
//! escaped, so that no name in a text calls a channel), "Blocks".

use serde_json::{Value, json};

use super::news::News;
use super::post::Message;

/// The message for Slack.
pub fn message(news: &News) -> Message {
    let (title, why) = (escaped(&news.title()), escaped(&news.why()));
    let facts: Vec<Value> =
        news.facts().iter().map(|(name, value)| text(&format!("*{name}*\n{}", escaped(value)))).collect();
    let mut blocks = vec![json!({"type": "section", "text": text(&format!("*{title}*"))})];
    if !why.is_empty() {
        blocks.push(json!({"type": "section", "text": text(&why)}));
    }
    blocks.push(json!({"type": "section", "fields": facts}));
    let mut more = vec![text(&format!("`{}`", escaped(&news.query())))];
    if let Some(link) = news.link() {
        more.push(text(&format!("<{}|Open the rollout>", escaped(link).replace('|', "%7C"))));
    }
    blocks.push(json!({"type": "context", "elements": more}));
    let body = json!({"text": escaped(&news.sentence()), "blocks": blocks});
    Message { body: body.to_string().into_bytes(), headers: news.headers() }
}

fn text(text: &str) -> Value {
    json!({"type": "mrkdwn", "text": text})
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

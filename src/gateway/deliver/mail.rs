//! A mail, ready to be sent: subject and plain text, for a relay of yours or a mail service's API that takes the two.

use serde_json::json;

use super::news::News;
use super::post::Message;

/// The message: `{"subject": .., "text": ..}`. The subject is one line, whatever a flag is called.
pub fn message(news: &News) -> Message {
    let subject = news.title().replace(char::is_control, " ");
    let mut text = format!("{}\n", news.sentence());
    if news.has_more_findings() {
        text += &format!("\n{}\n", news.why());
    }
    text.push('\n');
    for (name, value) in news.facts() {
        text += &format!("{name}: {value}\n");
    }
    text += &format!("\nMore: {}\n", news.query());
    if let Some(link) = news.link() {
        text += &format!("{link}\n");
    }
    Message { body: json!({"subject": subject, "text": text}).to_string().into_bytes(), headers: news.headers() }
}

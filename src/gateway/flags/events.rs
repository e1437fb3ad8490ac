//! The event stream of OFREP: server-sent events that say that flags have changed.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use serde_json::json;

use super::{Followed, Set, ofrep};
use crate::gateway::Gateway;
use crate::web::{self, Feed, Response};

/// A comment goes so often, so that nobody between takes the connection for dead.
const COMMENT: Duration = Duration::from_secs(15);

/// Opens a stream: an event at once, and one after each change.
pub fn answer(gateway: &Arc<Gateway>, followed: &Followed) -> Response {
    let Some(room) = gateway.stream_room() else {
        let mut response =
            web::json(StatusCode::TOO_MANY_REQUESTS, json!({"errorDetails": "too many event streams"}).to_string());
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
        return response;
    };
    if followed.now().is_none() {
        return ofrep::not_yet();
    }
    let (feed, body) = web::stream();
    let (sets, draining) = (followed.set.subscribe(), gateway.draining.subscribe());
    tokio::spawn(async move {
        run(feed, sets, draining).await;
        drop(room);
    });
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

type Sets = tokio::sync::watch::Receiver<Option<Arc<Set>>>;

async fn run(feed: Feed, mut sets: Sets, mut draining: tokio::sync::watch::Receiver<bool>) {
    if !feed.send("retry: 1000\n\n").await {
        return;
    }
    let mut sent = String::new();
    loop {
        let event = sets.borrow_and_update().as_ref().filter(|set| set.tag != sent).map(|set| {
            sent.clone_from(&set.tag);
            event(set)
        });
        if let Some(event) = event
            && !feed.send(event).await
        {
            return;
        }
        tokio::select! {
            changed = sets.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(COMMENT) => if !feed.send(":\n\n").await { return },
            () = feed.closed() => return,
            () = Gateway::ends(&mut draining) => return,
        }
    }
}

fn event(set: &Set) -> String {
    let modified = set.at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let data = json!({"type": "refetchEvaluation", "etag": set.tag, "lastModified": modified});
    format!("id: {}\nevent: message\ndata: {data}\n\n", set.tag)
}

#[cfg(test)]
mod tests {
    use super::super::set::tests::set;
    use super::*;

    #[test]
    fn an_event_names_the_set() {
        let set = set(7, json!([]));
        let wanted = format!(
            "id: {0}\nevent: message\ndata: {{\"etag\":\"{0}\",\"lastModified\":0,\"type\":\"refetchEvaluation\"}}\n\n",
            set.tag
        );
        assert_eq!(event(&set), wanted);
    }
}

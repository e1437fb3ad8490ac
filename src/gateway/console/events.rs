//! The stream of events that open pages listen to: each says only that something has happened, and the page asks what.

use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use tokio::sync::watch;

use super::Console;
use super::fault::Fault;
use crate::gateway::Gateway;
use crate::web::{self, Feed, Response};

/// A comment goes so often, so that nobody between takes the connection for dead.
const COMMENT: Duration = Duration::from_secs(15);

/// Opens a stream.
pub fn answer(gateway: &Arc<Gateway>, console: &Console) -> Result<Response, Fault> {
    let Some(room) = gateway.stream_room() else {
        let mut response = web::empty(StatusCode::TOO_MANY_REQUESTS);
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
        return Ok(response);
    };
    let (feed, body) = web::stream();
    let (happened, draining) = (console.happened.subscribe(), gateway.draining.subscribe());
    tokio::spawn(async move {
        run(feed, happened, draining).await;
        drop(room);
    });
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    Ok(response)
}

async fn run(feed: Feed, mut happened: watch::Receiver<u64>, mut draining: watch::Receiver<bool>) {
    if !feed.send("retry: 1000\n\n").await {
        return;
    }
    loop {
        let event = tokio::select! {
            changed = happened.changed() => match changed {
                Ok(()) => "event: happened\ndata: \n\n",
                Err(_) => return,
            },
            () = tokio::time::sleep(COMMENT) => ":\n\n",
            () = feed.closed() => return,
            () = Gateway::ends(&mut draining) => return,
        };
        if !feed.send(event).await {
            return;
        }
    }
}

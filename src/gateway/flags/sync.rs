//! flagd's sync by gRPC: the flags as flagd's own document, for providers that evaluate in their process, and for flagd.
//!
//! Source: open-feature/flagd-schemas 741a7f8, `flagd.sync.v1`.

use std::sync::Arc;

use flagscope_core::protobuf::{Wire, put_bytes};

use super::{Followed, Set, rpc, wire};
use crate::auth::Scope;
use crate::gateway::Gateway;
use crate::grpc::{self, Code, Status};
use crate::telemetry::Outcome;
use crate::web::{Feed, Request, Response};

/// Answers a method.
pub async fn answer(gateway: &Arc<Gateway>, method: &str, request: Request) -> Response {
    let headers = request.headers().clone();
    let config = &gateway.config;
    let message = match grpc::message(request, config.limit_ofrep, config.body_timeout).await {
        Ok(message) => message,
        Err(status) => return grpc::failed(&status),
    };
    let mut selector = None;
    let read = wire::each(&message, |field, wire| {
        if let (2, Wire::Bytes(bytes)) = (field, wire) {
            selector = Some(wire::text(bytes)?);
        }
        Ok(())
    });
    if let Err(error) = read {
        return grpc::failed(&Status::new(Code::InvalidArgument, error.message));
    }
    let selector = selector.filter(|text| !text.is_empty());
    let followed = match gateway.flags.admit(&gateway.auth, &headers, Scope::Sync, selector) {
        Ok((followed, _)) => followed,
        Err(refusal) => return grpc::failed(&Status::of(&Outcome::Refused(refusal))),
    };
    match method {
        "GetMetadata" => grpc::unary(Ok(no_metadata())),
        "FetchAllFlags" => match followed.now() {
            Some(set) => grpc::unary(Ok(response(&set))),
            None => grpc::failed(&rpc::not_yet()),
        },
        "SyncFlags" => sync(gateway, followed),
        _ => grpc::failed(&Status::new(Code::Unimplemented, "there is no such method")),
    }
}

fn sync(gateway: &Arc<Gateway>, followed: &Followed) -> Response {
    let Some(room) = gateway.stream_room() else { return grpc::failed(&rpc::too_many()) };
    let (feed, response) = grpc::streaming();
    let (sets, draining) = (followed.set.subscribe(), gateway.draining.subscribe());
    tokio::spawn(async move {
        if let Some(feed) = tell(feed, sets, draining).await {
            feed.end(Status::later(Code::Unavailable, "the gateway ends", 1).headers()).await;
        }
        drop(room);
    });
    response
}

type Sets = tokio::sync::watch::Receiver<Option<Arc<Set>>>;

/// Sends the document, and again after each change; gives the feed back when the gateway ends.
async fn tell(feed: Feed, mut sets: Sets, mut draining: tokio::sync::watch::Receiver<bool>) -> Option<Feed> {
    loop {
        let set = sets.borrow_and_update().clone();
        if let Some(set) = set
            && !feed.send(grpc::frame(&response(&set))).await
        {
            return None;
        }
        tokio::select! {
            changed = sets.changed() => changed.ok()?,
            () = feed.closed() => return None,
            () = Gateway::ends(&mut draining) => return Some(feed),
        }
    }
}

/// `GetMetadataResponse` has one field, a Struct: it is there and empty, since Python's provider asks for it by name.
fn no_metadata() -> Vec<u8> {
    let mut out = Vec::new();
    put_bytes(&mut out, 2, &[]);
    out
}

/// `SyncFlagsResponse` and `FetchAllFlagsResponse` have one field, the document.
fn response(set: &Set) -> Vec<u8> {
    let mut out = Vec::new();
    put_bytes(&mut out, 1, set.document().as_bytes());
    out
}

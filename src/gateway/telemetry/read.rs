//! Takes the body of a request in: room first, then bytes, then what they are unpacked to.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper::header::CONTENT_ENCODING;

use super::Outcome;
use super::inflate::Packing;
use super::queue::Room;
use crate::gateway::Gateway;
use crate::web::{self, Request};

/// Above this a body is unpacked, or decoded, on a thread of its own, so that others do not wait behind it.
pub const LARGE: usize = 256 << 10;

/// The body of a request, unpacked, with its room.
pub async fn read(gateway: &Arc<Gateway>, request: Request) -> Result<(Bytes, Room), Outcome> {
    let named = request.headers().get(CONTENT_ENCODING).map_or(Ok(""), |name| name.to_str());
    let packing = Packing::of(named.unwrap_or("?"))?;
    let (body, room) = as_sent(gateway, request.into_body()).await?;
    unpack(gateway, packing, body, room).await
}

/// A body as it comes, with its room.
pub async fn as_sent(gateway: &Arc<Gateway>, body: Incoming) -> Result<(Bytes, Room), Outcome> {
    let limit = gateway.config.limit_request;
    let announced = body.size_hint().lower();
    let room =
        if announced > limit as u64 { Err(Outcome::TooLong(limit)) } else { gateway.queue.room(announced as usize) };
    let mut room = match room {
        Ok(room) => room,
        Err(outcome) => {
            web::drain(body).await;
            return Err(outcome);
        }
    };
    let body = tokio::time::timeout(gateway.config.body_timeout, whole(body, limit, announced as usize, &mut room));
    Ok((body.await.unwrap_or(Err(Outcome::Late))?, room))
}

/// Unpacks a body. Nobody knows how long it is before that, so it is done on a thread of its own.
pub async fn unpack(
    gateway: &Gateway,
    packing: Packing,
    body: Bytes,
    mut room: Room,
) -> Result<(Bytes, Room), Outcome> {
    if packing == Packing::None {
        return Ok((body, room));
    }
    let limit = gateway.config.limit_request;
    let work = move || packing.unpack(body, limit, &mut |n| room.grow(n)).map(|body| (body, room));
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(Outcome::Defect))
}

async fn whole(mut body: Incoming, limit: usize, mut reserved: usize, room: &mut Room) -> Result<Bytes, Outcome> {
    let mut all = BytesMut::with_capacity(reserved);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Outcome::Bad("the body broke off".to_owned()))?;
        let Ok(bytes) = frame.into_data() else { continue };
        if all.len() + bytes.len() > limit {
            return Err(Outcome::TooLong(limit));
        }
        if all.len() + bytes.len() > reserved {
            room.grow(bytes.len())?;
            reserved += bytes.len();
        }
        all.extend_from_slice(&bytes);
    }
    Ok(all.freeze())
}

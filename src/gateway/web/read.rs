//! Reading the body of a request, with a limit and a time.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};

/// So much of a body that is of no use is read, for so long.
const DRAINED: usize = 1 << 20;
const DRAINED_WITHIN: Duration = Duration::from_secs(1);

/// Why a body was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unread {
    /// It is longer than the limit.
    TooLong,
    /// It was not there in time.
    Late,
    /// The connection broke off.
    Broken,
}

/// Reads a body. What says beforehand that it is too long is not read at all.
pub async fn read(body: Incoming, limit: usize, within: Duration) -> Result<Bytes, Unread> {
    if body.size_hint().lower() > limit as u64 {
        return Err(Unread::TooLong);
    }
    tokio::time::timeout(within, whole(body, limit)).await.unwrap_or(Err(Unread::Late))
}

/// Reads what is left of a body and throws it away, within bounds: clients of HTTP/2 that are answered before they have sent
/// everything may take the end of the stream for a failure.
pub async fn drain(mut body: Incoming) {
    let work = async {
        let mut left = DRAINED;
        while let Some(Ok(frame)) = body.frame().await {
            let length = frame.data_ref().map_or(0, Bytes::len);
            if length > left {
                return;
            }
            left -= length;
        }
    };
    let _ = tokio::time::timeout(DRAINED_WITHIN, work).await;
}

async fn whole(mut body: Incoming, limit: usize) -> Result<Bytes, Unread> {
    let mut first: Option<Bytes> = None;
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(bytes) = frame.map_err(|_| Unread::Broken)?.into_data() else { continue };
        if first.as_ref().map_or(0, Bytes::len) + rest.len() + bytes.len() > limit {
            return Err(Unread::TooLong);
        }
        match &first {
            None => first = Some(bytes),
            Some(_) => rest.extend_from_slice(&bytes),
        }
    }
    // Most bodies come in one piece, which is not copied.
    let first = first.unwrap_or_default();
    if rest.is_empty() {
        return Ok(first);
    }
    let mut all = BytesMut::with_capacity(first.len() + rest.len());
    all.extend_from_slice(&first);
    all.extend_from_slice(&rest);
    Ok(all.freeze())
}

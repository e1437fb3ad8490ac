//! The body of an answer: whole, or a stream that others feed.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::HeaderMap;
use hyper::body::{Frame, SizeHint};
use tokio::sync::mpsc;

/// A body of an answer.
pub enum Body {
    /// All of it; none when it was taken.
    Whole(Option<Bytes>),
    /// All of it, and what stands after it.
    Message(Option<Bytes>, Option<HeaderMap>),
    /// What comes.
    Stream(mpsc::Receiver<Frame<Bytes>>),
}

/// The end of a stream that is written to. Nobody reads any more where sending fails.
pub struct Feed(mpsc::Sender<Frame<Bytes>>);

/// A stream and its feed. Few messages wait in it: who does not read is not written to.
pub fn stream() -> (Feed, Body) {
    let (feed, frames) = mpsc::channel(4);
    (Feed(feed), Body::Stream(frames))
}

impl Feed {
    /// Sends bytes; false when nobody reads them.
    pub async fn send(&self, bytes: impl Into<Bytes>) -> bool {
        self.0.send(Frame::data(bytes.into())).await.is_ok()
    }

    /// Sends what stands after a body.
    pub async fn end(self, trailers: HeaderMap) {
        let _ = self.0.send(Frame::trailers(trailers)).await;
    }

    /// Returns when nobody reads any more.
    pub async fn closed(&self) {
        self.0.closed().await;
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut *self {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Message(bytes, trailers) => {
                let frame = bytes.take().map(Frame::data).or_else(|| trailers.take().map(Frame::trailers));
                Poll::Ready(frame.map(Ok))
            }
            Self::Stream(frames) => frames.poll_recv(cx).map(|frame| frame.map(Ok)),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            Self::Message(bytes, trailers) => bytes.is_none() && trailers.is_none(),
            Self::Stream(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Self::Message(..) | Self::Stream(_) => SizeHint::default(),
        }
    }
}

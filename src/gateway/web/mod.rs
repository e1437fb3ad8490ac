//! HTTP's small parts: bodies in and out, answers, what a path and a query say.

mod answer;
mod body;
pub mod cors;
mod read;
mod target;

pub use answer::{Response, empty, json, plain};
pub use body::{Body, Feed, stream};
pub use read::{Unread, drain, read};
pub use target::{decoded, parameter};

/// A request as hyper gives it.
pub type Request = hyper::Request<hyper::body::Incoming>;

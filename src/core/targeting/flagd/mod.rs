//! flagd's document (flags.json, schema v0) in and out.
//!
//! A document says less than a definition of ours: it has no type, no bucketing, no rollout and no prerequisites.
//! Rollouts and prerequisites are compiled into the exported `targeting` (`inline.rs`), so that every client of
//! flagd serves the variants that we do. What a document cannot say stands once more, as it was, under the top-level
//! key `flagscope`: the schema allows it and every client ignores it (a key inside a flag would make Python's core
//! refuse the whole document, and metadata would show up in answers). Reading takes it back only where it still
//! gives the `targeting` beside it, so an edited document means what it says to flagd. Thus export and import are
//! the identity.

mod inline;
mod read;
mod write;

pub use read::{Document, Entry, read};
pub use write::{Written, write};

/// The key of what only we understand.
const OWN: &str = "flagscope";

/// A path one step further down, as a JSON pointer.
fn below(path: &str, step: &str) -> String {
    format!("{path}/{}", step.replace('~', "~0").replace('/', "~1"))
}

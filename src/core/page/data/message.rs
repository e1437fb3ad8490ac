//! What could not be shown.

use serde::{Deserialize, Serialize};

use super::read::text;

/// What could not be shown, and what to do.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Message {
    /// What is wrong, in a few words: "There is no rollout 7".
    pub title: String,
    /// More about it: the error of the database.
    #[serde(deserialize_with = "text")]
    pub detail: String,
    /// What to do.
    #[serde(deserialize_with = "text")]
    pub hint: String,
    /// A status such as 404; nothing: it is not an answer to a request.
    pub status: Option<u16>,
}

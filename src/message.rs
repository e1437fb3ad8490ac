//! Texts of errors: client input is repeated in them, cut to a readable length.

use pgrx::pg_sys;
use pgrx::prelude::*;

use crate::pg::arguments;

/// The longest value in a message, in characters.
const LONGEST: usize = 300;

/// format() for messages; documented in `sql/api/message.sql`.
#[pg_extern(sql = r#"CREATE FUNCTION _flagscope."message"(template text, VARIADIC arguments "any") RETURNS text
STABLE PARALLEL SAFE LANGUAGE c AS '@MODULE_PATHNAME@', '@FUNCTION_NAME@';"#)]
fn message(call: pg_sys::FunctionCallInfo) -> Option<String> {
    let mut arguments = arguments::as_text(call).into_iter();
    let template = arguments.next().flatten()?;
    let mut message = String::with_capacity(template.len());
    let mut rest = template.chars();
    while let Some(character) = rest.next() {
        match (character, rest.as_str().chars().next()) {
            ('%', Some('s')) => message.push_str(&cut(&arguments.next().flatten().unwrap_or_default(), LONGEST)),
            ('%', Some('%')) => message.push('%'),
            (other, _) => {
                message.push(other);
                continue;
            }
        }
        rest.next();
    }
    Some(message)
}

/// The longest message that SQL may pass on as a whole, in characters.
const SENTENCE: usize = 2_000;

/// A message that was composed elsewhere, cut if it is too long.
pub fn sentence(text: &str) -> String {
    cut(text, SENTENCE)
}

/// A text of a readable length.
fn cut(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}... ({} characters)", &text[..end], text.chars().count()),
    }
}

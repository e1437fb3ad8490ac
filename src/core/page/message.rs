//! A page that says what could not be shown, and one that asks who is there.

use maud::html;

use super::shell::hidden;
use super::{Field, Message, Shell};

/// The form to log in with.
#[derive(Debug, Clone, Default)]
pub struct Login {
    /// Where it is sent to.
    pub address: String,
    /// Hidden fields.
    pub fields: Vec<Field>,
    /// Why the last try failed; empty: there was none.
    pub problem: String,
}

/// A page that asks for a name and a key.
pub fn render_login(login: &Login, shell: &Shell) -> String {
    let body = html! {
        h1 { "Log in" }
        @if !login.problem.is_empty() { p.critical role="alert" { (login.problem) } }
        form.card method="post" action=(login.address) {
            (hidden(&login.fields))
            label { "Your name, which decisions are signed with"
                input name="name" autocomplete="username" required maxlength="100"; }
            label { "Key" input name="key" type="password" autocomplete="current-password" required; }
            button { "Log in" }
        }
    };
    shell.page("Log in", &body)
}

/// What is wrong, and what to do about it.
pub fn render_message(message: &Message, shell: &Shell) -> String {
    let body = html! {
        h1 { (message.title) }
        @if !message.detail.is_empty() { p.detail { (message.detail) } }
        @if !message.hint.is_empty() { p { strong { "What to do: " } (message.hint) } }
        @if let Some(link) = shell.overview_link() { p { a href=(link) { "All flags and rollouts" } } }
    };
    shell.page(&message.title, &body)
}

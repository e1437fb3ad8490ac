//! The frame of a page: head, style, navigation, and what may be done.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::words::short;

/// What surrounds a page. `Shell::default()` is a file of its own: no links, no forms, no script.
#[derive(Debug, Clone, Default)]
pub struct Shell {
    /// Name of the installation, after the title of each page; empty: "flagscope".
    pub title: String,
    /// Path of the console, with a slash at its end; none: the page is a file, and links to nothing.
    pub base: Option<String>,
    /// Who is logged in.
    pub user: Option<String>,
    /// The button that logs out.
    pub account: Option<Account>,
    /// Nonce of the content security policy, for the style and the script.
    pub nonce: Option<String>,
    /// Where events come from; none: the page stays as it is.
    pub events: Option<Events>,
    /// What the person may do with the rollout; empty: only read.
    pub actions: Vec<Action>,
}

/// A button in the head of each page, sent by POST: "Log out".
#[derive(Debug, Clone, Default)]
pub struct Account {
    /// Where the form is sent to.
    pub address: String,
    /// Words of its button.
    pub label: String,
    /// Hidden fields.
    pub fields: Vec<Field>,
}

/// Where events come from, and the script that listens.
#[derive(Debug, Clone, Default)]
pub struct Events {
    /// Address of the stream of server-sent events: attribute `data-events` of `<main id="main">`.
    pub address: String,
    /// Text of the script, written as it is; empty: there is none.
    pub script: String,
    /// Address of the script instead; none: its text is in the page.
    pub script_address: Option<String>,
}

/// Something that a person may do: a form with a reason, sent by POST.
#[derive(Debug, Clone, Default)]
pub struct Action {
    /// Words of its button: "Roll back".
    pub label: String,
    /// Where the form is sent to.
    pub address: String,
    /// What it does, in a sentence.
    pub hint: String,
    /// Whether it takes the treatment away from users.
    pub is_danger: bool,
    /// Hidden fields: the token against forged requests, the name of the action ...
    pub fields: Vec<Field>,
    /// Words of a box to tick, a field named override with value on: that a change freeze does not count; none: no box.
    pub override_label: Option<String>,
}

/// A hidden field of a form.
#[derive(Debug, Clone, Default)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// Fields that are sent with a form and not shown.
pub(super) fn hidden(fields: &[Field]) -> Markup {
    html! { @for field in fields { input type="hidden" name=(field.name) value=(field.value); } }
}

impl Shell {
    /// The address of all rollouts; none in a file.
    pub fn overview_link(&self) -> Option<String> {
        self.base.clone()
    }

    /// The address of a rollout: BASE`rollout/5`; none in a file.
    pub fn rollout_link(&self, id: i64) -> Option<String> {
        self.base.as_ref().map(|base| format!("{base}rollout/{id}"))
    }

    /// The address of a trace: BASE`trace/UUID`; none in a file.
    pub fn trace_link(&self, id: &str) -> Option<String> {
        self.base.as_ref().map(|base| format!("{base}trace/{id}"))
    }

    /// A page: its title, and what is in it.
    pub(super) fn page(&self, title: &str, body: &Markup) -> String {
        let name = if self.title.is_empty() { "flagscope" } else { &self.title };
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (title) " - " (name) }
                    link rel="icon" href="data:,";
                    style nonce=[self.nonce.as_deref()] { (PreEscaped(include_str!("style.css"))) }
                }
                body {
                    (self.top(name))
                    main #main data-events=[self.events.as_ref().map(|events| &events.address)] { (body) }
                    (self.script())
                }
            }
        }
        .into_string()
    }

    fn top(&self, name: &str) -> Markup {
        html! {
            @if let Some(base) = &self.base {
                a.skip href="#main" { "To the content" }
                header.top {
                    nav aria-label="Console" { a href=(base) { (name) } }
                    div {
                        @if let Some(user) = &self.user { span { (short(user, 100)) } " " }
                        @if let Some(account) = &self.account {
                            form method="post" action=(account.address) { (hidden(&account.fields)) button { (account.label) } }
                        }
                    }
                }
            }
        }
    }

    fn script(&self) -> Markup {
        html! {
            @if let Some(events) = &self.events {
                @if let Some(address) = &events.script_address {
                    script nonce=[self.nonce.as_deref()] src=(address) defer {}
                } @else if !events.script.is_empty() {
                    script nonce=[self.nonce.as_deref()] { (PreEscaped(&events.script)) }
                }
            }
        }
    }

    /// The forms of what may be done.
    pub(super) fn forms(&self) -> Markup {
        html! {
            @if !self.actions.is_empty() {
                section.actions aria-labelledby="actions" {
                    h2 #actions { "What you can do" }
                    @for (action, n) in self.actions.iter().zip(1..) {
                        details id={ "action-" (n) } class=[action.is_danger.then_some("danger")] {
                            summary { (action.label) }
                            form method="post" action=(action.address) {
                                (hidden(&action.fields))
                                p { (action.hint) }
                                label { "Reason" input name="reason" required maxlength="1000" autocomplete="off"; }
                                @if let Some(words) = &action.override_label {
                                    label.box { input type="checkbox" name="override" value="on"; " " (words) }
                                }
                                button { (action.label) }
                            }
                        }
                    }
                }
            }
        }
    }
}

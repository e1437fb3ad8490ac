//! Logging in and out.

use std::sync::Arc;

use flagscope_core::page::{Field, Login, render_login};
use hyper::StatusCode;

use super::fault::Fault;
use super::session::COOKIE_NAME;
use super::visit::Visit;
use super::{Console, FORM, reply};
use crate::auth::{Key, Refusal};
use crate::gateway::Gateway;
use crate::log;
use crate::web::{self, Request, Response};

/// Longest name that somebody gives, in characters.
const NAME: usize = 100;

/// The page where people log in.
pub fn form(visit: &Visit<'_>, request: &Request) -> Response {
    let next = web::parameter(request.uri().query(), "next").unwrap_or_default();
    page(visit, StatusCode::OK, "", &next)
}

fn page(visit: &Visit<'_>, status: StatusCode, problem: &str, next: &str) -> Response {
    let login = Login {
        address: "/login".to_owned(),
        fields: vec![Field { name: "next".to_owned(), value: safe(next).to_owned() }],
        problem: problem.to_owned(),
    };
    reply::html(status, render_login(&login, &visit.shell()))
}

/// A path of the console; else its first page: who follows a link to log in must not come out elsewhere.
fn safe(next: &str) -> &str {
    let is_path =
        next.starts_with('/') && !next.starts_with("//") && next.bytes().all(|byte| byte.is_ascii_graphic());
    if is_path && !next.contains('\\') { next } else { "/" }
}

/// Begins a session, if the key is one.
pub async fn log_in(
    gateway: &Arc<Gateway>,
    console: &Console,
    visit: &Visit<'_>,
    request: Request,
) -> Result<Response, Fault> {
    visit.check_origin(&request)?;
    let form = web::read(request.into_body(), FORM, gateway.config.body_timeout).await.map_err(Fault::of_body)?;
    let form = String::from_utf8_lossy(&form).into_owned();
    let field = |name: &str| web::parameter(Some(&form), name).unwrap_or_default().trim().to_owned();
    let (name, next) = (field("name"), field("next"));
    let refused = |status, problem: &str| Ok(page(visit, status, problem, &next));
    let key = match gateway.auth.identify(&field("key"), Key::reads) {
        Ok(key) => key,
        Err(refusal) => {
            log::warn("a log-in to the console was refused", &[("reason", &refusal.words())]);
            return match refusal {
                Refusal::Unknown => refused(StatusCode::UNAUTHORIZED, "Nobody knows this key."),
                Refusal::Forbidden => refused(
                    StatusCode::FORBIDDEN,
                    "This key is not for the console: it has neither scope read nor operate.",
                ),
                Refusal::TooMany(_) => refused(StatusCode::TOO_MANY_REQUESTS, "The key is over its rate. Try again."),
            };
        }
    };
    if let Err(problem) = check_name(&name, &key) {
        return refused(StatusCode::BAD_REQUEST, problem);
    }
    let token = console.sessions.begin(&key, &name)?;
    log::info("logged in to the console", &[("key", &key.id), ("name", &name)]);
    let mut response = reply::see(safe(&next));
    reply::set_cookie(&mut response, &visit.cookie(COOKIE_NAME, &token, console.sessions.seconds));
    Ok(response)
}

/// A name stands in decisions: it must be there for those who decide, be a line, and not be taken for flagscope itself.
fn check_name(name: &str, key: &Key) -> Result<(), &'static str> {
    if name.is_empty() && key.operates() {
        return Err("Your name is missing: decisions are made in it.");
    }
    if name.chars().count() > NAME || name.chars().any(char::is_control) {
        return Err("A name has at most 100 characters, in one line.");
    }
    if name.to_lowercase().contains("flagscope") {
        return Err("The name flagscope is for its own decisions.");
    }
    Ok(())
}

/// Ends a session.
pub async fn log_out(console: &Console, visit: &Visit<'_>, request: Request) -> Result<Response, Fault> {
    visit.form(console, request).await?;
    if let Some(session) = &visit.session {
        console.sessions.end(session);
    }
    let mut response = reply::see("/login");
    reply::set_cookie(&mut response, &visit.cookie(COOKIE_NAME, "", 0));
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{Scope, digest};

    #[test]
    fn names_and_ways_back_are_checked() {
        let scopes = vec![Scope::Operate];
        let key = Key { id: "ops".to_owned(), sha256: digest(b"x"), scopes, environments: Vec::new(), rate: None };
        assert_eq!(check_name("Ann", &key), Ok(()));
        for name in ["", "a\nb", "FlagScope", &"x".repeat(101)] {
            assert!(check_name(name, &key).is_err(), "{name}");
        }
        assert_eq!(safe("/rollout/7?x=1"), "/rollout/7?x=1");
        for next in ["", "//evil.example", "https://evil.example", "/\\evil.example", "/a b", "/a\r\nb"] {
            assert_eq!(safe(next), "/", "{next}");
        }
    }
}

//! Answers of the console: pages, pages that say what is wrong, and the headers that keep other hosts out.

use bytes::Bytes;
use flagscope_core::page::{Message, render_message};
use hyper::StatusCode;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue, LOCATION, RETRY_AFTER, SET_COOKIE};

use super::fault::Fault;
use super::pool::Trouble;
use super::visit::Visit;
use crate::web::{self, Body, Response};

/// The script that keeps a page as new as what it shows.
const SCRIPT: &str = include_str!("live.js");
/// In so many seconds a page without a database asks again.
const AGAIN: &str = "3";

/// The page that says what is wrong.
pub fn fault(visit: &Visit<'_>, fault: &Fault) -> Response {
    if let Fault::LogIn(next) = fault {
        return see(&format!("/login?next={}", escaped(next)));
    }
    if let Fault::Defect(problem) = fault {
        crate::log::error("a page of the console failed", &[("error", problem)]);
    }
    let (status, title, detail, hint) = fault.words();
    let message = Message {
        title: title.to_owned(),
        detail: detail.to_owned(),
        hint: hint.to_owned(),
        status: Some(status.as_u16()).filter(|status| *status != 200),
    };
    let mut response = html(status, render_message(&message, &visit.shell()));
    let headers = response.headers_mut();
    match fault {
        Fault::Again => {
            headers.insert("refresh", HeaderValue::from_static("0"));
        }
        Fault::Method(allows) => {
            headers.insert(ALLOW, HeaderValue::from_static(allows));
        }
        Fault::Database(Trouble::Away(_)) => {
            headers.insert("refresh", HeaderValue::from_static(AGAIN));
            headers.insert(RETRY_AFTER, HeaderValue::from_static(AGAIN));
        }
        _ => {}
    }
    response
}

/// The headers of every answer: nothing is stored, and a page reaches nobody but us.
pub fn finish(visit: &Visit<'_>, mut response: Response) -> Response {
    let policy = format!(
        "default-src 'none'; style-src 'nonce-{0}'; script-src 'self'; connect-src 'self'; img-src 'self' data:; \
        form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        visit.nonce
    );
    let headers = response.headers_mut();
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert("content-security-policy", policy);
    }
    for (name, value) in [
        ("cache-control", "no-store"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        // With no-referrer browsers would not say where a form was sent from.
        ("referrer-policy", "same-origin"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// A page.
pub fn html(status: StatusCode, text: String) -> Response {
    with(status, "text/html; charset=utf-8", text.into())
}

/// The script of live pages.
pub fn script() -> Response {
    with(StatusCode::OK, "text/javascript; charset=utf-8", Bytes::from_static(SCRIPT.as_bytes()))
}

/// Sends a browser to a path of the console, by GET.
pub fn see(path: &str) -> Response {
    let mut response = web::empty(StatusCode::SEE_OTHER);
    if let Ok(path) = HeaderValue::from_str(path) {
        response.headers_mut().insert(LOCATION, path);
    }
    response
}

/// Sets a cookie.
pub fn set_cookie(response: &mut Response, cookie: &str) {
    if let Ok(cookie) = HeaderValue::from_str(cookie) {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
}

fn with(status: StatusCode, kind: &'static str, body: Bytes) -> Response {
    let mut response = Response::new(Body::Whole(Some(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// A text as the value of a parameter.
fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_survives_a_query() {
        let escaped = escaped("/trace/a%20b?x=1&y=\"ü\"");
        assert_eq!(
            web::parameter(Some(&format!("next={escaped}")), "next").as_deref(),
            Some("/trace/a%20b?x=1&y=\"ü\"")
        );
    }
}

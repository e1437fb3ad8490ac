//! Which pages of browsers may ask: those of the origins that are configured, and none with cookies.

use std::time::Duration;

use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, HeaderMap, HeaderValue, ORIGIN, VARY,
};
use hyper::{Method, StatusCode};

use super::{Request, Response, empty};

/// What OpenFeature's and OpenTelemetry's clients for browsers send.
const HEADERS: &str = "authorization, x-api-key, content-type, if-none-match, traceparent, tracestate, baggage";

/// The origin of a request, if its pages may ask.
pub fn origin(headers: &HeaderMap, allowed: &[String]) -> Option<HeaderValue> {
    let origin = headers.get(ORIGIN)?;
    let text = origin.to_str().ok()?;
    allowed.iter().any(|allowed| fits(text, allowed)).then(|| origin.clone())
}

/// Whether an origin is the one that is allowed, or, of `https://*.example.com`, one below it.
fn fits(origin: &str, allowed: &str) -> bool {
    match allowed.split_once("://*.") {
        None => origin == allowed,
        Some((scheme, domain)) => origin
            .strip_prefix(scheme)
            .and_then(|rest| rest.strip_prefix("://"))
            .and_then(|host| host.strip_suffix(domain))
            .is_some_and(|below| below.len() > 1 && below.ends_with('.')),
    }
}

/// Answers the question of a browser whether its page may ask; none for other requests.
pub fn preflight(request: &Request, origin: Option<&HeaderValue>, max_age: Duration) -> Option<Response> {
    if request.method() != Method::OPTIONS {
        return None;
    }
    let mut response = empty(StatusCode::NO_CONTENT);
    if origin.is_some() {
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, OPTIONS"));
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(HEADERS));
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from(max_age.as_secs()));
    }
    Some(response)
}

/// Lets the page of an origin read an answer.
pub fn allow(response: &mut Response, origin: Option<HeaderValue>) {
    let headers = response.headers_mut();
    headers.append(VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = origin {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("etag, retry-after"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_compared_whole() {
        for (origin, allowed, wanted) in [
            ("https://shop.example", "https://shop.example", true),
            ("https://shop.example.evil", "https://shop.example", false),
            ("http://shop.example", "https://shop.example", false),
            ("https://a.shop.example", "https://*.shop.example", true),
            ("https://shop.example", "https://*.shop.example", false),
            ("https://evilshop.example", "https://*.shop.example", false),
            ("https://.shop.example", "https://*.shop.example", false),
        ] {
            assert_eq!(fits(origin, allowed), wanted, "{origin} {allowed}");
        }
    }
}

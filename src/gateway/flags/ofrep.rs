//! OFREP 0.3.0: one flag, all flags, and the stream that says when to ask again.
//!
//! Source: open-feature/protocol d1a63a4.

use std::sync::Arc;
use std::time::Duration;

use flagscope_core::targeting::{Answer, ErrorCode, ofrep};
use hyper::header::{ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{Method, StatusCode};
use serde_json::json;

use super::evaluate::{self, BadBody, Given, guarded};
use super::{Followed, Set, etag, events, exposure};
use crate::auth::{Caller, Refusal, Scope};
use crate::gateway::Gateway;
use crate::telemetry::Outcome;
use crate::web::{self, Request, Response, Unread, decoded, parameter};

/// How long a client that knows of a newer set waits for us to get it.
const NEWER_WITHIN: Duration = Duration::from_secs(2);

/// Answers a request whose path begins with `/ofrep/`.
pub async fn answer(gateway: &Arc<Gateway>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let is_stream = path == "/ofrep/v1/events";
    let wanted = if is_stream { Method::GET } else { Method::POST };
    let flag = path.strip_prefix("/ofrep/v1/evaluate/flags").map(|rest| rest.strip_prefix('/').unwrap_or(rest));
    if flag.is_none() && !is_stream {
        return web::empty(StatusCode::NOT_FOUND);
    }
    if request.method() != wanted {
        let mut response = web::empty(StatusCode::METHOD_NOT_ALLOWED);
        let allowed = if is_stream { "GET, OPTIONS" } else { "POST, OPTIONS" };
        response.headers_mut().insert(hyper::header::ALLOW, HeaderValue::from_static(allowed));
        return response;
    }
    let token = parameter(request.uri().query(), "token").filter(|_| is_stream);
    let admitted = match token.and_then(|token| gateway.auth.environment_of(&token)) {
        Some(environment) => gateway.flags.named(&environment).map(|of| (of, None)).ok_or(Refusal::Forbidden),
        None => gateway.flags.admit(&gateway.auth, request.headers(), Scope::Flags, None),
    };
    match (admitted, flag) {
        (Err(refusal), _) => refused(refusal),
        (Ok((followed, _)), None) => events::answer(gateway, followed),
        (Ok((followed, key)), Some("")) => all(gateway, followed, key, request).await,
        (Ok((followed, _)), Some(key)) => one(gateway, followed, key, request).await,
    }
}

/// The answer to whoever may not ask.
fn refused(refusal: Refusal) -> Response {
    let outcome = Outcome::Refused(refusal);
    let (status, _, retry) = outcome.status();
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::FORBIDDEN);
    let mut response = web::json(status, json!({"errorDetails": outcome.words()}).to_string());
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let Some(seconds) = retry {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

async fn one(gateway: &Arc<Gateway>, followed: &Followed, key: &str, request: Request) -> Response {
    let Some(key) = decoded(key) else {
        return failure(
            StatusCode::BAD_REQUEST,
            "",
            "PARSE_ERROR",
            "the key in the path is not percent-encoded UTF-8",
        );
    };
    let body = match read(gateway, request).await {
        Ok(body) => body,
        Err(response) => return response,
    };
    let Some(set) = followed.now() else { return not_yet() };
    gateway.metrics.evaluations.one();
    let mut out = Vec::with_capacity(256);
    let status = guarded(|| {
        evaluate::one(&set, &key, None, Given::Json(&body), |answer, subject| {
            exposure::record(gateway, &set, &key, answer, subject);
            ofrep::write(&mut out, &key, answer);
            status(answer)
        })
    });
    match status {
        None => our_defect(),
        Some(Ok(status)) => web::json(status, out),
        Some(Err(problem)) => bad_body(&key, &problem),
    }
}

fn status(answer: &Answer) -> StatusCode {
    match answer.error {
        None => StatusCode::OK,
        Some(ErrorCode::FlagNotFound) => StatusCode::NOT_FOUND,
        Some(_) => StatusCode::BAD_REQUEST,
    }
}

async fn all(gateway: &Gateway, followed: &Followed, key: Caller, request: Request) -> Response {
    let known = parameter(request.uri().query(), "flagConfigEtag");
    let none_match = header(request.headers(), IF_NONE_MATCH.as_str());
    let body = match read(gateway, request).await {
        Ok(body) => body,
        Err(response) => return response,
    };
    let set = match &known {
        Some(tag) => newer(gateway, followed, tag).await,
        None => followed.now(),
    };
    let Some(set) = set else { return not_yet() };
    // Who knows of another set than ours must not be told that nothing has changed (open-feature/protocol#84).
    let may_match = known.is_none_or(|tag| tag == set.tag);
    let none_match = none_match.filter(|_| may_match);
    let unchanged = |tag: &str| none_match.as_ref().is_some_and(|header| etag::matches(header, tag));
    if !set.reads_time {
        let tag = etag::of(&set, &body, None);
        if unchanged(&tag) {
            gateway.metrics.not_modified.one();
            return tagged(web::empty(StatusCode::NOT_MODIFIED), &tag);
        }
    }
    let keys: Vec<&str> = set.keys.iter().map(String::as_str).collect();
    gateway.metrics.evaluations.many(keys.len() as u64);
    let stream = stream_address(gateway, followed, key);
    let written = match guarded(|| bulk(&set, &keys, &body, &stream)) {
        None => return our_defect(),
        Some(Err(problem)) => return bad_body("", &problem),
        Some(Ok(written)) => written,
    };
    let tag = etag::of(&set, &body, set.reads_time.then_some(&written));
    if set.reads_time && unchanged(&tag) {
        gateway.metrics.not_modified.one();
        return tagged(web::empty(StatusCode::NOT_MODIFIED), &tag);
    }
    tagged(web::json(StatusCode::OK, written), &tag)
}

/// Where to hear of changes: with a token for who has shown a key, since an EventSource cannot.
fn stream_address(gateway: &Gateway, followed: &Followed, key: Caller) -> String {
    match key {
        None => "/ofrep/v1/events".to_owned(),
        Some(key) => format!("/ofrep/v1/events?token={}", gateway.auth.token(&key, &followed.asked)),
    }
}

/// The answers of these flags, with where to hear of changes.
fn bulk(set: &Set, keys: &[&str], body: &[u8], stream: &str) -> Result<Vec<u8>, BadBody> {
    let mut out = Vec::with_capacity(128 * (keys.len() + 2));
    out.extend_from_slice(b"{\"flags\":[");
    let mut is_first = true;
    evaluate::many(set, keys, Given::Json(body), |key, answer| {
        if !std::mem::take(&mut is_first) {
            out.push(b',');
        }
        ofrep::write(&mut out, key, answer);
    })?;
    let rest = json!({
        "metadata": {"version": set.tag},
        "eventStreams": [{"type": "sse", "endpoint": {"requestUri": stream}}]
    });
    out.extend_from_slice(b"],");
    out.extend_from_slice(&rest.to_string().as_bytes()[1..]);
    Ok(out)
}

/// The set, reloaded where a client knows of another one; what there is after two seconds where that does not come.
async fn newer(gateway: &Gateway, followed: &Followed, tag: &str) -> Option<Arc<Set>> {
    let has_it = |set: &Option<Arc<Set>>| {
        let version = Set::version_of(tag);
        set.as_ref().is_some_and(|set| set.tag == tag || version.is_none_or(|version| set.loaded.version > version))
    };
    let mut sets = followed.set.subscribe();
    if !has_it(&sets.borrow_and_update()) {
        gateway.flags.wanted.notify_one();
        let _ = tokio::time::timeout(NEWER_WITHIN, sets.wait_for(has_it)).await;
    }
    followed.now()
}

async fn read(gateway: &Gateway, request: Request) -> Result<bytes::Bytes, Response> {
    let config = &gateway.config;
    web::read(request.into_body(), config.limit_ofrep, config.body_timeout).await.map_err(|unread| match unread {
        Unread::TooLong => {
            let details = format!("the body is longer than {} bytes", config.limit_ofrep);
            failure(StatusCode::PAYLOAD_TOO_LARGE, "", "GENERAL", &details)
        }
        Unread::Late => failure(StatusCode::REQUEST_TIMEOUT, "", "GENERAL", "the body did not come in time"),
        Unread::Broken => failure(StatusCode::BAD_REQUEST, "", "GENERAL", "the body broke off"),
    })
}

fn bad_body(key: &str, problem: &BadBody) -> Response {
    match problem {
        BadBody::NotJson(details) => failure(StatusCode::BAD_REQUEST, key, "PARSE_ERROR", details),
        BadBody::NoContext(details) => failure(StatusCode::BAD_REQUEST, key, ofrep::INVALID_CONTEXT, details),
    }
}

fn failure(status: StatusCode, key: &str, code: &str, details: &str) -> Response {
    let mut out = Vec::new();
    ofrep::write_failure(&mut out, key, code, details);
    web::json(status, out)
}

/// The answer while there are no flags yet.
pub(super) fn not_yet() -> Response {
    let details = json!({"errorDetails": "the flags are not loaded yet"}).to_string();
    let mut response = web::json(StatusCode::SERVICE_UNAVAILABLE, details);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

fn our_defect() -> Response {
    web::json(StatusCode::INTERNAL_SERVER_ERROR, json!({"errorDetails": "a defect of the gateway"}).to_string())
}

fn tagged(mut response: Response, tag: &str) -> Response {
    if let Ok(tag) = HeaderValue::from_str(tag) {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

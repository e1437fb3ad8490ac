//! For operators: whether it lives, whether it serves, and what it counts.

use std::sync::Arc;

use hyper::{Method, StatusCode};
use serde_json::json;

use crate::gateway::Gateway;
use crate::web::{self, Request, Response};

/// Answers `/healthz`, `/readyz` and `/metrics`; none for other paths.
pub fn answer(gateway: &Arc<Gateway>, request: &Request) -> Option<Response> {
    let path = request.uri().path();
    if !matches!(path, "/healthz" | "/readyz" | "/metrics") {
        return None;
    }
    if request.method() != Method::GET {
        return Some(web::empty(StatusCode::METHOD_NOT_ALLOWED));
    }
    Some(match path {
        "/healthz" => web::plain(StatusCode::OK, "alive\n"),
        "/readyz" => ready(gateway),
        _ => web::plain(StatusCode::OK, metrics(gateway)),
    })
}

/// Ready is who has flags, from the database or a snapshot, and does not end.
fn ready(gateway: &Gateway) -> Response {
    let (loaded, draining) = (gateway.flags.are_loaded(), gateway.is_ending());
    let status = if loaded && !draining { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({"flags": loaded, "database": gateway.flags.is_up(), "draining": draining});
    web::json(status, body.to_string() + "\n")
}

fn metrics(gateway: &Gateway) -> String {
    let sets: Vec<_> =
        gateway.flags.all().iter().filter_map(|followed| Some((followed.now()?, followed.age()))).collect();
    let labels: Vec<String> = sets
        .iter()
        .map(|(set, _)| format!("{{environment=\"{}\"}}", set.loaded.key.replace('\\', "\\\\").replace('"', "\\\"")))
        .collect();
    let streams = gateway.config.streams.saturating_sub(gateway.streams.available_permits());
    let mut moment = vec![
        ("database_up", "whether the database answers", "", f64::from(u8::from(gateway.flags.is_up()))),
        ("queue_bytes", "bytes of requests and rows that wait", "", gateway.queue.used() as f64),
        ("streams", "event streams that are open", "", streams as f64),
    ];
    let of = |(set, _): &(Arc<crate::flags::Set>, i64)| set.loaded.version as f64;
    let nodes: Vec<_> = gateway.queue.lines.iter().filter(|line| !line.is_alone).collect();
    let node_labels: Vec<String> = nodes.iter().map(|line| format!("{{{}}}", line.label())).collect();
    moment.extend(nodes.iter().zip(&node_labels).map(|(line, label)| {
        ("node_up", "whether a node stores telemetry", label.as_str(), f64::from(u8::from(line.is_up())))
    }));
    moment.extend(sets.iter().zip(&labels).map(|(set, label)| {
        ("flags_version", "the greatest version of an environment's flags", label.as_str(), of(set))
    }));
    moment.extend(sets.iter().zip(&labels).map(|((_, age), label)| {
        ("flags_age_seconds", "since the database said that these are its flags", label.as_str(), *age as f64)
    }));
    gateway.metrics.text(&moment)
}

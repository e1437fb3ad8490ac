//! Which part of the gateway answers a request.

use std::sync::Arc;
use std::time::Instant;

use flagscope_core::otlp;
use flagscope_core::protobuf::put_integer;
use hyper::StatusCode;

use crate::gateway::Gateway;
use crate::grpc::{self, Code, Status};
use crate::listen::Services;
use crate::metric::Service;
use crate::web::{self, Request, Response, cors};
use crate::{admin, console, flags, telemetry};

/// Answers a request that came to a socket of these services.
pub async fn answer(gateway: Arc<Gateway>, services: Services, request: Request) -> Response {
    let begun = Instant::now();
    if services.admin
        && let Some(response) = admin::answer(&gateway, &request)
    {
        return response;
    }
    let (service, response) = if services.console {
        (Service::Console, console::answer(&gateway, request).await)
    } else if grpc::is_grpc(request.headers()) {
        call(&gateway, services, request).await
    } else {
        page(&gateway, services, request).await
    };
    gateway.metrics.answered(service, status(&response), begun.elapsed());
    response
}

/// The status that counts: gRPC's stands in a header of its own when a call failed.
fn status(response: &Response) -> u16 {
    let failed = response.headers().get("grpc-status").and_then(|code| code.to_str().ok()?.parse().ok());
    failed.map_or(response.status().as_u16(), grpc::as_http)
}

/// What is asked by HTTP, perhaps by a page in a browser.
async fn page(gateway: &Arc<Gateway>, services: Services, request: Request) -> (Service, Response) {
    let service = match request.uri().path() {
        path if services.ofrep && path.starts_with("/ofrep/") => Service::Ofrep,
        path if services.otlp_http && path.starts_with("/v1/") => Service::OtlpHttp,
        _ => return (Service::Other, web::empty(StatusCode::NOT_FOUND)),
    };
    let origin = cors::origin(request.headers(), &gateway.config.origins);
    let mut response = match cors::preflight(&request, origin.as_ref(), gateway.config.max_age) {
        Some(response) => response,
        None if service == Service::Ofrep => flags::ofrep::answer(gateway, request).await,
        None => telemetry::answer(gateway, request).await.unwrap_or_else(|| web::empty(StatusCode::NOT_FOUND)),
    };
    if !gateway.config.origins.is_empty() {
        cors::allow(&mut response, origin);
    }
    (service, response)
}

/// What is called by gRPC.
async fn call(gateway: &Arc<Gateway>, services: Services, request: Request) -> (Service, Response) {
    let path = request.uri().path().to_owned();
    let (service, method) = path.trim_start_matches('/').split_once('/').unwrap_or_default();
    let collector = service.strip_prefix("opentelemetry.proto.collector.").filter(|_| method == "Export");
    let kind = match collector {
        Some("trace.v1.TraceService") => Some(otlp::Request::Traces),
        Some("logs.v1.LogsService") => Some(otlp::Request::Logs),
        Some("metrics.v1.MetricsService") => Some(otlp::Request::Metrics),
        _ => None,
    };
    match (kind, service) {
        (Some(kind), _) if services.otlp_grpc => {
            (Service::OtlpGrpc, telemetry::answer_grpc(gateway, kind, request).await)
        }
        (_, "flagd.evaluation.v1.Service" | "flagd.evaluation.v2.Service") if services.flagd_rpc => {
            (Service::FlagdRpc, flags::rpc::answer(gateway, method, request).await)
        }
        (_, "flagd.sync.v1.FlagSyncService") if services.flagd_sync => {
            (Service::FlagdSync, flags::sync::answer(gateway, method, request).await)
        }
        (_, "grpc.health.v1.Health") if method == "Check" => (Service::Other, health(gateway)),
        _ => {
            web::drain(request.into_body()).await;
            (Service::Other, grpc::failed(&Status::new(Code::Unimplemented, "there is no such service here")))
        }
    }
}

/// `grpc.health.v1.HealthCheckResponse`: SERVING is 1, NOT_SERVING 2.
fn health(gateway: &Gateway) -> Response {
    let serves = gateway.flags.are_loaded() && !gateway.is_ending();
    let mut message = Vec::new();
    put_integer(&mut message, 1, if serves { 1 } else { 2 });
    grpc::unary(Ok(message))
}

//! Handlers of what other programs ask: Prometheus, and whoever starts and stops Switchback.

use std::sync::atomic::Ordering;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use crate::control::Looking;

use super::caller::Asker;
use super::document;
use super::look::visible;
use super::problem::Refusal;
use super::routes::Shared;

/// Tells all metrics
///
/// As Prometheus reads them: text, version 0.0.4.
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "getMetrics",
    tag = "programs",
    responses((status = 200, description = "Every metric.", body = String, content_type = "text/plain"))
)]
pub(super) async fn metrics(State(shared): State<Shared>, Asker(caller): Asker) -> Result<Response, Refusal> {
    visible(&shared, caller, Looking::Metrics).await?;
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4")], shared.control.metrics()).into_response())
}

/// Tells whether the process is whole
///
/// Without control it still serves, but nobody judges and nothing can be changed: it should be restarted.
#[utoipa::path(
    get,
    path = "/healthz",
    operation_id = "isHealthy",
    tag = "programs",
    security(),
    responses(
        (status = 200, description = "It is.", body = String, content_type = "text/plain", example = json!("well\n")),
        (status = 503, description = "Control has ended."),
    )
)]
pub(super) async fn healthz(State(shared): State<Shared>) -> Response {
    if shared.control.is_alive() {
        (StatusCode::OK, "well\n").into_response()
    } else {
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "control has ended").into_response()
    }
}

/// Tells whether requests should come here
///
/// They should not once Switchback is stopping, and while some endpoints are not known yet.
#[utoipa::path(
    get,
    path = "/readyz",
    operation_id = "isReady",
    tag = "programs",
    security(),
    responses(
        (status = 200, description = "They should.", body = String, content_type = "text/plain", example = json!("ready\n")),
        (status = 503, description = "They should not."),
    )
)]
pub(super) async fn readyz(State(shared): State<Shared>) -> Response {
    let not_ready = |why: &str| Refusal::new(StatusCode::SERVICE_UNAVAILABLE, why).into_response();
    if !shared.ready.load(Ordering::Relaxed) {
        not_ready("Switchback is stopping")
    } else if !shared.known.load(Ordering::Relaxed) {
        not_ready("some endpoints are not known yet: see the services' sources")
    } else {
        (StatusCode::OK, "ready\n").into_response()
    }
}

/// Shows this document
///
/// OpenAPI 3.1. `switchback schema admin` prints the same.
#[utoipa::path(
    get,
    path = "/v1/openapi.json",
    operation_id = "getOpenApi",
    tag = "programs",
    security(),
    responses((status = 200, description = "This document.", body = Object, content_type = "application/json"))
)]
pub(super) async fn openapi() -> Response {
    ([(CONTENT_TYPE, "application/json")], document::text()).into_response()
}

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::middleware::from_fn;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use tower::limit::GlobalConcurrencyLimitLayer;

use crate::control::{Handle, Reader};

use super::caller::refuse_strangers;
use super::problem::Refusal;
use super::{calibration, change, look, webhooks};

/// What every handler has.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) control: Handle,
    pub(super) history: Reader,
    pub(super) ready: Arc<AtomicBool>,
    /// Whether there is something to go by for every service.
    pub(super) known: Arc<AtomicBool>,
}

/// What most handlers give back.
pub(super) type Handled<T> = Result<Json<T>, Refusal>;

/// Requests that are worked on at once; the rest wait.
const MOST_AT_ONCE: usize = 64;
/// The largest request.
const MOST_BYTES: usize = 64 << 10;

/// The API.
pub(super) fn router(shared: Shared) -> Router {
    // These wait for nobody, and must be had when everything else does.
    let at_any_time = Router::new()
        .route("/v1/revert", post(change::revert))
        .route("/metrics", get(look::metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz));
    Router::new()
        .route("/v1/process", get(look::process))
        .route("/v1/whoami", get(look::whoami))
        .route("/v1/services", get(look::services))
        .route("/v1/services/{name}", get(look::service))
        .route("/v1/services/{name}/weight", put(change::set_weight).delete(change::clear))
        .route("/v1/services/{name}/release", post(change::release))
        .route("/v1/services/{name}/ramp", post(change::start_ramp).delete(change::stop_ramp))
        .route("/v1/services/{name}/readiness", get(look::readiness))
        .route("/v1/services/{name}/migration", post(change::migrate))
        .route("/v1/services/{name}/approval", post(change::approve).delete(change::reject))
        .route("/v1/services/{name}/receipt", get(look::receipt))
        .route("/v1/services/{name}/receipts", get(look::receipts))
        .route("/v1/services/{name}/receipts/{reverted_unix_ms}", get(look::receipt_at))
        .route("/v1/services/{name}/sensitivity", get(look::sensitivity))
        .route(
            "/v1/services/{name}/calibration",
            get(calibration::show).post(calibration::begin).delete(calibration::stop),
        )
        .route("/v1/ramps/pause", post(change::pause_ramps))
        .route("/v1/ramps/resume", post(change::resume_ramps))
        .route("/v1/preview", post(look::preview))
        .route("/v1/webhooks", get(webhooks::list))
        .route("/v1/webhooks/{name}/test", post(webhooks::test))
        .route("/v1/migration", get(look::migration))
        .route("/v1/history", get(look::history))
        .route("/v1/history/verification", get(look::verification))
        .route("/v1/events", get(look::events))
        .layer(GlobalConcurrencyLimitLayer::new(MOST_AT_ONCE))
        .merge(at_any_time)
        .fallback(async || {
            Refusal::new(StatusCode::NOT_FOUND, "there is nothing here; /v1/services is a start")
        })
        .method_not_allowed_fallback(async || {
            Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "this path takes another method")
        })
        .layer(DefaultBodyLimit::max(MOST_BYTES))
        .layer(from_fn(refuse_strangers))
        .with_state(shared)
}

/// Whether the process is whole. Without control it still serves, but nobody judges and nothing can be
/// changed: it should be restarted.
async fn healthz(State(shared): State<Shared>) -> Response {
    if shared.control.is_alive() {
        (StatusCode::OK, "well\n").into_response()
    } else {
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "control has ended").into_response()
    }
}

/// Whether requests should come here.
async fn readyz(State(shared): State<Shared>) -> Response {
    let not_ready = |why: &str| Refusal::new(StatusCode::SERVICE_UNAVAILABLE, why).into_response();
    if !shared.ready.load(Ordering::Relaxed) {
        not_ready("Switchback is stopping")
    } else if !shared.known.load(Ordering::Relaxed) {
        not_ready("some endpoints are not known yet: see the services' sources")
    } else {
        (StatusCode::OK, "ready\n").into_response()
    }
}

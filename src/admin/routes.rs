use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::handler::Handler;
use axum::http::{Method, StatusCode};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, on};
use axum::{Json, Router};
use tokio::time::timeout;
use tower::limit::GlobalConcurrencyLimitLayer;

use crate::control::{Handle, Reader};

use super::access::{Gate, authenticate};
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
    pub(super) gate: Arc<Gate>,
}

/// What most handlers give back.
pub(super) type Handled<T> = Result<Json<T>, Refusal>;

/// Requests that are worked on at once; the rest wait.
const MOST_AT_ONCE: usize = 64;
/// The largest request, and how long it may take to come. Until it is there it takes nobody's place.
const MOST_BYTES: usize = 64 << 10;
const LONGEST: Duration = Duration::from_secs(10);

/// A call of the API.
struct Call {
    method: Method,
    path: &'static str,
    route: MethodRouter<Shared>,
}

/// The API.
pub(super) fn router(shared: Shared) -> Router {
    let route = |router: Router<Shared>, call: Call| router.route(call.path, call.route);
    let at_any_time = at_any_time().into_iter().fold(Router::new(), route);
    let in_turn = in_turn().into_iter().fold(Router::new(), route);
    let gate = shared.gate.clone();
    in_turn
        .layer(GlobalConcurrencyLimitLayer::new(MOST_AT_ONCE))
        .merge(at_any_time)
        .fallback(async || {
            Refusal::new(StatusCode::NOT_FOUND, "there is nothing here; /v1/services is a start")
        })
        .method_not_allowed_fallback(async || {
            Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "this path takes another method")
        })
        .layer(from_fn(take_in))
        .layer(from_fn_with_state(gate, authenticate))
        .layer(from_fn(refuse_strangers))
        .with_state(shared)
}

/// Every call of the API: methods and paths.
pub fn calls() -> Vec<(Method, &'static str)> {
    at_any_time().into_iter().chain(in_turn()).map(|call| (call.method, call.path)).collect()
}

/// These wait for nobody, and must be had when everything else does.
fn at_any_time() -> Vec<Call> {
    vec![
        call(Method::POST, "/v1/revert", change::revert),
        call(Method::GET, "/metrics", look::metrics),
        call(Method::GET, "/healthz", healthz),
        call(Method::GET, "/readyz", readyz),
    ]
}

fn in_turn() -> Vec<Call> {
    vec![
        call(Method::GET, "/v1/process", look::process),
        call(Method::GET, "/v1/whoami", look::whoami),
        call(Method::GET, "/v1/services", look::services),
        call(Method::GET, "/v1/services/{name}", look::service),
        call(Method::PUT, "/v1/services/{name}/weight", change::set_weight),
        call(Method::DELETE, "/v1/services/{name}/weight", change::clear),
        call(Method::POST, "/v1/services/{name}/release", change::release),
        call(Method::POST, "/v1/services/{name}/ramp", change::start_ramp),
        call(Method::DELETE, "/v1/services/{name}/ramp", change::stop_ramp),
        call(Method::GET, "/v1/services/{name}/readiness", look::readiness),
        call(Method::POST, "/v1/services/{name}/migration", change::migrate),
        call(Method::POST, "/v1/services/{name}/approval", change::approve),
        call(Method::DELETE, "/v1/services/{name}/approval", change::reject),
        call(Method::GET, "/v1/services/{name}/receipt", look::receipt),
        call(Method::GET, "/v1/services/{name}/receipts", look::receipts),
        call(Method::GET, "/v1/services/{name}/receipts/{reverted_unix_ms}", look::receipt_at),
        call(Method::GET, "/v1/services/{name}/sensitivity", look::sensitivity),
        call(Method::GET, "/v1/services/{name}/calibration", calibration::show),
        call(Method::POST, "/v1/services/{name}/calibration", calibration::begin),
        call(Method::DELETE, "/v1/services/{name}/calibration", calibration::stop),
        call(Method::POST, "/v1/ramps/pause", change::pause_ramps),
        call(Method::POST, "/v1/ramps/resume", change::resume_ramps),
        call(Method::POST, "/v1/preview", look::preview),
        call(Method::GET, "/v1/webhooks", webhooks::list),
        call(Method::POST, "/v1/webhooks/{name}/test", webhooks::test),
        call(Method::GET, "/v1/migration", look::migration),
        call(Method::GET, "/v1/history", look::history),
        call(Method::GET, "/v1/history/verification", look::verification),
        call(Method::GET, "/v1/events", look::events),
    ]
}

fn call<H: Handler<T, Shared>, T: 'static>(method: Method, path: &'static str, handler: H) -> Call {
    // Every method of HTTP's own is one.
    let filter = MethodFilter::try_from(method.clone()).unwrap_or(MethodFilter::GET);
    Call { method, path, route: on(filter, handler) }
}

/// Reads a request whole before it takes the place of another.
async fn take_in(request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    let body = match timeout(LONGEST, to_bytes(body, MOST_BYTES)).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => {
            let detail = format!("a request has at most {} KiB, and comes whole", MOST_BYTES >> 10);
            return Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, detail).into_response();
        }
        Err(_) => {
            let detail = format!("the request did not come within {} s", LONGEST.as_secs());
            return Refusal::new(StatusCode::REQUEST_TIMEOUT, detail).into_response();
        }
    };
    next.run(Request::from_parts(head, body.into())).await
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

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use axum::body::to_bytes;
use axum::extract::{MatchedPath, Request};
use axum::http::{Method, StatusCode};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use tokio::time::timeout;
use tower::limit::GlobalConcurrencyLimitLayer;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use crate::control::{Handle, Reader};

use super::access::{Gate, authenticate};
use super::caller::refuse_strangers;
use super::calls::{Calls, calls};
use super::problem::Refusal;
use super::{
    calibration, change, document, events, history, ledger, look, probes, ramps, receipts, webhooks,
};

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

/// The API.
pub(super) fn router(shared: Shared) -> Router {
    let in_turn = (IN_TURN.answered)().layer(GlobalConcurrencyLimitLayer::new(MOST_AT_ONCE));
    let gate = shared.gate.clone();
    in_turn
        .merge((AT_ANY_TIME.answered)())
        .fallback(async || {
            Refusal::new(StatusCode::NOT_FOUND, "there is nothing here; /v1/services is a start")
        })
        .method_not_allowed_fallback(async || {
            Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "this path takes another method")
        })
        .layer(from_fn(refuse_parameters))
        .layer(from_fn(take_in))
        .layer(from_fn_with_state(gate, authenticate))
        .layer(from_fn(refuse_strangers))
        .with_state(shared)
}

/// What the document says of all of them.
pub(super) fn described() -> OpenApi {
    OpenApiRouter::with_openapi(document::beginning())
        .merge((IN_TURN.described)())
        .merge((AT_ANY_TIME.described)())
        .into_openapi()
}

/// Every call of the API: methods and paths.
pub fn calls() -> Vec<(Method, &'static str)> {
    document::calls()
}

const IN_TURN: Calls = calls![
    [look::process],
    [look::whoami],
    [look::services],
    [look::service],
    [change::set_weight, change::clear],
    [change::release],
    [change::approve, change::reject],
    [ramps::start, ramps::stop],
    [ramps::pause],
    [ramps::resume],
    [ramps::migrate],
    [look::readiness],
    [receipts::latest],
    [receipts::list],
    [receipts::at],
    [look::sensitivity],
    [calibration::show, calibration::begin, calibration::stop],
    [look::preview],
    [ledger::migration],
    [history::history],
    [history::verification],
    [webhooks::list],
    [webhooks::test],
    [events::events],
];

/// These wait for nobody, and must be had when everything else does.
const AT_ANY_TIME: Calls =
    calls![[change::revert], [probes::metrics], [probes::healthz], [probes::readyz], [probes::openapi],];

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

/// Refuses a parameter where the document has none: who misspells one should not be answered as if they had said nothing.
/// What other programs ask by habit is answered whatever they add.
async fn refuse_parameters(request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let of_api = path.filter(|path| path.starts_with("/v1/"));
    if let Some(path) = of_api
        && let Some(query) = request.uri().query().filter(|query| !query.is_empty())
    {
        let method = if request.method() == Method::HEAD { &Method::GET } else { request.method() };
        if document::takes_no_parameters(method, path) {
            let detail = format!("this takes no parameters, and was asked with {query}");
            return Refusal::new(StatusCode::BAD_REQUEST, detail).into_response();
        }
    }
    next.run(request).await
}

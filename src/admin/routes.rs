use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::from_fn;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use futures_util::stream::{self, StreamExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::broadcast::error::RecvError;
use tower::limit::GlobalConcurrencyLimitLayer;

use crate::config::parse_duration;
use crate::control::{Answer, Command, Handle};
use crate::model::{ServiceName, Weight};
use crate::rollout::Actor;

use super::caller::{Person, refuse_strangers};
use super::problem::Refusal;
use super::{webhooks, wire};

/// What every handler has.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) control: Handle,
    pub(super) ready: Arc<AtomicBool>,
    /// Whether there is something to go by for every service.
    pub(super) known: Arc<AtomicBool>,
}

/// Requests that are worked on at once; the rest wait.
const MOST_AT_ONCE: usize = 64;
/// The largest request.
const MOST_BYTES: usize = 64 << 10;
/// The longest reason.
const LONGEST_REASON: usize = 1_000;

/// The API.
pub(super) fn router(shared: Shared) -> Router {
    // These wait for nobody, and must be had when everything else does.
    let at_any_time = Router::new()
        .route("/v1/revert", post(revert))
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz));
    Router::new()
        .route("/v1/process", get(process))
        .route("/v1/services", get(services))
        .route("/v1/services/{name}", get(service))
        .route("/v1/services/{name}/weight", put(set_weight).delete(clear))
        .route("/v1/services/{name}/release", post(release))
        .route("/v1/services/{name}/receipt", get(receipt))
        .route("/v1/services/{name}/sensitivity", get(sensitivity))
        .route("/v1/webhooks", get(webhooks::webhooks))
        .route("/v1/webhooks/{name}/test", post(webhooks::test))
        .route("/v1/events", get(events))
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

pub(super) type Handled<T> = Result<Json<T>, Refusal>;

async fn process(State(shared): State<Shared>) -> Result<Response, Refusal> {
    match shared.control.ask(Command::Process).await {
        Answer::Process(status) => Ok(Json(status).into_response()),
        other => Err(refused(other)),
    }
}

async fn services(State(shared): State<Shared>) -> Result<Response, Refusal> {
    match shared.control.ask(Command::Status(None)).await {
        Answer::Status(services) => Ok(Json(services).into_response()),
        other => Err(refused(other)),
    }
}

async fn service(State(shared): State<Shared>, Path(name): Path<String>) -> Result<Response, Refusal> {
    match shared.control.ask(Command::Status(Some(parse_name(&name)?))).await {
        Answer::Status(services) => Ok(Json(services.into_iter().next()).into_response()),
        other => Err(refused(other)),
    }
}

async fn receipt(State(shared): State<Shared>, Path(name): Path<String>) -> Result<Response, Refusal> {
    let service = parse_name(&name)?;
    match shared.control.ask(Command::Receipt(service)).await {
        Answer::Receipt(receipt) => match *receipt {
            Some(receipt) => Ok(Json(receipt).into_response()),
            None => Err(Refusal::new(StatusCode::NOT_FOUND, format!("{name} has never been reverted"))),
        },
        other => Err(refused(other)),
    }
}

async fn sensitivity(State(shared): State<Shared>, Path(name): Path<String>) -> Result<Response, Refusal> {
    match shared.control.ask(Command::Sensitivity(parse_name(&name)?)).await {
        Answer::Sensitivity(sensitivity) => Ok(Json(sensitivity).into_response()),
        other => Err(refused(other)),
    }
}

async fn set_weight(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    Person(by): Person,
    body: Bytes,
) -> Handled<wire::Changed> {
    let wire::SetWeight { percent, reason, lasts, force } = read(&body)?;
    let lasts = lasts.map(|lasts| parse_duration(&lasts)).transpose();
    let lasts = lasts.map_err(|wanted| Refusal::unprocessable(format!("for: {wanted}")))?;
    let (service, weight, reason) = (parse_name(&name)?, parse_weight(percent)?, parse_reason(&reason)?);
    change(&shared, by.clone(), Command::SetWeight { service, weight, lasts, force, by, reason }).await
}

async fn clear(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    Person(by): Person,
    body: Bytes,
) -> Handled<wire::Changed> {
    let wire::Clear { reason } = read(&body)?;
    let (service, reason) = (parse_name(&name)?, parse_reason(&reason)?);
    change(&shared, by.clone(), Command::Clear { service, by, reason }).await
}

async fn release(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    Person(by): Person,
    body: Bytes,
) -> Handled<wire::Changed> {
    let wire::Release { to_percent, reason, force } = read(&body)?;
    let (service, to, reason) = (parse_name(&name)?, parse_weight(to_percent)?, parse_reason(&reason)?);
    change(&shared, by.clone(), Command::Release { service, to, force, by, reason }).await
}

async fn revert(State(shared): State<Shared>, Person(by): Person, body: Bytes) -> Handled<wire::Changed> {
    let wire::Revert { services, all, reason } = read(&body)?;
    let reason = parse_reason(&reason)?;
    let services = match (all, services.is_empty()) {
        (true, true) => None,
        (false, false) => Some(services.iter().map(|name| parse_name(name)).collect::<Result<_, _>>()?),
        (true, false) | (false, true) => {
            return Err(Refusal::unprocessable("name the services, or say all, and not both"));
        }
    };
    change(&shared, by.clone(), Command::Revert { services, by, reason }).await
}

async fn change(shared: &Shared, by: Actor, command: Command) -> Handled<wire::Changed> {
    match shared.control.ask(command).await {
        Answer::Changed { changes, applied } => {
            Ok(Json(wire::Changed { by: (&by).into(), changes, applied }))
        }
        other => Err(refused(other)),
    }
}

/// What was announced lately, and then what is, line by line, for as long as the reader stays.
async fn events(State(shared): State<Shared>) -> Response {
    let (recent, coming) = shared.control.news();
    let recent = stream::iter(recent).map(|announcement| line(&announcement));
    let coming = stream::unfold(coming, |mut coming| async {
        let text = match coming.recv().await {
            Ok(announcement) => line(&announcement),
            Err(RecvError::Lagged(missed)) => line(&wire::Missed { missed }),
            Err(RecvError::Closed) => return None,
        };
        Some((text, coming))
    });
    let lines = recent.chain(coming).map(Ok::<_, std::convert::Infallible>);
    ([(CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response()
}

async fn metrics(State(shared): State<Shared>) -> Response {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], shared.control.metrics()).into_response()
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

pub(super) fn refused(answer: Answer) -> Refusal {
    match answer {
        Answer::Refused(refused) => refused.into(),
        Answer::Process(_)
        | Answer::Status(_)
        | Answer::Receipt(_)
        | Answer::Sensitivity(_)
        | Answer::Changed { .. } => {
            Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "an answer to another question")
        }
    }
}

fn line<T: Serialize>(value: &T) -> String {
    let mut text = serde_json::to_string(value).unwrap_or_default();
    text.push('\n');
    text
}

/// JSON whatever the content type says: curl says something else unless told.
pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| {
        Refusal::new(StatusCode::BAD_REQUEST, format!("the body is not what is asked for here: {error}"))
    })
}

fn parse_name(name: &str) -> Result<ServiceName, Refusal> {
    let refusal = |fault| Refusal::new(StatusCode::NOT_FOUND, format!("there is no service {name}: {fault}"));
    ServiceName::parse(name).map_err(refusal)
}

fn parse_weight(percent: f64) -> Result<Weight, Refusal> {
    Weight::from_percent(percent)
        .ok_or_else(|| Refusal::unprocessable(format!("{percent} is no weight: 0 to 100, in steps of 0.01")))
}

pub(super) fn parse_reason(reason: &str) -> Result<Arc<str>, Refusal> {
    match reason.trim() {
        odd if odd.chars().any(char::is_control) => {
            Err(Refusal::unprocessable("a reason is one line of text, without control characters"))
        }
        "" => Err(Refusal::unprocessable("a reason is needed: it is what others will read at 3 a.m.")),
        long if long.chars().count() > LONGEST_REASON => {
            Err(Refusal::unprocessable(format!("a reason has at most {LONGEST_REASON} characters")))
        }
        reason => Ok(reason.into()),
    }
}

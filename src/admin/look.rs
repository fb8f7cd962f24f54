//! Handlers of what people look at.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderName};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, StreamExt};
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::error::RecvError;
use utoipa::IntoParams;

use crate::control::{
    Announcement, Answer, Command, Looking, PreviewStatus, ProcessStatus, ReadinessStatus, ReceiptRecord,
    SensitivityStatus, ServiceStatus,
};
use crate::model::{Caller, Role, Scope};

use super::caller::Asker;
use super::problem::{Refusal, refused};
use super::read::{self, Asked, Named, Sent};
use super::routes::{Handled, Shared};
use super::wire;

/// Tells how the process is
///
/// Its version, workers and configuration, with the faults of one that was refused, holds, and what waits to be written.
#[utoipa::path(
    get,
    path = "/v1/process",
    operation_id = "getProcess",
    tag = "process",
    responses(
        (status = 200, description = "How it is.", body = ProcessStatus),
    )
)]
pub(super) async fn process(State(shared): State<Shared>, Asker(caller): Asker) -> Handled<ProcessStatus> {
    match shared.control.ask(caller, Command::Process).await {
        Answer::Process(status) => Ok(Json(*status)),
        other => Err(refused(other)),
    }
}

/// Lists services
///
/// Each that the caller may see, by name: its weight and why, both sides' rates, failures and latency, and the verdict.
#[utoipa::path(
    get,
    path = "/v1/services",
    operation_id = "listServices",
    tag = "services",
    responses(
        (status = 200, description = "Each service.", body = Vec<ServiceStatus>),
    )
)]
pub(super) async fn services(
    State(shared): State<Shared>,
    Asker(caller): Asker,
) -> Handled<Vec<ServiceStatus>> {
    match shared.control.ask(caller, Command::Status(None)).await {
        Answer::Status(services) => Ok(Json(services)),
        other => Err(refused(other)),
    }
}

/// Tells how a service is
///
/// Its weight and why, both sides' rates, failures and latency over the last ten seconds, and the verdict.
#[utoipa::path(
    get,
    path = "/v1/services/{name}",
    operation_id = "getService",
    tag = "services",
    params(Named),
    responses(
        (status = 200, description = "How it is.", body = ServiceStatus),
        (status = 404, description = "There is no such service."),
    )
)]
pub(super) async fn service(
    State(shared): State<Shared>,
    Asker(caller): Asker,
    Named(name): Named,
) -> Handled<ServiceStatus> {
    match shared.control.ask(caller, Command::Status(Some(name.clone()))).await {
        Answer::Status(services) => match services.into_iter().next() {
            Some(status) => Ok(Json(status)),
            None => Err(Refusal::new(StatusCode::NOT_FOUND, format!("there is no service {name}"))),
        },
        other => Err(refused(other)),
    }
}

/// Shows the receipt of the last revert
///
/// What was seen, when, how sure the judge was, what changed, and when it was in force.
#[utoipa::path(
    get,
    path = "/v1/services/{name}/receipt",
    operation_id = "getReceipt",
    tag = "services",
    params(Named),
    responses(
        (status = 200, description = "The receipt.", body = ReceiptRecord),
        (status = 404, description = "There is no such service, or it has never been reverted."),
    )
)]
pub(super) async fn receipt(
    State(shared): State<Shared>,
    Asker(caller): Asker,
    Named(name): Named,
) -> Handled<ReceiptRecord> {
    match shared.control.ask(caller, Command::Receipt(name.clone())).await {
        Answer::Receipt(receipt) => match *receipt {
            Some(receipt) => Ok(Json(receipt)),
            None => Err(Refusal::new(StatusCode::NOT_FOUND, format!("{name} has never been reverted"))),
        },
        other => Err(refused(other)),
    }
}

/// Tells how soon trouble would be seen
///
/// At the present rates, or why it never would.
#[utoipa::path(
    get,
    path = "/v1/services/{name}/sensitivity",
    operation_id = "getSensitivity",
    tag = "services",
    params(Named),
    responses(
        (status = 200, description = "How soon.", body = SensitivityStatus),
        (status = 404, description = "There is no such service."),
    )
)]
pub(super) async fn sensitivity(
    State(shared): State<Shared>,
    Asker(caller): Asker,
    Named(name): Named,
) -> Handled<SensitivityStatus> {
    match shared.control.ask(caller, Command::Sensitivity(name)).await {
        Answer::Sensitivity(sensitivity) => Ok(Json(sensitivity)),
        other => Err(refused(other)),
    }
}

/// Tells whether a service is ready to be migrated
///
/// What is looked at, how it is, and how what is missing can be mended.
#[utoipa::path(
    get,
    path = "/v1/services/{name}/readiness",
    operation_id = "getReadiness",
    tag = "ramps",
    params(Named),
    responses(
        (status = 200, description = "What was looked at.", body = ReadinessStatus),
        (status = 404, description = "There is no such service."),
    )
)]
pub(super) async fn readiness(
    State(shared): State<Shared>,
    Asker(caller): Asker,
    Named(name): Named,
) -> Handled<ReadinessStatus> {
    match shared.control.ask(caller, Command::Readiness(name)).await {
        Answer::Readiness(readiness) => Ok(Json(readiness)),
        other => Err(refused(other)),
    }
}

/// Foresees a change
///
/// What would come of it at the present rates, service by service, and whether Helios could take everything back. Nothing is
/// changed. What could not be done at all is refused as the change itself would be.
#[utoipa::path(
    post,
    path = "/v1/preview",
    operation_id = "preview",
    tag = "weights",
    request_body(content = wire::Preview, examples(
        ("weight" = (summary = "A weight", value = json!({"weight": {"service": "playlist", "percent": 25}}))),
        ("revert" = (summary = "A revert of everything", value = json!({"revert": {"all": true}}))),
    )),
    responses(
        (status = 200, description = "What would come of it.", body = Vec<PreviewStatus>),
        (status = 404, description = "There is no such service, team or cluster, or nothing waits for approval."),
        (status = 409, description = "The present state does not allow it."),
    )
)]
pub(super) async fn preview(
    State(shared): State<Shared>,
    Asker(caller): Asker,
    Sent(wanted): Sent<wire::Preview>,
) -> Handled<Vec<PreviewStatus>> {
    match shared.control.ask(caller, Command::Preview(read::preview(&wanted)?)).await {
        Answer::Preview(preview) => Ok(Json(preview)),
        other => Err(refused(other)),
    }
}

/// The services that a caller may see, if they may look at all.
pub(super) async fn visible(
    shared: &Shared,
    caller: Caller,
    what: Looking,
) -> Result<Arc<BTreeSet<String>>, Refusal> {
    match shared.control.ask(caller, Command::MayLook(what)).await {
        Answer::Visible(services) => Ok(services),
        other => Err(refused(other)),
    }
}

/// Which events are wanted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Events {
    /// Only what was announced lately: the answer then has an end.
    #[serde(default)]
    recent: bool,
}

/// Follows what happens
///
/// What was announced lately, the oldest first, and then what is announced: JSON objects, one a line, each an `Event`, for as
/// long as the reader stays. With `recent=true` the answer ends after what was announced lately.
#[utoipa::path(
    get,
    path = "/v1/events",
    operation_id = "followEvents",
    tag = "events",
    params(Events),
    responses((
        status = 200,
        description = "Events, one a line.",
        body = String,
        content_type = "application/x-ndjson",
        example = json!(
            "{\"at_unix_ms\":1795317247312,\"happening\":\"reverted\",\"service\":\"search\",\"team\":\"search-squad\",\
             \"by\":\"judge\",\"text\":\"search: reverted by the judge\"}\n"
        )
    ))
)]
pub(super) async fn events(
    State(shared): State<Shared>,
    Asker(caller): Asker,
    Asked(wanted): Asked<Events>,
) -> Result<Response, Refusal> {
    let sees_all = caller.rights.allow_everything(Role::Viewer);
    let visible = visible(&shared, caller, Looking::Events).await?;
    let sees = move |announcement: &Announcement| {
        sees_all || announcement.service.as_ref().is_none_or(|service| visible.contains(service))
    };
    let (recent, coming) = shared.control.news();
    let recent: Vec<_> = recent.iter().filter(|seen| sees(seen)).map(line).collect();
    if wanted.recent {
        return Ok((NDJSON, recent.concat()).into_response());
    }
    let coming = stream::unfold((coming, sees), |(mut coming, sees)| async {
        let text = loop {
            match coming.recv().await {
                Ok(announcement) if sees(&announcement) => break line(&announcement),
                Ok(_) => {}
                Err(RecvError::Lagged(missed)) => break line(&wire::Missed { missed }),
                Err(RecvError::Closed) => return None,
            }
        };
        Some((text, (coming, sees)))
    });
    let lines = stream::iter(recent).chain(coming).map(Ok::<_, std::convert::Infallible>);
    Ok((NDJSON, Body::from_stream(lines)).into_response())
}

const NDJSON: [(HeaderName, &str); 1] = [(CONTENT_TYPE, "application/x-ndjson")];

fn line<T: Serialize>(value: &T) -> String {
    let mut text = serde_json::to_string(value).unwrap_or_default();
    text.push('\n');
    text
}

/// Tells who one is
///
/// The name under which records have the caller, by what they are known, and what they may do.
#[utoipa::path(
    get,
    path = "/v1/whoami",
    operation_id = "whoAmI",
    tag = "process",
    responses(
        (status = 200, description = "Who one is.", body = wire::WhoAmI),
    )
)]
pub(super) async fn whoami(Asker(caller): Asker) -> Json<wire::WhoAmI> {
    let grant = |grant: &crate::model::Grant| {
        let (teams, services) = match &grant.scope {
            Scope::Everything => (Vec::new(), Vec::new()),
            Scope::Of { teams, services } => (
                teams.iter().map(ToString::to_string).collect(),
                services.iter().map(ToString::to_string).collect(),
            ),
        };
        let everything = grant.scope == Scope::Everything;
        wire::GrantStatus { role: grant.role.to_string(), everything, teams, services }
    };
    Json(wire::WhoAmI {
        name: caller.name.to_string(),
        via: caller.via.as_str().to_owned(),
        grants: caller.rights.0.iter().map(grant).collect(),
    })
}

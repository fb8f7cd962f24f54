//! Handlers of what people look at.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use crate::control::{
    Answer, Command, Looking, PreviewStatus, ProcessStatus, ReadinessStatus, SensitivityStatus, ServiceStatus,
};
use crate::model::{Caller, Role, Scope};

use super::caller::Asker;
use super::problem::{Refusal, refused};
use super::read::{self, Named, Sent};
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
    let sees_all = caller.rights.allow_everything(Role::Viewer);
    match shared.control.ask(caller, Command::Process).await {
        Answer::Process(mut status) => {
            status.rights_faults = shared.gate.trouble();
            if !sees_all {
                without_what_is_others(&mut status);
            }
            Ok(Json(*status))
        }
        other => Err(refused(other)),
    }
}

/// That something is wrong is everybody's business; files, services and receivers of others are not.
fn without_what_is_others(status: &mut ProcessStatus) {
    for faults in [&mut status.configuration_faults, &mut status.rights_faults] {
        if !faults.is_empty() {
            *faults = vec![format!("there are {} faults", faults.len())];
        }
    }
    if let Some(alarm) = &mut status.fleet_guard {
        "several services were taken back at once".clone_into(alarm);
    }
    status.held_elsewhere.clear();
    status.webhooks.clear();
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

//! Handlers of ramps.

use axum::extract::State;
use axum::response::Response;

use crate::control::{Intent, Wish};

use super::caller::Asker;
use super::change::{change, why};
use super::problem::Refusal;
use super::read::{self, Named, Sent};
use super::routes::Shared;
use super::wire;

/// Starts the ramp
///
/// The weight is raised step by step, each step only if the judge is content. The plan is that of the service's file, or one
/// that is sent along. After a revert the step to begin at must be said.
#[utoipa::path(
    post,
    path = "/v1/services/{name}/ramp",
    operation_id = "startRamp",
    tag = "ramps",
    params(Named),
    request_body(content = wire::StartRamp, examples(
        ("plan of the file" = (value = json!({"reason": "go"}))),
        ("plan of its own" = (value = json!({"reason": "go", "plan": {"steps": [1, 5, 25], "hold": "1d"}}))),
    )),
    responses(
        (status = 200, description = "It runs; its first step is in force on every worker.", body = wire::Changed),
        (status = 202, description = "It waits for a second person.", body = wire::Changed),
        (status = 404, description = "There is no such service."),
        (status = 409, description = "The service is held or has no such step, or Helios could not take everything back."),
    )
)]
pub(super) async fn start(
    State(shared): State<Shared>,
    Asker(caller): Asker,
    Named(name): Named,
    Sent(wanted): Sent<wire::StartRamp>,
) -> Result<Response, Refusal> {
    let wire::StartRamp { reason, ticket, from_percent, plan, force } = wanted;
    let from = from_percent.map(read::weight).transpose()?;
    let wish = Wish::StartRamp { plan: read::plan(plan.as_ref())?, from, room: read::room(force) };
    change(&shared, caller, Intent::Move(name, wish), read::why(&reason, ticket.as_deref())?).await
}

/// Ends the ramp
///
/// What the configuration says is in force again, unless somebody has overridden the weight.
#[utoipa::path(
    delete,
    path = "/v1/services/{name}/ramp",
    operation_id = "stopRamp",
    tag = "ramps",
    params(Named),
    request_body(content = wire::Reason, example = json!({"reason": "not this week"})),
    responses(
        (status = 200, description = "It is ended on every worker.", body = wire::Changed),
        (status = 202, description = "It waits for a second person, as the weight would rise.", body = wire::Changed),
        (status = 404, description = "There is no such service."),
        (status = 409, description = "There is no ramp, or Helios could not take everything back."),
    )
)]
pub(super) async fn stop(
    State(shared): State<Shared>,
    Asker(caller): Asker,
    Named(name): Named,
    Sent(wanted): Sent<wire::Reason>,
) -> Result<Response, Refusal> {
    change(&shared, caller, Intent::Move(name, Wish::StopRamp), why(&wanted)?).await
}

/// Pauses ramps
///
/// They keep the weight that they have reached. Of several services, those are passed over that have no ramp to pause.
#[utoipa::path(
    post,
    path = "/v1/ramps/pause",
    operation_id = "pauseRamps",
    tag = "ramps",
    request_body(content = wire::OfScope, example = json!({"team": "playlist-squad", "reason": "INC-4711"})),
    responses(
        (status = 200, description = "They are paused.", body = wire::Changed),
        (status = 404, description = "There is no such service, no service of this team, or none on this cluster."),
        (status = 409, description = "The one service that is named has no ramp that could be paused."),
    )
)]
pub(super) async fn pause(
    State(shared): State<Shared>,
    Asker(caller): Asker,
    Sent(wanted): Sent<wire::OfScope>,
) -> Result<Response, Refusal> {
    let intent = Intent::PauseRamps(read::reach(&wanted.scope())?);
    change(&shared, caller, intent, read::why(&wanted.reason, wanted.ticket.as_deref())?).await
}

/// Resumes ramps
///
/// The time at the step that they are at begins anew. It takes no second person: to start them did. Of several services, those
/// are passed over that have no ramp to resume.
#[utoipa::path(
    post,
    path = "/v1/ramps/resume",
    operation_id = "resumeRamps",
    tag = "ramps",
    request_body(content = wire::OfScope, example = json!({"services": ["playlist"], "reason": "INC-4711 is over"})),
    responses(
        (status = 200, description = "They go on.", body = wire::Changed),
        (status = 404, description = "There is no such service, no service of this team, or none on this cluster."),
        (status = 409, description = "The one service that is named has no ramp that is paused."),
    )
)]
pub(super) async fn resume(
    State(shared): State<Shared>,
    Asker(caller): Asker,
    Sent(wanted): Sent<wire::OfScope>,
) -> Result<Response, Refusal> {
    let intent = Intent::ResumeRamps(read::reach(&wanted.scope())?);
    change(&shared, caller, intent, read::why(&wanted.reason, wanted.ticket.as_deref())?).await
}

/// Begins the migration
///
/// Checks that the service is ready to be migrated, and starts its ramp.
#[utoipa::path(
    post,
    path = "/v1/services/{name}/migration",
    operation_id = "migrate",
    tag = "ramps",
    params(Named),
    request_body(content = wire::Reason, example = json!({"reason": "OPS-12"})),
    responses(
        (status = 200, description = "Its ramp runs; its first step is in force on every worker.", body = wire::Changed),
        (status = 202, description = "It waits for a second person.", body = wire::Changed),
        (status = 404, description = "There is no such service."),
        (status = 409, description = "It is not ready, which `detail` explains, or is held."),
    )
)]
pub(super) async fn migrate(
    State(shared): State<Shared>,
    Asker(caller): Asker,
    Named(name): Named,
    Sent(wanted): Sent<wire::Reason>,
) -> Result<Response, Refusal> {
    let wish = Wish::Migrate { room: read::room(false) };
    change(&shared, caller, Intent::Move(name, wish), why(&wanted)?).await
}

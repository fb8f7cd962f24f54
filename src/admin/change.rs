//! Handlers of what people change.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::control::{Answer, CauseOfRevert, Command, Intent, Why, Wish};
use crate::model::{Caller, UnixMillis};
use crate::rollout::Actor;

use super::caller::Asker;
use super::problem::{Refusal, refused};
use super::read::{self, Named, Sent};
use super::routes::Shared;
use super::wire;

/// Sets the weight
///
/// From here on it is in force in place of a ramp and of the configuration: until it is cleared, or for so long. It is written
/// down before it is in force if it rises, and after that if it falls. A service that is held keeps its weight of 0.
#[utoipa::path(
    put,
    path = "/v1/services/{name}/weight",
    operation_id = "setWeight",
    tag = "weights",
    params(Named),
    request_body(content = wire::SetWeight, example = json!({"percent": 25, "reason": "lunch test", "for": "2h"})),
    responses(
        (status = 200, description = "It is in force on every worker.", body = wire::Changed),
        (status = 202, description = "It waits for a second person.", body = wire::Changed),
        (status = 404, description = "There is no such service."),
        (status = 409, description = "The service is held, is not on that side, or Helios could not take everything back."),
    )
)]
pub(super) async fn set_weight(
    State(shared): State<Shared>,
    Asker(caller): Asker,
    Named(name): Named,
    Sent(wanted): Sent<wire::SetWeight>,
) -> Result<Response, Refusal> {
    let wire::SetWeight { percent, reason, ticket, lasts, force } = wanted;
    let lasts = read::override_lasts(lasts.as_deref())?;
    let wish = Wish::SetWeight { weight: read::weight(percent)?, lasts, room: read::room(force) };
    change(&shared, caller, Intent::Move(name, wish), read::why(&reason, ticket.as_deref())?).await
}

/// Ends the override
///
/// What the ramp or the configuration says is in force again.
#[utoipa::path(
    delete,
    path = "/v1/services/{name}/weight",
    operation_id = "clearWeight",
    tag = "weights",
    params(Named),
    request_body(content = wire::Reason, example = json!({"reason": "the file is right"})),
    responses(
        (status = 200, description = "It is ended on every worker.", body = wire::Changed),
        (status = 202, description = "It waits for a second person, as the weight would rise.", body = wire::Changed),
        (status = 404, description = "There is no such service."),
        (status = 409, description = "The weight is not overridden, or Helios could not take everything back."),
    )
)]
pub(super) async fn clear(
    State(shared): State<Shared>,
    Asker(caller): Asker,
    Named(name): Named,
    Sent(wanted): Sent<wire::Reason>,
) -> Result<Response, Refusal> {
    change(&shared, caller, Intent::Move(name, Wish::Clear), why(&wanted)?).await
}

/// Ends the hold
///
/// A revert leaves a hold, and nothing else ends it: no file, no restart, no weight. What is left is an override at the weight
/// that is said here. Whoever finds that Kubernetes was fine says so: it is counted against the judge's promise.
#[utoipa::path(
    post,
    path = "/v1/services/{name}/release",
    operation_id = "release",
    tag = "weights",
    params(Named),
    request_body(content = wire::Release, example = json!({"to_percent": 1, "reason": "fixed in 3f2a"})),
    responses(
        (status = 200, description = "It is ended on every worker.", body = wire::Changed),
        (status = 202, description = "It waits for a second person.", body = wire::Changed),
        (status = 404, description = "There is no such service."),
        (status = 409, description = "The service is not held, is not on that side, or Helios could not take everything back."),
    )
)]
pub(super) async fn release(
    State(shared): State<Shared>,
    Asker(caller): Asker,
    Named(name): Named,
    Sent(wanted): Sent<wire::Release>,
) -> Result<Response, Refusal> {
    let wire::Release { to_percent, reason, ticket, false_alarm, force } = wanted;
    let cause = if false_alarm { CauseOfRevert::FalseAlarm } else { CauseOfRevert::Unsaid };
    let wish = Wish::Release { to: read::weight(to_percent)?, cause, room: read::room(force) };
    change(&shared, caller, Intent::Move(name, wish), read::why(&reason, ticket.as_deref())?).await
}

/// Takes services back
///
/// Their weight is 0 at once, and they are held there until somebody releases them. It is in force on every worker when it is
/// answered, and `written` says whether the hold is on disk, too. Of a team, of a cluster or of all, those are left as they are
/// that get nothing from Kubernetes anyway.
#[utoipa::path(
    post,
    path = "/v1/revert",
    operation_id = "revert",
    tag = "weights",
    request_body(content = wire::OfScope, examples(
        ("services" = (summary = "One service", value = json!({"services": ["playlist"], "reason": "INC-4711 checkout errors"}))),
        ("all" = (summary = "Every service", value = json!({"all": true, "reason": "clusters are gone"}))),
    )),
    responses(
        (status = 200, description = "They are held on every worker.", body = wire::Changed),
        (status = 404, description = "There is no such service, no service of this team, or none on this cluster."),
        (status = 409, description = "A service that is named has no Helios side to go back to."),
    )
)]
pub(super) async fn revert(
    State(shared): State<Shared>,
    Asker(caller): Asker,
    Sent(wanted): Sent<wire::OfScope>,
) -> Result<Response, Refusal> {
    let intent = Intent::Revert(read::reach(&wanted.scope())?);
    change(&shared, caller, intent, read::why(&wanted.reason, wanted.ticket.as_deref())?).await
}

/// Agrees to what waits
///
/// Where raising a weight takes two people, this is the second one's word: what the first wanted is done now.
#[utoipa::path(
    post,
    path = "/v1/services/{name}/approval",
    operation_id = "approve",
    tag = "approvals",
    params(Named),
    request_body(content = wire::Approval, example = json!({"reason": "seen the graphs"})),
    responses(
        (status = 200, description = "What waited is in force on every worker.", body = wire::Changed),
        (status = 404, description = "There is no such service, or nothing waits."),
        (status = 409, description = "What waited is not possible any more, or something else was asked for meanwhile."),
    )
)]
pub(super) async fn approve(
    State(shared): State<Shared>,
    Asker(caller): Asker,
    Named(name): Named,
    Sent(wanted): Sent<wire::Approval>,
) -> Result<Response, Refusal> {
    let wire::Approval { reason, ticket, asked_unix_ms } = wanted;
    let why = why(&wire::Reason { reason, ticket })?;
    change(&shared, caller, Intent::Approve(name, asked_unix_ms.map(UnixMillis)), why).await
}

/// Does not agree
///
/// What waits is forgotten. Who wanted it may say so, too, and it then is withdrawn.
#[utoipa::path(
    delete,
    path = "/v1/services/{name}/approval",
    operation_id = "reject",
    tag = "approvals",
    params(Named),
    request_body(content = wire::Reason, example = json!({"reason": "not on a Friday"})),
    responses(
        (status = 200, description = "Nothing waits any more.", body = wire::Changed),
        (status = 404, description = "There is no such service, or nothing waits."),
    )
)]
pub(super) async fn reject(
    State(shared): State<Shared>,
    Asker(caller): Asker,
    Named(name): Named,
    Sent(wanted): Sent<wire::Reason>,
) -> Result<Response, Refusal> {
    change(&shared, caller, Intent::Reject(name), why(&wanted)?).await
}

pub(super) fn why(wanted: &wire::Reason) -> Result<Why, Refusal> {
    read::why(&wanted.reason, wanted.ticket.as_deref())
}

/// Has control change something: 200 if it is in force, 202 if it waits for a second person.
pub(super) async fn change(
    shared: &Shared,
    caller: Caller,
    intent: Intent,
    why: Why,
) -> Result<Response, Refusal> {
    let by = (&Actor::Person(caller.name.clone())).into();
    match shared.control.ask(caller, Command::Change(intent, why)).await {
        Answer::Changed { changes, applied, written } => {
            Ok(Json(wire::Changed { by, changes, applied, written, approval: None }).into_response())
        }
        Answer::Waits(approval) => {
            let changed = wire::Changed {
                by,
                changes: Vec::new(),
                applied: None,
                written: None,
                approval: Some(*approval),
            };
            Ok((StatusCode::ACCEPTED, Json(changed)).into_response())
        }
        other => Err(refused(other)),
    }
}

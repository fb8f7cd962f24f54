//! Handlers of what people change.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::config::parse_duration;
use crate::control::{Answer, CauseOfRevert, Command, Intent, Why, Wish};
use crate::model::Caller;
use crate::rollout::Actor;

use super::caller::Asker;
use super::problem::{Refusal, refused};
use super::read;
use super::routes::Shared;
use super::wire;

pub(super) async fn set_weight(
    State(shared): State<Shared>,
    Asker(caller): Asker,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Response, Refusal> {
    let wire::SetWeight { percent, reason, ticket, lasts, force } = read::body(&body)?;
    let lasts = lasts.map(|lasts| parse_duration(&lasts)).transpose();
    let lasts = lasts.map_err(|wanted| Refusal::unprocessable(format!("for: {wanted}")))?;
    let wish = Wish::SetWeight { weight: read::weight(percent)?, lasts, room: read::room(force) };
    let intent = Intent::Move(read::name(&name)?, wish);
    change(&shared, caller, intent, read::why(&reason, ticket.as_deref())?).await
}

pub(super) async fn clear(
    State(shared): State<Shared>,
    Asker(caller): Asker,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Response, Refusal> {
    let intent = Intent::Move(read::name(&name)?, Wish::Clear);
    change(&shared, caller, intent, why(&body)?).await
}

pub(super) async fn release(
    State(shared): State<Shared>,
    Asker(caller): Asker,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Response, Refusal> {
    let wire::Release { to_percent, reason, ticket, false_alarm, force } = read::body(&body)?;
    let cause = if false_alarm { CauseOfRevert::FalseAlarm } else { CauseOfRevert::Unsaid };
    let wish = Wish::Release { to: read::weight(to_percent)?, cause, room: read::room(force) };
    let intent = Intent::Move(read::name(&name)?, wish);
    change(&shared, caller, intent, read::why(&reason, ticket.as_deref())?).await
}

pub(super) async fn start_ramp(
    State(shared): State<Shared>,
    Asker(caller): Asker,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Response, Refusal> {
    let wire::StartRamp { reason, ticket, from_percent, plan, force } = read::body(&body)?;
    let from = from_percent.map(read::weight).transpose()?;
    let wish = Wish::StartRamp { plan: read::plan(plan.as_ref())?, from, room: read::room(force) };
    let intent = Intent::Move(read::name(&name)?, wish);
    change(&shared, caller, intent, read::why(&reason, ticket.as_deref())?).await
}

pub(super) async fn stop_ramp(
    State(shared): State<Shared>,
    Asker(caller): Asker,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Response, Refusal> {
    let intent = Intent::Move(read::name(&name)?, Wish::StopRamp);
    change(&shared, caller, intent, why(&body)?).await
}

pub(super) async fn migrate(
    State(shared): State<Shared>,
    Asker(caller): Asker,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Response, Refusal> {
    let intent = Intent::Move(read::name(&name)?, Wish::Migrate { room: read::room(false) });
    change(&shared, caller, intent, why(&body)?).await
}

pub(super) async fn approve(
    State(shared): State<Shared>,
    Asker(caller): Asker,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Response, Refusal> {
    let intent = Intent::Approve(read::name(&name)?);
    change(&shared, caller, intent, why(&body)?).await
}

pub(super) async fn reject(
    State(shared): State<Shared>,
    Asker(caller): Asker,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Response, Refusal> {
    let intent = Intent::Reject(read::name(&name)?);
    change(&shared, caller, intent, why(&body)?).await
}

pub(super) async fn revert(
    State(shared): State<Shared>,
    Asker(caller): Asker,
    body: Bytes,
) -> Result<Response, Refusal> {
    let wanted: wire::OfScope = read::body(&body)?;
    let intent = Intent::Revert(read::reach(&wanted.scope())?);
    change(&shared, caller, intent, read::why(&wanted.reason, wanted.ticket.as_deref())?).await
}

pub(super) async fn pause_ramps(
    State(shared): State<Shared>,
    Asker(caller): Asker,
    body: Bytes,
) -> Result<Response, Refusal> {
    let wanted: wire::OfScope = read::body(&body)?;
    let intent = Intent::PauseRamps(read::reach(&wanted.scope())?);
    change(&shared, caller, intent, read::why(&wanted.reason, wanted.ticket.as_deref())?).await
}

pub(super) async fn resume_ramps(
    State(shared): State<Shared>,
    Asker(caller): Asker,
    body: Bytes,
) -> Result<Response, Refusal> {
    let wanted: wire::OfScope = read::body(&body)?;
    let intent = Intent::ResumeRamps(read::reach(&wanted.scope())?);
    change(&shared, caller, intent, read::why(&wanted.reason, wanted.ticket.as_deref())?).await
}

fn why(body: &[u8]) -> Result<Why, Refusal> {
    let wire::Reason { reason, ticket } = read::body(body)?;
    read::why(&reason, ticket.as_deref())
}

/// Has control change something: 200 if it is in force, 202 if it waits for a second person.
async fn change(shared: &Shared, caller: Caller, intent: Intent, why: Why) -> Result<Response, Refusal> {
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

//! Handlers of webhooks.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;

use crate::control::{Answer, Command, Intent, NotTested, TestResult, Tested, WebhookStatus};
use crate::rollout::Actor;

use super::caller::Asker;
use super::problem::{Refusal, refused};
use super::read;
use super::routes::{Handled, Shared};
use super::wire;

/// Who is told what happens, and how that goes.
pub(super) async fn list(State(shared): State<Shared>, Asker(caller): Asker) -> Handled<Vec<WebhookStatus>> {
    match shared.control.ask(caller, Command::Process).await {
        Answer::Process(status) => Ok(Json(status.webhooks)),
        other => Err(refused(other)),
    }
}

/// Sends a message to one, and tells what came of it.
pub(super) async fn test(
    State(shared): State<Shared>,
    Asker(caller): Asker,
    Path(webhook): Path<String>,
    body: Bytes,
) -> Handled<wire::Tested> {
    let wire::Reason { reason, ticket } = read::body(&body)?;
    let why = read::why(&reason, ticket.as_deref())?;
    let by = Actor::Person(caller.name.clone());
    // Whether they may, and that they did.
    let intent = Intent::TestWebhook(webhook.as_str().into());
    match shared.control.ask(caller, Command::Change(intent, why.clone())).await {
        Answer::Noted => {}
        other => return Err(refused(other)),
    }
    let Tested { id, result, waiting } =
        shared.control.webhooks().test(&webhook, &by, &why.reason).await.map_err(|not| {
            let status = match not {
                NotTested::NoWebhook(_) => StatusCode::NOT_FOUND,
                NotTested::Stuck | NotTested::Stopping => StatusCode::SERVICE_UNAVAILABLE,
            };
            Refusal::new(status, not.to_string())
        })?;
    let (result, status, trouble) = match result {
        TestResult::Delivered(status) => (wire::TestResult::Delivered, Some(status), None),
        TestResult::GivenUp(why) => (wire::TestResult::GivenUp, None, Some(why)),
        TestResult::Waiting(why) => (wire::TestResult::Waiting, None, why),
    };
    Ok(Json(wire::Tested { webhook, id, result, status, trouble, waiting }))
}

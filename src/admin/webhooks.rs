//! Handlers of webhooks.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use crate::control::{Answer, Command, Intent, Looking, NotTested, TestResult, Tested, WebhookStatus};
use crate::rollout::Actor;

use super::caller::Asker;
use super::change::why;
use super::look::visible;
use super::problem::{Refusal, refused};
use super::read::{Segment, Sent};
use super::routes::{Handled, Shared};
use super::wire;

/// Lists webhooks
///
/// Who is told what happens: what waits, what has arrived, and what is wrong.
#[utoipa::path(
    get,
    path = "/v1/webhooks",
    operation_id = "listWebhooks",
    tag = "webhooks",
    responses((status = 200, description = "Each, by name.", body = Vec<WebhookStatus>))
)]
pub(super) async fn list(State(shared): State<Shared>, Asker(caller): Asker) -> Handled<Vec<WebhookStatus>> {
    // What others are told, and where, is for who sees everything.
    visible(&shared, caller.clone(), Looking::Metrics).await?;
    match shared.control.ask(caller, Command::Process).await {
        Answer::Process(status) => Ok(Json(status.webhooks)),
        other => Err(refused(other)),
    }
}

/// Tries a webhook
///
/// Sends it a message, waits up to 15 s for what comes of it, and tells that.
#[utoipa::path(
    post,
    path = "/v1/webhooks/{name}/test",
    operation_id = "testWebhook",
    tag = "webhooks",
    params(Segment),
    request_body(content = wire::Reason, example = json!({"reason": "is anybody there?"})),
    responses(
        (status = 200, description = "What came of it.", body = wire::Tested),
        (status = 404, description = "There is no such webhook."),
    )
)]
pub(super) async fn test(
    State(shared): State<Shared>,
    Asker(caller): Asker,
    Segment(webhook): Segment,
    Sent(wanted): Sent<wire::Reason>,
) -> Handled<wire::Tested> {
    let why = why(&wanted)?;
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

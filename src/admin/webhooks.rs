use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;

use crate::control::{Answer, Command, NotTested, TestResult, Tested, WebhookStatus};

use super::caller::Person;
use super::problem::Refusal;
use super::routes::{Handled, Shared, parse_reason, read, refused};
use super::wire;

/// Who is told what happens, and how that goes.
pub(super) async fn webhooks(State(shared): State<Shared>) -> Handled<Vec<WebhookStatus>> {
    match shared.control.ask(Command::Process).await {
        Answer::Process(status) => Ok(Json(status.webhooks)),
        other => Err(refused(other)),
    }
}

/// Sends a message to one, and tells what came of it.
pub(super) async fn test(
    State(shared): State<Shared>,
    Path(webhook): Path<String>,
    Person(by): Person,
    body: Bytes,
) -> Handled<wire::Tested> {
    let wire::TestWebhook { reason } = read(&body)?;
    let reason = parse_reason(&reason)?;
    let Tested { id, result, waiting } =
        shared.control.webhooks().test(&webhook, &by, &reason).await.map_err(|not| {
            let status = match not {
                NotTested::NoWebhook(_) => StatusCode::NOT_FOUND,
                NotTested::Stopping => StatusCode::SERVICE_UNAVAILABLE,
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

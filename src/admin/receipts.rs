//! Handlers of receipts.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use crate::control::{Answer, Command, Looking, ReceiptRecord};

use super::caller::Asker;
use super::history::{from_disk, of_somebody};
use super::look::visible;
use super::problem::{Refusal, refused};
use super::read::{Named, Reverted};
use super::routes::{Handled, Shared};

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
pub(super) async fn latest(
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

/// Lists receipts
///
/// Those that are kept of the service's reverts, the newest first.
#[utoipa::path(
    get,
    path = "/v1/services/{name}/receipts",
    operation_id = "listReceipts",
    tag = "services",
    params(Named),
    responses(
        (status = 200, description = "The receipts.", body = Vec<ReceiptRecord>),
        (status = 404, description = "There is no such service."),
    )
)]
pub(super) async fn list(
    State(shared): State<Shared>,
    Asker(caller): Asker,
    Named(name): Named,
) -> Handled<Vec<ReceiptRecord>> {
    let visible = visible(&shared, caller, Looking::History(Some(name.clone()))).await?;
    let service = name.clone();
    let receipts = from_disk(&shared, move |reader| reader.receipts(&service)).await?;
    of_somebody(&visible, &name, receipts).map(Json)
}

/// Shows the receipt of one revert
///
/// The one that happened at this time, which the list of receipts and the history tell.
#[utoipa::path(
    get,
    path = "/v1/services/{name}/receipts/{reverted_unix_ms}",
    operation_id = "getReceiptAt",
    tag = "services",
    params(Reverted),
    responses(
        (status = 200, description = "The receipt.", body = ReceiptRecord),
        (status = 404, description = "There is no such service, or it was not reverted at that time."),
    )
)]
pub(super) async fn at(
    State(shared): State<Shared>,
    Asker(caller): Asker,
    Reverted(name, reverted_unix_ms): Reverted,
) -> Handled<ReceiptRecord> {
    visible(&shared, caller, Looking::History(Some(name.clone()))).await?;
    let service = name.clone();
    match from_disk(&shared, move |reader| reader.receipt(&service, reverted_unix_ms)).await? {
        Some(receipt) => Ok(Json(receipt)),
        None => Err(Refusal::new(
            StatusCode::NOT_FOUND,
            format!(
                "there is no receipt of a revert of {name} at {reverted_unix_ms}; /v1/services/{name}/receipts lists them"
            ),
        )),
    }
}

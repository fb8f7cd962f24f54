//! Handlers of the history.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::control::{HistoryEntry, Looking, Page, Reader, Verification};
use crate::model::{Role, ServiceName};

use super::caller::Asker;
use super::look::visible;
use super::problem::Refusal;
use super::read::{self, Asked};
use super::routes::{Handled, Shared};

/// Which entries of the history are wanted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Entries {
    /// Of this service only.
    #[param(value_type = Option<ServiceName>)]
    service: Option<String>,
    /// Those before this one: the `seq` of the last entry that was answered leads to those that follow. Default: the newest.
    #[param(minimum = 0, maximum = 9_007_199_254_740_991_i64)]
    before: Option<u64>,
    /// At most so many. Default: 50.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// Entries that are answered at once, if it is not said, and at most.
const USUAL_ENTRIES: usize = 50;
const MOST_ENTRIES: usize = 1_000;
/// The last number that every reader of JSON can tell from its neighbours (RFC 8259, section 6).
pub(super) const LAST_NUMBER: u64 = (1 << 53) - 1;

/// Reads the history
///
/// Who did what, from where, when, what was before and after, and why; what was refused, too. The newest entries come first.
#[utoipa::path(
    get,
    path = "/v1/history",
    operation_id = "getHistory",
    tag = "history",
    params(Entries),
    responses(
        (status = 200, description = "Entries, the newest first.", body = Vec<HistoryEntry>),
        (status = 404, description = "There is no such service."),
        (status = 422, description = "A bound that is out of bounds."),
    )
)]
pub(super) async fn history(
    State(shared): State<Shared>,
    Asker(caller): Asker,
    Asked(wanted): Asked<Entries>,
) -> Handled<Vec<HistoryEntry>> {
    let Entries { service, before, limit } = wanted;
    let service = service.as_deref().map(read::name).transpose()?;
    // Entries of no service are Switchback's own, and who only sees some services does not see those.
    let sees_all = caller.rights.allow_everything(Role::Viewer);
    let visible = visible(&shared, caller, Looking::History(service.clone())).await?;
    let page = page(limit, before)?;
    let (of, seen) = (service.clone(), visible.clone());
    let wanted = move |entry: &HistoryEntry| match (&of, &entry.what.service) {
        (Some(wanted), of) => of.as_deref() == Some(wanted.as_str()),
        (None, Some(of)) => sees_all || seen.contains(of),
        (None, None) => sees_all,
    };
    let entries = from_disk(&shared, move |reader| reader.read(&page, wanted)).await?;
    let entries = entries.map_err(|error| unreadable(&error))?;
    match &service {
        Some(name) if before.is_none() => of_somebody(&visible, name, entries).map(Json),
        Some(_) | None => Ok(Json(entries)),
    }
}

/// What is kept of a service that is gone is told; of one that never was there is nothing.
pub(super) fn of_somebody<T>(
    visible: &BTreeSet<String>,
    name: &ServiceName,
    kept: Vec<T>,
) -> Result<Vec<T>, Refusal> {
    if kept.is_empty() && !visible.contains(name.as_str()) {
        return Err(Refusal::new(
            StatusCode::NOT_FOUND,
            format!("there is no service {name}, and never was"),
        ));
    }
    Ok(kept)
}

fn page(limit: Option<usize>, before: Option<u64>) -> Result<Page, Refusal> {
    let most = limit.unwrap_or(USUAL_ENTRIES);
    if !(1..=MOST_ENTRIES).contains(&most) {
        return Err(Refusal::unprocessable(format!("limit: from 1 to {MOST_ENTRIES}")));
    }
    if before.is_some_and(|before| before > LAST_NUMBER) {
        return Err(Refusal::unprocessable(format!("before: up to {LAST_NUMBER}")));
    }
    Ok(Page { most, before })
}

/// Verifies the history
///
/// Whether every entry is as it was written, whether any are missing, and whether the receipts that it names are unchanged.
#[utoipa::path(
    get,
    path = "/v1/history/verification",
    operation_id = "verifyHistory",
    tag = "history",
    responses((status = 200, description = "What was found.", body = Verification))
)]
pub(super) async fn verification(
    State(shared): State<Shared>,
    Asker(caller): Asker,
) -> Handled<Verification> {
    visible(&shared, caller, Looking::WholeHistory).await?;
    let found = from_disk(&shared, Reader::verify).await?;
    found.map(Json).map_err(|error| unreadable(&error))
}

/// Reads what is kept, beside all else.
pub(super) async fn from_disk<T: Send + 'static>(
    shared: &Shared,
    read: impl FnOnce(&Reader) -> T + Send + 'static,
) -> Result<T, Refusal> {
    let reader = shared.history.clone();
    tokio::task::spawn_blocking(move || read(&reader)).await.map_err(|error| unreadable(&error))
}

fn unreadable(error: &dyn std::fmt::Display) -> Refusal {
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, format!("the history cannot be read: {error}"))
}

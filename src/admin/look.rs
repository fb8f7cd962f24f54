//! Handlers of what people look at.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Path, Query, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, StreamExt};
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;

use crate::control::{
    Announcement, Answer, Command, Happening, HistoryEntry, Looking, MigrationStatus, Page, PreviewStatus,
    ProcessStatus, Reader, ReadinessStatus, ReceiptRecord, SensitivityStatus, ServiceStatus, Verification,
};
use crate::model::{Caller, Role, Scope};

use super::access::Known;
use super::caller::Asker;
use super::csv;
use super::problem::{Refusal, refused};
use super::read;
use super::routes::{Handled, Shared};
use super::wire;

pub(super) async fn process(State(shared): State<Shared>, Asker(caller): Asker) -> Handled<ProcessStatus> {
    match shared.control.ask(caller, Command::Process).await {
        Answer::Process(mut status) => {
            status.rights_faults = shared.gate.trouble();
            Ok(Json(*status))
        }
        other => Err(refused(other)),
    }
}

pub(super) async fn services(
    State(shared): State<Shared>,
    Asker(caller): Asker,
) -> Handled<Vec<ServiceStatus>> {
    match shared.control.ask(caller, Command::Status(None)).await {
        Answer::Status(services) => Ok(Json(services)),
        other => Err(refused(other)),
    }
}

pub(super) async fn service(
    State(shared): State<Shared>,
    Asker(caller): Asker,
    Path(name): Path<String>,
) -> Handled<ServiceStatus> {
    let service = read::name(&name)?;
    match shared.control.ask(caller, Command::Status(Some(service))).await {
        Answer::Status(services) => match services.into_iter().next() {
            Some(status) => Ok(Json(status)),
            None => Err(Refusal::new(StatusCode::NOT_FOUND, format!("there is no service {name}"))),
        },
        other => Err(refused(other)),
    }
}

pub(super) async fn receipt(
    State(shared): State<Shared>,
    Asker(caller): Asker,
    Path(name): Path<String>,
) -> Handled<ReceiptRecord> {
    let service = read::name(&name)?;
    match shared.control.ask(caller, Command::Receipt(service)).await {
        Answer::Receipt(receipt) => match *receipt {
            Some(receipt) => Ok(Json(receipt)),
            None => Err(Refusal::new(StatusCode::NOT_FOUND, format!("{name} has never been reverted"))),
        },
        other => Err(refused(other)),
    }
}

/// The receipts that are kept of a service's reverts, the newest first.
pub(super) async fn receipts(
    State(shared): State<Shared>,
    Asker(caller): Asker,
    Path(name): Path<String>,
) -> Handled<Vec<ReceiptRecord>> {
    let service = read::name(&name)?;
    visible(&shared, caller, Looking::History(Some(service.clone()))).await?;
    from_disk(&shared, move |reader| reader.receipts(&service)).await.map(Json)
}

/// The receipt of the revert at this time.
pub(super) async fn receipt_at(
    State(shared): State<Shared>,
    Asker(caller): Asker,
    Path((name, reverted_unix_ms)): Path<(String, u64)>,
) -> Handled<ReceiptRecord> {
    let service = read::name(&name)?;
    visible(&shared, caller, Looking::History(Some(service.clone()))).await?;
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

/// Reads what is kept, beside all else.
async fn from_disk<T: Send + 'static>(
    shared: &Shared,
    read: impl FnOnce(&Reader) -> T + Send + 'static,
) -> Result<T, Refusal> {
    let reader = shared.history.clone();
    tokio::task::spawn_blocking(move || read(&reader)).await.map_err(|error| unreadable(&error))
}

pub(super) async fn sensitivity(
    State(shared): State<Shared>,
    Asker(caller): Asker,
    Path(name): Path<String>,
) -> Handled<SensitivityStatus> {
    match shared.control.ask(caller, Command::Sensitivity(read::name(&name)?)).await {
        Answer::Sensitivity(sensitivity) => Ok(Json(sensitivity)),
        other => Err(refused(other)),
    }
}

pub(super) async fn readiness(
    State(shared): State<Shared>,
    Asker(caller): Asker,
    Path(name): Path<String>,
) -> Handled<ReadinessStatus> {
    match shared.control.ask(caller, Command::Readiness(read::name(&name)?)).await {
        Answer::Readiness(readiness) => Ok(Json(readiness)),
        other => Err(refused(other)),
    }
}

/// What would come of a change.
pub(super) async fn preview(
    State(shared): State<Shared>,
    Asker(caller): Asker,
    body: Bytes,
) -> Handled<Vec<PreviewStatus>> {
    let wanted: wire::Preview = read::body(&body)?;
    match shared.control.ask(caller, Command::Preview(read::preview(&wanted)?)).await {
        Answer::Preview(preview) => Ok(Json(preview)),
        other => Err(refused(other)),
    }
}

/// How a ledger is wanted.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Format {
    format: Option<LedgerFormat>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum LedgerFormat {
    Json,
    Csv,
}

/// The ledger of migrations.
pub(super) async fn migration(
    State(shared): State<Shared>,
    Asker(caller): Asker,
    query: Result<Query<Format>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Format { format } = read::query(query)?;
    let status: MigrationStatus = match shared.control.ask(caller, Command::Migration).await {
        Answer::Migration(status) => *status,
        other => return Err(refused(other)),
    };
    Ok(match format {
        Some(LedgerFormat::Csv) => {
            ([(CONTENT_TYPE, "text/csv; charset=utf-8")], csv::ledger(&status)).into_response()
        }
        Some(LedgerFormat::Json) | None => Json(status).into_response(),
    })
}

/// Which entries of the history are wanted.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entries {
    /// Of this service only.
    service: Option<String>,
    /// Those before this one.
    before: Option<u64>,
    /// At most so many.
    limit: Option<usize>,
}

/// Entries that are answered at once, if it is not said, and at most.
const USUAL_ENTRIES: usize = 50;
const MOST_ENTRIES: usize = 1_000;

/// The history, the newest entries first.
pub(super) async fn history(
    State(shared): State<Shared>,
    Asker(caller): Asker,
    query: Result<Query<Entries>, QueryRejection>,
) -> Handled<Vec<HistoryEntry>> {
    let Entries { service, before, limit } = read::query(query)?;
    let service = service.as_deref().map(read::name).transpose()?;
    // Entries of no service are Switchback's own, and who only sees some services does not see those.
    let sees_all = caller.rights.allow_everything(Role::Viewer);
    let visible = visible(&shared, caller, Looking::History(service.clone())).await?;
    let page = Page { most: limit.unwrap_or(USUAL_ENTRIES).clamp(1, MOST_ENTRIES), before };
    let wanted = move |entry: &HistoryEntry| match (&service, &entry.what.service) {
        (Some(wanted), of) => of.as_deref() == Some(wanted.as_str()),
        (None, Some(of)) => sees_all || visible.contains(of),
        (None, None) => sees_all,
    };
    let entries = from_disk(&shared, move |reader| reader.read(&page, wanted)).await?;
    entries.map(Json).map_err(|error| unreadable(&error))
}

/// Whether the history is as it was written.
pub(super) async fn verification(
    State(shared): State<Shared>,
    Asker(caller): Asker,
) -> Handled<Verification> {
    visible(&shared, caller, Looking::WholeHistory).await?;
    let found = from_disk(&shared, Reader::verify).await?;
    found.map(Json).map_err(|error| unreadable(&error))
}

fn unreadable(error: &dyn std::fmt::Display) -> Refusal {
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, format!("the history cannot be read: {error}"))
}

/// The services that a caller may see, if they may look at all.
async fn visible(shared: &Shared, caller: Caller, what: Looking) -> Result<Arc<BTreeSet<String>>, Refusal> {
    match shared.control.ask(caller, Command::MayLook(what)).await {
        Answer::Visible(services) => Ok(services),
        other => Err(refused(other)),
    }
}

/// What was announced lately, and then what is, line by line, for as long as the reader stays and may see it.
pub(super) async fn events(
    State(shared): State<Shared>,
    Extension(known): Extension<Known>,
) -> Result<Response, Refusal> {
    let (caller, gate) = (known.caller.clone(), shared.gate.clone());
    let sees_all = caller.rights.allow_everything(Role::Viewer);
    let visible = visible(&shared, caller, Looking::Events).await?;
    let sees = move |announcement: &Announcement| {
        // Who may do what is nobody's business but of those who see everything.
        let is_open = !matches!(announcement.happening, Happening::RightsChanged | Happening::RightsRefused);
        sees_all || announcement.service.as_ref().map_or(is_open, |service| visible.contains(service))
    };
    let (recent, coming) = shared.control.news();
    let recent: Vec<_> = recent.iter().filter(|seen| sees(seen)).map(line).collect();
    let rights = gate.changes();
    let coming = stream::unfold((coming, rights, sees), move |(mut coming, mut rights, sees)| {
        let (gate, known) = (gate.clone(), known.clone());
        async move {
            let text = loop {
                let received = tokio::select! {
                    received = coming.recv() => received,
                    () = changed(rights.as_mut()) => {
                        if gate.is_still(&known) {
                            continue;
                        }
                        return None;
                    }
                };
                // A token may have ended meanwhile.
                if !gate.is_still(&known) {
                    return None;
                }
                match received {
                    Ok(announcement) if sees(&announcement) => break line(&announcement),
                    Ok(_) => {}
                    Err(RecvError::Lagged(missed)) => break line(&wire::Missed { missed }),
                    Err(RecvError::Closed) => return None,
                }
            };
            Some((text, (coming, rights, sees)))
        }
    });
    let lines = stream::iter(recent).chain(coming).map(Ok::<_, std::convert::Infallible>);
    Ok(([(CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response())
}

/// Waits until who may do what is different.
async fn changed<T>(rights: Option<&mut watch::Receiver<T>>) {
    let changed = match rights {
        Some(rights) => rights.changed().await.is_ok(),
        None => false,
    };
    if !changed {
        // Nobody changes them any more.
        std::future::pending::<()>().await;
    }
}

fn line<T: Serialize>(value: &T) -> String {
    let mut text = serde_json::to_string(value).unwrap_or_default();
    text.push('\n');
    text
}

pub(super) async fn metrics(State(shared): State<Shared>, Asker(caller): Asker) -> Result<Response, Refusal> {
    visible(&shared, caller, Looking::Metrics).await?;
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4")], shared.control.metrics()).into_response())
}

/// Who one is, and what one may do.
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

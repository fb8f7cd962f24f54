//! The handler of what is followed.

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::header::{CONTENT_TYPE, HeaderName};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, StreamExt};
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use utoipa::IntoParams;

use crate::control::{Announcement, Happening, Looking};
use crate::model::{Role, ServiceName};

use super::access::Known;
use super::look::visible;
use super::problem::Refusal;
use super::read::Asked;
use super::routes::Shared;
use super::wire;

/// Which events are wanted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Events {
    /// Only what was announced lately: the answer then has an end.
    #[serde(default)]
    recent: bool,
}

/// Follows what happens
///
/// What was announced lately, the oldest first, and then what is announced: JSON objects, one a line, each an `Event`, for as
/// long as the reader stays and may see it. With `recent=true` the answer ends after what was announced lately.
#[utoipa::path(
    get,
    path = "/v1/events",
    operation_id = "followEvents",
    tag = "events",
    params(Events),
    responses((
        status = 200,
        description = "Events, one a line.",
        body = String,
        content_type = "application/x-ndjson",
        example = json!(
            "{\"at_unix_ms\":1795317247312,\"happening\":\"reverted\",\"service\":\"search\",\"team\":\"search-squad\",\
             \"by\":\"judge\",\"text\":\"search: reverted by the judge\"}\n"
        )
    ))
)]
pub(super) async fn events(
    State(shared): State<Shared>,
    Extension(known): Extension<Known>,
    Asked(wanted): Asked<Events>,
) -> Result<Response, Refusal> {
    let (caller, gate) = (known.caller.clone(), shared.gate.clone());
    let sees_all = caller.rights.allow_everything(Role::Viewer);
    let rights_of = caller.rights.clone();
    visible(&shared, caller, Looking::Events).await?;
    let sees = move |announcement: &Announcement| {
        // Who may do what is nobody's business but of those who see everything.
        let is_open = !matches!(announcement.happening, Happening::RightsChanged | Happening::RightsRefused);
        // Whose a service is may change while somebody follows.
        let team = announcement.team.as_deref().unwrap_or_default();
        let of = |service: &String| {
            ServiceName::parse(service).is_ok_and(|name| rights_of.allow(Role::Viewer, &name, team))
        };
        sees_all || announcement.service.as_ref().map_or(is_open, of)
    };
    let (recent, coming) = shared.control.news();
    let recent: Vec<_> = recent.iter().filter(|seen| sees(seen)).map(line).collect();
    if wanted.recent {
        return Ok((NDJSON, recent.concat()).into_response());
    }
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
    Ok((NDJSON, Body::from_stream(lines)).into_response())
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

const NDJSON: [(HeaderName, &str); 1] = [(CONTENT_TYPE, "application/x-ndjson")];

fn line<T: Serialize>(value: &T) -> String {
    let mut text = serde_json::to_string(value).unwrap_or_default();
    text.push('\n');
    text
}

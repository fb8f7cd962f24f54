//! The handler of the ledger of migrations.

use axum::Json;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use crate::control::{Answer, Command, MigrationStatus};

use super::caller::Asker;
use super::csv;
use super::problem::{Refusal, refused};
use super::read::Asked;
use super::routes::Shared;

/// How a ledger is wanted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Format {
    /// As JSON, or as CSV (RFC 4180) for spreadsheets. Default: `json`.
    #[param(inline)]
    format: Option<LedgerFormat>,
}

#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
enum LedgerFormat {
    Json,
    Csv,
}

/// Shows the ledger of migrations
///
/// For each service its stage, weight, reverts, verdict and next gate; sums by team, by phase and over all.
#[utoipa::path(
    get,
    path = "/v1/migration",
    operation_id = "getMigration",
    tag = "ramps",
    params(Format),
    responses((status = 200, description = "The ledger.", content(
        (MigrationStatus = "application/json"),
        (String = "text/csv"),
    )))
)]
pub(super) async fn migration(
    State(shared): State<Shared>,
    Asker(caller): Asker,
    Asked(wanted): Asked<Format>,
) -> Result<Response, Refusal> {
    let status: MigrationStatus = match shared.control.ask(caller, Command::Migration).await {
        Answer::Migration(status) => *status,
        other => return Err(refused(other)),
    };
    Ok(match wanted.format {
        Some(LedgerFormat::Csv) => {
            ([(CONTENT_TYPE, "text/csv; charset=utf-8")], csv::ledger(&status)).into_response()
        }
        Some(LedgerFormat::Json) | None => Json(status).into_response(),
    })
}

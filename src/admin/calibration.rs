//! Handlers of calibrations: Helios, compared with itself.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use serde::de::DeserializeOwned;

use crate::config::{in_words, parse_duration};
use crate::control::{Answer, CalibrationOrder, CalibrationStatus, Command, Intent, Why};
use crate::model::Caller;

use super::caller::Asker;
use super::problem::{Refusal, refused};
use super::read;
use super::routes::{Handled, Shared};
use super::wire;

/// How a service's calibration goes, and what the last one came to.
pub(super) async fn show(
    State(shared): State<Shared>,
    Asker(caller): Asker,
    Path(name): Path<String>,
) -> Handled<CalibrationStatus> {
    ask(&shared, caller, Command::Calibration(read::name(&name)?)).await
}

/// Compares a service's Helios with itself for a while.
pub(super) async fn begin(
    State(shared): State<Shared>,
    Asker(caller): Asker,
    Path(name): Path<String>,
    body: Bytes,
) -> Handled<CalibrationStatus> {
    let wire::Calibrate { lasts, reason } = read_if_any(&body)?;
    let lasts = lasts.map_or(Ok(CalibrationOrder::USUAL), |lasts| parse_duration(&lasts));
    let lasts = lasts.map_err(|wanted| Refusal::unprocessable(format!("for: {wanted}")))?;
    let (shortest, longest) = (CalibrationOrder::SHORTEST, CalibrationOrder::LONGEST);
    if !(shortest..=longest).contains(&lasts) {
        let (shortest, longest) = (in_words(shortest), in_words(longest));
        return Err(Refusal::unprocessable(format!("for: from {shortest} to {longest}")));
    }
    let intent = Intent::Calibrate(read::name(&name)?, lasts);
    ask(&shared, caller, Command::Change(intent, why_if_any(reason.as_deref())?)).await
}

/// Ends that before its time.
pub(super) async fn stop(
    State(shared): State<Shared>,
    Asker(caller): Asker,
    Path(name): Path<String>,
    body: Bytes,
) -> Handled<CalibrationStatus> {
    let wire::StopCalibration { reason } = read_if_any(&body)?;
    let intent = Intent::StopCalibration(read::name(&name)?);
    ask(&shared, caller, Command::Change(intent, why_if_any(reason.as_deref())?)).await
}

async fn ask(shared: &Shared, caller: Caller, command: Command) -> Handled<CalibrationStatus> {
    match shared.control.ask(caller, command).await {
        Answer::Calibration(status) => Ok(Json(*status)),
        other => Err(refused(other)),
    }
}

/// What there is to say may all be left out.
fn read_if_any<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    read::body(if body.is_empty() { b"{}" } else { body })
}

fn why_if_any(reason: Option<&str>) -> Result<Why, Refusal> {
    reason.map_or_else(|| Ok(Why::default()), |reason| read::why(reason, None))
}

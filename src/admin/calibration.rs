use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};

use crate::config::{in_words, parse_duration};
use crate::control::{Answer, CalibrationOrder, CalibrationStatus, Command};

use super::caller::Person;
use super::problem::Refusal;
use super::routes::{Handled, Shared, parse_name, parse_reason, read, refused};
use super::wire;

/// How a service's calibration goes, and what the last one came to.
pub(super) async fn calibration(
    State(shared): State<Shared>,
    Path(name): Path<String>,
) -> Handled<Box<CalibrationStatus>> {
    ask(&shared, Command::Calibration(parse_name(&name)?)).await
}

/// Compares a service's Helios with itself for a while.
pub(super) async fn calibrate(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    Person(by): Person,
    body: Bytes,
) -> Handled<Box<CalibrationStatus>> {
    let wire::Calibrate { lasts, reason } = read_if_any(&body)?;
    let usual = Ok(CalibrationOrder::USUAL);
    let lasts = lasts.map_or(usual, |lasts| parse_duration(&lasts));
    let lasts = lasts.map_err(|wanted| Refusal::unprocessable(format!("for: {wanted}")))?;
    let (shortest, longest) = (CalibrationOrder::SHORTEST, CalibrationOrder::LONGEST);
    if !(shortest..=longest).contains(&lasts) {
        let (shortest, longest) = (in_words(shortest), in_words(longest));
        return Err(Refusal::unprocessable(format!("for: from {shortest} to {longest}")));
    }
    let (service, reason) = (parse_name(&name)?, parse_reason_if_any(reason.as_deref())?);
    ask(&shared, Command::Calibrate { service, order: CalibrationOrder { lasts, by, reason } }).await
}

/// Ends that before its time.
pub(super) async fn stop_calibration(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    Person(by): Person,
    body: Bytes,
) -> Handled<Box<CalibrationStatus>> {
    let wire::StopCalibration { reason } = read_if_any(&body)?;
    let (service, reason) = (parse_name(&name)?, parse_reason_if_any(reason.as_deref())?);
    ask(&shared, Command::StopCalibration { service, by, reason }).await
}

async fn ask(shared: &Shared, command: Command) -> Handled<Box<CalibrationStatus>> {
    match shared.control.ask(command).await {
        Answer::Calibration(status) => Ok(Json(status)),
        other => Err(refused(other)),
    }
}

/// What there is to say may all be left out.
fn read_if_any<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    read(if body.is_empty() { b"{}" } else { body })
}

/// A calibration changes nothing for anybody: it needs no reason.
fn parse_reason_if_any(reason: Option<&str>) -> Result<Option<Arc<str>>, Refusal> {
    reason.map(parse_reason).transpose()
}

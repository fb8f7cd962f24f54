//! Handlers of calibrations: Helios, compared with itself.

use std::ops::RangeInclusive;
use std::time::Duration;

use axum::Json;
use axum::extract::State;

use crate::control::{Answer, CalibrationOrder, CalibrationStatus, Command, Intent, Why};
use crate::model::Caller;

use super::caller::Asker;
use super::problem::{Refusal, refused};
use super::read::{self, Named, SentIfAny};
use super::routes::{Handled, Shared};
use super::wire;

/// How long one may last.
const LASTS: RangeInclusive<Duration> = CalibrationOrder::SHORTEST..=CalibrationOrder::LONGEST;

/// Tells how the calibration goes
///
/// What the running one has come to so far, and what the last that has ended came to.
#[utoipa::path(
    get,
    path = "/v1/services/{name}/calibration",
    operation_id = "getCalibration",
    tag = "calibration",
    params(Named),
    responses(
        (status = 200, description = "How it goes.", body = CalibrationStatus),
        (status = 404, description = "There is no such service."),
    )
)]
pub(super) async fn show(
    State(shared): State<Shared>,
    Asker(caller): Asker,
    Named(name): Named,
) -> Handled<CalibrationStatus> {
    ask(&shared, caller, Command::Calibration(name)).await
}

/// Begins a calibration
///
/// For a while, `1s` to `7d`, Helios is compared with itself by the judge that watches Kubernetes: whether false reverts stay
/// within the promise, how noisy the service is, and how soon trouble would be seen. It moves nobody. Everything in the body
/// may be left out, and so may the body.
#[utoipa::path(
    post,
    path = "/v1/services/{name}/calibration",
    operation_id = "startCalibration",
    tag = "calibration",
    params(Named),
    request_body(content = Option<wire::Calibrate>, example = json!({"for": "30m", "reason": "before the ramp"})),
    responses(
        (status = 200, description = "It runs.", body = CalibrationStatus),
        (status = 404, description = "There is no such service."),
        (status = 409, description = "One runs already, too many do, or Helios gets nothing that could be compared."),
    )
)]
pub(super) async fn begin(
    State(shared): State<Shared>,
    Asker(caller): Asker,
    Named(name): Named,
    SentIfAny(wanted): SentIfAny<wire::Calibrate>,
) -> Handled<CalibrationStatus> {
    let wire::Calibrate { lasts, reason } = wanted;
    let lasts = lasts.map_or(Ok(CalibrationOrder::USUAL), |lasts| read::duration(&lasts, &LASTS))?;
    let intent = Intent::Calibrate(name, lasts);
    ask(&shared, caller, Command::Change(intent, why_if_any(reason.as_deref())?)).await
}

/// Ends a calibration
///
/// Before its time: what was seen is kept. The body may be left out.
#[utoipa::path(
    delete,
    path = "/v1/services/{name}/calibration",
    operation_id = "stopCalibration",
    tag = "calibration",
    params(Named),
    request_body(content = Option<wire::StopCalibration>, example = json!({"reason": "seen enough"})),
    responses(
        (status = 200, description = "It is ended, and `last` says what it came to.", body = CalibrationStatus),
        (status = 404, description = "There is no such service."),
        (status = 409, description = "None runs."),
    )
)]
pub(super) async fn stop(
    State(shared): State<Shared>,
    Asker(caller): Asker,
    Named(name): Named,
    SentIfAny(wanted): SentIfAny<wire::StopCalibration>,
) -> Handled<CalibrationStatus> {
    let wire::StopCalibration { reason } = wanted;
    let intent = Intent::StopCalibration(name);
    ask(&shared, caller, Command::Change(intent, why_if_any(reason.as_deref())?)).await
}

async fn ask(shared: &Shared, caller: Caller, command: Command) -> Handled<CalibrationStatus> {
    match shared.control.ask(caller, command).await {
        Answer::Calibration(status) => Ok(Json(*status)),
        other => Err(refused(other)),
    }
}

fn why_if_any(reason: Option<&str>) -> Result<Why, Refusal> {
    reason.map_or_else(|| Ok(Why::default()), |reason| read::why(reason, None))
}

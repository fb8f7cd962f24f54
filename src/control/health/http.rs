use bytes::Bytes;
use http::Method;
use http::uri::PathAndQuery;
use http_body_util::Full;

use crate::model::Statuses;

use super::exchange::{Tasks, exchange, request};
use super::failure::Failure;
use super::rota::Errand;
use super::wire::Wire;

/// Asks for a path: the status decides, if the answer is whole.
pub(super) async fn check(
    errand: &Errand,
    path: &PathAndQuery,
    statuses: Statuses,
    wire: Wire,
    tasks: &Tasks,
) -> Result<(), Failure> {
    let asked = || format!("GET {path}").into();
    let request = request(errand, Method::GET, path)?.body(Full::<Bytes>::default())?;
    let answer = exchange(errand.config.protocol, wire, request, tasks)
        .await
        .map_err(|error| Failure::Unanswered { asked: asked(), error })?;
    if !statuses.contains(answer.status.as_u16()) {
        return Err(Failure::Status { asked: asked(), status: answer.status });
    }
    answer.end.map(drop).map_err(|error| Failure::CutShort { asked: asked(), error })
}

use axum::Json;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::control::{Answer, Refused};

use super::wire::{Problem, about_blank};

/// A refusal on its way to the caller.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    detail: String,
    header: Option<(HeaderName, HeaderValue)>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), header: None }
    }

    /// With a header.
    pub(super) fn with(self, name: HeaderName, value: HeaderValue) -> Self {
        Self { header: Some((name, value)), ..self }
    }

    /// What the caller sent makes no sense here.
    pub(super) fn unprocessable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        let status = match &refused {
            Refused::NoService(_)
            | Refused::NoTeam(_)
            | Refused::NoCluster(_)
            | Refused::NoWebhook(_)
            | Refused::NothingToApprove(_) => StatusCode::NOT_FOUND,
            Refused::NoRight { .. } | Refused::Unproven(_) | Refused::SamePerson { .. } => {
                StatusCode::FORBIDDEN
            }
            Refused::NotNow { .. }
            | Refused::NoRoom { .. }
            | Refused::NotReady { .. }
            | Refused::WaitsAlready { .. }
            | Refused::AskedAnew { .. }
            | Refused::NotTheJudge { .. }
            | Refused::Calibration { .. }
            | Refused::Overtaken(_) => StatusCode::CONFLICT,
            Refused::NoSide(..) | Refused::NoStep { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            Refused::NotWritten(_) | Refused::Stopping => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::new(status, refused.to_string())
    }
}

/// What control has refused; another answer than what was asked for is nobody's fault but ours.
pub(super) fn refused(answer: Answer) -> Refusal {
    match answer {
        Answer::Refused(refused) => refused.into(),
        Answer::Process(_)
        | Answer::Status(_)
        | Answer::Receipt(_)
        | Answer::Sensitivity(_)
        | Answer::Calibration(_)
        | Answer::Preview(_)
        | Answer::Migration(_)
        | Answer::Readiness(_)
        | Answer::Visible(_)
        | Answer::Changed { .. }
        | Answer::Waits(_)
        | Answer::Noted => Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "an answer to another question"),
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let problem = Problem {
            kind: about_blank(),
            title: self.status.canonical_reason().unwrap_or("Error").to_owned(),
            status: self.status.as_u16(),
            detail: self.detail,
        };
        let mut response = (self.status, Json(problem)).into_response();
        let kind = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(CONTENT_TYPE, kind);
        if let Some((name, value)) = self.header {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

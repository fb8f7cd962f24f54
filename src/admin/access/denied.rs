use std::sync::Arc;

use axum::http::StatusCode;
use axum::http::header::{HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};

use crate::jwt::TokenFault;
use crate::model::Millis;

use super::super::problem::Refusal;

/// Why somebody is not let in. Nothing that they have shown is in here, unless it is true.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Denied {
    #[error("nothing says who asks")]
    Nothing,
    #[error("the Authorization header {0}")]
    Malformed(&'static str),
    #[error("the token is not known here: it was revoked, or mistyped")]
    UnknownToken,
    #[error("the token {0} has expired")]
    TokenEnded(Arc<str>),
    #[error("the token is none of Switchback's own, and no identity provider is believed")]
    NoProvider,
    #[error("the token {0}")]
    Token(#[from] TokenFault),
    #[error(
        "{0} is known to the identity provider, but in no entry of the rights file, and in no group of it"
    )]
    UnlistedPerson(Arc<str>),
    #[error("the client certificate of {0} is in no entry of the rights file")]
    UnlistedCertificate(String),
    #[error("the client certificate has ended")]
    CertificateEnded,
    #[error("{0} of this machine is in no entry of the rights file, and in no group of it")]
    UnlistedUser(Arc<str>),
    #[error("the system does not say which user asks")]
    NoUser,
    #[error("the identity provider's keys are not known yet")]
    NoKeys,
    #[error("too many failures from this address")]
    TooOften(Millis),
}

impl Denied {
    /// Whether it is held against the address that it came from.
    pub(super) fn is_failure(&self) -> bool {
        match self {
            Denied::NoKeys | Denied::TooOften(_) => false,
            Denied::Nothing
            | Denied::Malformed(_)
            | Denied::UnknownToken
            | Denied::TokenEnded(_)
            | Denied::NoProvider
            | Denied::Token(_)
            | Denied::UnlistedPerson(_)
            | Denied::UnlistedCertificate(_)
            | Denied::CertificateEnded
            | Denied::UnlistedUser(_)
            | Denied::NoUser => true,
        }
    }

    /// What is answered (RFC 6750, section 3).
    pub(super) fn refusal(&self) -> Refusal {
        let detail = self.to_string();
        match self {
            Denied::Nothing | Denied::NoUser => {
                let detail =
                    format!("{detail}: show a token (Authorization: Bearer …) or a client certificate");
                challenge(StatusCode::UNAUTHORIZED, detail, "Bearer realm=\"switchback\"")
            }
            Denied::UnlistedCertificate(_) | Denied::CertificateEnded | Denied::UnlistedUser(_) => {
                challenge(StatusCode::UNAUTHORIZED, detail, "Bearer realm=\"switchback\"")
            }
            Denied::Malformed(_) => challenge(
                StatusCode::BAD_REQUEST,
                detail,
                "Bearer realm=\"switchback\", error=\"invalid_request\"",
            ),
            Denied::UnknownToken
            | Denied::TokenEnded(_)
            | Denied::NoProvider
            | Denied::Token(_)
            | Denied::UnlistedPerson(_) => challenge(
                StatusCode::UNAUTHORIZED,
                detail,
                "Bearer realm=\"switchback\", error=\"invalid_token\"",
            ),
            Denied::NoKeys => Refusal::new(StatusCode::SERVICE_UNAVAILABLE, detail)
                .with(RETRY_AFTER, HeaderValue::from_static("5")),
            Denied::TooOften(wait) => {
                let seconds = HeaderValue::from(wait.0.div_ceil(1_000));
                let detail = format!("{detail}: nothing that comes from it is looked at for a while");
                Refusal::new(StatusCode::TOO_MANY_REQUESTS, detail).with(RETRY_AFTER, seconds)
            }
        }
    }
}

fn challenge(status: StatusCode, detail: String, challenge: &'static str) -> Refusal {
    Refusal::new(status, detail).with(WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
}

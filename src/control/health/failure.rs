use std::error::Error;
use std::io;
use std::time::Duration;

use http::StatusCode;
use nix::errno::Errno;

use crate::config::{Protocol, in_words};
use crate::model::GrpcCode;

use super::grpc::Health;

/// Why a check was not good, for people. Nothing that an endpoint wrote is in here.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("no connection: {}", reason(.0))]
    Unreachable(io::Error),
    #[error("no connection within {}", in_words(*.0))]
    ConnectsLate(Duration),
    #[error("TLS failed: {0}")]
    Tls(io::Error),
    #[error("it does not agree on {} over TLS (ALPN)", .0.as_str())]
    NotAgreed(Protocol),
    #[error("no answer within {}", in_words(*.0))]
    AnswersLate(Duration),
    #[error("{asked} was not answered: {}", what_broke(error))]
    Unanswered { asked: Box<str>, error: hyper::Error },
    #[error("{asked} was answered with {}", status.as_u16())]
    Status { asked: Box<str>, status: StatusCode },
    #[error("{asked} was not answered whole: {}", what_broke(error))]
    CutShort { asked: Box<str>, error: hyper::Error },
    #[error("{asked} ended with {}", code.as_str())]
    Call { asked: Box<str>, code: GrpcCode },
    #[error("{asked} was answered with what is not its answer")]
    NotUnderstood { asked: Box<str> },
    #[error("{}", .0.as_str())]
    NotServing(Health),
    /// We have nothing to make a connection with.
    #[error("no connection can be made: {0}")]
    Exhausted(io::Error),
    /// The side's TLS has not been set up.
    #[error("there is no TLS to speak")]
    NoTls,
    /// No request can be made of what is configured.
    #[error("it cannot be asked: {0}")]
    NoRequest(#[from] http::Error),
}

impl Failure {
    /// From an attempt to connect.
    pub(super) fn of_connecting(error: io::Error) -> Self {
        let ours = [Errno::EMFILE, Errno::ENFILE, Errno::ENOBUFS, Errno::ENOMEM, Errno::EADDRNOTAVAIL];
        match error.raw_os_error() {
            Some(code) if ours.contains(&Errno::from_raw(code)) => Self::Exhausted(error),
            Some(_) | None => Self::Unreachable(error),
        }
    }

    /// Whether it is our own, and says nothing of the endpoint.
    pub(super) fn is_ours(&self) -> bool {
        match self {
            Self::Exhausted(_) | Self::NoTls | Self::NoRequest(_) => true,
            Self::Unreachable(_)
            | Self::ConnectsLate(_)
            | Self::Tls(_)
            | Self::NotAgreed(_)
            | Self::AnswersLate(_)
            | Self::Unanswered { .. }
            | Self::Status { .. }
            | Self::CutShort { .. }
            | Self::Call { .. }
            | Self::NotUnderstood { .. }
            | Self::NotServing(_) => false,
        }
    }
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "refused".to_owned(),
        io::ErrorKind::NotFound => "there is no such socket".to_owned(),
        // Of a Unix socket.
        io::ErrorKind::WouldBlock => "too many wait to be accepted".to_owned(),
        _ => error.to_string(),
    }
}

fn what_broke(error: &hyper::Error) -> String {
    if error.is_parse() {
        return "what came is not HTTP".to_owned();
    }
    let mut cause: &dyn Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    let has_ended = |error: &io::Error| {
        matches!(
            error.kind(),
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof
        )
    };
    if error.is_incomplete_message()
        || error.is_canceled()
        || cause.downcast_ref::<io::Error>().is_some_and(has_ended)
    {
        return "the connection broke off".to_owned();
    }
    cause.to_string()
}

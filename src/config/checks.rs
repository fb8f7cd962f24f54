use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use http::uri::PathAndQuery;

use crate::model::Statuses;

use super::checked::{Protocol, ProxyProtocol};

/// How a side's endpoints are asked whether they are well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckConfig {
    /// What they are asked.
    pub kind: CheckKind,
    /// The host that is asked for; `None` for the endpoint's address.
    pub host: Option<HeaderValue>,
    /// What is spoken.
    pub protocol: Protocol,
    /// How each connection begins by saying that it is our own; `None` if it does not.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// The port that is asked; `None` for the endpoint's own.
    pub port: Option<u16>,
    /// How often each endpoint is asked.
    pub every: Duration,
    /// How long it may take to answer.
    pub timeout: Duration,
    /// Good answers in a row after which an endpoint that was ill is well.
    pub rise: u8,
    /// Bad ones in a row after which an endpoint that was well is ill.
    pub fall: u8,
}

/// What endpoints are asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckKind {
    /// A GET.
    Http {
        /// Of this path.
        path: PathAndQuery,
        /// Those of an endpoint that is well.
        statuses: Statuses,
    },
    /// A call of `grpc.health.v1.Health/Check`.
    Grpc {
        /// The service that is asked after; empty for the whole server.
        service: Arc<str>,
    },
    /// A connection.
    Tcp,
}

impl CheckConfig {
    /// How often each endpoint is asked unless it is said.
    pub const EVERY: Duration = Duration::from_secs(5);
    /// How long it may take unless it is said.
    pub const TIMEOUT: Duration = Duration::from_secs(1);
    /// Two good answers may be chance, one more so; and who is well is wanted back.
    pub const RISE: u8 = 2;
    /// One bad answer is often chance, three in a row hardly.
    pub const FALL: u8 = 3;
}

impl CheckKind {
    /// As configuration writes it.
    pub const fn as_str(&self) -> &'static str {
        match self {
            CheckKind::Http { .. } => "http",
            CheckKind::Grpc { .. } => "grpc",
            CheckKind::Tcp => "tcp",
        }
    }
}

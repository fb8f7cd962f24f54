use std::io;

use super::super::body::BodyError;

/// Why a message, or a connection, ended before its end.
#[derive(Debug, thiserror::Error)]
pub(in crate::dataplane) enum Broken {
    #[error("the connection was closed")]
    Closed,
    #[error("the connection broke off: {0}")]
    Io(#[from] io::Error),
    #[error("what came is not HTTP/1.1")]
    Malformed,
    #[error(transparent)]
    Body(#[from] BodyError),
}

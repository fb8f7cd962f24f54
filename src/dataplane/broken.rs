use std::io;

use super::body::{BodyError, RequestBody};

/// Why a message, or a connection, ended before its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error("the connection was closed")]
    Closed,
    #[error("the connection broke off: {0}")]
    Io(#[from] io::Error),
    #[error("what came is not HTTP")]
    Malformed,
    #[error(transparent)]
    Body(#[from] BodyError),
}

/// Why there is no answer, and the body if nothing of the request has been looked at.
pub(super) struct Unasked {
    pub(super) broken: Broken,
    /// Whether whoever was asked has said that it did not look at it.
    pub(super) is_unseen: bool,
    pub(super) unsent: Option<RequestBody>,
}

//! What comes from an endpoint, in whichever HTTP it speaks.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::http1::{self, Http1};

/// The body of an endpoint's answer.
pub(super) enum EndpointBody {
    Http1(http1::Body),
    Http2(Incoming),
}

/// Why it ended before its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum EndpointError {
    #[error(transparent)]
    Http1(#[from] http1::Broken),
    #[error(transparent)]
    Http2(#[from] hyper::Error),
}

/// An endpoint's end of a connection, or of a stream, on which both ends have agreed on another protocol.
pub(super) enum Switched {
    Http1(Http1),
    /// As soon as it is at hand.
    Http2(OnUpgrade),
}

/// The same, at hand.
pub(super) enum EndpointIo {
    Http1(Http1),
    Http2(TokioIo<Upgraded>),
}

impl Switched {
    /// The end of whoever has agreed with this answer.
    pub(super) fn by(response: &mut Response<EndpointBody>) -> Self {
        match response.body() {
            EndpointBody::Http1(body) => Self::Http1(body.switch()),
            EndpointBody::Http2(_) => Self::Http2(hyper::upgrade::on(response)),
        }
    }

    pub(super) async fn open(self) -> hyper::Result<EndpointIo> {
        Ok(match self {
            Self::Http1(connection) => EndpointIo::Http1(connection),
            Self::Http2(stream) => EndpointIo::Http2(TokioIo::new(stream.await?)),
        })
    }
}

impl Body for EndpointBody {
    type Data = Bytes;
    type Error = EndpointError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, EndpointError>>> {
        match self.get_mut() {
            Self::Http1(body) => Pin::new(body)
                .poll_frame(cx)
                .map(|came| came.map(|frame| frame.map_err(EndpointError::Http1))),
            Self::Http2(body) => Pin::new(body)
                .poll_frame(cx)
                .map(|came| came.map(|frame| frame.map_err(EndpointError::Http2))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Http1(body) => body.is_end_stream(),
            Self::Http2(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Http1(body) => body.size_hint(),
            Self::Http2(body) => body.size_hint(),
        }
    }
}

impl AsyncRead for EndpointIo {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Http1(io) => Pin::new(io).poll_read(cx, buffer),
            Self::Http2(io) => Pin::new(io).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for EndpointIo {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Http1(io) => Pin::new(io).poll_write(cx, bytes),
            Self::Http2(io) => Pin::new(io).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Http1(io) => Pin::new(io).poll_flush(cx),
            Self::Http2(io) => Pin::new(io).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Http1(io) => Pin::new(io).poll_shutdown(cx),
            Self::Http2(io) => Pin::new(io).poll_shutdown(cx),
        }
    }
}

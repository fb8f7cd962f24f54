//! What comes from a client and from an endpoint, in whichever HTTP they speak.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

use super::http1::Broken;
use super::http1::client::{self, Link};
use super::http1::endpoint::{self, Http1};

/// The body of a client's request.
pub(super) enum ClientBody {
    Empty,
    Http1(client::Body),
    Http2(Incoming),
}

/// The body of an endpoint's answer.
pub(super) enum EndpointBody {
    Http1(endpoint::Body),
    Http2(Incoming),
}

/// Why a body ended before its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum IncomingError {
    #[error(transparent)]
    Http1(#[from] Broken),
    #[error(transparent)]
    Http2(#[from] hyper::Error),
}

/// A client's end of a connection or a stream on which both ends agree on another protocol, as soon as it is at hand.
pub(super) enum ClientEnd {
    Http1(oneshot::Receiver<Link>),
    Http2(OnUpgrade),
}

/// The same of an endpoint's.
pub(super) enum EndpointEnd {
    Http1(Http1),
    Http2(OnUpgrade),
}

/// An end that is at hand.
pub(super) enum Io<T> {
    Http1(T),
    Http2(TokioIo<Upgraded>),
}

impl ClientEnd {
    /// The end of whoever asks.
    pub(super) fn of(request: &mut Request<ClientBody>) -> Option<Self> {
        match request.body() {
            ClientBody::Empty => None,
            ClientBody::Http1(body) => Some(Self::Http1(body.switch())),
            ClientBody::Http2(_) => Some(Self::Http2(hyper::upgrade::on(request))),
        }
    }
}

impl Future for ClientEnd {
    type Output = Option<Io<Link>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Http1(end) => Pin::new(end).poll(cx).map(|end| end.ok().map(Io::Http1)),
            Self::Http2(end) => {
                Pin::new(end).poll(cx).map(|end| end.ok().map(|end| Io::Http2(TokioIo::new(end))))
            }
        }
    }
}

impl EndpointEnd {
    /// The end of whoever has agreed with this answer.
    pub(super) fn of(response: &mut Response<EndpointBody>) -> Self {
        match response.body() {
            EndpointBody::Http1(body) => Self::Http1(body.switch()),
            EndpointBody::Http2(_) => Self::Http2(hyper::upgrade::on(response)),
        }
    }

    pub(super) async fn open(self) -> hyper::Result<Io<Http1>> {
        Ok(match self {
            Self::Http1(connection) => Io::Http1(connection),
            Self::Http2(stream) => Io::Http2(TokioIo::new(stream.await?)),
        })
    }
}

impl Body for ClientBody {
    type Data = Bytes;
    type Error = IncomingError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, IncomingError>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Http1(body) => Pin::new(body).poll_frame(cx).map_err(IncomingError::Http1),
            Self::Http2(body) => Pin::new(body).poll_frame(cx).map_err(IncomingError::Http2),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Http1(body) => body.is_end_stream(),
            Self::Http2(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Http1(body) => body.size_hint(),
            Self::Http2(body) => body.size_hint(),
        }
    }
}

impl Body for EndpointBody {
    type Data = Bytes;
    type Error = IncomingError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, IncomingError>>> {
        match self.get_mut() {
            Self::Http1(body) => Pin::new(body)
                .poll_frame(cx)
                .map(|came| came.map(|frame| frame.map_err(IncomingError::Http1))),
            Self::Http2(body) => Pin::new(body)
                .poll_frame(cx)
                .map(|came| came.map(|frame| frame.map_err(IncomingError::Http2))),
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

impl<T: AsyncRead + Unpin> AsyncRead for Io<T> {
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

impl<T: AsyncWrite + Unpin> AsyncWrite for Io<T> {
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

//! What comes from a client and from an endpoint, in whichever HTTP they speak.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

use super::broken::{Broken, Unasked};
use super::http1::client::{self, Link};
use super::http1::endpoint::{self, Http1};
use super::http2::{self, Duplex};

/// The body of a client's request.
pub(super) enum ClientBody {
    Empty,
    Http1(client::Body),
    Http2(http2::Body),
}

/// The body of an endpoint's answer.
pub(super) enum EndpointBody {
    Http1(endpoint::Body),
    Http2(http2::Body),
}

/// A request under way to an endpoint, until the head of its answer is there.
pub(super) enum Sent {
    Http1(endpoint::Asked),
    Http2(http2::endpoint::Asked),
}

/// A client's end of a connection or a stream on which both ends agree on another protocol, as soon as it is at hand.
pub(super) enum ClientEnd {
    Http1(oneshot::Receiver<Link>),
    Http2(oneshot::Receiver<Duplex>),
}

/// An end that is at hand.
pub(super) enum Io<T> {
    Http1(T),
    Http2(Duplex),
}

impl ClientEnd {
    /// The end of whoever asks.
    pub(super) fn of(request: &Request<ClientBody>) -> Option<Self> {
        match request.body() {
            ClientBody::Empty => None,
            ClientBody::Http1(body) => Some(Self::Http1(body.switch())),
            ClientBody::Http2(body) => Some(Self::Http2(body.switch())),
        }
    }
}

impl Future for Sent {
    type Output = Result<Response<EndpointBody>, Unasked>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Http1(asked) => Pin::new(asked).poll(cx),
            Self::Http2(asked) => Pin::new(asked).poll(cx),
        }
    }
}

impl Future for ClientEnd {
    type Output = Option<Io<Link>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Http1(end) => Pin::new(end).poll(cx).map(|end| end.ok().map(Io::Http1)),
            Self::Http2(end) => Pin::new(end).poll(cx).map(|end| end.ok().map(Io::Http2)),
        }
    }
}

impl Io<Http1> {
    /// The end of whoever has agreed with this answer.
    pub(super) fn of(response: &mut Response<EndpointBody>) -> Self {
        match response.body_mut() {
            EndpointBody::Http1(body) => Self::Http1(body.switch()),
            EndpointBody::Http2(body) => Self::Http2(body.become_duplex()),
        }
    }
}

impl Body for ClientBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Http1(body) => Pin::new(body).poll_frame(cx),
            Self::Http2(body) => Pin::new(body).poll_frame(cx),
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
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match self.get_mut() {
            Self::Http1(body) => Pin::new(body).poll_frame(cx),
            Self::Http2(body) => Pin::new(body).poll_frame(cx),
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

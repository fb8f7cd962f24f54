//! HTTP of the version in which a client begins.
//!
//! hyper-util's `auto` does the same, but what it has begun cannot be taken apart again, and it stands between hyper and the wire for
//! as long as a connection lasts. Here the wire is hyper's while it serves, and comes back when the connection is to rest.

use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use hyper::body::Incoming;
use hyper::rt::bounds::Http2ServerConnExec;
use hyper::server::conn::{http1, http2};
use hyper::service::HttpService;
use hyper_util::rt::TokioIo;

use super::answer::AnswerBody;
use super::connection::Protocols;
use super::core::Core;
use super::pace::{Paced, Speaks};
use super::streams::Streams;

/// What serves a connection.
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all of them are of HTTP/1, and have a place of their own"
)]
pub(super) enum Serving<S: HttpService<Incoming>> {
    /// It is not known yet in which version the client begins.
    Begins(Paced),
    Http1(http1::UpgradeableConnection<TokioIo<Paced>, S>),
    Http2(Box<http2::Connection<TokioIo<Paced>, S, Streams>>),
    /// Nothing: it has ended, or rests.
    Nothing,
}

impl<S> Serving<S>
where
    S: HttpService<Incoming, ResBody = AnswerBody, Error = std::convert::Infallible>,
    S::Future: 'static,
    Streams: Http2ServerConnExec<S::Future, AnswerBody>,
{
    /// Serves, until the connection ends. `answers` makes what answers requests.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        core: &Rc<Core>,
        protocols: &Protocols,
        answers: impl FnOnce() -> S,
    ) -> Poll<hyper::Result<()>> {
        if let Self::Begins(wire) = self {
            let speaks = ready!(wire.poll_begin(cx, &mut core.scratch.borrow_mut()));
            let Self::Begins(wire) = mem::replace(self, Self::Nothing) else { return Poll::Ready(Ok(())) };
            let wire = TokioIo::new(wire);
            *self = match speaks {
                Speaks::Http1 => {
                    Self::Http1(protocols.http1.serve_connection(wire, answers()).with_upgrades())
                }
                Speaks::Http2 => Self::Http2(Box::new(protocols.http2.serve_connection(wire, answers()))),
                Speaks::Nothing => Self::Nothing,
            };
        }
        match self {
            Self::Http1(connection) => Pin::new(connection).poll(cx),
            Self::Http2(connection) => Pin::new(connection).poll(cx),
            Self::Begins(_) | Self::Nothing => Poll::Ready(Ok(())),
        }
    }

    pub(super) const fn is_http1(&self) -> bool {
        matches!(self, Self::Http1(_))
    }

    /// Answers what has been asked, and nothing more.
    pub(super) fn end_gracefully(&mut self) {
        match self {
            Self::Http1(connection) => Pin::new(connection).graceful_shutdown(),
            Self::Http2(connection) => Pin::new(&mut **connection).graceful_shutdown(),
            // Who has said nothing, or not enough, is owed no answer.
            Self::Begins(_) | Self::Nothing => *self = Self::Nothing,
        }
    }

    /// Lets go of all but the wire. Its caller has seen to it that no request is in flight, that no body is still read, and that
    /// nothing waits to be sent: hyper's knowledge of them is lost.
    pub(super) fn rest(&mut self) -> Option<Paced> {
        let Self::Http1(connection) = mem::replace(self, Self::Nothing) else { return None };
        let parts = connection.into_parts()?;
        let mut wire = parts.io.into_inner();
        // Of a request that came with the one before it there may be a beginning.
        wire.give_back(&parts.read_buf);
        Some(wire)
    }
}

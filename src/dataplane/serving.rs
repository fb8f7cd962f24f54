//! HTTP of the version in which a client begins.

use std::convert::Infallible;
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use http::Request;
use hyper::body::Incoming;
use hyper::rt::bounds::Http2ServerConnExec;
use hyper::server::conn::http2;
use hyper::service::HttpService;
use hyper_util::rt::TokioIo;

use super::answer::AnswerBody;
use super::connection::Protocols;
use super::core::Core;
use super::http1::client::Served;
use super::incoming::ClientBody;
use super::pace::{Paced, Speaks};
use super::streams::Streams;

/// What serves a connection.
pub(super) enum Serving<S: HttpService<Incoming>> {
    /// It is not known yet in which version the client begins.
    Begins(Paced),
    Http1(Served<S::Future>),
    Http2(Box<http2::Connection<TokioIo<Paced>, S, Streams>>),
    /// Nothing: it has ended, or rests.
    Nothing,
}

impl<S> Serving<S>
where
    S: HttpService<Incoming, ResBody = AnswerBody, Error = Infallible>,
    S::Future: 'static,
    Streams: Http2ServerConnExec<S::Future, AnswerBody>,
{
    /// Serves, until the connection ends. `answers` answers a request over HTTP/1, and `service` does so over HTTP/2.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        core: &Rc<Core>,
        protocols: &Protocols,
        answers: impl Fn(Request<ClientBody>) -> S::Future,
        service: impl FnOnce() -> S,
    ) -> Poll<()> {
        if let Self::Begins(wire) = self {
            let speaks = ready!(wire.poll_begin(cx, &mut core.scratch.borrow_mut()));
            let Self::Begins(wire) = mem::replace(self, Self::Nothing) else { return Poll::Ready(()) };
            *self = match speaks {
                Speaks::Http1 => Self::Http1(Served::new(wire, core.clone(), protocols.bounds)),
                Speaks::Http2 => {
                    Self::Http2(Box::new(protocols.http2.serve_connection(TokioIo::new(wire), service())))
                }
                Speaks::Nothing => Self::Nothing,
            };
        }
        match self {
            Self::Http1(connection) => connection.poll(cx, answers),
            // How it ends concerns its streams, and each has been counted.
            Self::Http2(connection) => Pin::new(connection).poll(cx).map(|_| ()),
            Self::Begins(_) | Self::Nothing => Poll::Ready(()),
        }
    }

    /// Answers what has been asked, and nothing more.
    pub(super) fn end_gracefully(&mut self) {
        match self {
            Self::Http1(connection) => connection.end_gracefully(),
            Self::Http2(connection) => Pin::new(&mut **connection).graceful_shutdown(),
            // Who has said nothing, or not enough, is owed no answer.
            Self::Begins(_) | Self::Nothing => *self = Self::Nothing,
        }
    }

    /// Whether nothing but the wire would be missed.
    pub(super) fn may_rest(&self) -> bool {
        if let Self::Http1(connection) = self { connection.may_rest() } else { false }
    }

    /// Lets go of all but the wire.
    pub(super) fn rest(&mut self) -> Option<Paced> {
        if let Self::Http1(connection) = mem::replace(self, Self::Nothing) { connection.rest() } else { None }
    }
}

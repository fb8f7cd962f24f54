//! HTTP of the version in which a client begins.

use std::convert::Infallible;
use std::mem;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use http::{Request, Response};

use super::answer::AnswerBody;
use super::connection::Protocols;
use super::core::Core;
use super::http1;
use super::http2;
use super::incoming::ClientBody;
use super::pace::{Paced, Speaks};

/// What serves a connection.
pub(super) enum Serving<F> {
    /// It is not known yet in which version the client begins.
    Begins(Paced),
    Http1(http1::client::Served<F>),
    Http2(Box<http2::client::Served<F>>),
    /// Nothing: it has ended, or rests.
    Nothing,
}

impl<F: Future<Output = Result<Response<AnswerBody>, Infallible>>> Serving<F> {
    /// Serves, until the connection ends. `answers` answers a request.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        core: &Rc<Core>,
        protocols: &Protocols,
        answers: impl Fn(Request<ClientBody>) -> F,
    ) -> Poll<()> {
        if let Self::Begins(wire) = self {
            let speaks = ready!(wire.poll_begin(cx, &mut core.scratch.borrow_mut()));
            let Self::Begins(wire) = mem::replace(self, Self::Nothing) else { return Poll::Ready(()) };
            let core = core.clone();
            *self = match speaks {
                Speaks::Http1 => Self::Http1(http1::client::Served::new(wire, core, protocols.http1)),
                Speaks::Http2 => {
                    let served =
                        http2::client::Served::new(wire, core, protocols.http2, protocols.patience.stalled);
                    Self::Http2(Box::new(served))
                }
                Speaks::Nothing => Self::Nothing,
            };
        }
        match self {
            Self::Http1(connection) => connection.poll(cx, answers),
            Self::Http2(connection) => connection.poll(cx, answers),
            Self::Begins(_) | Self::Nothing => Poll::Ready(()),
        }
    }

    /// Answers what has been asked, and nothing more.
    pub(super) fn end_gracefully(&mut self) {
        match self {
            Self::Http1(connection) => connection.end_gracefully(),
            Self::Http2(connection) => connection.end_gracefully(),
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

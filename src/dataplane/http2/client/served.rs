use std::cell::RefCell;
use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{Request, Response};
use hyper::ext::Protocol as Extended;
use tokio::io::AsyncWrite;
use tokio::task::coop::has_budget_remaining;

use super::super::super::answer::AnswerBody;
use super::super::super::core::Core;
use super::super::super::incoming::ClientBody;
use super::super::super::pace::Paced;
use super::super::body::Body;
use super::super::coming::Event;
use super::super::reading::{Skip, poll_read};
use super::super::session::{Bounds, Ending, Role, Session};
use super::super::stream::{Failed, Stream};
use super::answering::Means;
use super::slots::Slots;

/// A client's connection that is being served.
pub(in crate::dataplane) struct Served<F> {
    wire: Paced,
    core: Rc<Core>,
    session: Rc<RefCell<Session>>,
    slots: Slots<F>,
    /// How long a client may take nothing of an answer.
    stalled: Duration,
    /// What it begins with has been looked at.
    preface: Skip,
    /// Whether all has been said.
    is_closing: bool,
}

/// Rounds of reading, answering and writing before others get their turn.
const ROUNDS: usize = 4;

impl<F: Future<Output = Result<Response<AnswerBody>, Infallible>>> Served<F> {
    /// Serves who has begun as HTTP/2 does.
    pub(in crate::dataplane) fn new(wire: Paced, core: Rc<Core>, bounds: Bounds, stalled: Duration) -> Self {
        let session = Rc::new(RefCell::new(Session::new(Role::Server, bounds)));
        let (slots, preface) = (Slots::new(), Skip::preface());
        Self { wire, core, session, slots, stalled, preface, is_closing: false }
    }

    /// Serves on, to the end. `answers` answers a request.
    pub(in crate::dataplane) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        answers: impl Fn(Request<ClientBody>) -> F,
    ) -> Poll<()> {
        if !self.is_closing {
            self.session.borrow_mut().attend(cx);
            self.slots.attend(cx);
            let served = self.poll_rounds(cx, &answers);
            self.session.borrow_mut().rest();
            self.slots.rest();
            ready!(served);
            self.is_closing = true;
        }
        Pin::new(&mut self.wire).poll_shutdown(cx).map(|_| ())
    }

    /// Opens no more streams, once the client has heard it.
    pub(in crate::dataplane) fn end_gracefully(&self) {
        self.session.borrow_mut().end_gracefully();
    }

    fn poll_rounds(&mut self, cx: &mut Context<'_>, answers: &impl Fn(Request<ClientBody>) -> F) -> Poll<()> {
        for _ in 0..ROUNDS {
            let read = self.poll_read(cx, answers);
            if read == Poll::Ready(Ending::Closed) {
                // Those that were under way end with it, …
                self.slots = Slots::new();
            }
            let means = Means { core: &self.core, session: &self.session, stalled: self.stalled };
            self.slots.turn(|answering, cx| answering.poll(cx, &means));
            let mut session = self.session.borrow_mut();
            session.answered = self.slots.taken();
            let flushed = session.outbox.poll_flush(cx, &mut self.wire);
            match &flushed {
                Poll::Ready(Ok(())) => session.call_waiting(),
                Poll::Ready(Err(_)) => session.close(Failed::Closed),
                Poll::Pending => {}
            }
            if session.is_over() {
                // … and the client hears why.
                return flushed.map(|_| ());
            }
            if session.streams.is_empty() {
                session.outbox.shrink();
            }
            let waits = read.is_pending() || session.is_deaf();
            drop(session);
            if !self.slots.are_called() && waits {
                return Poll::Pending;
            }
            if !has_budget_remaining() {
                // Nobody would get on.
                break;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        answers: &impl Fn(Request<ClientBody>) -> F,
    ) -> Poll<Ending> {
        let Self { wire, core, session, slots, preface, .. } = self;
        if session.borrow().ending == Ending::Closed {
            return Poll::Pending;
        }
        poll_read(wire, session, core, cx, preface, |event| match event {
            Event::Refused(cause) => core.refuse(cause),
            Event::Asked(stream, request) => {
                let is_tunnel = request.extensions().get::<Extended>().is_some();
                let body = body(session, &stream, is_tunnel);
                let future = answers(request.map(|()| body));
                slots.take().begin(stream, is_tunnel, future);
            }
        })
    }
}

fn body(session: &Rc<RefCell<Session>>, stream: &Rc<Stream>, is_tunnel: bool) -> ClientBody {
    if stream.has_ended.get() && !is_tunnel {
        return ClientBody::Empty;
    }
    ClientBody::Http2(Body::new(session.clone(), stream.clone(), is_tunnel))
}

impl<F> Drop for Served<F> {
    fn drop(&mut self) {
        // Who reads a body would wait for more of it for ever.
        self.session.borrow_mut().close(Failed::Closed);
    }
}

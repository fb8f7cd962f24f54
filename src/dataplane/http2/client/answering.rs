use std::cell::RefCell;
use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Response;
use http_body::Body as _;

use super::super::super::answer::AnswerBody;
use super::super::super::broken::Broken;
use super::super::super::core::Core;
use super::super::super::waits::{Limit, Place};
use super::super::duplex::Duplex;
use super::super::frame::{self, Code};
use super::super::heads;
use super::super::outgoing::Outgoing;
use super::super::session::Session;
use super::super::stream::{Failed, Stream};
use super::slots::Turn;
use crate::model::Micros;

/// One request, from its head to the end of its answer. Its place is used again for the next.
pub(super) struct Answering<F> {
    /// Absent while there is none.
    stream: Option<Rc<Stream>>,
    /// What answers it.
    future: Pin<Box<Option<F>>>,
    /// Whether it would like to go on in another protocol.
    is_tunnel: bool,
    outgoing: Outgoing<AnswerBody>,
    stall: Option<Stall>,
}

/// A client of HTTP/2 may keep one stream's window shut while its wire is free, which nobody sees at the wire.
struct Stall {
    place: Place,
    since: Micros,
    moves: u32,
}

/// What a request is answered with, and for how long a client may take nothing of that.
pub(super) struct Means<'a> {
    pub(super) core: &'a Rc<Core>,
    pub(super) session: &'a Rc<RefCell<Session>>,
    pub(super) stalled: Duration,
}

impl<F> Default for Answering<F> {
    fn default() -> Self {
        let (future, outgoing) = (Box::pin(None), Outgoing::new(None));
        Self { stream: None, future, is_tunnel: false, outgoing, stall: None }
    }
}

impl<F> Answering<F> {
    pub(super) const fn is_free(&self) -> bool {
        self.stream.is_none()
    }

    pub(super) fn begin(&mut self, stream: Rc<Stream>, is_tunnel: bool, future: F) {
        (self.stream, self.is_tunnel) = (Some(stream), is_tunnel);
        self.future.set(Some(future));
    }

    /// Lets go of all that was the request's.
    pub(super) fn free(&mut self) {
        self.future.set(None);
        (self.outgoing, self.stall) = (Outgoing::new(None), None);
        self.stream = None;
    }
}

impl<F: Future<Output = Result<Response<AnswerBody>, Infallible>>> Answering<F> {
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, means: &Means<'_>) -> Turn {
        let Some(stream) = self.stream.clone() else { return Turn::Over };
        if stream.failed.get().is_some() {
            if self.is_tunnel {
                // Nobody will read what came before there was an answer.
                means.session.borrow_mut().leave(&stream);
            }
            return Turn::Over;
        }
        if let Some(future) = self.future.as_mut().as_pin_mut() {
            let answer = match future.poll(cx) {
                Poll::Ready(Ok(answer)) => answer,
                Poll::Ready(Err(never)) => match never {},
                Poll::Pending => {
                    // That the client has given it up is heard meanwhile.
                    stream.writer_waits(cx);
                    return Turn::Waits;
                }
            };
            self.future.set(None);
            self.answer(&stream, answer, means);
        }
        match self.outgoing.poll(cx, means.session, &stream, &means.core.room) {
            Poll::Ready(Err(Broken::Body(_))) => give_up(means, &stream, Code::INTERNAL_ERROR),
            // All has been said; or its client has given it up.
            Poll::Ready(_) => Turn::Over,
            Poll::Pending => self.wait(cx, &stream, means),
        }
    }

    /// The head of the answer goes.
    fn answer(&mut self, stream: &Rc<Stream>, answer: Response<AnswerBody>, means: &Means<'_>) {
        let (head, body) = answer.into_parts();
        let mut session = means.session.borrow_mut();
        let switches = stream.switches.take().filter(|_| head.status.is_success());
        if self.is_tunnel && switches.is_none() {
            session.leave(stream);
        }
        let ends = switches.is_none() && body.is_end_stream();
        let Session { outbox, encoder, .. } = &mut *session;
        let at = frame::begin_block(&mut outbox.bytes);
        heads::write_response(&mut outbox.bytes, encoder, &head, &body.size_hint(), means.core);
        let flags = if ends { frame::END_STREAM } else { 0 };
        frame::end_block(&mut outbox.bytes, at, stream.id, flags);
        means.core.room.take_back(head.headers);
        if ends {
            return session.sent_all(stream);
        }
        drop(session);
        match switches {
            // Nobody may want it any more.
            Some(waits) => drop(waits.send(Duplex::new(means.session.clone(), stream.clone()))),
            None => self.outgoing = Outgoing::new(Some(body)),
        }
    }

    fn wait(&mut self, cx: &mut Context<'_>, stream: &Rc<Stream>, means: &Means<'_>) -> Turn {
        if !self.outgoing.is_blocked {
            self.stall = None;
            return Turn::Waits;
        }
        let (now, moves) = (means.core.recently(), self.outgoing.moves);
        let begin = || Stall { place: Place::of_connection(means.core.clone()), since: now, moves };
        let stall = self.stall.get_or_insert_with(begin);
        if stall.moves != moves {
            (stall.since, stall.moves) = (now, moves);
            stall.place.leave();
        }
        let until = stall.since.after(means.stalled);
        match stall.place.poll(cx, Limit { until, recall: None }) {
            Some(_) => give_up(means, stream, Code::CANCEL),
            None => Turn::Waits,
        }
    }
}

/// There is nothing more to be said over a stream, and what was said is not all.
fn give_up(means: &Means<'_>, stream: &Stream, code: Code) -> Turn {
    means.session.borrow_mut().reset(stream, code, Failed::Reset(code));
    Turn::Over
}

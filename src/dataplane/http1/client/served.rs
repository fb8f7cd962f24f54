use std::convert::Infallible;
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use http::{Request, Response, StatusCode};
use http_body::Body as _;
use tokio::io::AsyncWrite;

use super::super::super::answer::AnswerBody;
use super::super::super::broken::Broken;
use super::super::super::core::Core;
use super::super::super::incoming::ClientBody;
use super::super::super::pace::Paced;
use super::super::framing::Left;
use super::super::outgoing::{Length, Outgoing};
use super::body::Body;
use super::head::{self, Fault, Head, Terms};
use super::link::{Ends, Link, Progress};
use crate::model::Cause;

/// A client's connection that is being served: requests are answered one behind the other.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of the connection")]
pub(in crate::dataplane) struct Served<F> {
    link: Link,
    core: Rc<Core>,
    bounds: HeadBounds,
    state: State,
    /// What answers the request in flight. Its place is the same for all of them.
    answering: Pin<Box<Option<F>>>,
    outgoing: Outgoing<AnswerBody>,
    terms: Terms,
    /// Whether it is still being told to go on.
    is_saying: bool,
    /// Whether the client sends nothing more.
    has_left: bool,
    /// Whether this is the last request, or the one before it was.
    ends: bool,
    /// Whether others had their turn since the head of the last request, so that the runtime may have been told what came behind it.
    has_waited: bool,
}

/// What a head may have.
#[derive(Clone, Copy, Debug)]
pub(in crate::dataplane) struct HeadBounds {
    pub(in crate::dataplane) bytes: usize,
    pub(in crate::dataplane) fields: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Until the head of a request is there.
    Head,
    /// Until its answer's is.
    Asked,
    /// Until all of the answer has been sent.
    Answer,
    /// The same, and then the connection is another protocol's.
    Switch,
    /// Until nobody reads the request's body any more.
    Upload,
    /// Until what there is of an answer that has broken off has been sent.
    Cut,
    /// Until the client has been told that nothing more comes, and has heard it.
    Close,
    /// The same, but whether it has heard need not be waited for.
    Leave,
    Ended,
}

/// Of a body that nobody wants, so much is read to come to the next request.
const MOST_UNWANTED: u64 = 64 << 10;

impl<F: Future<Output = Result<Response<AnswerBody>, Infallible>>> Served<F> {
    pub(in crate::dataplane) fn new(wire: Paced, core: Rc<Core>, bounds: HeadBounds) -> Self {
        Self {
            link: Link::new(wire),
            core,
            bounds,
            state: State::Head,
            answering: Box::pin(None),
            outgoing: Outgoing::new(None, Length::Nothing),
            terms: Terms::NONE,
            is_saying: false,
            has_left: false,
            ends: false,
            has_waited: false,
        }
    }

    /// Serves on, to the end. `answers` answers a request.
    pub(in crate::dataplane) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        answers: impl Fn(Request<ClientBody>) -> F,
    ) -> Poll<()> {
        self.has_waited = true;
        loop {
            let polled = match self.state {
                State::Head => ready!(self.poll_head(cx, &answers)),
                State::Asked => ready!(self.poll_asked(cx)),
                State::Answer | State::Switch => ready!(self.poll_answer(cx)),
                State::Upload => ready!(self.poll_upload(cx)),
                State::Cut => ready!(self.poll_cut(cx)),
                State::Close => ready!(self.poll_close(cx)),
                State::Leave => ready!(self.poll_leave(cx)),
                State::Ended => return Poll::Ready(()),
            };
            match polled {
                Ok(state) => self.state = state,
                // What it costs the request that was in flight, that counts.
                Err(_) => self.state = State::Ended,
            }
        }
    }

    /// Answers what has been asked, and nothing more.
    pub(in crate::dataplane) fn end_gracefully(&mut self) {
        self.ends = true;
        if self.state == State::Head && self.link.borrow_mut().source.came.is_empty() {
            self.state = State::Close;
        }
    }

    /// Whether nothing but the wire would be missed.
    pub(in crate::dataplane) fn may_rest(&self) -> bool {
        self.state == State::Head && self.link.is_alone()
    }

    /// The wire, if nobody else has it.
    pub(in crate::dataplane) fn rest(self) -> Option<Paced> {
        let link = self.link.clone();
        drop(self);
        link.into_wire()
    }

    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        answers: &impl Fn(Request<ClientBody>) -> F,
    ) -> Poll<Result<State, Broken>> {
        let mut ends = self.link.borrow_mut();
        let head = loop {
            let before = ends.source.came.len();
            if before > 0 {
                match ends.source.take_head(|came| head::parse(came, self.bounds.fields, &self.core.room)) {
                    Ok(Some(head)) if before - ends.source.came.len() <= self.bounds.bytes => break head,
                    Ok(None) if before < self.bounds.bytes => {}
                    Ok(_) => return Poll::Ready(Ok(refuse(cx, &self.core, &mut ends, Fault::TooLarge))),
                    Err(fault) => return Poll::Ready(Ok(refuse(cx, &self.core, &mut ends, fault))),
                }
            }
            match ready!(ends.source.poll_more(cx, &self.core)) {
                Ok(true) => {}
                Ok(false) if ends.source.came.is_empty() => return Poll::Ready(Ok(State::Close)),
                Ok(false) | Err(_) => return Poll::Ready(Err(Broken::Closed)),
            }
        };
        let Head { request, left, terms, expects_word, wants_more } = head;
        (self.terms, self.has_waited) = (terms, false);
        (ends.expects_word, ends.switches) = (expects_word, None);
        drop(ends);
        let body = if left == Left::Nothing && !wants_more {
            ClientBody::Empty
        } else {
            ClientBody::Http1(Body::new(self.link.clone(), self.core.clone(), left))
        };
        self.answering.set(Some(answers(request.map(|()| body))));
        Poll::Ready(Ok(State::Asked))
    }

    fn poll_asked(&mut self, cx: &mut Context<'_>) -> Poll<Result<State, Broken>> {
        let Some(answering) = self.answering.as_mut().as_pin_mut() else {
            return Poll::Ready(Err(Broken::Closed));
        };
        let answer = match answering.poll(cx) {
            Poll::Ready(Ok(answer)) => answer,
            Poll::Ready(Err(never)) => match never {},
            Poll::Pending => {
                let says_something = self.is_saying || !self.link.borrow_mut().outbox.is_empty();
                // The client may have to be told to go on.
                if says_something {
                    let said = self.poll_send(cx);
                    self.is_saying = said.is_pending();
                    if let Poll::Ready(Err(broken)) = said {
                        return Poll::Ready(Err(broken));
                    }
                }
                return self.poll_gone(cx).map(Err);
            }
        };
        self.answering.set(None);
        Poll::Ready(Ok(self.begin(answer)))
    }

    fn begin(&mut self, answer: Response<AnswerBody>) -> State {
        let (head, body) = answer.into_parts();
        let status = head.status;
        let mut ends = self.link.borrow_mut();
        // Who has an answer need not be told to go on; nor can anybody know whether it does.
        let never_told = mem::take(&mut ends.expects_word) && self.link.progress() != Progress::Whole;
        let never_ends = match self.link.progress() {
            Progress::Whole | Progress::Read => false,
            Progress::Unwanted(left) => !is_short(left),
            Progress::Broken | Progress::Cut => true,
        };
        self.terms.persists &= !self.ends && !never_told && !never_ends;
        let length = head::write(&mut ends.outbox, &head, &body.size_hint(), self.terms, &self.core);
        self.terms.persists &= length != Length::UntilClosed;
        drop(ends);
        self.outgoing.begin(body, length);
        self.core.room.take_back(head.headers);
        if status == StatusCode::SWITCHING_PROTOCOLS { State::Switch } else { State::Answer }
    }

    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Result<State, Broken>> {
        // Behind the last answer comes the end, and it counts as sent before that.
        let leaves_with_end =
            self.state == State::Answer && self.terms.is_last && self.link.progress() == Progress::Whole;
        if leaves_with_end {
            self.link.borrow_mut().source.wire.hold();
        }
        let sent = self.poll_send(cx);
        if leaves_with_end && !matches!(sent, Poll::Ready(Ok(()))) {
            // What there is of it does not wait for the rest.
            let wire = &mut self.link.borrow_mut().source.wire;
            wire.let_go();
            if let Poll::Ready(Err(error)) = Pin::new(wire).poll_flush(cx) {
                return Poll::Ready(Err(error.into()));
            }
        }
        match sent {
            // What it held is let go before anything else is done.
            Poll::Ready(Ok(())) => self.outgoing.finish(),
            Poll::Ready(Err(_)) if leaves_with_end => return Poll::Ready(Ok(State::Cut)),
            Poll::Ready(Err(broken)) => return Poll::Ready(Err(broken)),
            Poll::Pending => return self.poll_gone(cx).map(Err),
        }
        if self.state != State::Switch {
            // That the client sends nothing more was kept back while there was an answer.
            self.link.call_reader();
            return Poll::Ready(Ok(State::Upload));
        }
        if let Some(waits) = self.link.borrow_mut().switches.take() {
            // Nobody may want it any more.
            let _ = waits.send(self.link.clone());
        }
        Poll::Ready(Ok(State::Ended))
    }

    /// Waits until the request's body is over, too, and then for the next request.
    fn poll_upload(&mut self, cx: &mut Context<'_>) -> Poll<Result<State, Broken>> {
        let is_whole = match self.link.progress() {
            Progress::Whole => true,
            Progress::Broken | Progress::Cut => false,
            Progress::Read => {
                self.link.server_waits(cx);
                return Poll::Pending;
            }
            Progress::Unwanted(left) => self.terms.persists && self.hear(cx, left),
        };
        self.link.set(Progress::Whole);
        let persists = is_whole && self.terms.persists && !self.ends && !self.has_left;
        // Whoever has said that it asks for nothing more, and has sent nothing more, need not be listened to.
        let source = &self.link.borrow_mut().source;
        let is_bare = || source.wire.is_bare() && (self.has_waited || source.wire.is_surely_bare());
        let is_last = is_whole && self.terms.is_last && source.came.is_empty() && is_bare();
        Poll::Ready(Ok(match (persists, is_last) {
            (true, _) => State::Head,
            (false, true) => State::Leave,
            (false, false) => State::Close,
        }))
    }

    /// Reads a body that nobody wants, if all of it has come.
    fn hear(&self, cx: &mut Context<'_>, mut left: Left) -> bool {
        let source = &mut self.link.borrow_mut().source;
        while is_short(left) && left != Left::Nothing {
            let Poll::Ready(Ok(_)) = source.poll_body(cx, &self.core, &mut left) else { return false };
        }
        left == Left::Nothing
    }

    fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<Result<State, Broken>> {
        ready!(Pin::new(&mut self.link.borrow_mut().source.wire).poll_flush(cx))?;
        Poll::Ready(Ok(State::Ended))
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<State, Broken>> {
        let mut ends = self.link.borrow_mut();
        ready!(Pin::new(&mut ends.source.wire).poll_shutdown(cx))?;
        Poll::Ready(Ok(State::Ended))
    }

    fn poll_leave(&mut self, cx: &mut Context<'_>) -> Poll<Result<State, Broken>> {
        ready!(self.link.borrow_mut().source.wire.poll_leave(cx))?;
        Poll::Ready(Ok(State::Ended))
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let Ends { source, outbox, .. } = &mut *self.link.borrow_mut();
        self.outgoing.poll(cx, &mut source.wire, outbox, &mut false, &self.core.room)
    }

    /// Waits until the client breaks off. That it sends nothing more is no such thing: it may wait for its answer.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Broken> {
        if self.link.progress() == Progress::Read {
            // Who reads the body reads all that comes.
            self.link.server_waits(cx);
            return Poll::Pending;
        }
        let ends = &mut *self.link.borrow_mut();
        if self.has_left || self.link.progress() != Progress::Whole || !ends.source.came.is_empty() {
            return Poll::Pending;
        }
        match ready!(ends.source.poll_more(cx, &self.core)) {
            Ok(true) => Poll::Pending,
            Ok(false) => {
                self.has_left = true;
                Poll::Pending
            }
            Err(error) => Poll::Ready(error.into()),
        }
    }
}

impl<F> Drop for Served<F> {
    fn drop(&mut self) {
        // Who reads a body would wait for more of it for ever.
        if self.link.progress() == Progress::Read {
            self.link.cut();
        }
    }
}

/// Whether a body that nobody wants may be read to come to what is behind it. What is in chunks may be more than it seems.
fn is_short(left: Left) -> bool {
    matches!(left, Left::Nothing) || matches!(left, Left::Exactly(length) if length <= MOST_UNWANTED)
}

/// Tells a client why what it has sent is no request.
fn refuse(cx: &mut Context<'_>, core: &Core, ends: &mut Ends, fault: Fault) -> State {
    core.refuse(match fault {
        Fault::Malformed => Cause::BadRequest,
        Fault::TooLarge => Cause::HeadTooLarge,
        Fault::UriTooLong => Cause::UriTooLong,
    });
    // There is room for it: nothing has been sent since the last answer.
    let _ = Pin::new(&mut ends.source.wire).poll_write(cx, fault.answer());
    State::Close
}

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::model::{Cause, Fault, Micros, Outcome, Side};
use crate::snapshot::ServiceView;
use crate::verdict::{Latency, Ticket};

use super::body::BodyError;
use super::core::Core;
use super::endpoints::{EndpointState, Lease};
use super::service::Service;
use super::waits::{Limit, Place};

/// One try of one request on one side, from being dealt there to the end of the answer. However it ends, also
/// by being dropped, it is counted once: the latter means that the client has left.
pub(super) struct Try {
    core: Rc<Core>,
    service: Rc<Service>,
    side: Side,
    begun: Micros,
    endpoint: Option<Rc<EndpointState>>,
    /// Absent if this try is no evidence.
    ticket: Option<Ticket>,
    ended: bool,
}

/// What the judge may conclude from a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counts {
    /// It was dealt, and speaks for its side.
    AsEvidence,
    /// It was forced, or is the second try of a rescue: it speaks for nobody.
    AsTraffic,
}

impl Try {
    pub(super) fn begin(
        core: &Rc<Core>,
        service: &Rc<Service>,
        view: &ServiceView,
        side: Side,
        counts: Counts,
    ) -> Self {
        let begun = core.now();
        let ticket = (counts == Counts::AsEvidence && view.judged)
            .then(|| service.ballot.borrow_mut().enter(side, begun, &view.thresholds));
        core.note_active(service);
        Self {
            core: core.clone(),
            service: service.clone(),
            side,
            begun,
            endpoint: None,
            ticket,
            ended: false,
        }
    }

    /// This endpoint is being asked, in place of one that may have been asked before.
    pub(super) fn asks(&mut self, endpoint: &Rc<EndpointState>) {
        self.leave_endpoint();
        endpoint.enter();
        self.endpoint = Some(endpoint.clone());
    }

    pub(super) fn begun(&self) -> Micros {
        self.begun
    }

    pub(super) fn side(&self) -> Side {
        self.side
    }

    /// The endpoint does not answer: nothing more is sent over connections that it may have forgotten.
    pub(super) fn close_idle(&self) {
        if let Some(endpoint) = &self.endpoint {
            endpoint.pool.close_idle();
        }
    }

    /// Notes what went wrong at the endpoint, whether or not the try goes on elsewhere.
    pub(super) fn blame(&self, cause: Cause) {
        if let Some(endpoint) = &self.endpoint {
            self.service.tally.borrow_mut().blame(endpoint.endpoint, cause);
        }
    }

    /// The head of an answer has arrived.
    pub(super) fn answered(&mut self) {
        let now = self.core.now();
        if let Some(ticket) = &mut self.ticket {
            self.service.ballot.borrow_mut().answer(ticket, now);
        }
        let latency = Latency::of(now.since(self.begun));
        self.service.tally.borrow_mut().sides[self.side].answered_in(latency);
    }

    /// The try has ended.
    pub(super) fn finish(mut self, outcome: Outcome) {
        self.end(outcome);
    }

    fn end(&mut self, outcome: Outcome) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        {
            let mut tally = self.service.tally.borrow_mut();
            match outcome {
                Outcome::Ok => tally.sides[self.side].ok += 1,
                Outcome::Failed(cause) => tally.sides[self.side].failed.count(cause),
            }
        }
        if let Some(ticket) = self.ticket.take() {
            let mut ballot = self.service.ballot.borrow_mut();
            match outcome {
                Outcome::Ok => ballot.finish(ticket, self.core.now(), false),
                Outcome::Failed(cause) if cause.fault() == Fault::Side => {
                    ballot.finish(ticket, self.core.now(), true);
                }
                Outcome::Failed(_) => ballot.withdraw(ticket),
            }
        }
        if let Outcome::Failed(cause) = outcome
            && cause.fault() == Fault::Side
        {
            self.blame(cause);
        }
        self.leave_endpoint();
        self.core.note_active(&self.service);
    }

    fn leave_endpoint(&mut self) {
        if let Some(endpoint) = self.endpoint.take() {
            endpoint.leave();
        }
    }
}

impl Drop for Try {
    fn drop(&mut self) {
        self.end(Outcome::Failed(Cause::ClientGone));
    }
}

/// What is sent to a client.
pub(super) enum AnswerBody {
    Empty,
    Text(Option<Bytes>),
    Streamed(Streamed),
}

/// An endpoint's answer on its way to the client; its end is the try's.
pub(super) struct Streamed {
    incoming: Incoming,
    attempt: Option<Try>,
    lease: Option<Lease>,
    /// What the try comes to if nothing more goes wrong.
    outcome: Outcome,
    idle: Duration,
    silent_until: Option<Micros>,
    place: Place,
}

impl Streamed {
    /// The body of an answer whose head has come to `outcome`. Without a try, it has been counted already.
    pub(super) fn body(
        core: &Rc<Core>,
        incoming: Incoming,
        attempt: Option<Try>,
        lease: Lease,
        outcome: Outcome,
        idle: Duration,
    ) -> AnswerBody {
        let place = Place::new(core.clone());
        let lease = Some(lease);
        let mut streamed = Self { incoming, attempt, lease, outcome, idle, silent_until: None, place };
        if streamed.incoming.is_end_stream() {
            streamed.end_well();
            return AnswerBody::Empty;
        }
        AnswerBody::Streamed(streamed)
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match Pin::new(&mut self.incoming).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                if self.silent_until.take().is_some() {
                    self.place.leave();
                }
                if self.incoming.is_end_stream() {
                    self.end_well();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) => {
                self.end_well();
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => {
                self.end(Outcome::Failed(Cause::Truncated));
                Poll::Ready(Some(Err(BodyError::Side(error))))
            }
            Poll::Pending => self.poll_silence(cx),
        }
    }

    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let until = *self.silent_until.get_or_insert_with(|| self.place.core().now().after(self.idle));
        if self.place.poll(cx, Limit { until, if_held: None }).is_none() {
            return Poll::Pending;
        }
        self.end(Outcome::Failed(Cause::IdleTimeout));
        Poll::Ready(Some(Err(BodyError::Silent)))
    }

    /// The answer is complete: its connection can carry the next request.
    fn end_well(&mut self) {
        if let (Some(attempt), Some(lease)) = (&self.attempt, self.lease.take())
            && let Some(endpoint) = &attempt.endpoint
        {
            endpoint.pool.give_back(lease, attempt.core.now());
        }
        self.end(self.outcome);
    }

    fn end(&mut self, outcome: Outcome) {
        if let Some(attempt) = self.attempt.take() {
            attempt.finish(outcome);
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Text(text) => Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
            Self::Streamed(streamed) => streamed.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Text(text) => text.is_none(),
            Self::Streamed(streamed) => streamed.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Text(text) => SizeHint::with_exact(text.as_ref().map_or(0, |text| text.len() as u64)),
            Self::Streamed(streamed) => streamed.incoming.size_hint(),
        }
    }
}

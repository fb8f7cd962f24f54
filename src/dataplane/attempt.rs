use std::rc::Rc;

use http::HeaderMap;

use crate::model::{Cause, Fault, Micros, Outcome, Side};
use crate::snapshot::ServiceView;
use crate::splitter::Half;
use crate::tally::IS_COUNTED;
use crate::verdict::{Latency, Question, Stratum, Thresholds, Ticket};

use super::calibration::Labelled;
use super::core::Core;
use super::endpoints::{EndpointState, Lease, Serial};
use super::rules::Passing;
use super::service::Service;
use super::trace::Trace;
use super::turns::SideTurn;

/// One try of one request on one side, from being dealt there to the end of the answer. However it ends, also
/// by being dropped, it is counted once: the latter means that the client has left.
pub(super) struct Try {
    core: Rc<Core>,
    service: Rc<Service>,
    side: Side,
    counts: Counts,
    begun: Micros,
    stratum: Stratum,
    endpoint: Option<Rc<EndpointState>>,
    /// Its turn on the side, where there may be only so many.
    _turn: SideTurn,
    /// Absent if this try is no evidence.
    ticket: Option<Ticket>,
    /// Its place among Helios' halves, while those are compared. Whoever has one has a ticket too. It is large, and few have
    /// one.
    labelled: Option<Box<Labelled>>,
    trace: Option<Rc<Trace>>,
    /// By which people know the request.
    passing: Option<Rc<Passing>>,
    /// Why it has failed, as the head of its answer says.
    failure: Option<Cause>,
    is_timed: bool,
    /// How long an endpoint may be silent that it waits for, …
    patience: Micros,
    /// … and whether it does.
    awaits: bool,
    /// When the endpoint was asked.
    asked: Micros,
    /// Why it ends if it is dropped.
    pub(super) if_dropped: Cause,
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

/// What a try is of.
#[derive(Debug)]
pub(super) struct TryOf {
    pub(super) side: Side,
    pub(super) counts: Counts,
    pub(super) stratum: Stratum,
    pub(super) begun: Micros,
    pub(super) turn: SideTurn,
    /// Whether how long it takes is the side's doing: while a client sends, it is the client's.
    pub(super) is_timed: bool,
    /// The half of Helios that it is of, if that is asked.
    pub(super) half: Option<Half>,
}

impl Try {
    pub(super) fn begin(
        core: &Rc<Core>,
        service: &Rc<Service>,
        view: &ServiceView,
        dealt: TryOf,
        trace: Option<&Rc<Trace>>,
        passing: Option<&Rc<Passing>>,
    ) -> Self {
        let TryOf { side, counts, stratum, begun, turn, is_timed, half } = dealt;
        let thresholds = if is_timed { view.groups.thresholds(stratum) } else { &Thresholds::UNKNOWN };
        let ticket = (IS_COUNTED && counts == Counts::AsEvidence && view.judged)
            .then(|| service.ballot.borrow_mut().enter(stratum, side, begun, thresholds));
        let half = half.filter(|_| side == Side::Helios && ticket.is_some()).zip(view.calibrating);
        let labelled = half
            .and_then(|(half, halves)| service.label(halves, half, stratum, begun, thresholds))
            .map(Box::new);
        core.note_active(service);
        Self {
            core: core.clone(),
            service: service.clone(),
            side,
            counts,
            begun,
            stratum,
            endpoint: None,
            _turn: turn,
            ticket,
            labelled,
            trace: trace.cloned(),
            passing: passing.cloned(),
            failure: None,
            is_timed,
            patience: thresholds.age(side, Question::Stall).unwrap_or_default(),
            awaits: false,
            asked: begun,
            if_dropped: Cause::ClientGone,
            ended: false,
        }
    }

    /// This endpoint is being asked, in place of one that may have been asked before.
    pub(super) fn asks(&mut self, endpoint: &Rc<EndpointState>) {
        self.leave_endpoint();
        endpoint.enter();
        self.asked = self.core.recently();
        if self.is_timed {
            self.awaits = true;
            endpoint.await_answer(self.core.recently(), self.patience);
        }
        self.endpoint = Some(endpoint.clone());
    }

    /// The first answer over a connection: it may say how long the endpoint keeps such.
    pub(super) fn heed(&self, headers: &HeaderMap) {
        if let (Some(endpoint), Some(keep_alive)) = (&self.endpoint, headers.get("keep-alive")) {
            endpoint.pool.heed(keep_alive);
        }
    }

    /// Tells the endpoint that is being asked from others.
    pub(super) fn endpoint_serial(&self) -> Option<Serial> {
        self.endpoint.as_ref().map(|endpoint| endpoint.serial)
    }

    /// The answer is complete: its connection can carry the next request.
    pub(super) fn give_back(&self, lease: Lease) {
        if let Some(endpoint) = self.endpoint.as_ref().filter(|endpoint| endpoint.announced.is_none()) {
            endpoint.pool.give_back(lease, self.core.recently());
        }
    }

    /// If the endpoint has answered nobody since then, nothing more is sent over connections that it may have forgotten.
    pub(super) fn close_idle_if_silent(&self, then: Micros) {
        if let Some(endpoint) = self.endpoint.as_ref().filter(|endpoint| endpoint.is_silent_since(then)) {
            endpoint.pool.close_idle();
        }
    }

    /// Notes what went wrong at the endpoint, whether or not the try goes on elsewhere.
    pub(super) fn blame(&self, cause: Cause) {
        if let Some(endpoint) = self.endpoint.as_ref().filter(|_| cause.fault() == Fault::Side) {
            let mut tally = self.service.tally.borrow_mut();
            tally.blame(&endpoint.endpoint, cause);
            if let Some(id) = self.passing.as_ref().and_then(|passing| passing.known_as())
                && self.side == Side::Kubernetes
            {
                tally.cite(id, &endpoint.endpoint, cause);
            }
            drop(tally);
            // Who was called in has not waited to the end.
            if !matches!(cause, Cause::TakenBack | Cause::LetOut) {
                endpoint.failed();
            }
        }
    }

    /// The head of an answer has arrived, and may say that the request has failed. How long a failure took, or
    /// the second try of a rescue, tells nothing about how long answers take.
    pub(super) fn answered(&mut self, failure: Option<Cause>) {
        let (now, failed) = (self.core.now(), failure.is_some());
        self.failure = failure;
        if let Some(endpoint) = &self.endpoint {
            endpoint.answered(now);
            if std::mem::take(&mut self.awaits) {
                endpoint.await_no_more();
            }
        }
        if let Some(ticket) = &mut self.ticket {
            self.service.ballot.borrow_mut().answer(ticket, now, failed);
        }
        if let Some(labelled) = &mut self.labelled {
            labelled.answer(now, failed);
        }
        if let Some(trace) = &self.trace {
            trace.answered_in(now.since(self.begun));
        }
        // A failure may be quick: it must not make an endpoint look good.
        if let Some(endpoint) = self.endpoint.as_ref().filter(|_| !failed && self.is_timed) {
            endpoint.took(now.since(self.asked), now);
        }
        if self.counts == Counts::AsEvidence && !failed && self.is_timed {
            let latency = Latency::of(now.since(self.begun));
            self.service.tally.borrow_mut().sides[self.side].answered_in(self.stratum, latency);
        }
    }

    /// The try has ended, and the client has got what there was of its answer.
    pub(super) fn finish_answered(mut self, outcome: Outcome) {
        self.end_answered(outcome);
    }

    fn end_answered(&mut self, outcome: Outcome) {
        if !self.ended
            && self.side == Side::Kubernetes
            && let Outcome::Failed(cause) = outcome
            && cause.fault() == Fault::Side
        {
            self.service.tally.borrow_mut().unrescued += 1;
        }
        self.end(outcome);
    }

    /// Whether it was dealt to this side, and not forced or rescued to it.
    pub(super) fn is_dealt_to(&self, side: Side) -> bool {
        self.side == side && self.counts == Counts::AsEvidence
    }

    /// The endpoint that is being asked.
    pub(super) fn endpoint(&self) -> Option<Rc<EndpointState>> {
        self.endpoint.clone()
    }

    /// The try has ended.
    pub(super) fn finish(mut self, outcome: Outcome) {
        self.end(outcome);
    }

    /// The head of the answer tells how the try has ended. It is counted now; its body may still come.
    pub(super) fn fail(&mut self, cause: Cause) {
        self.end(Outcome::Failed(cause));
    }

    fn end(&mut self, outcome: Outcome) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        if IS_COUNTED {
            let mut tally = self.service.tally.borrow_mut();
            match outcome {
                Outcome::Ok => tally.sides[self.side].ok += 1,
                Outcome::Failed(cause) => tally.sides[self.side].failed.count(cause),
            }
        }
        if let Some(endpoint) = self.endpoint.as_ref().filter(|_| outcome == Outcome::Ok) {
            endpoint.ended_well();
        }
        let evidence = self.ticket.take().is_some_and(|ticket| self.vote(ticket, outcome));
        if let Some(trace) = self.trace.take() {
            trace.end(outcome, self.endpoint.as_ref().map(|asked| asked.endpoint.clone()), evidence);
        }
        if let Outcome::Failed(cause) = outcome {
            self.blame(cause);
        }
        self.core.note_active(&self.service);
    }

    /// Casts the try's vote; tells whether it has one.
    fn vote(&mut self, ticket: Ticket, outcome: Outcome) -> bool {
        let failed = match outcome {
            Outcome::Ok => Some(false),
            // It has said that it waits, and more is not known.
            Outcome::Failed(Cause::LetOut) => None,
            Outcome::Failed(cause) => (cause.fault() == Fault::Side).then_some(true),
        };
        let (labelled, mut ballot) = (self.labelled.take(), self.service.ballot.borrow_mut());
        let Some(failed) = failed else {
            ballot.withdraw(ticket);
            if let Some(labelled) = labelled {
                labelled.withdraw();
            }
            return false;
        };
        // When it ended matters only to who had no answer before.
        let now = if ticket.is_answered() { self.core.recently() } else { self.core.now() };
        ballot.finish(ticket, now, failed);
        if let Some(labelled) = labelled {
            labelled.finish(now, failed);
        }
        true
    }

    fn leave_endpoint(&mut self) {
        if let Some(endpoint) = self.endpoint.take() {
            endpoint.leave();
            if std::mem::take(&mut self.awaits) {
                endpoint.await_no_more();
            }
        }
    }
}

impl Drop for Try {
    fn drop(&mut self) {
        match self.failure {
            // Whoever leaves amid the body of a failure has got the failure all the same.
            Some(cause) => self.end_answered(Outcome::Failed(cause)),
            None => self.end(Outcome::Failed(self.if_dropped)),
        }
        self.leave_endpoint();
    }
}

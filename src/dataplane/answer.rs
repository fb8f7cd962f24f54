use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use http_body::{Body, Frame, SizeHint};

use crate::config::StreamsConfig;
use crate::model::{Cause, GrpcCodes, Micros, Outcome};
use crate::snapshot::ServiceId;

use super::asking::Asking;
use super::attempt::Try;
use super::body::BodyError;
use super::core::Core;
use super::endpoints::Lease;
use super::exchange::Exchange;
use super::headers::{self, GRPC_MESSAGE, GRPC_STATUS};
use super::incoming::EndpointBody;
use super::lifetime::{Lifetime, Over};
use super::told::{Told, by_trailers};

/// What is sent to a client.
pub(super) enum AnswerBody {
    Empty,
    Text(Option<Bytes>),
    /// An endpoint's answer.
    Streamed(Box<Exchange>),
}

/// An endpoint's answer on its way to the client. Its end is the try's.
pub(super) struct Stream {
    incoming: Option<EndpointBody>,
    /// Absent if it has been counted already.
    attempt: Option<Try>,
    lease: Option<Lease>,
    /// What the try comes to if nothing more goes wrong, or is told.
    outcome: Outcome,
    /// The codes that are failures, where the trailers are to tell.
    codes: Option<GrpcCodes>,
    /// The longest silence.
    idle: Duration,
    silent_until: Option<Micros>,
    lifetime: Lifetime,
}

/// How a gRPC call that Switchback closes ends: its caller may try again, elsewhere.
const GRPC_UNAVAILABLE: HeaderValue = HeaderValue::from_static("14");

impl AnswerBody {
    /// The body of the answer that an exchange has come to.
    pub(super) fn of(mut exchange: Box<Exchange>) -> Self {
        if exchange.stream.is_at_end() {
            exchange.stream.end_well();
            return Self::Empty;
        }
        Self::Streamed(exchange)
    }
}

impl Stream {
    pub(super) fn new(core: Rc<Core>, idle: Duration) -> Self {
        let (outcome, codes, lifetime) = (Outcome::Ok, None, Lifetime::new(core));
        Self {
            incoming: None,
            attempt: None,
            lease: None,
            outcome,
            codes,
            idle,
            silent_until: None,
            lifetime,
        }
    }

    /// Nobody has said how long the answer is, and it is on the side that a revert is about if a service is
    /// named: it may be closed before its end.
    pub(super) fn follow(&mut self, streams: StreamsConfig, on_kubernetes: Option<ServiceId>) {
        if self.incoming.as_ref().is_some_and(|incoming| incoming.size_hint().exact().is_none()) {
            self.lifetime.follow(streams, on_kubernetes);
        }
    }

    /// The head has come, and this is what it tells; the body follows, if there is one.
    pub(super) fn begin(
        &mut self,
        incoming: Option<EndpointBody>,
        attempt: Option<Try>,
        lease: Lease,
        told: Told,
    ) {
        self.incoming = incoming;
        self.attempt = attempt;
        self.lease = Some(lease);
        (self.outcome, self.codes) = match told {
            Told::Now(outcome) => (outcome, None),
            Told::Later(codes) => (by_trailers(codes, None), Some(codes)),
        };
    }

    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
        asking: &Asking,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(incoming) = &mut self.incoming else { return Poll::Ready(None) };
        match Pin::new(incoming).poll_frame(cx) {
            Poll::Ready(Some(Ok(mut frame))) => {
                if let Some(trailers) = frame.trailers_mut() {
                    headers::strip_trailers(trailers);
                }
                if self.silent_until.take().is_some() {
                    self.lifetime.rest();
                }
                if let (Some(codes), Some(trailers)) = (self.codes, frame.trailers_ref()) {
                    self.outcome = by_trailers(codes, Some(trailers));
                }
                // Nothing comes behind trailers, and whoever passes them on may not ask whether something does.
                if frame.is_trailers() || self.is_at_end() {
                    self.end_well();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) => {
                self.end_well();
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => {
                // An endpoint whose request breaks off cannot end its answer well.
                let cause = asking.broken().unwrap_or(Cause::Truncated);
                self.end(Outcome::Failed(cause));
                Poll::Ready(Some(Err(BodyError::Side(Box::new(error)))))
            }
            Poll::Pending => self.poll_silence(cx),
        }
    }

    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let until = *self.silent_until.get_or_insert_with(|| self.lifetime.core().now().after(self.idle));
        match ready!(self.lifetime.poll(cx, until)) {
            Over::Silent => {
                self.end(Outcome::Failed(Cause::IdleTimeout));
                Poll::Ready(Some(Err(BodyError::Silent)))
            }
            Over::Closed => {
                self.end(Outcome::Failed(Cause::Closed));
                self.incoming = None;
                Poll::Ready(Some(self.codes.map(|_| unavailable()).ok_or(BodyError::Closed)))
            }
        }
    }

    /// Nobody waits for the answer any more; what its head tells is what it comes to.
    pub(super) fn abandon(&mut self) {
        self.end(if self.codes.is_some() { Outcome::Failed(Cause::Outrun) } else { self.outcome });
    }

    fn is_at_end(&self) -> bool {
        self.incoming.as_ref().is_none_or(Body::is_end_stream)
    }

    /// The answer is complete: its connection can carry the next request.
    fn end_well(&mut self) {
        if let (Some(attempt), Some(lease)) = (&self.attempt, self.lease.take()) {
            attempt.give_back(lease);
        }
        self.end(self.outcome);
    }

    fn end(&mut self, outcome: Outcome) {
        if let Some(attempt) = self.attempt.take() {
            attempt.finish_answered(outcome);
        }
    }
}

/// The trailers of a gRPC call that is closed.
fn unavailable() -> Frame<Bytes> {
    let mut trailers = HeaderMap::with_capacity(2);
    trailers.insert(GRPC_STATUS, GRPC_UNAVAILABLE);
    trailers.insert(GRPC_MESSAGE, HeaderValue::from_static("the proxy closed the stream"));
    Frame::trailers(trailers)
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
            Self::Streamed(exchange) => {
                let Exchange { stream, asking, .. } = &mut **exchange;
                stream.poll_frame(cx, asking)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Text(text) => text.is_none(),
            Self::Streamed(exchange) => exchange.stream.is_at_end(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Text(text) => SizeHint::with_exact(text.as_ref().map_or(0, |text| text.len() as u64)),
            Self::Streamed(exchange) => {
                exchange.stream.incoming.as_ref().map_or(SizeHint::with_exact(0), Body::size_hint)
            }
        }
    }
}

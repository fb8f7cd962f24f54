//! The streams of HTTP/2 clients, each a task of hyper's.
//!
//! A client of HTTP/1.1 that takes nothing of its answer is seen at the wire. One of HTTP/2 may keep one stream's
//! window shut while the wire is free: hyper then asks for nothing more of that answer, and nothing tells. So each
//! stream's task is watched from outside.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;

use crate::model::Micros;

use super::core::Core;
use super::waits::{Limit, Place};

/// Who is to move a stream on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The client: a piece of its answer has been handed over, or could be.
    Client,
    /// The endpoint.
    Endpoint,
}

/// Runs streams on this worker.
#[derive(Clone)]
pub(super) struct Streams {
    pub(super) core: Rc<Core>,
    /// How long a client may take nothing of an answer.
    pub(super) stalled: Duration,
}

pin_project! {
    /// A stream that is given up when its client takes nothing for too long; hyper then resets it.
    struct Stream<F> {
        place: Place,
        stalled: Duration,
        next: Next,
        since: Micros,
        #[pin]
        future: F,
    }
}

impl<F: Future + 'static> hyper::rt::Executor<F> for Streams {
    fn execute(&self, future: F) {
        let place = Place::of_connection(self.core.clone());
        let (stalled, since) = (self.stalled, self.core.recently());
        tokio::task::spawn_local(Stream { place, stalled, next: Next::Endpoint, since, future });
    }
}

impl<F: Future> Future for Stream<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        // Whoever carries the answer says whose turn it is, if it is asked at all.
        this.place.core().next.set(None);
        if this.future.poll(cx).is_ready() {
            return Poll::Ready(());
        }
        if let Some(next) = this.place.core().next.take() {
            (*this.next, *this.since) = (next, this.place.core().recently());
            this.place.leave();
        }
        if *this.next == Next::Endpoint {
            return Poll::Pending;
        }
        let until = this.since.after(*this.stalled);
        match this.place.poll(cx, Limit { until, recall: None }) {
            Some(_) => Poll::Ready(()),
            None => Poll::Pending,
        }
    }
}

//! How long a stream may go on. Whoever carries one asks here while it waits, so it costs no timer and no list
//! of streams: its place among the [`Waits`](super::waits) is woken when its service is taken back, when the
//! worker drains, and when its time is up.

use std::rc::Rc;
use std::task::{Context, Poll};

use crate::config::{StreamEnd, StreamsConfig};
use crate::model::Micros;
use crate::snapshot::ServiceId;

use super::core::Core;
use super::waits::{Expired, Limit, Place, Recall};

/// When a stream is to end though neither end has ended it.
pub(super) struct Lifetime {
    place: Place,
    streams: StreamsConfig,
    /// Set while a revert would concern it.
    taken_back_with: Option<ServiceId>,
    draining: bool,
    close_at: Option<Micros>,
}

/// Why a stream is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// Nothing has come for as long as it may.
    Silent,
    /// The policy for streams says so.
    Closed,
}

impl Lifetime {
    pub(super) fn new(core: Rc<Core>) -> Self {
        let streams = StreamsConfig::default();
        Self { place: Place::new(core), streams, taken_back_with: None, draining: false, close_at: None }
    }

    /// It is a stream that nobody knows the length of. `on_kubernetes` names the service whose revert would
    /// concern it.
    pub(super) fn follow(&mut self, streams: StreamsConfig, on_kubernetes: Option<ServiceId>) {
        self.streams = streams;
        self.taken_back_with = on_kubernetes.filter(|_| streams.on_revert != StreamEnd::Finish);
    }

    pub(super) fn core(&self) -> &Rc<Core> {
        self.place.core()
    }

    /// Tells whether it is to end; if not, this task is woken when that is to be asked again.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, silent_at: Micros) -> Poll<Over> {
        loop {
            if self.core().drain.is_closing() {
                return Poll::Ready(Over::Closed);
            }
            if self.core().drain.is_draining() && !std::mem::replace(&mut self.draining, true) {
                self.close_after(self.streams.on_shutdown);
            }
            let now = self.core().now();
            if self.close_at.is_some_and(|at| now >= at) {
                return Poll::Ready(Over::Closed);
            }
            if now >= silent_at {
                return Poll::Ready(Over::Silent);
            }
            let until = self.close_at.map_or(silent_at, |at| at.min(silent_at));
            let recall =
                self.taken_back_with.map(|service| Recall { service, endpoint: None, from: Micros(0) });
            let Some(expired) = self.place.poll(cx, Limit { until, recall }) else { return Poll::Pending };
            // The limit that has passed may have been an older one.
            self.place.leave();
            if expired == Expired::TakenBack {
                self.taken_back_with = None;
                self.close_after(self.streams.on_revert);
            }
        }
    }

    /// It does not wait any more, for now.
    pub(super) fn rest(&mut self) {
        self.place.leave();
    }

    /// Tells whether this moment has come, whatever else there is.
    pub(super) fn poll_until(&mut self, cx: &mut Context<'_>, until: Micros) -> Poll<()> {
        match self.place.poll(cx, Limit { until, recall: None }) {
            Some(_) => Poll::Ready(()),
            None => Poll::Pending,
        }
    }

    fn close_after(&mut self, end: StreamEnd) {
        if let StreamEnd::CloseAfter(time) = end {
            let at = self.core().now().after(time);
            self.close_at = Some(self.close_at.map_or(at, |before| before.min(at)));
        }
    }
}

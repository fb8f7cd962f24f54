use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{ProxyProtocol, SideConfig};
use crate::model::{Endpoint, Micros};
use crate::tls::Connector;

use super::pool::Pool;

/// One endpoint as one worker sees it.
pub(in crate::dataplane) struct EndpointState {
    pub(in crate::dataplane) endpoint: Endpoint,
    pub(in crate::dataplane) pool: Pool,
    /// How it is spoken to over TLS, if it is.
    pub(super) tls: Option<Arc<Connector>>,
    /// How it is told where a connection comes from, if it is: then no connection is shared.
    pub(in crate::dataplane) announced: Option<ProxyProtocol>,
    in_flight: Cell<u32>,
    /// Connections that failed in a row.
    refusals: Cell<u32>,
    passed_over_until: Cell<Micros>,
    /// When it has answered last.
    answered: Cell<Micros>,
}

/// How long an endpoint is passed over after its first refusal; twice as long after each further one …
const PASS_OVER: Duration = Duration::from_secs(1);
/// … up to this. Long enough to cost next to nothing, short enough to find out that it is back.
const PASS_OVER_MOST: Duration = Duration::from_secs(15);

impl EndpointState {
    pub(super) fn new(endpoint: &Endpoint, side: &SideConfig) -> Self {
        Self {
            // Told of in the access log: workers counting on one path would be fighting over a cache line.
            endpoint: Endpoint { address: endpoint.address.own() },
            pool: Pool::new(side.protocol),
            tls: side.tls.clone(),
            announced: side.proxy_protocol,
            in_flight: Cell::new(0),
            refusals: Cell::new(0),
            passed_over_until: Cell::new(Micros(0)),
            answered: Cell::new(Micros(0)),
        }
    }

    /// Tries in flight.
    pub(in crate::dataplane) fn in_flight(&self) -> u32 {
        self.in_flight.get()
    }

    /// A try begins here.
    pub(in crate::dataplane) fn enter(&self) {
        self.in_flight.set(self.in_flight.get() + 1);
    }

    /// A try ends here.
    pub(in crate::dataplane) fn leave(&self) {
        self.in_flight.set(self.in_flight.get().saturating_sub(1));
    }

    /// A connection could not be made: the endpoint is passed over for a while, longer each time.
    pub(in crate::dataplane) fn refused(&self, now: Micros) {
        let again = self.refusals.get().min(8);
        self.refusals.set(again + 1);
        self.passed_over_until.set(now.after((PASS_OVER * (1 << again)).min(PASS_OVER_MOST)));
    }

    /// Whether the last connection could not be made.
    pub(super) fn is_refusing(&self) -> bool {
        self.refusals.get() > 0
    }

    /// A connection was made.
    pub(in crate::dataplane) fn accepted(&self) {
        self.refusals.set(0);
        self.passed_over_until.set(Micros(0));
    }

    /// It has answered a request, well or not.
    pub(in crate::dataplane) fn answered(&self, now: Micros) {
        self.answered.set(now);
    }

    /// Whether it has answered nobody since then.
    pub(in crate::dataplane) fn is_silent_since(&self, then: Micros) -> bool {
        self.answered.get() < then
    }

    /// Until when it is passed over; in the past if it is not.
    pub(super) fn passed_over_until(&self) -> Micros {
        self.passed_over_until.get()
    }
}

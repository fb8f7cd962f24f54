//! One side's endpoints as one worker sees them: which to ask, and over which connection.
//!
//! The worker keeps its own counts of requests in flight, its own pools, and its own memory of who refused a
//! connection. Where every endpoint has refused, the one whose time is up first is asked all the same: what
//! was true a moment ago is no reason to give up on a side.

mod balance;
mod connect;
mod endpoint;
mod pool;
mod settings;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use crate::config::{Protocol, ProxyProtocol, SideConfig};
use crate::model::{Endpoint, Micros};
use crate::snapshot::Candidate;
use crate::tally::EndpointTally;
use crate::tls::Connector;

pub(super) use endpoint::EndpointState;
pub(super) use pool::{Fresh, Lease};

/// One side's endpoints.
#[derive(Default)]
pub(super) struct Endpoints {
    known: RefCell<Known>,
}

#[derive(Default)]
struct Known {
    source: Option<Source>,
    list: Vec<Rc<EndpointState>>,
    /// The largest share among them.
    heaviest: u16,
}

/// What the list was made from.
struct Source {
    endpoints: Arc<[Candidate]>,
    protocol: Protocol,
    tls: Option<Arc<Connector>>,
    announced: Option<ProxyProtocol>,
}

impl Endpoints {
    /// The endpoint for the next try: of two drawn at random, the one that would be done sooner. `None` if there is none at all. `draw` gives an even number below its argument.
    pub(super) fn pick(
        &self,
        now: Micros,
        endpoints: &Arc<[Candidate]>,
        side: &SideConfig,
        draw: impl FnMut(u32) -> u32,
    ) -> Option<Rc<EndpointState>> {
        let mut known = self.known.borrow_mut();
        known.adopt(endpoints, side);
        balance::pick(&known.list, known.heaviest, now, draw).cloned()
    }

    /// How each has done that was asked since the last time.
    pub(super) fn report(&self) -> Vec<EndpointTally> {
        self.known.borrow().list.iter().filter_map(|endpoint| endpoint.report()).collect()
    }

    /// Closes connections that have been idle for too long.
    pub(super) fn tidy(&self, now: Micros) {
        for endpoint in &self.known.borrow().list {
            endpoint.pool.tidy(now);
        }
    }
}

impl Known {
    /// Takes over a changed list. Who stays keeps connections and counts.
    fn adopt(&mut self, endpoints: &Arc<[Candidate]>, side: &SideConfig) {
        let spoken = |source: &Source| {
            // The same one, nearly always.
            let same_tls = match (&source.tls, &side.tls) {
                (None, None) => true,
                (Some(was), Some(is)) => Arc::ptr_eq(was, is) || was == is,
                _ => false,
            };
            source.protocol == side.protocol && source.announced == side.proxy_protocol && same_tls
        };
        let stays = self.source.as_ref().is_some_and(spoken);
        if stays && self.source.as_ref().is_some_and(|source| Arc::ptr_eq(&source.endpoints, endpoints)) {
            return;
        }
        let before = std::mem::take(&mut self.list);
        let before = if stays { &before[..] } else { &[] };
        let before: HashMap<&Endpoint, &Rc<EndpointState>> =
            before.iter().map(|known| (&known.endpoint, known)).collect();
        let known = |candidate: &Candidate| match before.get(&candidate.endpoint) {
            None => Rc::new(EndpointState::new(candidate, side)),
            Some(known) => {
                known.weighs(candidate.weight);
                (*known).clone()
            }
        };
        self.list = endpoints.iter().map(known).collect();
        self.heaviest = endpoints.iter().map(|candidate| candidate.weight).max().unwrap_or(1);
        self.source = Some(Source {
            endpoints: endpoints.clone(),
            protocol: side.protocol,
            tls: side.tls.clone(),
            announced: side.proxy_protocol,
        });
    }
}

//! One side's endpoints as one worker sees them: which to ask, and over which connection.
//!
//! The worker keeps its own counts of requests in flight, its own pools, and its own memory of who refused a
//! connection. Where every endpoint has refused, the one whose time is up first is asked all the same: what
//! was true a moment ago is no reason to give up on a side.

mod balance;
mod connect;
mod endpoint;
mod pool;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{Protocol, ProxyProtocol, SideConfig};
use crate::model::{Endpoint, Micros, Side};
use crate::snapshot::{AffinityKey, Candidate, Cluster, ServiceView};
use crate::tally::EndpointTally;
use crate::tls::Connector;

use super::core::Core;

pub(super) use endpoint::{EndpointState, Serial};
pub(super) use pool::{Fresh, Lease};

/// Connections that a worker makes beforehand.
const MOST_WARMED: usize = 64;

/// One side's endpoints.
#[derive(Default)]
pub(super) struct Endpoints {
    known: RefCell<Known>,
    /// Whether connections are being made beforehand.
    warming: Rc<Cell<bool>>,
}

#[derive(Default)]
struct Known {
    source: Option<Source>,
    /// By cluster.
    groups: Vec<Group>,
    /// How many there are.
    count: usize,
}

/// The endpoints of one cluster; of most sides all.
pub(super) struct Group {
    cluster: Cluster,
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
    idle_for: Duration,
}

impl Endpoints {
    /// The endpoint for the next try: of two drawn at random, the one that would be done sooner. `None` if there is none at all.
    pub(super) fn pick(
        &self,
        core: &Rc<Core>,
        view: &ServiceView,
        side: Side,
        affinity: Option<AffinityKey>,
    ) -> Option<Rc<EndpointState>> {
        self.adopt(core, view, side);
        let (known, now) = (self.known.borrow(), core.recently());
        if let (Some(key), Some(ring)) = (affinity, &view.rings[side])
            && let Some(near) = balance::nearest(&known.groups, ring.nearest(key), known.count, now)
        {
            return Some(near.clone());
        }
        balance::pick(&known.groups, now, |bound| core.draw(bound)).cloned()
    }

    /// Goes by the endpoints of this view. Who waits for one that was let out is called in.
    pub(super) fn adopt(&self, core: &Core, view: &ServiceView, side: Side) {
        let out =
            self.known.borrow_mut().adopt(&view.endpoints[side], &view.config.sides[side], &view.out[side]);
        if !out.is_empty() {
            core.let_out(&out);
        }
    }

    /// Requests in flight.
    pub(super) fn in_flight(&self) -> u32 {
        self.known.borrow().all().map(|endpoint| endpoint.load()).sum()
    }

    /// Makes connections for so many requests that will soon be in flight, and for all protocols at least one an endpoint.
    pub(super) fn warm(&self, core: &Rc<Core>, view: &ServiceView, side: Side, wanted: usize) {
        let wanted = wanted.min(MOST_WARMED);
        let (known, patience) = (self.known.borrow(), view.config.timeouts.connect);
        let bound = u32::try_from(known.count).unwrap_or(u32::MAX);
        // Where each connection tells of its own client, none can be made before the client is there.
        if wanted == 0
            || bound == 0
            || view.config.sides[side].proxy_protocol.is_some()
            || self.warming.replace(true)
        {
            return;
        }
        let first = core.draw(bound) as usize;
        let turned = known.all().cycle().skip(first).take(known.count.min(wanted)).cloned();
        let endpoints: Vec<_> = turned.collect();
        let (each, core, warming) = (wanted.div_ceil(endpoints.len()), core.clone(), self.warming.clone());
        tokio::task::spawn_local(async move {
            for endpoint in endpoints {
                endpoint.warm(&core, each, patience).await;
            }
            warming.set(false);
        });
    }

    /// How each has done that was asked since the last time, or is silent.
    pub(super) fn report(&self, now: Micros) -> Vec<EndpointTally> {
        self.known.borrow().all().filter_map(|endpoint| endpoint.report(now)).collect()
    }

    /// Closes connections that have been idle for too long.
    pub(super) fn tidy(&self, now: Micros) {
        for endpoint in self.known.borrow().all() {
            endpoint.pool.tidy(now);
        }
    }
}

impl Known {
    fn all(&self) -> impl Iterator<Item = &Rc<EndpointState>> + Clone {
        self.groups.iter().flat_map(|group| &group.list)
    }

    /// Takes over a changed list. Who stays keeps connections and counts. Tells who has gone because it was let out.
    fn adopt(&mut self, endpoints: &Arc<[Candidate]>, side: &SideConfig, out: &[Endpoint]) -> Vec<Serial> {
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
        let is_same = |source: &Source| {
            Arc::ptr_eq(&source.endpoints, endpoints) && source.idle_for == side.idle_connections
        };
        if stays && self.source.as_ref().is_some_and(is_same) {
            return Vec::new();
        }
        let is_asked =
            |endpoint: &Endpoint| endpoints.iter().any(|candidate| candidate.endpoint == *endpoint);
        let is_out = |known: &&Rc<EndpointState>| out.contains(&known.endpoint) && !is_asked(&known.endpoint);
        let let_out = self.all().filter(is_out).map(|known| known.serial).collect();
        let before: HashMap<&Endpoint, &Rc<EndpointState>> =
            self.all().filter(|_| stays).map(|known| (&known.endpoint, known)).collect();
        let known = |candidate: &Candidate| match before.get(&candidate.endpoint) {
            None => Rc::new(EndpointState::new(candidate, side)),
            Some(known) => {
                known.weighs(candidate.weight);
                known.pool.keep_for(side.idle_connections);
                (*known).clone()
            }
        };
        let by_cluster = endpoints.chunk_by(|one, other| one.cluster.place == other.cluster.place);
        let group = |of_cluster: &[Candidate]| Group {
            cluster: of_cluster.first().map(|candidate| candidate.cluster).unwrap_or_default(),
            list: of_cluster.iter().map(known).collect(),
            heaviest: of_cluster.iter().map(|candidate| candidate.weight).max().unwrap_or(1),
        };
        self.groups = by_cluster.map(group).collect();
        self.count = endpoints.len();
        self.source = Some(Source {
            endpoints: endpoints.clone(),
            protocol: side.protocol,
            tls: side.tls.clone(),
            announced: side.proxy_protocol,
            idle_for: side.idle_connections,
        });
        let_out
    }
}

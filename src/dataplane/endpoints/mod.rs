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
use std::rc::Rc;
use std::sync::Arc;

use crate::config::Protocol;
use crate::model::{Endpoint, Micros};

pub(super) use connect::LocalTasks;
pub(super) use endpoint::EndpointState;
pub(super) use pool::{Fresh, Lease};

/// One side's endpoints.
#[derive(Default)]
pub(super) struct Endpoints {
    known: RefCell<Known>,
}

#[derive(Default)]
struct Known {
    source: Option<(Arc<[Endpoint]>, Protocol)>,
    list: Vec<Rc<EndpointState>>,
}

impl Endpoints {
    /// The endpoint for the next try: of two drawn at random, the one with fewer requests in flight. `None`
    /// if there is none at all. `draw` gives an even number below its argument.
    pub(super) fn pick(
        &self,
        now: Micros,
        endpoints: &Arc<[Endpoint]>,
        protocol: Protocol,
        draw: impl FnMut(u32) -> u32,
    ) -> Option<Rc<EndpointState>> {
        let mut known = self.known.borrow_mut();
        known.adopt(endpoints, protocol);
        balance::pick(&known.list, now, draw).cloned()
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
    fn adopt(&mut self, endpoints: &Arc<[Endpoint]>, protocol: Protocol) {
        if let Some((source, spoken)) = &self.source
            && Arc::ptr_eq(source, endpoints)
            && *spoken == protocol
        {
            return;
        }
        let spoken_before = self.source.replace((endpoints.clone(), protocol)).map(|(_, spoken)| spoken);
        let before = std::mem::take(&mut self.list);
        self.list = endpoints
            .iter()
            .map(|endpoint| {
                let same = |known: &&Rc<EndpointState>| known.endpoint == *endpoint;
                let stays = before.iter().find(same).filter(|_| spoken_before == Some(protocol));
                stays.cloned().unwrap_or_else(|| Rc::new(EndpointState::new(*endpoint, protocol)))
            })
            .collect();
    }
}

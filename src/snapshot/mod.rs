//! DOWN: the one value that control publishes and workers read.
//!
//! What must agree is swapped together: routes, weights, endpoints and thresholds are one [`Snapshot`] behind
//! one `ArcSwap`, with one `store` in the whole program. Only control publishes; a worker looks at each
//! request, and is also rung awake, so that an idle one neither lags behind nor pins an old snapshot.

mod gate;
mod publish;
mod ring;
mod routes;

use std::sync::Arc;

use crate::config::ServiceConfig;
use crate::model::{Endpoint, Millis, PerSide};
use crate::splitter::{Halves, Plan};
use crate::verdict::Groups;

pub(crate) use gate::{Gate, Gates, QueueFull, Room, Seat, Turn};
pub(crate) use publish::{Bell, Publisher, Subscription, channel};
pub(crate) use ring::{AffinityKey, Ring};
pub(crate) use routes::Routes;

/// What every worker goes by, at one moment.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    /// Rises by one with each publish.
    pub(crate) generation: u64,
    pub(crate) routes: Arc<Routes>,
    /// By slot; a slot is a service's for as long as it is configured, and may later be another's.
    pub(crate) services: Vec<Option<Arc<ServiceView>>>,
}

/// One service, at one moment.
#[derive(Clone, Debug)]
pub(crate) struct ServiceView {
    pub(crate) id: ServiceId,
    pub(crate) config: Arc<ServiceConfig>,
    pub(crate) plan: Plan,
    /// The service was taken back: who still waits for Kubernetes, and can safely be asked again, need not.
    pub(crate) held: bool,
    /// Requests are evidence.
    pub(crate) judged: bool,
    /// Helios is being compared with itself.
    pub(crate) calibrating: Option<Halves>,
    pub(crate) endpoints: PerSide<Arc<[Candidate]>>,
    /// Who was let out of them: who waits for one of these, and can safely be asked again, need not.
    pub(crate) out: PerSide<Arc<[Endpoint]>>,
    /// Which of them has which requests, if the service asks for that.
    pub(crate) rings: PerSide<Option<Arc<Ring>>>,
    /// What bounds its requests, if anything does.
    pub(crate) gates: Option<Arc<Gates>>,
    /// What Helios can have in flight, while it gets more than it can take.
    pub(crate) room: Option<Arc<Room>>,
    /// How requests are grouped for the judge, and when they vote.
    pub(crate) groups: Arc<Groups>,
}

/// An endpoint that may be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) endpoint: Endpoint,
    /// How large its share is, beside others'. Not 0.
    pub(crate) weight: u16,
    /// Since when it is among the others; `None` if it has been for as long as they. It is told by control, so that all
    /// workers are as careful with it as one.
    pub(crate) since: Option<Millis>,
    /// Where it is.
    pub(crate) cluster: Cluster,
}

/// One of a side's clusters. Requests are dealt to clusters first, and then to an endpoint of one. Most sides have one only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cluster {
    /// Its place among them; a side's endpoints are in this order.
    pub(crate) place: u16,
    /// How large its share is, beside the others'. Not 0.
    pub(crate) weight: u16,
    /// Since when it is among the others again, if it was let out.
    pub(crate) since: Option<Millis>,
}

impl Default for Cluster {
    /// The only one.
    fn default() -> Self {
        Self { place: 0, weight: 1, since: None }
    }
}

/// A service among those of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ServiceId {
    /// Where it stands in a snapshot.
    pub(crate) slot: u32,
    /// Never used twice: tells a slot's owner from the one before.
    pub(crate) serial: u32,
}

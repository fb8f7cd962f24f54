use serde::{Deserialize, Serialize};

use crate::model::{Address, Endpoint, ServiceName, Side, UnixMillis};

use super::super::capacity::Served;
use super::super::discovery::{Sighting, Standing};
use super::super::entry::Entry;
use super::super::lineup::PartState;

/// A service's endpoints as they are kept, for a process that starts while their source is down.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct EndpointsRecord {
    version: u32,
    service: String,
    helios: Vec<EndpointRecord>,
    kubernetes: Vec<EndpointRecord>,
    /// The most that each side has served well, hour by hour.
    #[serde(default)]
    helios_served: Vec<ServedRecord>,
    #[serde(default)]
    kubernetes_served: Vec<ServedRecord>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct ServedRecord {
    at_unix_ms: u64,
    per_second: f64,
    endpoints: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct EndpointRecord {
    address: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
    standing: Standing,
    weight: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    for_us: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cluster: Option<String>,
}

/// The version that this program writes, and the only one that it reads.
const VERSION: u32 = 1;

impl EndpointsRecord {
    /// What is to be kept of a service.
    pub(in crate::control) fn of(entry: &Entry) -> Self {
        let of_side = |side: Side| {
            let parts = entry.lineups[side].parts().iter().filter(|part| !part.roster.source().is_fixed());
            let of_part = |part: &PartState| {
                let members = part.roster.members();
                members.map(|seen| EndpointRecord::of(seen, part.cluster.as_deref())).collect::<Vec<_>>()
            };
            parts.flat_map(of_part).collect()
        };
        Self {
            version: VERSION,
            service: entry.config.name.to_string(),
            helios: of_side(Side::Helios),
            kubernetes: of_side(Side::Kubernetes),
            helios_served: entry.served(Side::Helios).map(ServedRecord::of).collect(),
            kubernetes_served: entry.served(Side::Kubernetes).map(ServedRecord::of).collect(),
        }
    }

    /// Reads a kept record. It only bridges the time until the sources speak: one that cannot be read is as none.
    pub(super) fn decode(service: &ServiceName, bytes: &[u8]) -> Option<Self> {
        let record: Self = serde_json::from_slice(bytes).ok()?;
        (record.version == VERSION && record.service == service.as_str()).then_some(record)
    }

    /// The most that a side has served.
    pub(in crate::control) fn served(&self, side: Side) -> impl Iterator<Item = Served> {
        let kept = match side {
            Side::Helios => &self.helios_served,
            Side::Kubernetes => &self.kubernetes_served,
        };
        kept.iter().map(|kept| Served {
            at: UnixMillis(kept.at_unix_ms),
            per_second: kept.per_second,
            endpoints: kept.endpoints,
        })
    }

    /// The endpoints of a side, or of one of its clusters.
    pub(crate) fn sightings(&self, side: Side, cluster: Option<&str>) -> Vec<Sighting> {
        let kept = match side {
            Side::Helios => &self.helios,
            Side::Kubernetes => &self.kubernetes,
        };
        let of_it = kept.iter().filter(|record| record.cluster.as_deref() == cluster);
        of_it.filter_map(EndpointRecord::sighting).collect()
    }
}

impl ServedRecord {
    fn of(served: &Served) -> Self {
        Self { at_unix_ms: served.at.0, per_second: served.per_second, endpoints: served.endpoints }
    }
}

impl EndpointRecord {
    fn of(sighting: &Sighting, cluster: Option<&str>) -> Self {
        let Sighting { endpoint, standing, weight, for_us } = sighting;
        let instance = endpoint.instance.as_deref().map(str::to_owned);
        let address = endpoint.address.to_string();
        let cluster = cluster.map(str::to_owned);
        Self { address, instance, standing: *standing, weight: *weight, for_us: *for_us, cluster }
    }

    fn sighting(&self) -> Option<Sighting> {
        let instance = self.instance.as_deref().map(Into::into);
        let endpoint = Endpoint { address: Address::parse(&self.address)?, instance };
        Some(Sighting { endpoint, standing: self.standing, weight: self.weight, for_us: self.for_us })
    }
}

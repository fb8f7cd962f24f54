use serde::{Deserialize, Serialize};

use crate::model::{Address, Endpoint, ServiceName, Side};

use super::super::discovery::{Sighting, Standing};
use super::super::entry::Entry;

/// A service's endpoints as they are kept, for a process that starts while their source is down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EndpointsRecord {
    version: u32,
    service: String,
    helios: Vec<EndpointRecord>,
    kubernetes: Vec<EndpointRecord>,
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
}

/// The version that this program writes, and the only one that it reads.
const VERSION: u32 = 1;

impl EndpointsRecord {
    /// What is to be kept of a service.
    pub(in crate::control) fn of(entry: &Entry) -> Self {
        let of_side = |side: Side| {
            let roster = entry.rosters[side].as_ref().filter(|roster| !roster.source().is_fixed());
            roster.into_iter().flat_map(|roster| roster.members().map(EndpointRecord::of)).collect()
        };
        Self {
            version: VERSION,
            service: entry.config.name.to_string(),
            helios: of_side(Side::Helios),
            kubernetes: of_side(Side::Kubernetes),
        }
    }

    /// Reads a kept record. It only bridges the time until the sources speak: one that cannot be read is as none.
    pub(super) fn decode(service: &ServiceName, bytes: &[u8]) -> Option<Self> {
        let record: Self = serde_json::from_slice(bytes).ok()?;
        (record.version == VERSION && record.service == service.as_str()).then_some(record)
    }

    /// The endpoints of a side.
    pub(crate) fn sightings(&self, side: Side) -> Vec<Sighting> {
        let kept = match side {
            Side::Helios => &self.helios,
            Side::Kubernetes => &self.kubernetes,
        };
        kept.iter().filter_map(EndpointRecord::sighting).collect()
    }
}

impl EndpointRecord {
    fn of(sighting: &Sighting) -> Self {
        let Sighting { endpoint, standing, weight, for_us } = sighting;
        let instance = endpoint.instance.as_deref().map(str::to_owned);
        let address = endpoint.address.to_string();
        Self { address, instance, standing: *standing, weight: *weight, for_us: *for_us }
    }

    fn sighting(&self) -> Option<Sighting> {
        let instance = self.instance.as_deref().map(Into::into);
        let endpoint = Endpoint { address: Address::parse(&self.address)?, instance };
        Some(Sighting { endpoint, standing: self.standing, weight: self.weight, for_us: self.for_us })
    }
}

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;

use k8s_openapi::api::discovery::v1::EndpointSlice;

use super::slices::Slice;

/// The slices of a namespace, by the service that they belong to. A service that has none has no entry.
#[derive(Debug, Default)]
pub(super) struct Held {
    services: HashMap<Arc<str>, BTreeMap<Arc<str>, Slice>>,
    /// Whose each slice is: a label may change.
    owners: HashMap<Arc<str>, Arc<str>>,
}

impl Held {
    /// Takes in a slice as it is now; names the services that it concerns.
    pub(super) fn put(&mut self, raw: &EndpointSlice) -> Vec<Arc<str>> {
        let mut concerned = self.remove(raw);
        let (Some(name), Some(slice)) = (&raw.metadata.name, Slice::read(raw)) else { return concerned };
        let (name, service): (Arc<str>, _) = (name.as_str().into(), slice.service.clone());
        self.owners.insert(name.clone(), service.clone());
        self.services.entry(service.clone()).or_default().insert(name, slice);
        if !concerned.contains(&service) {
            concerned.push(service);
        }
        concerned
    }

    /// Lets a slice go; names the service that it was of.
    pub(super) fn remove(&mut self, raw: &EndpointSlice) -> Vec<Arc<str>> {
        let Some(name) = raw.metadata.name.as_deref() else { return Vec::new() };
        let Some(service) = self.owners.remove(name) else { return Vec::new() };
        if let Some(slices) = self.services.get_mut(&service) {
            slices.remove(name);
            if slices.is_empty() {
                self.services.remove(&service);
            }
        }
        vec![service]
    }

    /// At which of these addresses somebody is.
    pub(super) fn taken(&self, addresses: &HashSet<SocketAddr>) -> HashSet<SocketAddr> {
        if addresses.is_empty() {
            return HashSet::new();
        }
        let slices = self.services.values().flat_map(BTreeMap::values);
        slices.flat_map(Slice::listens).filter(|address| addresses.contains(address)).collect()
    }

    pub(super) fn of(&self, service: &str) -> impl Iterator<Item = &Slice> {
        self.services.get(service).into_iter().flat_map(BTreeMap::values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn slice(name: &str, service: &str) -> EndpointSlice {
        serde_json::from_value(json!({
            "metadata": { "name": name, "labels": { super::super::slices::SERVICE: service } },
            "addressType": "IPv4", "endpoints": null,
        }))
        .unwrap()
    }

    #[test]
    fn a_slice_that_changes_hands_concerns_both_services() {
        let mut held = Held::default();
        assert_eq!(held.put(&slice("s-1", "a")), ["a".into()]);
        assert_eq!(held.put(&slice("s-2", "a")), ["a".into()]);
        assert_eq!(held.put(&slice("s-1", "b")), ["a".into(), "b".into()]);
        assert_eq!((held.of("a").count(), held.of("b").count()), (1, 1));
        assert_eq!(held.remove(&slice("s-2", "a")), ["a".into()]);
        assert_eq!(held.remove(&slice("s-2", "a")), Vec::<Arc<str>>::new());
        assert_eq!((held.of("a").count(), held.services.len()), (0, 1));
    }
}

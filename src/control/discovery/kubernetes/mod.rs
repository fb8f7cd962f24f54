//! What Kubernetes says of a service: the EndpointSlices of its cluster.
//!
//! One watch for each namespace that somebody asks about, of every slice in it that belongs to a service. One for each service
//! would hold thousands of connections (a watch has its own); one for the whole cluster would read the slices of everybody, and
//! need a `ClusterRole`, where a Role in each namespace is all that most platform teams give. Slices of services that nobody asks
//! about are held too: who asks later is answered at once.
//!
//! `slices` decides, and is pure: from all slices of a service to its endpoints. `watch` keeps the slices in step with the API
//! server, `access` is the way to it.

mod access;
mod held;
mod slices;
mod watch;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use crate::clock::Clock;
use crate::config::{ClusterConfig, Published};

use super::{Asked, SourceId, Talk, Tell};
use access::Access;

/// Watches the namespaces that are asked about; ends when nobody can ask any more.
pub(super) async fn run(clock: Clock, cluster: Arc<ClusterConfig>, mut asked: Asked<Published>, tell: Tell) {
    let access = Rc::new(Access::new(cluster));
    let mut watches: BTreeMap<Arc<str>, Talk<Published>> = BTreeMap::new();
    loop {
        let mut wanted: BTreeMap<Arc<str>, Vec<(SourceId, Published)>> = BTreeMap::new();
        for (id, what) in asked.borrow_and_update().iter() {
            wanted.entry(what.namespace.clone()).or_default().push((*id, what.clone()));
        }
        watches.retain(|namespace, _| wanted.contains_key(namespace));
        for (namespace, asked) in wanted {
            if let Some(watch) = watches.get(&namespace) {
                watch.ask(asked);
            } else {
                let (access, of, tell) = (access.clone(), namespace.clone(), tell.clone());
                let watch = Talk::start(asked, |asked| watch::run(clock, access, of, asked, tell));
                watches.insert(namespace, watch);
            }
        }
        if asked.changed().await.is_err() {
            return;
        }
    }
}

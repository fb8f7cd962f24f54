use std::sync::Arc;

use crate::model::ServiceName;

use super::checked::{Config, ServiceConfig};

/// What a new configuration changes.
#[derive(Clone, Debug, Default)]
pub struct Diff {
    /// Services that are new.
    pub added: Vec<Arc<ServiceConfig>>,
    /// Services of which something is different.
    pub changed: Vec<Arc<ServiceConfig>>,
    /// Services that are gone.
    pub removed: Vec<ServiceName>,
    /// Sections of `switchback.toml` that are read at start only, and differ.
    pub restart: Vec<&'static str>,
    /// Sections of `switchback.toml` that come into force at once, and differ.
    pub fleet: Vec<&'static str>,
}

impl Diff {
    /// Whether nothing is different.
    pub fn is_empty(&self) -> bool {
        let services = [self.added.len(), self.changed.len(), self.removed.len()];
        services == [0; 3] && self.restart.is_empty() && self.fleet.is_empty()
    }
}

/// Compares two configurations.
pub fn diff(old: &Config, new: &Config) -> Diff {
    let mut diff = Diff::default();
    for (name, service) in &new.services {
        match old.services.get(name) {
            None => diff.added.push(service.clone()),
            Some(before) if before != service => diff.changed.push(service.clone()),
            Some(_) => {}
        }
    }
    diff.removed.extend(old.services.keys().filter(|name| !new.services.contains_key(*name)).cloned());
    let (before, after) = (&old.process, &new.process);
    let sections = [
        ("workers", before.workers != after.workers),
        ("listeners", before.listeners != after.listeners),
        ("admin", before.admin != after.admin),
        ("state", before.state != after.state || before.history_bytes != after.history_bytes),
        ("access-log", before.access_log != after.access_log),
        ("shutdown", before.shutdown != after.shutdown),
        ("limits", before.limits != after.limits),
    ];
    diff.restart.extend(sections.into_iter().filter(|(_, differs)| *differs).map(|(section, _)| section));
    diff.fleet = old.fleet.changes(&new.fleet);
    diff
}

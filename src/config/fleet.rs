use std::sync::Arc;
use std::time::Duration;

use crate::rollout::{Freeze, Zone};

use super::webhooks::WebhookConfig;

/// What of `switchback.toml` concerns all services, and is in force as soon as it is read. The rest of it is read at start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FleetConfig {
    /// The time zone where none is said.
    pub zone: Zone,
    /// When no ramp takes a step.
    pub freezes: Vec<Freeze>,
    /// Whether raising a weight takes a second person, unless a service says otherwise.
    pub approvals: bool,
    /// When several services are taken back at once.
    pub guard: GuardConfig,
    /// Who is told what happens, by name.
    pub webhooks: Vec<Arc<WebhookConfig>>,
}

/// When several services are taken back at once, the cause is likelier what they have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuardConfig {
    /// So many services …
    pub services: usize,
    /// … within so long.
    pub within: Duration,
    /// Whether the rest of their cluster is taken back with them.
    pub revert_cluster: bool,
}

impl FleetConfig {
    /// The sections that differ.
    pub(super) fn changes(&self, new: &Self) -> Vec<&'static str> {
        let sections = [
            ("ramps", self.zone != new.zone || self.freezes != new.freezes),
            ("approvals", self.approvals != new.approvals),
            ("fleet-guard", self.guard != new.guard),
            ("webhooks", self.webhooks != new.webhooks),
        ];
        sections.into_iter().filter(|(_, differs)| *differs).map(|(section, _)| section).collect()
    }
}

impl Default for GuardConfig {
    fn default() -> Self {
        Self { services: 3, within: Duration::from_mins(1), revert_cluster: false }
    }
}

use std::time::Duration;

use crate::rollout::{Freeze, Zone};

/// What holds for all services, and comes into force with a saved file: the rest of `switchback.toml` is read at start.
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

impl Default for GuardConfig {
    fn default() -> Self {
        Self { services: 3, within: Duration::from_mins(1), revert_cluster: false }
    }
}

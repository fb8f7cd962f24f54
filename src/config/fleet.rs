use std::sync::Arc;

use super::webhooks::WebhookConfig;

/// What of `switchback.toml` concerns all services, and is in force as soon as it is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FleetConfig {
    /// Who is told what happens, by name.
    pub webhooks: Vec<Arc<WebhookConfig>>,
}

impl FleetConfig {
    /// The sections that differ.
    pub(super) fn changes(&self, new: &Self) -> Vec<&'static str> {
        let sections = [("webhooks", self.webhooks != new.webhooks)];
        sections.into_iter().filter(|(_, differs)| *differs).map(|(section, _)| section).collect()
    }
}

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::model::ServiceName;

/// Which records are on disk, for those who wait for theirs.
#[derive(Clone, Debug, Default)]
pub(super) struct OnDisk(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Locked by control alone, and never for longer than a look.
    revisions: Mutex<HashMap<ServiceName, u64>>,
    more: Notify,
}

impl OnDisk {
    /// This revision is.
    pub(super) fn note(&self, service: &ServiceName, revision: u64) {
        let mut revisions = self.0.revisions.lock().unwrap_or_else(PoisonError::into_inner);
        revisions.insert(service.clone(), revision);
        self.0.more.notify_waiters();
    }

    /// Waits until all of these are, or later ones.
    pub(super) async fn has(&self, records: &[(ServiceName, u64)]) {
        loop {
            let more = self.0.more.notified();
            if self.has_now(records) {
                return;
            }
            more.await;
        }
    }

    fn has_now(&self, records: &[(ServiceName, u64)]) -> bool {
        let revisions = self.0.revisions.lock().unwrap_or_else(PoisonError::into_inner);
        let is_there = |service, wanted| revisions.get(service).is_some_and(|revision| *revision >= wanted);
        records.iter().all(|(service, wanted)| is_there(service, *wanted))
    }
}

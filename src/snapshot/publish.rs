use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::{ArcSwap, Cache};
use tokio::sync::{Notify, watch};

use super::Snapshot;

/// Control's end.
#[derive(Debug)]
pub(crate) struct Publisher {
    latest: Arc<ArcSwap<Snapshot>>,
    doorbells: Vec<Arc<Doorbell>>,
    /// Changes whenever a worker has looked.
    looked: watch::Receiver<()>,
}

/// One worker's end.
pub(crate) struct Subscription {
    latest: Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>,
    doorbell: Arc<Doorbell>,
    looked: watch::Sender<()>,
}

/// How control wakes a worker, and learns what it goes by.
#[derive(Debug, Default)]
struct Doorbell {
    ring: Notify,
    /// The generation that the worker goes by.
    seen: AtomicU64,
}

/// A publisher, and a subscription for each worker.
pub(crate) fn channel(workers: usize) -> (Publisher, Vec<Subscription>) {
    let latest = Arc::new(ArcSwap::from_pointee(Snapshot::default()));
    let (looking, looked) = watch::channel(());
    let doorbells: Vec<Arc<Doorbell>> = (0..workers).map(|_| Arc::default()).collect();
    let subscriptions = doorbells
        .iter()
        .map(|doorbell| Subscription {
            latest: Cache::new(latest.clone()),
            doorbell: doorbell.clone(),
            looked: looking.clone(),
        })
        .collect();
    (Publisher { latest, doorbells, looked }, subscriptions)
}

impl Publisher {
    /// Swaps the snapshot, and wakes every worker.
    pub(crate) fn publish(&self, snapshot: Snapshot) {
        self.latest.store(Arc::new(snapshot));
        for doorbell in &self.doorbells {
            doorbell.ring.notify_one();
        }
    }

    /// How many workers go by this generation, or a later one.
    pub(crate) fn seen_by(&self, generation: u64) -> usize {
        self.doorbells.iter().filter(|doorbell| doorbell.seen.load(Ordering::Acquire) >= generation).count()
    }

    /// How many workers there are.
    pub(crate) fn workers(&self) -> usize {
        self.doorbells.len()
    }

    /// Waits until every worker goes by this generation, or a later one.
    pub(crate) async fn seen_by_all(&self, generation: u64) {
        let mut looked = self.looked.clone();
        loop {
            looked.mark_unchanged();
            let all = self.seen_by(generation) == self.workers();
            // A channel without senders means that there are no workers to wait for.
            if all || looked.changed().await.is_err() {
                return;
            }
        }
    }
}

impl Subscription {
    /// The latest snapshot. Costs one load of a shared pointer where nothing has changed.
    pub(crate) fn latest(&mut self) -> &Arc<Snapshot> {
        self.latest.load()
    }

    /// What wakes the worker when there is something new.
    pub(crate) fn bell(&self) -> Bell {
        Bell(self.doorbell.clone())
    }

    /// Tells control what the worker goes by.
    pub(crate) fn confirm(&self, generation: u64) {
        if self.doorbell.seen.swap(generation, Ordering::AcqRel) != generation {
            self.looked.send_modify(|()| {});
        }
    }
}

/// A worker's doorbell, to be waited on.
pub(crate) struct Bell(Arc<Doorbell>);

impl Bell {
    /// Waits until control has rung.
    pub(crate) async fn rings(&self) {
        self.0.ring.notified().await;
    }
}

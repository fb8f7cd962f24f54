use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;

use super::record::Finished;

/// Records that wait to be written. The writer comes for them every few milliseconds, in which all workers
/// together finish a few thousand requests at most; past this they are dropped, because a slow disk must not
/// become a slow request.
pub(super) const ACCESS_LOG_QUEUE: usize = 8_192;

/// The worker's end of the log.
#[derive(Clone, Debug)]
pub(crate) struct AccessLog {
    records: mpsc::Sender<Finished>,
    counts: Arc<Counts>,
}

/// What went wrong since the start. Rare, and so shared.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    dropped: AtomicU64,
    write_failures: AtomicU64,
}

pub(super) fn channel(counts: Arc<Counts>) -> (AccessLog, mpsc::Receiver<Finished>) {
    let (records, waiting) = mpsc::channel(ACCESS_LOG_QUEUE);
    (AccessLog { records, counts }, waiting)
}

impl AccessLog {
    /// Hands a record over, or drops it where too many wait. Never waits.
    pub(crate) fn push(&self, finished: Finished) {
        if self.records.try_send(finished).is_err() {
            self.counts.drop_records(1);
        }
    }
}

impl Counts {
    /// Requests that the log does not have.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Times that lines could not be written, or the file not be opened.
    pub(crate) fn write_failures(&self) -> u64 {
        self.write_failures.load(Ordering::Relaxed)
    }

    pub(super) fn drop_records(&self, count: u64) {
        self.dropped.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn fail(&self) {
        self.write_failures.fetch_add(1, Ordering::Relaxed);
    }
}

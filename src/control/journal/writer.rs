use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::sync::mpsc as blocking;
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc;
use tracing::warn;

use crate::model::ServiceName;
use crate::rollout::{Record, Word};

use super::super::event::Behind;
use super::super::history::{Deed, Draft};
use super::calibration::CalibrationsRecord;
use super::endpoints::EndpointsRecord;
use super::ledger::LedgerRecord;
use super::receipt::ReceiptRecord;
use super::store::Store;

/// Writes records, receipts and the history on a thread of its own, one after the other.
///
/// What waits is bounded by the number of services: of each there is at most one record waiting, the latest,
/// since an earlier one would be overwritten anyway. Receipts and entries of the history beyond a bound are dropped, oldest first.
/// A receipt, or what the ledger knows, that cannot be written waits again.
///
/// What is toward Kubernetes stands in the history before it stands in a record: nobody gets more than the history says.
/// What is toward Helios is in force already, and its record protects: the history comes behind it, and is tried again until
/// it is written.
pub(crate) struct Writer {
    jobs: blocking::SyncSender<Job>,
    records: HashMap<ServiceName, Box<ToWrite>>,
    /// The services in `records`, in the order in which they came.
    order: VecDeque<ServiceName>,
    /// By the service and the time of its revert.
    receipts: BTreeMap<(u64, ServiceName), Box<ReceiptRecord>>,
    /// What is to be added to the history, with its time.
    drafts: VecDeque<(u64, Draft)>,
    /// The latest of each service.
    endpoints: HashMap<ServiceName, Box<EndpointsRecord>>,
    ledgers: HashMap<ServiceName, Box<LedgerRecord>>,
    calibrations: HashMap<ServiceName, Box<CalibrationsRecord>>,
    busy: bool,
}

/// A record that waits.
struct ToWrite {
    record: Record,
    /// What must stand in the history before it: it is toward Kubernetes.
    first: Option<(u64, Draft)>,
}

/// A job is done.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) what: WrittenWhat,
    /// What could not be added to the history.
    unwritten: Vec<(u64, Draft)>,
    /// What is to be tried again.
    again: Option<Again>,
}

#[derive(Debug)]
enum Again {
    Receipt(ServiceName, Box<ReceiptRecord>),
    Ledger(ServiceName, Box<LedgerRecord>),
}

/// What was written, or could not be.
#[derive(Debug)]
pub(crate) enum WrittenWhat {
    Record { service: ServiceName, revision: u64, ok: bool },
    Other,
}

struct Job {
    what: JobOf,
    drafts: Vec<(u64, Draft)>,
}

enum JobOf {
    Record(ServiceName, Box<ToWrite>),
    Receipt(ServiceName, Box<ReceiptRecord>),
    Endpoints(ServiceName, Box<EndpointsRecord>),
    Ledger(ServiceName, Box<LedgerRecord>),
    Calibrations(ServiceName, Box<CalibrationsRecord>),
    History,
}

/// Receipts that may wait for the disk.
const MOST_WAITING_RECEIPTS: usize = 16_384;
/// Entries of the history that may wait for it.
const MOST_WAITING_DRAFTS: usize = 16_384;
/// Entries that are written at once.
const DRAFTS_AT_ONCE: usize = 256;

/// What could not be written is reported only after this, so that a full disk is not written to in a circle.
const AFTER_FAILURE: Duration = Duration::from_millis(500);

impl Writer {
    /// Starts the thread. It ends when the writer is dropped and the last job is done.
    pub(crate) fn start(mut store: Store, done: mpsc::UnboundedSender<Written>) -> io::Result<Self> {
        let (jobs, todo) = blocking::sync_channel::<Job>(1);
        thread::Builder::new().name("journal".to_owned()).spawn(move || {
            for job in todo {
                // Nobody listens any more when the process ends; what was asked for is written all the same.
                let _ = done.send(perform(&mut store, job));
            }
        })?;
        Ok(Self {
            jobs,
            records: HashMap::new(),
            order: VecDeque::new(),
            receipts: BTreeMap::new(),
            drafts: VecDeque::new(),
            endpoints: HashMap::new(),
            ledgers: HashMap::new(),
            calibrations: HashMap::new(),
            busy: false,
        })
    }

    /// Writes a record, soon, and adds to the history. What was to stand before an earlier record, that is not written any more,
    /// is dropped: it did not come into force.
    pub(in crate::control) fn record(
        &mut self,
        service: ServiceName,
        record: Record,
        history: Behind,
        at_unix_ms: u64,
    ) {
        let first = match history {
            Behind::First(draft) => draft.map(|draft| (at_unix_ms, *draft)),
            Behind::Then(draft) => {
                if let Some(draft) = draft {
                    self.keep_draft(at_unix_ms, *draft);
                }
                None
            }
        };
        let is_hold = matches!(record.said.word, Word::Held(_));
        let is_new = self.records.insert(service.clone(), Box::new(ToWrite { record, first })).is_none();
        if is_hold {
            // What protects waits for nobody.
            self.order.retain(|waits| *waits != service);
            self.order.push_front(service);
        } else if is_new {
            self.order.push_back(service);
        }
        self.go_on();
    }

    /// Adds to the history, soon.
    pub(crate) fn history(&mut self, at_unix_ms: u64, draft: Draft) {
        self.keep_draft(at_unix_ms, draft);
        self.go_on();
    }

    /// Writes a receipt, soon.
    pub(crate) fn receipt(&mut self, service: ServiceName, receipt: Box<ReceiptRecord>) {
        let key = (receipt.reverted_unix_ms, service);
        if self.receipts.len() == MOST_WAITING_RECEIPTS && !self.receipts.contains_key(&key) {
            warn!("the disk is slow: a receipt was dropped");
            self.receipts.pop_first();
        }
        self.receipts.insert(key, receipt);
        self.go_on();
    }

    /// Writes a service's endpoints, when there is nothing else to write.
    pub(crate) fn endpoints(&mut self, service: ServiceName, record: Box<EndpointsRecord>) {
        self.endpoints.insert(service, record);
        self.go_on();
    }

    /// Writes what the ledger knows of a service, when there is nothing else to write.
    pub(crate) fn ledger(&mut self, service: ServiceName, record: Box<LedgerRecord>) {
        self.ledgers.insert(service, record);
        self.go_on();
    }

    /// Writes what is known of a service's calibrations, when no record or receipt waits.
    pub(crate) fn calibrations(&mut self, service: ServiceName, record: Box<CalibrationsRecord>) {
        self.calibrations.insert(service, record);
        self.go_on();
    }

    /// A job is done: the next may begin.
    pub(crate) fn done(&mut self, written: Written) -> WrittenWhat {
        self.busy = false;
        for (at, draft) in written.unwritten.into_iter().rev() {
            self.drafts.push_front((at, draft));
        }
        // A later one that waits already says more.
        match written.again {
            Some(Again::Receipt(service, receipt)) => {
                self.receipts.entry((receipt.reverted_unix_ms, service)).or_insert(receipt);
            }
            Some(Again::Ledger(service, record)) => _ = self.ledgers.entry(service).or_insert(record),
            None => {}
        }
        self.go_on();
        written.what
    }

    /// Whether everything that was asked for is on disk.
    pub(crate) fn is_idle(&self) -> bool {
        !self.busy
            && self.records.is_empty()
            && self.receipts.is_empty()
            && self.drafts.is_empty()
            && self.endpoints.is_empty()
            && self.ledgers.is_empty()
            && self.calibrations.is_empty()
    }

    /// Entries of the history that wait for the disk.
    pub(crate) fn waiting_drafts(&self) -> usize {
        self.drafts.len()
    }

    fn keep_draft(&mut self, at_unix_ms: u64, draft: Draft) {
        if self.drafts.len() == MOST_WAITING_DRAFTS {
            warn!("the disk is slow: an entry of the history was dropped");
            self.drafts.pop_front();
        }
        self.drafts.push_back((at_unix_ms, draft));
    }

    /// Records come before receipts: a hold protects, a receipt explains. Endpoints will be known again.
    fn go_on(&mut self) {
        if self.busy {
            return;
        }
        let Some(what) = self.next() else { return };
        let drafts = self.drafts.drain(..self.drafts.len().min(DRAFTS_AT_ONCE)).collect();
        self.busy = self.jobs.send(Job { what, drafts }).is_ok();
    }

    fn next(&mut self) -> Option<JobOf> {
        let record = self.order.pop_front().and_then(|service| self.records.remove_entry(&service));
        if let Some((service, record)) = record {
            return Some(JobOf::Record(service, record));
        }
        if let Some(((_, service), receipt)) = self.receipts.pop_first() {
            return Some(JobOf::Receipt(service, receipt));
        }
        if !self.drafts.is_empty() {
            return Some(JobOf::History);
        }
        if let Some((service, record)) = take_any(&mut self.calibrations) {
            return Some(JobOf::Calibrations(service, record));
        }
        if let Some((service, record)) = take_any(&mut self.ledgers) {
            return Some(JobOf::Ledger(service, record));
        }
        take_any(&mut self.endpoints).map(|(service, record)| JobOf::Endpoints(service, record))
    }
}

fn take_any<T>(of: &mut HashMap<ServiceName, T>) -> Option<(ServiceName, T)> {
    let service = of.keys().next()?.clone();
    of.remove_entry(&service)
}

fn perform(store: &mut Store, Job { what, mut drafts }: Job) -> Written {
    let mut again = None;
    let what = match what {
        JobOf::Record(service, to_write) => {
            let revision = to_write.record.revision;
            let ok = perform_record(store, &service, *to_write, &mut drafts);
            WrittenWhat::Record { service, revision, ok }
        }
        JobOf::Receipt(service, receipt) => {
            match store.write_receipt(&service, &receipt) {
                Ok(seal) => {
                    let kept = Draft::done(Deed::ReceiptKept);
                    let kept = Draft { service: Some(service.to_string()), receipt: Some(seal), ..kept };
                    drafts.push((receipt.reverted_unix_ms, kept));
                }
                Err(error) => {
                    warn!(%service, %error, "cannot write a receipt; trying again");
                    pause();
                    again = Some(Again::Receipt(service, receipt));
                }
            }
            WrittenWhat::Other
        }
        JobOf::Endpoints(service, record) => {
            if let Err(error) = store.write_endpoints(&service, &record) {
                warn!(%service, %error, "cannot keep endpoints");
            }
            WrittenWhat::Other
        }
        JobOf::Ledger(service, record) => {
            if let Err(error) = store.write_ledger(&service, &record) {
                warn!(%service, %error, "cannot keep the ledger; trying again");
                pause();
                again = Some(Again::Ledger(service, record));
            }
            WrittenWhat::Other
        }
        JobOf::Calibrations(service, record) => {
            if let Err(error) = store.write_calibrations(&service, &record) {
                warn!(%service, %error, "cannot keep what a calibration came to");
            }
            WrittenWhat::Other
        }
        JobOf::History => WrittenWhat::Other,
    };
    Written { what, unwritten: add_to_history(store, drafts), again }
}

/// Tells whether the record is on disk. `drafts` of what is in force already are taken along where the history comes first.
fn perform_record(
    store: &mut Store,
    service: &ServiceName,
    ToWrite { record, first }: ToWrite,
    drafts: &mut Vec<(u64, Draft)>,
) -> bool {
    if let Some(first) = first {
        let before = drafts.len();
        drafts.push(first);
        let left = add_to_history(store, std::mem::take(drafts));
        if !left.is_empty() {
            // What was in force is tried again; what is not will not be.
            drafts.extend(left.into_iter().take(before));
            return false;
        }
    }
    let written = store.write_record(service, &record);
    if let Err(error) = &written {
        warn!(%service, %error, "cannot write a record");
        pause();
    }
    written.is_ok()
}

/// Gives back what could not be added.
fn add_to_history(store: &mut Store, drafts: Vec<(u64, Draft)>) -> Vec<(u64, Draft)> {
    if drafts.is_empty() {
        return drafts;
    }
    match store.write_history(&drafts) {
        Ok(()) => Vec::new(),
        Err(error) => {
            warn!(%error, "cannot add to the history");
            pause();
            drafts
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "this thread serves nobody, and must not write in a circle")]
fn pause() {
    thread::sleep(AFTER_FAILURE);
}

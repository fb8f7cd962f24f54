use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::mpsc as blocking;
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc;
use tracing::warn;

use crate::model::ServiceName;
use crate::rollout::Record;

use super::calibration::CalibrationsRecord;
use super::endpoints::EndpointsRecord;
use super::receipt::ReceiptRecord;
use super::store::Store;

/// Writes records and receipts on a thread of its own, one after the other.
///
/// What waits is bounded by the number of services: of each there is at most one record waiting, the latest,
/// since an earlier one would be overwritten anyway; and receipts beyond a bound are dropped, oldest first.
pub(crate) struct Writer {
    jobs: blocking::SyncSender<Job>,
    records: HashMap<ServiceName, Record>,
    /// The services in `records`, in the order in which they came.
    order: VecDeque<ServiceName>,
    receipts: VecDeque<(ServiceName, Box<ReceiptRecord>)>,
    /// The latest of each service.
    endpoints: HashMap<ServiceName, Box<EndpointsRecord>>,
    /// The latest of each service.
    calibrations: HashMap<ServiceName, Box<CalibrationsRecord>>,
    busy: bool,
}

/// A job is done.
#[derive(Debug)]
pub(crate) enum Written {
    Record { service: ServiceName, revision: u64, ok: bool },
    Receipt,
    Endpoints,
    Calibrations,
}

enum Job {
    Record(ServiceName, Record),
    Receipt(ServiceName, Box<ReceiptRecord>),
    Endpoints(ServiceName, Box<EndpointsRecord>),
    Calibrations(ServiceName, Box<CalibrationsRecord>),
}

/// Receipts that may wait for the disk.
const MOST_WAITING_RECEIPTS: usize = 1_024;

/// What could not be written is reported only after this, so that a full disk is not written to in a circle.
const AFTER_FAILURE: Duration = Duration::from_millis(500);

impl Writer {
    /// Starts the thread. It ends when the writer is dropped and the last job is done.
    pub(crate) fn start(store: Store, done: mpsc::UnboundedSender<Written>) -> io::Result<Self> {
        let (jobs, todo) = blocking::sync_channel::<Job>(1);
        thread::Builder::new().name("journal".to_owned()).spawn(move || {
            for job in todo {
                // Nobody listens any more when the process ends; what was asked for is written all the same.
                let _ = done.send(perform(&store, job));
            }
        })?;
        Ok(Self {
            jobs,
            records: HashMap::new(),
            order: VecDeque::new(),
            receipts: VecDeque::new(),
            endpoints: HashMap::new(),
            calibrations: HashMap::new(),
            busy: false,
        })
    }

    /// Writes a record, soon.
    pub(crate) fn record(&mut self, service: ServiceName, record: Record) {
        if self.records.insert(service.clone(), record).is_none() {
            self.order.push_back(service);
        }
        self.go_on();
    }

    /// Writes a receipt, soon.
    pub(crate) fn receipt(&mut self, service: ServiceName, receipt: Box<ReceiptRecord>) {
        if self.receipts.len() == MOST_WAITING_RECEIPTS {
            warn!("the disk is slow: a receipt was dropped");
            self.receipts.pop_front();
        }
        self.receipts.push_back((service, receipt));
        self.go_on();
    }

    /// Writes a service's endpoints, when there is nothing else to write.
    pub(crate) fn endpoints(&mut self, service: ServiceName, record: Box<EndpointsRecord>) {
        self.endpoints.insert(service, record);
        self.go_on();
    }

    /// Writes what is known of a service's calibrations, when no record or receipt waits.
    pub(crate) fn calibrations(&mut self, service: ServiceName, record: Box<CalibrationsRecord>) {
        self.calibrations.insert(service, record);
        self.go_on();
    }

    /// A job is done: the next may begin.
    pub(crate) fn done(&mut self) {
        self.busy = false;
        self.go_on();
    }

    /// Whether everything that was asked for is on disk.
    pub(crate) fn is_idle(&self) -> bool {
        !self.busy
            && self.records.is_empty()
            && self.receipts.is_empty()
            && self.endpoints.is_empty()
            && self.calibrations.is_empty()
    }

    /// Records come before receipts: a hold protects, a receipt explains. Endpoints will be known again.
    fn go_on(&mut self) {
        if self.busy {
            return;
        }
        let record = self.order.pop_front().and_then(|service| self.records.remove_entry(&service));
        let next = record.map(|(service, record)| Job::Record(service, record));
        let next = next
            .or_else(|| self.receipts.pop_front().map(|(service, receipt)| Job::Receipt(service, receipt)));
        let next = next.or_else(|| {
            let service = self.calibrations.keys().next()?.clone();
            self.calibrations.remove(&service).map(|record| Job::Calibrations(service, record))
        });
        let next = next.or_else(|| {
            let service = self.endpoints.keys().next()?.clone();
            self.endpoints.remove(&service).map(|record| Job::Endpoints(service, record))
        });
        if let Some(job) = next {
            self.busy = self.jobs.send(job).is_ok();
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "this thread serves nobody, and must not write in a circle")]
fn perform(store: &Store, job: Job) -> Written {
    match job {
        Job::Record(service, record) => {
            let written = store.write_record(&service, &record);
            if let Err(error) = &written {
                warn!(%service, %error, "cannot write a record");
                thread::sleep(AFTER_FAILURE);
            }
            Written::Record { service, revision: record.revision, ok: written.is_ok() }
        }
        Job::Receipt(service, receipt) => {
            if let Err(error) = store.write_receipt(&service, &receipt) {
                warn!(%service, %error, "cannot write a receipt");
            }
            Written::Receipt
        }
        Job::Endpoints(service, record) => {
            if let Err(error) = store.write_endpoints(&service, &record) {
                warn!(%service, %error, "cannot keep endpoints");
            }
            Written::Endpoints
        }
        Job::Calibrations(service, record) => {
            if let Err(error) = store.write_calibrations(&service, &record) {
                warn!(%service, %error, "cannot keep what a calibration came to");
            }
            Written::Calibrations
        }
    }
}

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tracing::{error, info, warn};

use crate::admin::{self, AdminSeed};
use crate::config::ProcessConfig;
use crate::control::{self, Reader};
use crate::dataplane::{self, DoorSeed, Listening, Stop, WorkerSeed};
use crate::model::Address;
use crate::telemetry::{AccessLogCounts, AccessLogWriter, start_access_log};
use crate::{snapshot, tally};

use super::bind::SocketFile;
use super::build::Bound;

/// The running program.
pub struct Running {
    ready: Arc<AtomicBool>,
    workers: Vec<JoinHandle<()>>,
    control: Option<JoinHandle<()>>,
    admin: Option<JoinHandle<()>>,
    access_log: Option<AccessLogWriter>,
    reload: Arc<Notify>,
    stop_workers: watch::Sender<Stop>,
    stop_control: watch::Sender<bool>,
    deadline: Duration,
    addresses: Vec<(String, Address)>,
    /// Of listeners that are Unix sockets.
    files: Vec<SocketFile>,
    admin_address: SocketAddr,
}

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Requests in flight are finished, within the configured deadline.
    Graceful,
    /// At once.
    Now,
}

impl Bound {
    /// Starts every thread. Control comes first: no worker serves before every hold is in force.
    pub fn start(self) -> io::Result<Running> {
        let (addresses, admin_address) = (self.addresses().to_vec(), self.admin_address());
        let process = self.loaded.config.process.clone();
        let workers = process.workers;
        let (publisher, subscriptions) = snapshot::channel(workers);
        let (reporting, reports) = tally::channel();
        let (stop_workers, stopped) = watch::channel(Stop::No);
        let (stop_control, control_stopped) = watch::channel(false);
        let reload = Arc::new(Notify::new());
        let (counts, known) = (Arc::<AccessLogCounts>::default(), Arc::new(AtomicBool::new(false)));
        let access_log =
            self.access_log.map(|file| start_access_log(file, self.clock, counts.clone())).transpose()?;
        let (access_log, log_writer) = access_log.unzip();
        let (control, handle) = control::start(control::Seed {
            clock: self.clock,
            loaded: self.loaded,
            folder: self.folder,
            store: self.store,
            kept: self.kept,
            publisher,
            reports,
            reload: reload.clone(),
            access_log: counts,
            known: known.clone(),
            stop: control_stopped.clone(),
        })?;
        let doors: Arc<[DoorSeed]> =
            process.listeners.iter().map(|config| DoorSeed::new(config.clone())).collect();
        let seeds = by_worker(self.listeners, workers).into_iter().zip(subscriptions).enumerate();
        let threads = seeds.map(|(index, (listeners, subscription))| {
            dataplane::start(WorkerSeed {
                index,
                clock: self.clock,
                listeners,
                doors: doors.clone(),
                subscription,
                reports: reporting.clone(),
                access_log: access_log.clone(),
                limits: process.limits.shared_by(workers),
                stop: stopped.clone(),
            })
        });
        let threads = threads.collect::<io::Result<Vec<_>>>()?;
        let ready = Arc::new(AtomicBool::new(true));
        let admin = admin::start(AdminSeed {
            clock: self.clock,
            control: handle,
            history: Reader::of(&process.state),
            ready: ready.clone(),
            known,
            tcp: self.admin,
            unix: self.admin_socket,
            config: process.admin.clone(),
            rights: self.rights,
            stop: control_stopped,
        })?;
        tell(&addresses, admin_address, &process);
        Ok(Running {
            ready,
            workers: threads,
            control: Some(control),
            admin: Some(admin),
            access_log: log_writer,
            reload,
            stop_workers,
            stop_control,
            deadline: process.shutdown,
            addresses,
            files: self.files,
            admin_address,
        })
    }
}

impl Running {
    /// The address and port on which a listener listens; `None` if it is a Unix socket.
    pub fn address(&self, listener: &str) -> Option<SocketAddr> {
        self.addresses.iter().find(|(name, _)| name == listener).and_then(|(_, address)| address.tcp())
    }

    /// Where the admin interface listens.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin_address
    }

    /// What is wrong with the program while it runs: threads that have ended though nobody told them to.
    pub fn missing(&self) -> Vec<&'static str> {
        let ended = |thread: &Option<JoinHandle<()>>| thread.as_ref().is_some_and(JoinHandle::is_finished);
        let named = [
            ("control", ended(&self.control)),
            ("admin", ended(&self.admin)),
            ("worker", self.workers.iter().any(JoinHandle::is_finished)),
            ("access log", self.access_log.as_ref().is_some_and(AccessLogWriter::is_finished)),
        ];
        named.into_iter().filter(|(_, missing)| *missing).map(|(name, _)| name).collect()
    }

    /// Has the configuration read, whether or not it seems to have changed, and the access log opened anew.
    pub fn reload(&self) {
        self.reload.notify_one();
        if let Some(log) = &self.access_log {
            log.reopen();
        }
    }

    /// Tells the program to end. Can be called again to make it end sooner.
    pub fn stop(&self, ending: Ending) {
        self.ready.store(false, Ordering::Relaxed);
        let stop = match ending {
            Ending::Graceful => Stop::Graceful(self.deadline),
            Ending::Now => Stop::Now,
        };
        // Workers that have ended already need not be told.
        let _ = self.stop_workers.send(stop);
    }

    /// Waits until the program has ended, after [`Running::stop`]. Blocks.
    pub fn join(&mut self) {
        for worker in self.workers.drain(..) {
            join(worker, "a worker");
        }
        // Whoever comes next finds no socket rather than one that nobody answers.
        self.files.clear();
        // Workers have said all that they know.
        if let Some(log) = self.access_log.take() {
            log.end();
        }
        let _ = self.stop_control.send(true);
        for (thread, name) in [(self.control.take(), "control"), (self.admin.take(), "admin")] {
            if let Some(thread) = thread {
                join(thread, name);
            }
        }
    }

    /// Whether every worker has ended.
    pub fn has_ended(&self) -> bool {
        self.workers.iter().all(JoinHandle::is_finished)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.workers.is_empty() {
            warn!("the program was dropped while it ran: ending now");
            self.stop(Ending::Now);
            self.join();
        }
    }
}

/// Tells where everything listens.
fn tell(addresses: &[(String, Address)], admin: SocketAddr, process: &ProcessConfig) {
    for (name, address) in addresses {
        info!(listener = name, %address, "listening");
    }
    let workers = process.workers;
    info!(address = %admin, socket = %process.admin.socket.display(), workers, "admin listening");
}

/// Each worker's socket of every listener.
fn by_worker(listeners: Vec<Vec<Listening>>, workers: usize) -> Vec<Vec<Listening>> {
    let mut by_worker: Vec<Vec<_>> = (0..workers).map(|_| Vec::new()).collect();
    for sockets in listeners {
        for (worker, socket) in by_worker.iter_mut().zip(sockets) {
            worker.push(socket);
        }
    }
    by_worker
}

fn join(thread: JoinHandle<()>, name: &str) {
    if thread.join().is_err() {
        error!("{name} had ended in a panic");
    }
}

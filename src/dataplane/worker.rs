use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tracing::{error, info};

use crate::clock::Clock;
use crate::config::{ListenerConfig, ProcessLimits};
use crate::snapshot::Subscription;
use crate::tally::Report;
use crate::telemetry::AccessLog;

use super::connection::Protocols;
use super::core::Core;
use super::crowd::Crowd;
use super::listener::Door;
use super::listening::{Accepting, Listening};
use super::{beat, listener};

/// What a worker is made from.
pub(crate) struct WorkerSeed {
    pub(crate) index: usize,
    pub(crate) clock: Clock,
    /// One socket for each configured listener, in that order, bound and listening.
    pub(crate) listeners: Vec<Listening>,
    /// How each of them was set up.
    pub(crate) doors: Arc<[DoorSeed]>,
    pub(crate) subscription: Subscription,
    pub(crate) reports: mpsc::Sender<Report>,
    pub(crate) access_log: Option<AccessLog>,
    /// Its share of what all clients together may take up.
    pub(crate) limits: ProcessLimits,
    pub(crate) stop: watch::Receiver<Stop>,
}

/// A listener, as all workers share it.
pub(crate) struct DoorSeed {
    config: ListenerConfig,
    /// Who its clients are, if each may have so many connections only.
    crowd: Option<Arc<Crowd>>,
    /// Room for its connections, if there is a bound.
    room: Option<Arc<Semaphore>>,
}

impl DoorSeed {
    pub(crate) fn new(config: ListenerConfig) -> Self {
        let room = config.limits.connections.map(|most| Arc::new(Semaphore::new(most as usize)));
        Self { crowd: config.limits.connections_per_client.map(Crowd::new), room, config }
    }
}

/// When the deadline has passed, streams are given so long to say goodbye to both ends.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What workers are to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Serve.
    No,
    /// Accept nothing more, and end when requests in flight have, or when this much time has passed.
    Graceful(Duration),
    /// End at once.
    Now,
}

/// Starts a worker on a thread of its own. It ends when it is told to stop.
pub(crate) fn start(seed: WorkerSeed) -> io::Result<thread::JoinHandle<()>> {
    thread::Builder::new().name(format!("worker-{}", seed.index)).spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
        match runtime {
            Ok(runtime) => runtime.block_on(run(seed)),
            Err(error) => error!(%error, worker = seed.index, "a worker cannot start"),
        }
    })
}

async fn run(seed: WorkerSeed) {
    let WorkerSeed { index, clock, listeners, doors, limits, mut stop, .. } = seed;
    let WorkerSeed { subscription, reports, access_log, .. } = seed;
    let core = Rc::new(Core::new(index, clock, subscription, reports, access_log, limits.in_flight));
    core.view();
    let mut accepting = JoinSet::new();
    for (place, (socket, seed)) in listeners.into_iter().zip(doors.iter()).enumerate() {
        let config = &seed.config;
        match Accepting::new(socket) {
            Ok(socket) => {
                let door = Door {
                    core: core.clone(),
                    protocols: Rc::new(Protocols::new(&config.limits)),
                    index: place,
                    limits: config.limits.into(),
                    acceptor: config.tls.clone(),
                    told_by: config.told_by.clone().into(),
                    trusted: config.trusted.clone().into(),
                    crowd: seed.crowd.clone(),
                    room: seed.room.clone(),
                };
                let run = listener::run(door, socket, limits.connections);
                accepting.spawn_local(run);
            }
            Err(error) => error!(%error, worker = index, "a worker cannot listen"),
        }
    }
    tokio::task::spawn_local(beat::run(core.clone()));
    tokio::task::spawn_local(beat::follow(core.clone()));
    tokio::task::spawn_local(beat::tidy(core.clone()));
    tokio::task::spawn_local(beat::look_after_connections(core.clone()));
    // Whoever would tell it to stop is gone: so is the process.
    let told = stop.wait_for(|stop| *stop != Stop::No).await.map_or(Stop::Now, |stop| *stop);
    if let Stop::Graceful(deadline) = told {
        core.drain.begin();
        core.waits.wake_all();
        core.connections.wake_all();
        let finished = async {
            // Who waits to be accepted is, and takes a seat when its task has run.
            while accepting.join_next().await.is_some() {}
            tokio::task::yield_now().await;
            core.drain.fewer_than(1).await;
        };
        tokio::select! {
            () = finished => {}
            () = tokio::time::sleep(deadline) => {
                info!(worker = index, open = core.drain.connections(), "the deadline has passed");
                core.drain.close();
                core.waits.wake_all();
                let _ = tokio::time::timeout(LAST_WORDS, core.drain.fewer_than(1)).await;
            }
            _ = stop.wait_for(|stop| *stop == Stop::Now) => {}
        }
    }
    beat::report(&core, core.now());
}

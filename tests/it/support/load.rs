use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::client::{Client, Over, request};

/// Clients that ask all the time, each over one connection, and count what they get.
pub(crate) struct Load {
    counts: Arc<Counts>,
    stop: Arc<AtomicBool>,
    clients: JoinSet<()>,
}

#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) good: AtomicU64,
    /// Answers of 500 or more, or none.
    pub(crate) failed: AtomicU64,
    /// Connections that were not there any more.
    pub(crate) broken: AtomicU64,
}

impl Load {
    /// `per_second` GETs a second by so many clients. A client that waits for an answer asks later, but does
    /// not ask less.
    pub(crate) fn start(address: SocketAddr, host: &'static str, clients: u32, per_second: u32) -> Self {
        let ask = move || request(Over::Http1, Method::GET, host, "/", "");
        Self::asking(address, Over::Http1, clients, per_second, ask)
    }

    /// As [`Load::start`], with requests that `ask` makes.
    pub(crate) fn asking(
        address: SocketAddr,
        over: Over,
        clients: u32,
        per_second: u32,
        ask: impl Fn() -> Request<Full<Bytes>> + Clone + Send + Sync + 'static,
    ) -> Self {
        let (counts, stop) = (Arc::<Counts>::default(), Arc::<AtomicBool>::default());
        let mut set = JoinSet::new();
        for index in 0..clients {
            let (counts, stop, ask) = (counts.clone(), stop.clone(), ask.clone());
            set.spawn(async move {
                let gap = Duration::from_secs(1) * clients / per_second;
                tokio::time::sleep(gap * index / clients).await;
                let mut turn = interval(gap);
                turn.set_missed_tick_behavior(MissedTickBehavior::Burst);
                let mut client = Client::connect(address, over).await;
                while !stop.load(Ordering::Relaxed) {
                    turn.tick().await;
                    match client.try_send(ask()).await {
                        Ok(got) if got.status.as_u16() < 500 => counts.good.fetch_add(1, Ordering::Relaxed),
                        Ok(_) => counts.failed.fetch_add(1, Ordering::Relaxed),
                        Err(_) => {
                            counts.broken.fetch_add(1, Ordering::Relaxed);
                            client = Client::connect(address, over).await;
                            counts.failed.fetch_add(1, Ordering::Relaxed)
                        }
                    };
                }
            });
        }
        Self { counts, stop, clients: set }
    }

    /// Good answers so far.
    pub(crate) fn good(&self) -> u64 {
        self.counts.good.load(Ordering::Relaxed)
    }

    /// Lets every client finish, and tells what they got: good answers, failures, broken connections.
    pub(crate) async fn end(mut self) -> (u64, u64, u64) {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(client) = self.clients.join_next().await {
            client.unwrap();
        }
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (count(&self.counts.good), count(&self.counts.failed), count(&self.counts.broken))
    }
}

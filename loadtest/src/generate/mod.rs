//! The load generator, for what the well-known ones cannot do: a steady rate whatever becomes of the answers, and an
//! exact number of requests in every protocol.
//!
//! *No coordinated omission.* Requests are due at fixed moments, `start + n / rate`. One that finds no connection free
//! waits, and its latency is counted from the moment at which it was due. How late requests were sent is counted too,
//! so that the generator's own part can be seen.
//!
//! One thread, hyper's clients. It takes some 15 µs a request, which is more than the proxies' own part: at a steady
//! rate well below saturation that disturbs nobody, as the generator has a core that it shares with endpoints only. For
//! saturation there are wrk and h2load, which are lighter.

mod client;
mod schedule;
mod tls;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use tokio::runtime::{Builder, LocalOptions};
use tokio::task::JoinSet;

pub(crate) use client::{Client, GRPC_PATH, Target, grpc_message};
use schedule::Schedule;

/// What is asked, of whom, and how often.
#[derive(Args, Clone, Debug)]
pub(crate) struct Generate {
    /// Whom.
    #[arg(long)]
    pub(crate) to: SocketAddr,
    /// In which protocol.
    #[arg(long, value_enum)]
    pub(crate) speaks: Speaks,
    /// Over so many connections …
    #[arg(long, default_value_t = 64)]
    pub(crate) connections: usize,
    /// … and so many streams of each, where the protocol has any.
    #[arg(long, default_value_t = 1)]
    pub(crate) streams: usize,
    /// Each request over a connection of its own.
    #[arg(long)]
    pub(crate) anew: bool,
    /// So many requests a second …
    #[arg(long, requires = "seconds")]
    pub(crate) rate: Option<f64>,
    /// … for so long.
    #[arg(long, requires = "rate")]
    pub(crate) seconds: Option<f64>,
    /// Or so many requests, each as soon as there is a connection for it.
    #[arg(long, conflicts_with = "rate", required_unless_present = "rate")]
    pub(crate) requests: Option<u64>,
    /// The path.
    #[arg(long, default_value = "/")]
    pub(crate) path: String,
    /// Bytes that are sent along.
    #[arg(long, default_value_t = 0)]
    pub(crate) body: usize,
    /// Hosts that are asked for in turns: `service-0.test` and so on.
    #[arg(long)]
    pub(crate) hosts: Option<u64>,
    /// Who has signed the proxy's certificate.
    #[arg(long)]
    pub(crate) authority: Option<PathBuf>,
}

/// The protocols that a client can speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Speaks {
    /// HTTP/1.1 in the clear.
    Http1,
    /// HTTP/1.1 over TLS.
    TlsHttp1,
    /// HTTP/2 over TLS.
    TlsHttp2,
    /// gRPC over HTTP/2 in the clear.
    Grpc,
}

/// What came of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Generated {
    pub(crate) answered: u64,
    pub(crate) failed: u64,
    pub(crate) first_failure: Option<String>,
    pub(crate) seconds: f64,
    /// From when a request was due to the end of its answer.
    pub(crate) latency: Quantiles,
    /// From when a request was due to when it was sent.
    pub(crate) late: Quantiles,
}

/// In microseconds.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Quantiles {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) most: f64,
}

/// Whoever has no answer so long after the last request was due has failed.
const PATIENCE: Duration = Duration::from_secs(20);

impl Generate {
    /// Does it, and prints what came of it as one line of JSON.
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
        let generated = runtime.block_on(self.generate())?;
        println!("{}", serde_json::to_string(&generated)?);
        Ok(())
    }

    async fn generate(&self) -> anyhow::Result<Generated> {
        let target = Rc::new(Target::new(self)?);
        let schedule = Rc::new(Schedule::new(self.requests));
        let mut workers = JoinSet::new();
        for _ in 0..self.connections {
            for client in Client::connect(&target, self.streams).await.context("cannot connect")? {
                workers.spawn_local(work(client, schedule.clone()));
            }
        }
        let begun = Instant::now();
        if let (Some(rate), Some(seconds)) = (self.rate, self.seconds) {
            schedule.clone().run(rate, seconds).await?;
            let rest = async { while workers.join_next().await.is_some() {} };
            if tokio::time::timeout(PATIENCE, rest).await.is_err() {
                schedule.give_up(workers.len() as u64);
            }
        } else {
            while workers.join_next().await.is_some() {}
        }
        Ok(schedule.told(begun.elapsed()))
    }
}

impl Speaks {
    pub(crate) fn has_streams(self) -> bool {
        matches!(self, Self::TlsHttp2 | Self::Grpc)
    }

    pub(crate) fn has_tls(self) -> bool {
        matches!(self, Self::TlsHttp1 | Self::TlsHttp2)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Http1 => "http1",
            Self::TlsHttp1 => "tls-http1",
            Self::TlsHttp2 => "tls-http2",
            Self::Grpc => "grpc",
        }
    }
}

/// Asks, for as long as there is something to ask.
async fn work(mut client: Client, schedule: Rc<Schedule>) {
    while let Some(due) = schedule.next().await {
        let sent = Instant::now();
        match client.ask().await {
            Ok(()) => schedule.answered(due, sent),
            Err(error) => {
                schedule.failed(&error);
                if client.mend().await.is_err() {
                    return;
                }
            }
        }
    }
}

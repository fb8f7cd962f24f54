//! Active checks: endpoints are asked, again and again, whether they are well.
//!
//! Requests tell most about an endpoint, but only of those that get some: one that is out because it did badly, or that nobody
//! asks at the moment, shows by a check alone that it is back, or gone. They come from one thread of the process, and not from
//! each worker: an endpoint is asked as often whatever the number of cores, and all workers hear the same of it.
//!
//! ```text
//! control ─ wanted ─▶ Rota: whose turn is it? ─ Errand ─▶ ask: connection, question, answer
//!    ▲                 └ Pulse: rise and fall ◀──────── well, or why not ┘
//!    └──── Opinions ───┘
//! ```
//!
//! - *Each check makes a connection of its own.* One that is kept says nothing of a listener that is gone, and a TLS session that
//!   is resumed nothing of a certificate.
//! - *Who is checked for the first time is taken for well, and that check decides alone*: nothing else is known. After that,
//!   `fall` bad ones in a row make an endpoint ill, and `rise` good ones well.
//! - *Our own trouble is nobody's illness.* Where we have no descriptor or port left, nothing is learned.
//! - What becomes of those who are ill is control's question: here it is only found out who is.

mod ask;
mod exchange;
mod failure;
mod grpc;
mod http;
mod pulse;
mod rota;
mod run;
#[cfg(test)]
mod server;
mod wire;

use std::io;
use std::sync::Arc;
use std::thread;

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, watch};
use tracing::error;

use crate::clock::Clock;
use crate::config::CheckConfig;
use crate::model::{Endpoint, Side};
use crate::snapshot::ServiceId;
use crate::tls::Connector;

/// Lots of opinions that wait for control; past this, checks wait with telling.
const WAITING_OPINIONS: usize = 64;

/// What one side of a service wants to have checked.
#[derive(Clone, Debug)]
pub(super) struct Checks {
    pub(super) service: ServiceId,
    pub(super) side: Side,
    pub(super) config: Arc<CheckConfig>,
    /// How the side is spoken to over TLS; `None` if it is not.
    pub(super) tls: Option<Arc<Connector>>,
    /// All of them are checked, each once.
    pub(super) endpoints: Arc<[Endpoint]>,
}

/// What checks say of an endpoint. It is told after its first check, and when it changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Opinion {
    pub(super) service: ServiceId,
    pub(super) side: Side,
    pub(super) endpoint: Endpoint,
    pub(super) well: Found,
}

/// That an endpoint is well, or why it is not. The reason is for people, and has nothing in it that the endpoint wrote.
pub(super) type Found = Result<(), Arc<str>>;

/// Starts checking. Ends when `wanted` does.
pub(super) fn start(
    clock: Clock,
    wanted: watch::Receiver<Arc<[Checks]>>,
) -> io::Result<mpsc::Receiver<Vec<Opinion>>> {
    let (tell, opinions) = mpsc::channel(WAITING_OPINIONS);
    thread::Builder::new().name("health".to_owned()).spawn(move || {
        match Builder::new_current_thread().enable_all().build_local(LocalOptions::default()) {
            Ok(runtime) => runtime.block_on(run::run(clock, wanted, tell)),
            Err(error) => error!(%error, "endpoints cannot be checked: what was found of them last holds"),
        }
    })?;
    Ok(opinions)
}

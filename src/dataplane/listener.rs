use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::server::conn::auto;
use tokio::time::timeout;
use tracing::warn;

use crate::config::{ListenerLimits, Peers};
use crate::tls::Acceptor;

use super::core::Core;
use super::endpoints::LocalTasks;
use super::listening::Accepting;
use super::origin::{self, Origin};
use super::serve::{Client, Tls};
use super::wire::{Socket, Wire};
use super::{connection, handshake};

/// After an accept has failed for want of resources, others get a moment to give some back.
const BREATH: Duration = Duration::from_millis(50);

/// When a drain begins, it is waited for so long whether somebody else wants in, …
const LAST_CALL: Duration = Duration::from_millis(20);
/// … and for so long in all.
const LAST_CALL_AT_MOST: Duration = Duration::from_millis(200);

/// What a worker lets clients in by, at one listener.
#[derive(Clone)]
pub(super) struct Door {
    pub(super) core: Rc<Core>,
    pub(super) protocols: Rc<auto::Builder<LocalTasks>>,
    /// The listener's place in the configuration.
    pub(super) place: usize,
    /// How TLS is spoken, if it is.
    pub(super) acceptor: Option<Arc<Acceptor>>,
    pub(super) limits: ListenerLimits,
    /// Whose connections begin with where they come from.
    pub(super) told_by: Rc<Peers>,
    /// Proxies that are believed when they say where a request comes from.
    pub(super) trusted: Rc<Peers>,
}

/// Accepts connections until the worker drains. Those that wait to be accepted by then still are: closing a
/// listener resets them.
pub(super) async fn run(door: Door, listener: Accepting, most_connections: usize) {
    let core = &door.core;
    loop {
        if core.drain.connections() >= most_connections {
            core.accepts_paused.set(core.accepts_paused.get() + 1);
            core.keep_beating();
            core.drain.fewer_than(most_connections).await;
        }
        let accepted = tokio::select! {
            biased;
            accepted = listener.accept() => accepted,
            () = core.drain.begun() => {
                let _ = timeout(LAST_CALL_AT_MOST, door.last_call(&listener)).await;
                return;
            }
        };
        match accepted {
            Ok((socket, origin)) => door.open(socket, origin),
            Err(error) if is_of_the_connection(&error) => {}
            Err(error) => {
                warn!(%error, "cannot accept connections for a moment");
                tokio::time::sleep(BREATH).await;
            }
        }
    }
}

impl Door {
    /// Takes in those who wait: closing a listener resets them, and the system may not have told of them yet.
    async fn last_call(&self, listener: &Accepting) {
        while let Ok(Ok((socket, origin))) = timeout(LAST_CALL, listener.accept()).await {
            self.open(socket, origin);
        }
    }

    fn open(&self, socket: Socket, origin: Origin) {
        let is_told = self.told_by.has(origin.address());
        if self.acceptor.is_none() && !is_told {
            let client = Client::new(self.place, origin, Tls::No, None, self.limits, &self.trusted);
            let (core, protocols) = (self.core.clone(), self.protocols.clone());
            tokio::task::spawn_local(connection::run(core, protocols, Wire::Plain(socket), client));
        } else {
            tokio::task::spawn_local(self.clone().greet(socket, origin, is_told));
        }
    }

    /// What comes before HTTP: where the connection comes from, and TLS.
    async fn greet(self, mut socket: Socket, mut origin: Origin, is_told: bool) {
        let Self { core, protocols, place, acceptor, limits, trusted, .. } = self;
        let seat = core.drain.sit();
        core.keep_beating();
        if is_told {
            let reading = origin::read(&core, &mut socket, origin, limits.head);
            let Some(told) = Box::pin(reading).await else { return };
            origin = told;
        }
        let (wire, tls, caller) = match acceptor {
            None => (Wire::Plain(socket), Tls::No, None),
            Some(acceptor) => {
                let shaken = Box::pin(handshake::accept(&core, &acceptor, socket, limits.head)).await;
                let Some((wire, caller)) = shaken else { return };
                (wire, Tls::Yes, caller)
            }
        };
        drop(seat);
        let client = Client::new(place, origin, tls, caller, limits, &trusted);
        connection::run(core.clone(), protocols, wire, client).await;
    }
}

/// The peer gave up while it waited; the listener is fine.
fn is_of_the_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::server::conn::auto;
use ipnet::IpNet;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tracing::warn;

use crate::config::ListenerLimits;
use crate::model::Cause;
use crate::tls::Acceptor;

use super::core::Core;
use super::crowd::{Admitted, Crowd};
use super::origin::{self, Origin};
use super::serve::{Client, Tls};
use super::streams::Streams;
use super::wire::Wire;
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
    pub(super) protocols: Rc<auto::Builder<Streams>>,
    /// The listener's place in the configuration.
    pub(super) index: usize,
    /// How TLS is spoken, if it is.
    pub(super) acceptor: Option<Arc<Acceptor>>,
    pub(super) limits: ListenerLimits,
    /// Whose connections begin with where they come from.
    pub(super) told_by: Rc<[IpNet]>,
    /// Who its clients are, if each may have so many connections only.
    pub(super) crowd: Option<Arc<Crowd>>,
    /// Room for connections, if there is a bound.
    pub(super) room: Option<Arc<Semaphore>>,
}

/// Accepts connections until the worker drains. Those that wait to be accepted by then still are: closing a
/// listener resets them.
pub(super) async fn run(door: Door, listener: TcpListener, most_connections: usize) {
    let core = &door.core;
    loop {
        if core.drain.connections() >= most_connections {
            core.accepts_paused.set(core.accepts_paused.get() + 1);
            core.keep_beating();
            core.drain.fewer_than(most_connections).await;
        }
        let place = door.place().await;
        let accepted = tokio::select! {
            biased;
            accepted = listener.accept() => accepted,
            () = core.drain.begun() => {
                let _ = timeout(LAST_CALL_AT_MOST, door.last_call(&listener)).await;
                return;
            }
        };
        match accepted {
            Ok((stream, peer)) => door.open(stream, peer, place),
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
    async fn last_call(&self, listener: &TcpListener) {
        loop {
            let place = match &self.room {
                Some(room) => match room.clone().try_acquire_owned() {
                    Ok(place) => Some(place),
                    Err(_) => return,
                },
                None => None,
            };
            let Ok(Ok((stream, peer))) = timeout(LAST_CALL, listener.accept()).await else { return };
            self.open(stream, peer, place);
        }
    }

    /// Waits for room for one more connection, if there is a bound.
    async fn place(&self) -> Option<OwnedSemaphorePermit> {
        let room = self.room.as_ref()?;
        if room.available_permits() == 0 {
            self.core.accepts_paused.set(self.core.accepts_paused.get() + 1);
            self.core.keep_beating();
        }
        room.clone().acquire_owned().await.ok()
    }

    fn open(&self, stream: TcpStream, peer: SocketAddr, place: Option<OwnedSemaphorePermit>) {
        let admitted = Admitted { by_listener: place, by_client: None };
        // An answer goes out as it comes. A peer that is gone already is noticed by the first read.
        let _ = stream.set_nodelay(true);
        let origin = Origin { client: peer, local: stream.local_addr().unwrap_or(peer) };
        let is_told = self.told_by.iter().any(|network| network.contains(&peer.ip().to_canonical()));
        if self.acceptor.is_none() && !is_told {
            let Some(admitted) = self.admit(origin, admitted) else { return };
            let client = Client::new(self.index, origin, Tls::No, None, self.limits, admitted);
            let (core, protocols) = (self.core.clone(), self.protocols.clone());
            tokio::task::spawn_local(connection::run(core, protocols, Wire::Tcp(stream), client));
        } else {
            tokio::task::spawn_local(self.clone().greet(stream, origin, is_told, admitted));
        }
    }

    /// Gives a client's connection its place among the client's others; `None` if it has as many as it may. It is
    /// closed without a word: a client that has so many would not hear it.
    fn admit(&self, origin: Origin, mut admitted: Admitted) -> Option<Admitted> {
        if let Some(crowd) = &self.crowd {
            admitted.by_client = crowd.enter(origin.client.ip());
            if admitted.by_client.is_none() {
                self.core.refuse(Cause::TooManyConnections);
                return None;
            }
        }
        Some(admitted)
    }

    /// What comes before HTTP: where the connection comes from, and TLS.
    async fn greet(self, mut stream: TcpStream, mut origin: Origin, is_told: bool, admitted: Admitted) {
        let Self { core, limits, .. } = &self;
        let seat = core.drain.sit();
        core.keep_beating();
        if is_told {
            let reading = origin::read(core, &mut stream, origin, limits.head);
            let Some(told) = Box::pin(reading).await else { return };
            origin = told;
        }
        let Some(admitted) = self.admit(origin, admitted) else { return };
        let (wire, tls, caller) = match &self.acceptor {
            None => (Wire::Tcp(stream), Tls::No, None),
            Some(acceptor) => {
                let shaken = Box::pin(handshake::accept(core, acceptor, stream, limits.head)).await;
                let Some((wire, caller)) = shaken else { return };
                (wire, Tls::Yes, caller)
            }
        };
        drop(seat);
        let client = Client::new(self.index, origin, tls, caller, *limits, admitted);
        connection::run(core.clone(), self.protocols.clone(), wire, client).await;
    }
}

/// The peer gave up while it waited; the listener is fine.
fn is_of_the_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tracing::warn;

use crate::config::{ListenerLimits, Peers};
use crate::model::Cause;
use crate::tls::Acceptor;

use super::connection::Protocols;
use super::core::Core;
use super::crowd::{Admitted, Crowd};
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
    pub(super) protocols: Rc<Protocols>,
    /// The listener's place in the configuration.
    pub(super) index: usize,
    /// How TLS is spoken, if it is.
    pub(super) acceptor: Option<Arc<Acceptor>>,
    pub(super) limits: Rc<ListenerLimits>,
    /// Whose connections begin with where they come from.
    pub(super) told_by: Rc<Peers>,
    /// Proxies that are believed when they say where a request comes from.
    pub(super) trusted: Rc<Peers>,
    /// Who its clients are, if each may have so many connections only.
    pub(super) crowd: Option<Arc<Crowd>>,
    /// Room for connections, if there is a bound.
    pub(super) room: Option<Arc<Semaphore>>,
}

/// Accepts connections until the worker drains. Those that wait to be accepted by then still are: closing a
/// listener resets them.
pub(super) async fn run(door: Door, listener: Accepting, most_connections: usize) {
    let core = &door.core;
    let mut is_out_of_breath = false;
    loop {
        let accepted = tokio::select! {
            biased;
            accepted = door.accept(&listener, most_connections) => accepted,
            () = core.drain.begun() => {
                let _ = timeout(LAST_CALL_AT_MOST, door.last_call(&listener)).await;
                return;
            }
        };
        match accepted {
            Ok((socket, origin, place)) => {
                is_out_of_breath = false;
                door.open(socket, origin, place);
            }
            Err(error) if is_of_the_connection(&error) => {}
            Err(error) => {
                core.pause_accepts();
                if !std::mem::replace(&mut is_out_of_breath, true) {
                    warn!(%error, "connections cannot be accepted for now");
                }
                tokio::time::sleep(BREATH).await;
            }
        }
    }
}

impl Door {
    /// The next connection, when there is room for it. Where the listener has its bound, one for which there is no room yet is
    /// held: another worker may have it sooner than this one, but none that it waits for in vain.
    async fn accept(
        &self,
        listener: &Accepting,
        most_connections: usize,
    ) -> io::Result<(Socket, Origin, Option<OwnedSemaphorePermit>)> {
        let drain = &self.core.drain;
        if drain.connections() >= most_connections {
            self.core.pause_accepts();
            drain.fewer_than(most_connections).await;
        }
        let (socket, origin) = listener.accept().await?;
        Ok((socket, origin, self.place().await))
    }

    /// Takes in those who wait: closing a listener resets them, and the system may not have told of them yet.
    async fn last_call(&self, listener: &Accepting) {
        while let Ok(Ok((socket, origin))) = timeout(LAST_CALL, listener.accept()).await {
            let place = self.room.as_ref().map(|room| room.clone().try_acquire_owned()).transpose();
            let Ok(place) = place else { return };
            self.open(socket, origin, place);
        }
    }

    /// Waits until the listener may have one connection more, if there is a bound.
    async fn place(&self) -> Option<OwnedSemaphorePermit> {
        let room = self.room.as_ref()?;
        if let Ok(place) = room.clone().try_acquire_owned() {
            return Some(place);
        }
        self.core.pause_accepts();
        room.clone().acquire_owned().await.ok()
    }

    fn open(&self, socket: Socket, origin: Origin, place: Option<OwnedSemaphorePermit>) {
        let admitted = Admitted { by_listener: place, by_client: None };
        let is_told = self.told_by.has(origin.address());
        if self.acceptor.is_none() && !is_told {
            let Some(admitted) = self.admit(origin, admitted) else { return };
            let client =
                Client::new(self.index, origin, Tls::No, None, &self.limits, &self.trusted, admitted);
            let (core, protocols) = (self.core.clone(), self.protocols.clone());
            tokio::task::spawn_local(connection::run(core, protocols, Wire::Plain(socket), client));
        } else {
            tokio::task::spawn_local(self.clone().greet(socket, origin, is_told, admitted));
        }
    }

    /// Gives a client's connection its place among the client's others; `None` if it has as many as it may. It is
    /// closed without a word: a client that has so many would not hear it.
    fn admit(&self, origin: Origin, mut admitted: Admitted) -> Option<Admitted> {
        // Who comes by a Unix socket has no address.
        if let Some((crowd, address)) = self.crowd.as_ref().zip(origin.address()) {
            admitted.by_client = crowd.enter(address);
            if admitted.by_client.is_none() {
                self.core.refuse(Cause::TooManyConnections);
                return None;
            }
        }
        Some(admitted)
    }

    /// What comes before HTTP: where the connection comes from, and TLS.
    async fn greet(self, mut socket: Socket, mut origin: Origin, is_told: bool, admitted: Admitted) {
        let Self { core, limits, .. } = &self;
        let seat = core.drain.sit();
        core.keep_beating();
        if is_told {
            let reading = origin::read(core, &mut socket, origin, limits.head);
            let Some(told) = Box::pin(reading).await else {
                core.refuse(Cause::NotAnnounced);
                return;
            };
            origin = told;
        }
        let Some(admitted) = self.admit(origin, admitted) else { return };
        let (wire, tls, caller) = match &self.acceptor {
            None => (Wire::Plain(socket), Tls::No, None),
            Some(acceptor) => {
                let shaken = Box::pin(handshake::accept(core, acceptor, socket, limits.head)).await;
                let Some((wire, caller)) = shaken else { return };
                (wire, Tls::Yes, caller)
            }
        };
        drop(seat);
        let client = Client::new(self.index, origin, tls, caller, limits, &self.trusted, admitted);
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

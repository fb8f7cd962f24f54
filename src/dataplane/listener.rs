use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tracing::warn;

use super::connection;
use super::core::Core;
use super::endpoints::LocalTasks;
use super::serve::Client;

/// After an accept has failed for want of resources, others get a moment to give some back.
const BREATH: Duration = Duration::from_millis(50);

/// When a drain begins, it is waited for so long whether somebody else wants in, …
const LAST_CALL: Duration = Duration::from_millis(20);
/// … and for so long in all.
const LAST_CALL_AT_MOST: Duration = Duration::from_millis(200);

/// Accepts connections until the worker drains. Those that wait to be accepted by then still are: closing a
/// listener resets them.
pub(super) async fn run(
    core: Rc<Core>,
    protocols: Rc<auto::Builder<LocalTasks>>,
    listener: TcpListener,
    place: usize,
    most_connections: usize,
) {
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
                let last = last_call(&core, &protocols, &listener, place);
                let _ = timeout(LAST_CALL_AT_MOST, last).await;
                return;
            }
        };
        match accepted {
            Ok((stream, peer)) => open(&core, &protocols, stream, peer, place),
            Err(error) if is_of_the_connection(&error) => {}
            Err(error) => {
                warn!(%error, "cannot accept connections for a moment");
                tokio::time::sleep(BREATH).await;
            }
        }
    }
}

/// Takes in those who wait: closing a listener resets them, and the system may not have told of them yet.
async fn last_call(
    core: &Rc<Core>,
    protocols: &Rc<auto::Builder<LocalTasks>>,
    listener: &TcpListener,
    place: usize,
) {
    while let Ok(Ok((stream, peer))) = timeout(LAST_CALL, listener.accept()).await {
        open(core, protocols, stream, peer, place);
    }
}

fn open(
    core: &Rc<Core>,
    protocols: &Rc<auto::Builder<LocalTasks>>,
    stream: TcpStream,
    peer: SocketAddr,
    place: usize,
) {
    // An answer goes out as it comes. A peer that is gone already is noticed by the first read.
    let _ = stream.set_nodelay(true);
    let client = Client::new(place, peer.ip());
    tokio::task::spawn_local(connection::run(core.clone(), protocols.clone(), stream, client));
}

/// The peer gave up while it waited; the listener is fine.
fn is_of_the_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

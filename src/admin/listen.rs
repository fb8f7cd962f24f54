use std::cell::RefCell;
use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tower::Service;
use tracing::{debug, warn};

use crate::tls::{Acceptor, Holder};

use super::peer::Peer;

/// Connections of one socket; whoever comes next waits until one ends. The two sockets have each as many, so that no crowd on
/// the network keeps anybody out who is on the machine.
const MOST_CONNECTIONS: usize = 1_024;
/// Of them, those of one address that is not this machine's; what is more is closed at once.
const MOST_OF_ONE: usize = 64;
/// How long agreeing on TLS may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a request's head may take, and how long a connection is kept between two requests.
const QUIET: Duration = Duration::from_mins(1);
/// How long a connection is used for new requests. Whoever has shown a certificate when it began shows it anew.
const LAST: Duration = Duration::from_mins(1);
const LIFE: Duration = Duration::from_hours(1);
/// The size of a request's head: more than the longest token.
const HEAD_BYTES: usize = 64 << 10;
/// After an error of the system, such as too few file descriptors, it gets time to recover.
const BREATH: Duration = Duration::from_secs(1);

/// Takes in who comes over TCP. Call on a runtime that runs local tasks.
pub(super) async fn over_tcp(listener: TcpListener, tls: Option<Arc<Acceptor>>, router: Router) {
    let (room, crowd) = (Arc::new(Semaphore::new(MOST_CONNECTIONS)), Crowd::default());
    loop {
        let Ok(place) = room.clone().acquire_owned().await else { return };
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                recover(&error).await;
                continue;
            }
        };
        let Some(kept) = crowd.enter(from.ip()) else { continue };
        let (tls, router) = (tls.clone(), router.clone());
        tokio::task::spawn_local(async move {
            let _kept = (place, kept);
            // Answers go out as they come.
            let _ = stream.set_nodelay(true);
            match tls {
                None => serve(stream, Peer::Tcp(from), router).await,
                Some(acceptor) => {
                    let Some((stream, holder)) = shake(&acceptor, stream).await else { return };
                    serve(stream, Peer::Tls(from, holder), router).await;
                }
            }
        });
    }
}

/// Takes in who comes by the Unix socket.
pub(super) async fn over_unix(listener: UnixListener, router: Router) {
    let room = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let Ok(place) = room.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let (peer, router) =
                    (Peer::Unix(stream.peer_cred().ok().map(|cred| cred.uid())), router.clone());
                tokio::task::spawn_local(async move {
                    let _kept = place;
                    serve(stream, peer, router).await;
                });
            }
            Err(error) => recover(&error).await,
        }
    }
}

/// Agrees on TLS, and learns who the client is. `None` if that fails.
async fn shake(
    acceptor: &Acceptor,
    stream: TcpStream,
) -> Option<(impl AsyncRead + AsyncWrite + Unpin + 'static, Option<Arc<Holder>>)> {
    let shaking = TlsAcceptor::from(acceptor.config()?).accept(stream);
    let stream = match timeout(HANDSHAKE, shaking).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            debug!(%error, "a client of the admin interface does not agree on TLS");
            return None;
        }
        Err(_) => return None,
    };
    let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let holder = match certificate.map(Holder::of) {
        // Whoever has proven to be somebody is not taken for nobody.
        Some(None) => return None,
        Some(Some(holder)) => Some(Arc::new(holder)),
        None => None,
    };
    Some((stream, holder))
}

/// Answers the requests of a connection.
async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + 'static, peer: Peer, router: Router) {
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer.clone());
        let answered = router.clone().call(request.map(Body::new));
        async move { Ok::<_, Infallible>(answered.await.unwrap_or_else(|never| match never {})) }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(QUIET).max_buf_size(HEAD_BYTES);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = sleep(LIFE) => {
            connection.as_mut().graceful_shutdown();
            // What is followed has no end of its own; who follows comes again.
            match timeout(LAST, connection).await {
                Ok(served) => served,
                Err(_) => return,
            }
        }
    };
    if let Err(error) = served {
        debug!(%error, "a connection to the admin interface has ended");
    }
}

async fn recover(error: &io::Error) {
    let is_clients = matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    );
    if !is_clients {
        warn!(%error, "the admin interface cannot take connections");
        sleep(BREATH).await;
    }
}

/// How many connections each address has.
#[derive(Clone, Default)]
struct Crowd(Rc<RefCell<HashMap<IpAddr, usize>>>);

/// A connection that is counted, for as long as this is kept.
struct Counted(Crowd, IpAddr);

impl Crowd {
    /// `None` if there are too many already.
    fn enter(&self, address: IpAddr) -> Option<Counted> {
        let address = super::access::network(address);
        let mut counts = self.0.borrow_mut();
        let count = counts.entry(address).or_default();
        if *count >= MOST_OF_ONE && !address.is_loopback() {
            return None;
        }
        *count += 1;
        Some(Counted(self.clone(), address))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut counts = self.0.0.borrow_mut();
        if let Some(count) = counts.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_takes_not_all_the_room() {
        let crowd = Crowd::default();
        let of = |text: &str| crowd.enter(text.parse().unwrap());
        let kept: Vec<_> = (0..MOST_OF_ONE).map(|_| of("192.0.2.1").unwrap()).collect();
        assert!(of("192.0.2.1").is_none() && of("192.0.2.2").is_some());
        drop(kept);
        assert!(of("192.0.2.1").is_some());
        let kept: Vec<_> = (0..2 * MOST_OF_ONE).map(|_| of("127.0.0.1").unwrap()).collect();
        drop(kept);
        assert!(crowd.0.borrow().is_empty(), "nobody is remembered who is gone");
    }
}

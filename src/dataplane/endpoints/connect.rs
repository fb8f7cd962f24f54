use std::io;
use std::rc::Rc;
use std::time::Duration;

use nix::errno::Errno;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::{TlsConnector, TlsStream};
use tracing::warn;

use crate::model::{Address, Cause};

use super::super::core::Core;
use super::super::held::Held;
use super::super::http1::endpoint::Http1;
use super::super::http2;
use super::super::http2::endpoint::Http2;
use super::super::origin::Origin;
use super::super::waits::{Expired, Limit, within};
use super::super::wire::{Socket, Wire};
use super::EndpointState;
use crate::tls::Connector;

/// What is allowed to endpoints that speak HTTP/2. (They open no streams.)
const BOUNDS: http2::Bounds =
    http2::Bounds { streams: 0, window: 128 << 10, windows: (128 << 10) * 100, head: 64 << 10 };

/// A connection over which nothing came for so long is probed.
const PROBED: Duration = Duration::from_secs(15);
/// What was sent and is not acknowledged for so long does not arrive.
const UNACKNOWLEDGED: Duration = Duration::from_secs(20);

/// Makes an HTTP/1.1 connection.
pub(super) async fn http1(
    core: &Rc<Core>,
    endpoint: &EndpointState,
    limit: Limit,
    origin: Option<&Origin>,
) -> Result<Http1, Cause> {
    wire(core, endpoint, limit, origin).await.map(Http1::new)
}

/// Makes an HTTP/2 connection, without TLS by prior knowledge.
pub(super) async fn http2(
    core: &Rc<Core>,
    endpoint: &EndpointState,
    limit: Limit,
    origin: Option<&Origin>,
) -> Result<Http2, Cause> {
    wire(core, endpoint, limit, origin).await.map(|wire| Http2::new(core, wire, BOUNDS))
}

async fn wire(
    core: &Rc<Core>,
    endpoint: &EndpointState,
    limit: Limit,
    origin: Option<&Origin>,
) -> Result<Wire, Cause> {
    let mut socket = socket(core, endpoint, limit).await?;
    if let (Some(version), Some(origin)) = (endpoint.announced, origin) {
        let told = within(core, limit, origin.write(version, &mut socket)).await.map_err(in_words)?;
        told.map_err(|_| Cause::ConnectFailed)?;
    }
    match &endpoint.tls {
        None => Ok(Wire::Plain(socket)),
        Some(connector) => Box::pin(tls(core, endpoint, connector, socket, limit)).await,
    }
}

/// Agrees on TLS. What stands in the way is logged once, until the endpoint is well again: the cause alone would
/// not tell people what to mend.
async fn tls(
    core: &Rc<Core>,
    endpoint: &EndpointState,
    connector: &Connector,
    socket: Socket,
    limit: Limit,
) -> Result<Wire, Cause> {
    let address = &endpoint.endpoint.address;
    let ip = address.tcp().map(|address| address.ip());
    let (Some(config), Some(name)) = (connector.config(), connector.name(ip)) else {
        return Err(Cause::TlsFailed);
    };
    let shaking = TlsConnector::from(config).connect(name, Held::new(socket));
    let shaken = match within(core, limit, shaking).await.map_err(in_words)? {
        Ok(shaken) => shaken,
        Err(error) => {
            if !endpoint.is_refusing() {
                warn!(endpoint = %address, %error, "an endpoint cannot be spoken to over TLS");
            }
            return Err(Cause::TlsFailed);
        }
    };
    if !connector.is_agreed(shaken.get_ref().1.alpn_protocol()) {
        if !endpoint.is_refusing() {
            warn!(endpoint = %address, "an endpoint speaks another protocol over TLS than its side's (ALPN)");
        }
        return Err(Cause::TlsFailed);
    }
    Ok(Wire::Tls(Box::new(TlsStream::from(shaken))))
}

async fn socket(core: &Rc<Core>, endpoint: &EndpointState, limit: Limit) -> Result<Socket, Cause> {
    match &endpoint.endpoint.address {
        Address::Tcp(address) => {
            let connecting = TcpStream::connect(address);
            let connected = within(core, limit, connecting).await.map_err(in_words)?;
            let stream = connected.map_err(|error| cause(&error))?;
            // Answers and requests go out as they come; a peer that is gone already is noticed by the request.
            let _ = stream.set_nodelay(true);
            notice_the_dead(&stream);
            Ok(Socket::Tcp(stream))
        }
        Address::Unix(path) => {
            let connecting = Box::pin(UnixStream::connect(path));
            let connected = within(core, limit, connecting).await.map_err(in_words)?;
            connected.map(Socket::Unix).map_err(|error| cause_at_path(&error))
        }
    }
}

/// Has the kernel find out that a peer is gone without a word, as when its machine is: what is sent and never acknowledged ends the
/// connection, and so do probes of an idle one.
fn notice_the_dead(stream: &TcpStream) {
    let socket = SockRef::from(stream);
    let probes = TcpKeepalive::new().with_time(PROBED).with_interval(PROBED / 3).with_retries(3);
    // Without them it is noticed later.
    let _ = socket.set_tcp_keepalive(&probes);
    let _ = socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED));
}

/// The same of a Unix socket. Where there is none nobody listens, and one that has more who wait than it takes says so
/// at once.
fn cause_at_path(error: &io::Error) -> Cause {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::WouldBlock => Cause::ConnectRefused,
        _ => cause(error),
    }
}

/// Whose fault it is that a connection could not be made: ours, if we have no descriptor or port left for it.
fn cause(error: &io::Error) -> Cause {
    let ours = [Errno::EMFILE, Errno::ENFILE, Errno::ENOBUFS, Errno::ENOMEM, Errno::EADDRNOTAVAIL];
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Cause::ConnectRefused,
        io::ErrorKind::TimedOut => Cause::ConnectTimeout,
        _ if error.raw_os_error().is_some_and(|code| ours.contains(&Errno::from_raw(code))) => {
            Cause::Overloaded
        }
        _ => Cause::ConnectFailed,
    }
}

pub(super) fn in_words(expired: Expired) -> Cause {
    match expired {
        Expired::Late => Cause::ConnectTimeout,
        Expired::TakenBack => Cause::TakenBack,
        Expired::LetOut => Cause::LetOut,
    }
}

use std::net::SocketAddr;
use std::sync::Arc;

use proxy_protocol_rs::HeaderBuilder;
use rustls::ClientConfig;
use rustls::client::Resumption;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use crate::config::{Protocol, ProxyProtocol};
use crate::model::Address;
use crate::tls::Connector;

use super::failure::Failure;
use super::rota::Errand;

/// What a check goes over. In a box, whatever it is: an allocation is nothing beside a connection.
pub(super) type Wire = Box<dyn Duplex>;

/// Bytes both ways.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Duplex for T {}

/// Makes a connection to an endpoint, as the data plane would.
pub(super) async fn connect(errand: &Errand) -> Result<Wire, Failure> {
    let mut socket = socket(errand).await?;
    if let Some(version) = errand.config.proxy_protocol {
        // On our own behalf: there is no client.
        let header = match version {
            ProxyProtocol::V1 => HeaderBuilder::v1_unknown(),
            ProxyProtocol::V2 => HeaderBuilder::v2_local(),
        };
        socket.write_all(&header.build()).await.map_err(Failure::of_connecting)?;
    }
    match &errand.tls {
        None => Ok(socket),
        Some(connector) => secure(errand, connector, socket).await,
    }
}

/// The address that is asked. A Unix socket has no other port.
pub(super) fn address(errand: &Errand) -> Address {
    match (&errand.address, errand.config.port) {
        (Address::Tcp(address), Some(port)) => Address::Tcp(SocketAddr::new(address.ip(), port)),
        (address, _) => address.clone(),
    }
}

async fn socket(errand: &Errand) -> Result<Wire, Failure> {
    match address(errand) {
        Address::Tcp(address) => {
            let stream = TcpStream::connect(address).await.map_err(Failure::of_connecting)?;
            // What is asked goes out at once.
            let _ = stream.set_nodelay(true);
            Ok(Box::new(stream))
        }
        Address::Unix(path) => {
            let stream = UnixStream::connect(path).await.map_err(Failure::of_connecting)?;
            Ok(Box::new(stream))
        }
    }
}

async fn secure(errand: &Errand, connector: &Connector, socket: Wire) -> Result<Wire, Failure> {
    let protocol = errand.config.protocol;
    let ip = errand.address.tcp().map(|address| address.ip());
    let (Some(config), Some(name)) = (connector.config(), connector.name(ip)) else {
        return Err(Failure::NoTls);
    };
    let shaking = TlsConnector::from(alone(&config, protocol)).connect(name, socket);
    let shaken = shaking.await.map_err(Failure::Tls)?;
    let agreed = match shaken.get_ref().1.alpn_protocol() {
        Some(name) => name == alpn(protocol),
        // Who does not know of ALPN speaks HTTP/1.1.
        None => protocol == Protocol::Http1,
    };
    if agreed { Ok(Box::new(shaken)) } else { Err(Failure::NotAgreed(protocol)) }
}

/// The side's TLS for one connection that stands for itself: no session is resumed, as then no certificate would be looked at,
/// and no ticket is taken from those that requests resume theirs by. gRPC is spoken over HTTP/2 whatever the side speaks.
fn alone(config: &ClientConfig, protocol: Protocol) -> Arc<ClientConfig> {
    let mut config = config.clone();
    config.resumption = Resumption::disabled();
    config.alpn_protocols = vec![alpn(protocol).to_vec()];
    Arc::new(config)
}

/// The names of protocols (RFC 7301).
const fn alpn(protocol: Protocol) -> &'static [u8] {
    match protocol {
        Protocol::Http1 => b"http/1.1",
        Protocol::Http2 => b"h2",
    }
}

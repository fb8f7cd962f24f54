use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use proxy_protocol_rs::{Command, HeaderBuilder, V2_SIGNATURE, parse};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::config::ProxyProtocol;

use super::core::Core;
use super::waits::{Limit, within};
use super::wire::Socket;

/// A header of version 1 has at most so many bytes (PROXY protocol, section 2.1).
const LONGEST_V1: usize = 107;
/// One of version 2 has so many and those that it announces, of which addresses are a few and extensions the rest.
const V2_FIRST: usize = 16;
const LONGEST_V2: usize = 4_096;

/// Reads where a connection comes from, as the load balancer before us tells it (PROXY protocol, version 1 or 2), and
/// no byte more. `None` if that is not what the connection begins with: it says nothing that could be believed.
pub(super) async fn read(
    core: &Rc<Core>,
    stream: &mut Socket,
    seen: Origin,
    patience: Duration,
) -> Option<Origin> {
    let limit = Limit { until: core.now().after(patience), recall: None };
    let header = within(core, limit, header(stream)).await.ok()??;
    let (told, _) = parse(&header).ok()?;
    if told.command != Command::Proxy {
        return Some(seen); // the load balancer itself asks whether we are well
    }
    Some(match (told.source_inet(), told.destination_inet()) {
        (Some(client), Some(local)) => Origin::Known { client, local },
        _ => seen, // it does not know
    })
}

async fn header(stream: &mut Socket) -> Option<Vec<u8>> {
    let mut header = vec![0; V2_SIGNATURE.len()];
    stream.read_exact(&mut header).await.ok()?;
    if header == V2_SIGNATURE {
        header.resize(V2_FIRST, 0);
        stream.read_exact(&mut header[V2_SIGNATURE.len()..]).await.ok()?;
        let length = usize::from(u16::from_be_bytes([header[V2_FIRST - 2], header[V2_FIRST - 1]]));
        if length > LONGEST_V2 {
            return None;
        }
        header.resize(V2_FIRST + length, 0);
        stream.read_exact(&mut header[V2_FIRST..]).await.ok()?;
        return Some(header);
    }
    if !header.starts_with(b"PROXY ") {
        return None;
    }
    // What stands behind the line is not ours to read.
    while !header.ends_with(b"\r\n") {
        if header.len() == LONGEST_V1 {
            return None;
        }
        header.push(stream.read_u8().await.ok()?);
    }
    Some(header)
}

/// Where a connection comes from, and where it was made to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Origin {
    Known {
        client: SocketAddr,
        local: SocketAddr,
    },
    /// It came by a Unix socket, whose ends have no address.
    Unknown,
}

impl Origin {
    /// The client's address, if it has one.
    pub(super) fn address(self) -> Option<IpAddr> {
        match self {
            Origin::Known { client, .. } => Some(client.ip().to_canonical()),
            Origin::Unknown => None,
        }
    }

    /// Tells an endpoint, before anything else is sent.
    pub(super) async fn write(self, version: ProxyProtocol, stream: &mut Socket) -> std::io::Result<()> {
        let header = match (self, version) {
            (Origin::Known { client, local }, version) => {
                // What a socket of both families calls an IPv4 address is one all the same.
                let (client, local) = of_one_family(canonical(client), canonical(local));
                match version {
                    ProxyProtocol::V1 => HeaderBuilder::v1_proxy(client, local),
                    ProxyProtocol::V2 => HeaderBuilder::v2_proxy(client, local),
                }
            }
            (Origin::Unknown, ProxyProtocol::V1) => HeaderBuilder::v1_unknown(),
            (Origin::Unknown, ProxyProtocol::V2) => HeaderBuilder::v2_local(),
        };
        stream.write_all(&header.build()).await
    }
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Both of a header's addresses are of one family.
fn of_one_family(client: SocketAddr, local: SocketAddr) -> (SocketAddr, SocketAddr) {
    match (client, local) {
        (SocketAddr::V4(_), SocketAddr::V4(_)) | (SocketAddr::V6(_), SocketAddr::V6(_)) => (client, local),
        _ => (as_v6(client), as_v6(local)),
    }
}

fn as_v6(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) => SocketAddr::new(v4.ip().to_ipv6_mapped().into(), v4.port()),
        SocketAddr::V6(_) => address,
    }
}

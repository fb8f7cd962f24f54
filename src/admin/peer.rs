use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::tls::Holder;

/// What is at the other end of a connection.
#[derive(Clone, Debug)]
pub(super) enum Peer {
    /// Somebody over TCP.
    Tcp(SocketAddr),
    /// Somebody over TLS, with the client certificate that they have proven to be theirs, if they have.
    Tls(SocketAddr, Option<Arc<Holder>>),
    /// The user of this number, as the system says.
    Unix(Option<u32>),
}

impl Peer {
    pub(super) fn address(&self) -> Option<SocketAddr> {
        match self {
            Peer::Tcp(address) | Peer::Tls(address, _) => Some(*address),
            Peer::Unix(_) => None,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address() {
            Some(address) => address.fmt(f),
            None => f.write_str("unix"),
        }
    }
}

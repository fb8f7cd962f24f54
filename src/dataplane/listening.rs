use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, UnixListener};

use super::origin::Origin;
use super::wire::Socket;

/// A socket that clients connect to, bound and listening.
pub(crate) enum Listening {
    Tcp(std::net::TcpListener),
    Unix(std::os::unix::net::UnixListener),
}

/// The same, on a worker's runtime.
pub(super) enum Accepting {
    Tcp {
        listener: TcpListener,
        /// Where clients connect to; `None` where that may be any address of the machine.
        local: Option<SocketAddr>,
    },
    Unix(UnixListener),
}

impl Accepting {
    pub(super) fn new(listening: Listening) -> io::Result<Self> {
        match listening {
            Listening::Tcp(listener) => {
                let local = listener.local_addr().ok().filter(|local| !local.ip().is_unspecified());
                Ok(Self::Tcp { listener: TcpListener::from_std(listener)?, local })
            }
            Listening::Unix(listener) => UnixListener::from_std(listener).map(Self::Unix),
        }
    }

    /// The next connection, and where it comes from.
    pub(super) async fn accept(&self) -> io::Result<(Socket, Origin)> {
        match self {
            Self::Tcp { listener, local } => {
                let (stream, peer) = listener.accept().await?;
                // A peer that is gone already is noticed by the first read.
                let local = local.or_else(|| stream.local_addr().ok()).unwrap_or(peer);
                Ok((Socket::Tcp(stream), Origin::Known { client: peer, local }))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok((Socket::Unix(stream), Origin::Unknown))
            }
        }
    }
}

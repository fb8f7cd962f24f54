use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

/// One address of a side.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// Where it listens.
    pub address: Address,
    /// What tells it from one that had the address before, if its source says so.
    pub instance: Option<Arc<str>>,
}

impl Endpoint {
    /// Whoever listens there.
    pub const fn at(address: Address) -> Self {
        Self { address, instance: None }
    }

    /// A copy that counts its users by itself.
    #[must_use]
    pub fn own(&self) -> Self {
        Self { address: self.address.own(), instance: self.instance.as_deref().map(Into::into) }
    }
}

/// Where somebody listens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// An address and a port.
    Tcp(SocketAddr),
    /// A Unix socket, by its whole path.
    Unix(Arc<Path>),
}

impl Address {
    /// What a Unix socket's path is written behind.
    pub const UNIX: &str = "unix:";

    /// The address and port; `None` if it has none.
    pub const fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Address::Tcp(address) => Some(*address),
            Address::Unix(_) => None,
        }
    }

    /// A copy that counts its users by itself.
    #[must_use]
    pub fn own(&self) -> Self {
        match self {
            Address::Tcp(address) => Address::Tcp(*address),
            Address::Unix(path) => Address::Unix(Path::new(&**path).into()),
        }
    }

    /// Reads what [`Display`](fmt::Display) writes: `10.4.1.17:8080`, `[fd00::7]:8080` or `unix:/run/playlist.sock`.
    pub fn parse(text: &str) -> Option<Self> {
        match text.strip_prefix(Self::UNIX) {
            Some(path) => path.starts_with('/').then(|| Address::Unix(Path::new(path).into())),
            None => text.parse().ok().map(Address::Tcp),
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Address::Tcp(address)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => fmt::Display::fmt(address, f),
            Address::Unix(path) => write!(f, "{}{}", Self::UNIX, path.display()),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.address, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_as_they_are_written() {
        for text in ["10.4.1.17:8080", "[fd00::7]:8080", "unix:/run/playlist.sock"] {
            let address = Address::parse(text).unwrap();
            assert_eq!(address.to_string(), text);
            assert_eq!(address.own(), address);
        }
        for text in ["unix:run/playlist.sock", "unix:", "/run/playlist.sock", "10.4.1.17", ""] {
            assert_eq!(Address::parse(text), None, "{text:?}");
        }
        assert_eq!(
            Address::parse("unix:/run//playlist.sock"),
            Address::parse("unix:/run/./playlist.sock"),
            "one socket"
        );
    }
}

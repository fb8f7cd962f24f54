//! Every mix of protocols, plain and over TLS, on either leg.

use std::net::SocketAddr;

use super::client::Over;
use super::proxy::{Folder, Proxy, Service};
use super::tls::{Authority, Pair};

/// How one leg is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Leg {
    pub(crate) over: Over,
    pub(crate) wire: Wire,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    Plain,
    Tls,
}

pub(crate) const LEGS: [Leg; 4] = [
    Leg { over: Over::Http1, wire: Wire::Plain },
    Leg { over: Over::Http1, wire: Wire::Tls },
    Leg { over: Over::Http2, wire: Wire::Plain },
    Leg { over: Over::Http2, wire: Wire::Tls },
];

/// The name in the endpoints' certificate.
const ENDPOINT: &str = "endpoint.test";

impl Leg {
    /// A configuration with one service, whose Helios endpoint is spoken to so, and which is served over all legs.
    pub(crate) fn folder(self, authority: &Authority, endpoint: SocketAddr) -> Folder {
        let protocol = if self.over == Over::Http1 { "http/1.1" } else { "http/2" };
        let mut service = Service::new("a").host("*").helios(endpoint).protocols(protocol, protocol);
        if self.wire == Wire::Tls {
            let tls = format!("[helios.tls]\nauthorities = \"authority.pem\"\nname = {ENDPOINT:?}\n");
            service = service.rest(&tls);
        }
        let folder = Folder::with(&[service]);
        folder.add_to_process(
            "[listeners.https]\naddress = \"127.0.0.1:0\"\n[listeners.https.tls]\n\
             certificates = [{ chain = \"site.pem\", key = \"site.key\" }]\n",
        );
        authority.sign(&["a.test", "127.0.0.1"]).write(folder.path(), "site");
        authority.write(&folder.path().join("authority.pem"));
        folder
    }

    /// Where a client finds the program, and whom it trusts if it speaks TLS.
    pub(crate) fn of(self, proxy: &Proxy) -> (SocketAddr, Option<String>) {
        match self.wire {
            Wire::Plain => (proxy.address, None),
            Wire::Tls => {
                (proxy.https(), Some(proxy.folder.path().join("authority.pem").display().to_string()))
            }
        }
    }
}

/// A certificate for endpoints that speak TLS.
pub(crate) fn sign_endpoint(authority: &Authority) -> Pair {
    authority.sign(&[ENDPOINT])
}

//! TLS on both legs: who we are to clients, who clients are to us, and the same toward endpoints.
//!
//! An [`Acceptor`] is a listener's, a [`Connector`] a side's. Each is made from files, and made again when they
//! change: what is being used stays in use, connections are not touched, and a bad file leaves the last good ones in
//! force. Sessions can be resumed across a change of certificates, but not where clients
//! must say who they are: a resumed one is not asked again.

mod accept;
mod caller;
mod connect;
mod files;
mod holder;
mod identity;
mod spiffe;

use std::sync::Arc;

use rustls::crypto::CryptoProvider;

pub use accept::{AcceptSettings, Acceptor, ClientCertificates};
pub(crate) use caller::caller;
pub use connect::{ConnectSettings, Connector};
pub use files::Trouble;
pub(crate) use files::{Material, Signature};
pub(crate) use holder::Holder;
pub use identity::{Expiry, KeyPair};

/// The ALPN names of the two protocols (RFC 7301).
const HTTP2: &[u8] = b"h2";
const HTTP11: &[u8] = b"http/1.1";

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

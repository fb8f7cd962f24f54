use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwapOption;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{
    ClientHello, NoClientAuth, NoServerSessionStorage, ProducesTickets, ResolvesServerCert,
    WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, SupportedProtocolVersion, version};

use super::files::{Material, Trouble, authorities};
use super::identity::{Expiry, Identity, KeyPair};
use super::{HTTP2, HTTP11, provider};

/// How a listener speaks TLS.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AcceptSettings {
    /// Who we are, at least once. A client that names a host gets the certificate that is for it, every other the
    /// first one.
    pub certificates: Vec<KeyPair>,
    /// Whether TLS 1.2 is refused.
    pub only_tls13: bool,
    /// Who clients must be; `None` if they are not asked.
    pub clients: Option<ClientCertificates>,
    /// Whether HTTP/2 is spoken beside HTTP/1.1.
    pub http2: bool,
}

/// Certificates of clients.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClientCertificates {
    /// The file of the authorities that may have signed them.
    pub authorities: PathBuf,
    /// Whether a client without one is let in.
    pub optional: bool,
    /// Whether endpoints are told who the client is.
    pub forwarded: bool,
}

/// A listener's part in TLS.
pub struct Acceptor {
    settings: AcceptSettings,
    current: ArcSwapOption<ServerConfig>,
    /// What makes tickets by which clients resume sessions; its keys change every six hours.
    ticketer: OnceLock<Arc<dyn ProducesTickets>>,
}

impl Acceptor {
    /// Made when its files are read.
    pub fn new(settings: AcceptSettings) -> Self {
        Self { settings, current: ArcSwapOption::empty(), ticketer: OnceLock::new() }
    }

    /// How it was set up.
    pub fn settings(&self) -> &AcceptSettings {
        &self.settings
    }

    /// What new connections go by; `None` before the files have been read.
    pub(crate) fn config(&self) -> Option<Arc<ServerConfig>> {
        self.current.load_full()
    }

    /// Lets clients resume sessions. Not where they are asked who they are: a certificate is not verified again when a session
    /// is resumed, and may have ended since, or its authority not be trusted any more.
    fn resume(&self, config: &mut ServerConfig) -> Result<(), rustls::Error> {
        if self.settings.clients.is_some() {
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
            return Ok(());
        }
        if self.ticketer.get().is_none() {
            let _ = self.ticketer.set(Ticketer::new()?);
        }
        if let Some(ticketer) = self.ticketer.get() {
            config.ticketer = ticketer.clone();
        }
        Ok(())
    }
}

impl Material for Acceptor {
    fn files(&self) -> Vec<&Path> {
        let pairs = self.settings.certificates.iter();
        let clients = self.settings.clients.iter().map(|clients| clients.authorities.as_path());
        pairs.flat_map(|pair| [pair.chain.as_path(), pair.key.as_path()]).chain(clients).collect()
    }

    fn renew(&self) -> Result<Vec<Expiry>, Trouble> {
        let provider = provider();
        let identities: Vec<Identity> = self
            .settings
            .certificates
            .iter()
            .map(|pair| Identity::read(pair, &provider))
            .collect::<Result<_, _>>()?;
        if let Some(nameless) = identities.iter().skip(1).find(|identity| identity.names.is_empty()) {
            let what = "is for no host name (subjectAltName), and not the first: no client would ever get it";
            return Err(Trouble::unfit(&nameless.expiry.file, what));
        }
        let clients: Arc<dyn ClientCertVerifier> = match &self.settings.clients {
            None => Arc::new(NoClientAuth),
            Some(clients) => {
                let roots = authorities(&clients.authorities)?;
                let builder = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone());
                let builder = if clients.optional { builder.allow_unauthenticated() } else { builder };
                builder.build().map_err(|error| Trouble::unfit(&clients.authorities, error.to_string()))?
            }
        };
        let versions: &[&SupportedProtocolVersion] =
            if self.settings.only_tls13 { &[&version::TLS13] } else { &[&version::TLS13, &version::TLS12] };
        let expiries = identities.iter().map(|identity| identity.expiry.clone()).collect();
        let unusable = |error: rustls::Error| {
            let file = self.settings.certificates.first().map(|pair| pair.chain.as_path());
            Trouble::unfit(file.unwrap_or(Path::new("")), format!("cannot be used: {error}"))
        };
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .map_err(unusable)?
            .with_client_cert_verifier(clients)
            .with_cert_resolver(Arc::new(Served::new(identities)));
        let protocols: &[&[u8]] = if self.settings.http2 { &[HTTP2, HTTP11] } else { &[HTTP11] };
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        self.resume(&mut config).map_err(unusable)?;
        self.current.store(Some(Arc::new(config)));
        Ok(expiries)
    }
}

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Acceptor").field(&self.settings).finish()
    }
}

impl PartialEq for Acceptor {
    fn eq(&self, other: &Self) -> bool {
        self.settings == other.settings
    }
}

impl Eq for Acceptor {}

/// The certificates of a listener, by the host names that they are for. For one name there may be several, of different kinds
/// of keys: a client gets the first that it can verify.
#[derive(Debug)]
struct Served {
    by_name: HashMap<String, Vec<Arc<CertifiedKey>>>,
    /// For who names no host, or none that is known.
    others: Vec<Arc<CertifiedKey>>,
}

impl Served {
    fn new(identities: Vec<Identity>) -> Self {
        let mut by_name: HashMap<String, Vec<Arc<CertifiedKey>>> = HashMap::new();
        let others = identities.iter().map(|identity| identity.key.clone()).collect();
        for identity in identities {
            for name in identity.names {
                by_name.entry(name).or_default().push(identity.key.clone());
            }
        }
        Self { by_name, others }
    }

    fn of(&self, name: &str) -> Option<&[Arc<CertifiedKey>]> {
        let name = name.to_ascii_lowercase();
        let found = self.by_name.get(&name).or_else(|| {
            // A star stands for one label (RFC 6125, section 6.4.3).
            let (_, parent) = name.split_once('.')?;
            self.by_name.get(&format!("*.{parent}"))
        });
        found.map(Vec::as_slice)
    }
}

impl ResolvesServerCert for Served {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let fitting = hello.server_name().and_then(|name| self.of(name)).unwrap_or(&self.others);
        let is_verifiable =
            |key: &&Arc<CertifiedKey>| key.key.choose_scheme(hello.signature_schemes()).is_some();
        fitting.iter().find(is_verifiable).or(fitting.first()).cloned()
    }
}

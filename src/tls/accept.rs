use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, NoClientAuth, ProducesTickets, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, SupportedProtocolVersion, version};

use super::files::{Material, Trouble, authorities, read};
use super::identity::{Expiry, Identity, KeyPair};
use super::{HTTP2, HTTP11, provider};

/// How a listener speaks TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptSettings {
    /// Who we are, at least once. A client that names a host gets the certificate that is for it, every other the
    /// first one.
    pub certificates: Vec<KeyPair>,
    /// Whether TLS 1.2 is refused.
    pub only_tls13: bool,
    /// Who clients must be; `None` if they are not asked.
    pub clients: Option<ClientCertificates>,
}

/// Certificates of clients.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    tickets: Mutex<Option<Tickets>>,
}

/// What makes tickets by which clients resume sessions; its keys change every six hours. A client's certificate is not
/// verified again when it resumes: whoever is trusted anew, or no more, ends all tickets.
struct Tickets {
    trusting: Vec<u8>,
    ticketer: Arc<dyn ProducesTickets>,
}

impl Acceptor {
    /// Made when its files are read.
    pub fn new(settings: AcceptSettings) -> Self {
        Self { settings, current: ArcSwapOption::empty(), tickets: Mutex::default() }
    }

    /// How it was set up.
    pub fn settings(&self) -> &AcceptSettings {
        &self.settings
    }

    /// What new connections go by; `None` before the files have been read.
    pub(crate) fn config(&self) -> Option<Arc<ServerConfig>> {
        self.current.load_full()
    }

    fn tickets(&self, trusting: Vec<u8>) -> Result<Arc<dyn ProducesTickets>, rustls::Error> {
        let mut tickets = self.tickets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tickets) = tickets.as_ref().filter(|tickets| tickets.trusting == trusting) {
            return Ok(tickets.ticketer.clone());
        }
        let ticketer = Ticketer::new()?;
        *tickets = Some(Tickets { trusting, ticketer: ticketer.clone() });
        Ok(ticketer)
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
        let mut trusting = Vec::new();
        let clients: Arc<dyn ClientCertVerifier> = match &self.settings.clients {
            None => Arc::new(NoClientAuth),
            Some(clients) => {
                trusting = read(&clients.authorities)?;
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
        config.alpn_protocols = vec![HTTP2.to_vec(), HTTP11.to_vec()];
        config.ticketer = self.tickets(trusting).map_err(unusable)?;
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

/// The certificates of a listener, by the host names that they are for.
#[derive(Debug)]
struct Served {
    by_name: HashMap<String, Arc<CertifiedKey>>,
    first: Option<Arc<CertifiedKey>>,
}

impl Served {
    fn new(identities: Vec<Identity>) -> Self {
        let first = identities.first().map(|identity| identity.key.clone());
        let mut by_name = HashMap::new();
        for identity in identities {
            for name in identity.names {
                // Of two that are for one name the earlier is meant.
                by_name.entry(name).or_insert_with(|| identity.key.clone());
            }
        }
        Self { by_name, first }
    }

    fn of(&self, name: &str) -> Option<&Arc<CertifiedKey>> {
        let name = name.to_ascii_lowercase();
        self.by_name.get(&name).or_else(|| {
            // A star stands for one label (RFC 6125, section 6.4.3).
            let (_, parent) = name.split_once('.')?;
            self.by_name.get(&format!("*.{parent}"))
        })
    }
}

impl ResolvesServerCert for Served {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        hello.server_name().and_then(|name| self.of(name)).or(self.first.as_ref()).cloned()
    }
}

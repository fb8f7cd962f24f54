use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rustls::client::ResolvesClientCert;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::ServerName;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore};

use super::files::{Material, Trouble, authorities};
use super::identity::{Expiry, Identity, KeyPair};
use super::spiffe::SpiffeVerifier;
use super::{HTTP2, HTTP11, provider};

/// How endpoints of a side are spoken to over TLS.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ConnectSettings {
    /// The file of the authorities that must have signed an endpoint's certificate; `None` for the system's.
    pub roots: Option<PathBuf>,
    /// The name that endpoints are asked for (SNI), and that their certificates must be for; `None` for their address.
    pub name: Option<ServerName<'static>>,
    /// The SPIFFE identities that an endpoint may have; empty if it is its name that counts.
    pub identities: Vec<String>,
    /// Who we are to endpoints.
    pub certificate: Option<KeyPair>,
    /// Whether they speak HTTP/2.
    pub http2: bool,
}

/// A side's part in TLS.
pub struct Connector {
    settings: ConnectSettings,
    current: ArcSwapOption<ClientConfig>,
}

impl Connector {
    /// Made when its files are read.
    pub fn new(settings: ConnectSettings) -> Self {
        Self { settings, current: ArcSwapOption::empty() }
    }

    /// How it was set up.
    pub fn settings(&self) -> &ConnectSettings {
        &self.settings
    }

    /// What new connections go by; `None` before the files have been read.
    pub(crate) fn config(&self) -> Option<Arc<ClientConfig>> {
        self.current.load_full()
    }

    /// The name of an endpoint at this address; `None` if it has no address of its own.
    pub(crate) fn name(&self, address: Option<IpAddr>) -> Option<ServerName<'static>> {
        self.settings.name.clone().or_else(|| address.map(|address| ServerName::IpAddress(address.into())))
    }

    /// Whether what was agreed on with an endpoint is what it is to speak. One that does not know of ALPN speaks
    /// HTTP/1.1.
    pub(crate) fn is_agreed(&self, protocol: Option<&[u8]>) -> bool {
        match protocol {
            Some(protocol) => protocol == self.alpn(),
            None => !self.settings.http2,
        }
    }

    fn alpn(&self) -> &'static [u8] {
        if self.settings.http2 { HTTP2 } else { HTTP11 }
    }

    fn roots(&self) -> Result<RootCertStore, Trouble> {
        if let Some(path) = &self.settings.roots {
            return authorities(path);
        }
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() { Err(Trouble::NoSystemRoots) } else { Ok(roots) }
    }
}

impl Material for Connector {
    fn files(&self) -> Vec<&Path> {
        let ours =
            self.settings.certificate.iter().flat_map(|pair| [pair.chain.as_path(), pair.key.as_path()]);
        self.settings.roots.as_deref().into_iter().chain(ours).collect()
    }

    fn renew(&self) -> Result<Vec<Expiry>, Trouble> {
        let provider = provider();
        let identity = self.settings.certificate.as_ref().map(|pair| Identity::read(pair, &provider));
        let identity = identity.transpose()?;
        let roots = Arc::new(self.roots()?);
        let named = self.settings.roots.as_deref().unwrap_or(Path::new("the system's authorities"));
        let unusable = |error: String| Trouble::unfit(named, format!("cannot be used: {error}"));
        let verifier: Arc<dyn ServerCertVerifier> = if self.settings.identities.is_empty() {
            rustls::client::WebPkiServerVerifier::builder_with_provider(roots, provider.clone())
                .build()
                .map_err(|error| unusable(error.to_string()))?
        } else {
            Arc::new(SpiffeVerifier::new(roots, self.settings.identities.clone(), provider.clone()))
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| unusable(error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let expiries = identity.iter().map(|identity| identity.expiry.clone()).collect();
        let mut config = match identity {
            Some(identity) => builder.with_client_cert_resolver(ours(identity.key)),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![self.alpn().to_vec()];
        self.current.store(Some(Arc::new(config)));
        Ok(expiries)
    }
}

fn ours(key: Arc<CertifiedKey>) -> Arc<dyn ResolvesClientCert> {
    Arc::new(SingleCertAndKey::from(key))
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Connector").field(&self.settings).finish()
    }
}

impl PartialEq for Connector {
    fn eq(&self, other: &Self) -> bool {
        self.settings == other.settings
    }
}

impl Eq for Connector {}

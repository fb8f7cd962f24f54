use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::ServerName;

use crate::tls::{
    AcceptSettings, Acceptor, ClientCertificates, ConnectSettings, Connector, KeyPair, Material,
};

use super::at::At;
use super::checked::{Config, Protocol};
use super::fault::Faults;
use super::parse::Lost;
use super::raw_tls::{RawAccept, RawClientCertificates, RawConnect, RawKeyPair, RawTlsVersion};
use super::rights::{KeysAt, RightsConfig};

/// Whether files that a configuration names are read too.
#[derive(Clone, Copy, Debug)]
pub(super) enum Files<'a> {
    Read,
    /// Where they are in force already, what was made of them stays: it is kept in step with its files by itself, and what
    /// is wrong with those at this moment is no fault of the configuration.
    ReadUnless(&'a InForce),
    /// Where a configuration is only held against something recorded, perhaps on another machine.
    Leave,
}

/// What a listener speaks over TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaks {
    Http1,
    Http2Too,
}

/// How TLS is spoken now, and what else has been read from files that are named.
#[derive(Debug, Default)]
pub(super) struct InForce {
    acceptors: HashMap<AcceptSettings, Arc<Acceptor>>,
    connectors: HashMap<ConnectSettings, Arc<Connector>>,
    rights: Option<PathBuf>,
    /// Files with keys, of webhooks and of an identity provider.
    files: HashSet<PathBuf>,
}

impl InForce {
    pub(super) fn of(config: &Config) -> Self {
        let acceptors = config.process.listeners.iter().filter_map(|listener| listener.tls.as_ref());
        let acceptors = acceptors.chain(&config.process.admin.tls);
        let sides = config.services.values().flat_map(|service| service.sides.iter());
        let connectors = sides.flat_map(|(_, side)| {
            let masters = side.parts.iter().filter_map(|part| part.source.masters()?.tls.as_ref());
            side.tls.iter().chain(masters)
        });
        let masters = config.process.helios.as_ref().and_then(|masters| masters.tls.as_ref());
        let webhooks = &config.fleet.webhooks;
        let connectors =
            connectors.chain(masters).chain(webhooks.iter().filter_map(|hook| hook.tls.as_ref()));
        Self {
            acceptors: acceptors.map(|acceptor| (acceptor.settings().clone(), acceptor.clone())).collect(),
            connectors: connectors
                .map(|connector| (connector.settings().clone(), connector.clone()))
                .collect(),
            rights: config.process.admin.rights.clone(),
            files: webhooks.iter().flat_map(|hook| hook.files()).cloned().collect(),
        }
    }

    pub(super) fn of_rights(rights: &RightsConfig) -> Self {
        let mut known = Self::default();
        match rights.oidc.as_ref().map(|oidc| &oidc.keys) {
            Some(KeysAt::File(path)) => _ = known.files.insert(path.clone()),
            Some(KeysAt::Url(url)) => {
                known.connectors.insert(url.connector.settings().clone(), url.connector.clone());
            }
            None => {}
        }
        known
    }

    /// Whether this is the rights file.
    pub(super) fn has_rights(&self, path: &Path) -> bool {
        self.rights.as_deref() == Some(path)
    }

    /// Whether a file with a key is in use.
    pub(super) fn has_file(&self, path: &Path) -> bool {
        self.files.contains(path)
    }
}

/// Checks how a listener speaks TLS.
pub(super) fn accept(
    raw: At<RawAccept>,
    speaks: Speaks,
    lost: &Lost,
    files: Files<'_>,
    faults: &mut Faults<'_>,
) -> Option<Arc<Acceptor>> {
    let At { value: raw, span } = raw;
    let certificates = match raw.certificates {
        Some(pairs) if !pairs.value.is_empty() => pairs.value,
        Some(_) | None => {
            if !lost.has("certificates") {
                faults
                    .at(&span, "TLS without a certificate", "who are we to clients?")
                    .help("add certificates = [{ chain = \"tls/site.pem\", key = \"tls/site.key\" }]");
            }
            return None;
        }
    };
    let certificates: Vec<KeyPair> =
        certificates.into_iter().filter_map(|pair| key_pair(pair, lost, faults)).collect();
    let settings = AcceptSettings {
        certificates,
        only_tls13: raw.minimum.is_some_and(|version| matches!(version.value, RawTlsVersion::Tls13)),
        clients: raw.clients.and_then(|clients| client_certificates(clients, lost, faults)),
        http2: speaks == Speaks::Http2Too,
    };
    if let Files::ReadUnless(known) = files
        && let Some(acceptor) = known.acceptors.get(&settings)
    {
        return Some(acceptor.clone());
    }
    let acceptor = Acceptor::new(settings);
    read(&acceptor, &span, files, faults);
    Some(Arc::new(acceptor))
}

/// Checks how a side's endpoints are spoken to over TLS.
pub(super) fn connect(
    raw: At<RawConnect>,
    protocol: Protocol,
    lost: &Lost,
    files: Files<'_>,
    faults: &mut Faults<'_>,
) -> Arc<Connector> {
    let At { value: raw, span } = raw;
    let settings = ConnectSettings {
        roots: raw.authorities.and_then(|path| file(&path, faults)),
        name: raw.name.and_then(|name| server_name(&name, faults)),
        identities: raw
            .identities
            .into_iter()
            .flat_map(|identities| identities.value)
            .filter_map(|identity| spiffe_identity(identity, faults))
            .collect(),
        certificate: raw.certificate.and_then(|pair| key_pair(pair, lost, faults)),
        http2: protocol == Protocol::Http2,
    };
    connector(settings, &span, files, faults)
}

/// What speaks TLS so: what is in force, if something is.
pub(super) fn connector(
    settings: ConnectSettings,
    span: &Range<usize>,
    files: Files<'_>,
    faults: &mut Faults<'_>,
) -> Arc<Connector> {
    if let Files::ReadUnless(known) = files
        && let Some(connector) = known.connectors.get(&settings)
    {
        return connector.clone();
    }
    let connector = Connector::new(settings);
    read(&connector, span, files, faults);
    Arc::new(connector)
}

fn read(material: &dyn Material, span: &Range<usize>, files: Files<'_>, faults: &mut Faults<'_>) {
    if !matches!(files, Files::Leave)
        && let Err(trouble) = material.renew()
    {
        faults.at(span, "TLS cannot be set up", trouble.to_string()).help(trouble.remedy());
    }
}

fn client_certificates(
    raw: At<RawClientCertificates>,
    lost: &Lost,
    faults: &mut Faults<'_>,
) -> Option<ClientCertificates> {
    let At { value: raw, span } = raw;
    let Some(path) = raw.authorities else {
        if !lost.has("authorities") {
            faults
                .at(&span, "clients without authorities", "who may have signed a client's certificate?")
                .help("add authorities = \"tls/clients.pem\"");
        }
        return None;
    };
    Some(ClientCertificates {
        authorities: file(&path, faults)?,
        optional: raw.required.is_some_and(|required| !required.value),
        forwarded: raw.forward.is_some_and(|forward| forward.value),
    })
}

fn key_pair(raw: At<RawKeyPair>, lost: &Lost, faults: &mut Faults<'_>) -> Option<KeyPair> {
    let At { value: RawKeyPair { chain, key }, span } = raw;
    let (Some(chain), Some(key)) = (chain, key) else {
        if !lost.has("chain") && !lost.has("key") {
            faults
                .at(&span, "half a pair", "a certificate has a chain and a key")
                .help("write { chain = \"tls/site.pem\", key = \"tls/site.key\" }");
        }
        return None;
    };
    Some(KeyPair { chain: file(&chain, faults)?, key: file(&key, faults)? })
}

/// A relative path begins in the configuration's folder.
pub(super) fn file(raw: &At<String>, faults: &mut Faults<'_>) -> Option<PathBuf> {
    file_like("tls/site.pem", raw, faults)
}

/// The same, of something that is not TLS'.
pub(super) fn file_like(example: &str, raw: &At<String>, faults: &mut Faults<'_>) -> Option<PathBuf> {
    if raw.value.is_empty() || raw.value.ends_with('/') {
        faults.at(&raw.span, "not a file", format!("such as {example}"));
        return None;
    }
    Some(faults.folder().join(&raw.value))
}

fn server_name(raw: &At<String>, faults: &mut Faults<'_>) -> Option<ServerName<'static>> {
    let name = ServerName::try_from(raw.value.clone()).ok();
    if name.is_none() {
        faults
            .at(&raw.span, "not a host name", "the name in the endpoints' certificates")
            .help("such as orders.internal, without a port");
    }
    name
}

pub(super) fn spiffe_identity(raw: At<String>, faults: &mut Faults<'_>) -> Option<String> {
    let rest = raw.value.strip_prefix("spiffe://");
    let is_whole = rest.and_then(|rest| rest.split_once('/')).is_some_and(|(domain, path)| {
        !domain.is_empty() && !path.is_empty() && !raw.value.contains(['?', '#', '*', ' '])
    });
    if !is_whole {
        faults
            .at(&raw.span, "not a SPIFFE identity", "spiffe://TRUST-DOMAIN/PATH, whole")
            .help("such as spiffe://cluster.local/ns/orders/sa/orders");
    }
    is_whole.then_some(raw.value)
}

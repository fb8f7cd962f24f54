use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::files::{Trouble, certificates, read};

/// Who we are: a certificate with those that signed it, and its key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyPair {
    /// The file of the certificates, ours first.
    pub chain: PathBuf,
    /// The file of the key.
    pub key: PathBuf,
}

/// Until when a certificate holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// Its file.
    pub file: PathBuf,
    /// When it ends, in seconds since 1970 UTC.
    pub unix_s: i64,
}

/// A key pair that was read.
pub(super) struct Identity {
    pub(super) key: Arc<CertifiedKey>,
    /// The host names that it is for, in lower case; `*.` stands for one label.
    pub(super) names: Vec<String>,
    pub(super) expiry: Expiry,
}

impl Identity {
    pub(super) fn read(pair: &KeyPair, provider: &CryptoProvider) -> Result<Self, Trouble> {
        let chain = certificates(&pair.chain)?;
        let key = PrivateKeyDer::from_pem_slice(&read(&pair.key)?)
            .map_err(|error| Trouble::unfit(&pair.key, format!("has no key in it: {error}")))?;
        let mut parsed = Vec::with_capacity(chain.len());
        for certificate in &chain {
            let (_, certificate) = X509Certificate::from_der(certificate)
                .map_err(|error| Trouble::unfit(&pair.chain, format!("has a broken certificate: {error}")))?;
            parsed.push(certificate);
        }
        let names = parsed.first().map(names).unwrap_or_default();
        // A chain holds for as long as the first of its certificates to end.
        let ends = parsed.iter().map(|certificate| certificate.validity().not_after.timestamp());
        let unix_s = ends.min().unwrap_or(i64::MAX);
        drop(parsed);
        let key = CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                Trouble::Mismatch { chain: pair.chain.clone(), key: pair.key.clone() }
            }
            error => Trouble::unfit(&pair.key, format!("cannot be used: {error}")),
        })?;
        Ok(Self { key: Arc::new(key), names, expiry: Expiry { file: pair.chain.clone(), unix_s } })
    }
}

pub(super) fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let alternative = certificate.subject_alternative_name().ok().flatten();
    let names = alternative.iter().flat_map(|names| &names.value.general_names);
    names
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        })
        .collect()
}

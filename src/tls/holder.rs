use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::identity::names;
use super::spiffe::identity;

/// Whose a client's certificate is that was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    /// A SPIFFE identity if it is a workload's, and its host names in lower case.
    pub(crate) identities: Vec<String>,
    /// When it ends, in seconds since 1970 UTC.
    pub(crate) ends_unix_s: i64,
}

impl Holder {
    /// Of this certificate; `None` if it cannot be read.
    pub(crate) fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        let identities = identity(certificate).into_iter().chain(names(&parsed)).collect();
        Some(Self { identities, ends_unix_s: parsed.validity().not_after.timestamp() })
    }
}

use schemars::JsonSchema;
use serde::Deserialize;

use super::at::At;

/// TLS toward clients.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawAccept {
    /// Who Switchback is to clients. A client that names a host (SNI) gets the certificate that is for it, every other
    /// the first one. Files are read again when they change.
    pub(super) certificates: Option<At<Vec<At<RawKeyPair>>>>,
    /// The oldest version that is spoken. Default: `1.2`.
    pub(super) minimum: Option<At<RawTlsVersion>>,
    /// Certificates of clients. Default: they are not asked for any.
    pub(super) clients: Option<At<RawClientCertificates>>,
}

/// A certificate and its key, in PEM.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawKeyPair {
    /// The file of the certificate, with those that signed it behind it. A relative path begins in the
    /// configuration's folder.
    pub(super) chain: Option<At<String>>,
    /// The file of the key: PKCS #8, PKCS #1 or SEC 1.
    pub(super) key: Option<At<String>>,
}

/// Versions of TLS.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
pub(super) enum RawTlsVersion {
    /// TLS 1.2 and 1.3.
    #[serde(rename = "1.2")]
    Tls12,
    /// TLS 1.3 alone.
    #[serde(rename = "1.3")]
    Tls13,
}

/// Certificates of clients.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawClientCertificates {
    /// The file of the authorities that may have signed them.
    pub(super) authorities: Option<At<String>>,
    /// Whether clients without one are refused. Default: true.
    pub(super) required: Option<At<bool>>,
    /// Whether endpoints are told who the client is, in `X-Forwarded-Client-Cert`. Default: false. A header of this
    /// name that a client sends is never passed on.
    pub(super) forward: Option<At<bool>>,
}

/// TLS toward the endpoints of a side.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawConnect {
    /// The file of the authorities that must have signed an endpoint's certificate. Default: those of the system.
    pub(super) authorities: Option<At<String>>,
    /// The name that endpoints are asked for (SNI), and that their certificates must be for. Default: the
    /// endpoint's address.
    pub(super) name: Option<At<String>>,
    /// SPIFFE identities of which an endpoint must have one, such as `spiffe://cluster.local/ns/orders/sa/orders`.
    /// They count in place of the name.
    pub(super) identities: Option<At<Vec<At<String>>>>,
    /// Who Switchback is to endpoints, if they ask.
    pub(super) certificate: Option<At<RawKeyPair>>,
}

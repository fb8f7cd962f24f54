use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, digest};
use http::HeaderValue;
use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// Who a client has proven to be, as endpoints read it: Envoy's `X-Forwarded-Client-Cert` with the certificate's hash,
/// its subject, and its alternative names.
pub(crate) fn caller(certificate: &CertificateDer<'_>) -> Option<HeaderValue> {
    let mut text = String::from("Hash=");
    for byte in digest(&SHA256, certificate).as_ref() {
        let _ = write!(text, "{byte:02x}");
    }
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let _ = write!(text, ";Subject={}", quoted(&certificate.subject().to_string()));
    if let Ok(Some(names)) = certificate.subject_alternative_name() {
        for name in &names.value.general_names {
            match name {
                GeneralName::URI(uri) => _ = write!(text, ";URI={}", plain_or_quoted(uri)),
                GeneralName::DNSName(name) => _ = write!(text, ";DNS={}", plain_or_quoted(name)),
                _ => {}
            }
        }
    }
    HeaderValue::try_from(text).ok()
}

/// Without what would end the value, or begin another.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn plain_or_quoted(text: &str) -> String {
    if text.contains([',', ';', '=', '"']) { quoted(text) } else { text.to_owned() }
}

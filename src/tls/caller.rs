use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, digest};
use http::HeaderValue;
use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{
    AttributeTypeAndValue, FromDer, GeneralName, RelativeDistinguishedName, X509Certificate, X509Name,
};

/// Who a client has proven to be, as endpoints read it; `None` if that cannot be written. It is Envoy's
/// `X-Forwarded-Client-Cert` with the certificate's hash,
/// its subject, and its alternative names.
pub(crate) fn caller(certificate: &CertificateDer<'_>) -> Option<HeaderValue> {
    let mut text = String::from("Hash=");
    for byte in digest(&SHA256, certificate).as_ref() {
        let _ = write!(text, "{byte:02x}");
    }
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let _ = write!(text, ";Subject={}", quoted(&distinguished(certificate.subject())));
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

/// A name as RFC 2253 writes it, and OpenSSL with it: the last part first, and nothing in a part's value that another part
/// could begin with.
fn distinguished(name: &X509Name<'_>) -> String {
    let parts: Vec<&RelativeDistinguishedName<'_>> = name.iter_rdn().collect();
    let written = parts.iter().rev().map(|part| {
        let values: Vec<String> = part.iter().map(attribute).collect();
        values.join("+")
    });
    written.collect::<Vec<_>>().join(",")
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let kind = attribute.attr_type().to_id_string();
    let short = SHORT.iter().find(|(oid, _)| *oid == kind).map(|(_, short)| *short);
    if let (Some(short), Ok(text)) = (short, attribute.as_str()) {
        return format!("{short}={}", escaped(text));
    }
    // What is not known, or no text, is told by its bytes.
    let mut text = format!("{}=#", short.unwrap_or(&kind));
    for byte in attribute.as_slice() {
        let _ = write!(text, "{byte:02X}");
    }
    text
}

/// Names of attributes (RFC 2253, section 2.3, and what else OpenSSL has a short one for).
const SHORT: [(&str, &str); 12] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.4", "SN"),
    ("2.5.4.5", "serialNumber"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "street"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
];

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let last = text.len().saturating_sub(1);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b',' | b'+' | b'"' | b'\\' | b'<' | b'>' | b';' => {
                out.push('\\');
                out.push(char::from(byte));
            }
            b'#' | b' ' if at == 0 => {
                out.push('\\');
                out.push(char::from(byte));
            }
            b' ' if at == last => out.push_str("\\ "),
            0x20..0x7f => out.push(char::from(byte)),
            _ => _ = write!(out, "\\{byte:02X}"),
        }
    }
    out
}

/// Without what would end the value, or begin another.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn plain_or_quoted(text: &str) -> String {
    if text.contains([',', ';', '=', '"']) { quoted(text) } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_names_value_cannot_pass_for_another_part() {
        for (text, written) in [
            ("x, O=Admins", "x\\, O=Admins"),
            ("a+b", "a\\+b"),
            (" padded ", "\\ padded\\ "),
            ("#1", "\\#1"),
            ("line\r\nbreak", "line\\0D\\0Abreak"),
            ("Zoë", "Zo\\C3\\AB"),
            ("quote\"", "quote\\\""),
            ("", ""),
        ] {
            assert_eq!(escaped(text), written, "{text:?}");
        }
    }
}

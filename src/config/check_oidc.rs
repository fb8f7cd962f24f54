use std::sync::Arc;

use http::Uri;
use rustls::pki_types::ServerName;

use crate::jwt::Keys;
use crate::tls::ConnectSettings;

use super::at::At;
use super::check_tls::{self, Files};
use super::fault::Faults;
use super::parse::Lost;
use super::raw_rights::RawOidc;
use super::rights::{KeysAt, KeysUrl, OidcConfig};

/// Checks what is said of an identity provider.
pub(super) fn oidc(
    raw: At<RawOidc>,
    lost: &Lost,
    files: Files<'_>,
    faults: &mut Faults<'_>,
) -> Option<Arc<OidcConfig>> {
    let At { value: RawOidc { issuer, audience, keys, authorities, claim, groups }, span } = raw;
    let mut text = |raw: Option<At<String>>, key: &str, example: &str| {
        if let Some(raw) = raw.filter(|raw| !raw.value.trim().is_empty()) {
            return Some(raw.value);
        }
        if !lost.has(key) {
            faults
                .at(&span, "an identity provider of whom too little is said", format!("{key} is missing"))
                .help(format!("add {key} = \"{example}\""));
        }
        None
    };
    let issuer = text(issuer, "issuer", "https://login.example.net");
    let audience = text(audience, "audience", "switchback");
    if keys.is_none() {
        text(None, "keys", "https://login.example.net/keys");
    }
    let keys = keys.and_then(|raw| keys_at(&raw, authorities, files, faults));
    Some(Arc::new(OidcConfig {
        issuer: issuer?,
        audience: audience?,
        keys: keys?,
        claim: claim.map_or_else(|| "email".to_owned(), |raw| raw.value),
        groups: groups.map_or_else(|| "groups".to_owned(), |raw| raw.value),
    }))
}

fn keys_at(
    raw: &At<String>,
    authorities: Option<At<String>>,
    files: Files<'_>,
    faults: &mut Faults<'_>,
) -> Option<KeysAt> {
    if raw.value.contains("://") {
        return keys_url(raw, authorities, files, faults).map(KeysAt::Url);
    }
    if let Some(authorities) = authorities {
        faults.at(&authorities.span, "authorities of nobody", "keys come from a file").help("leave it out");
    }
    let path = check_tls::file_like("jwks.json", raw, faults)?;
    let is_read = match files {
        Files::Read => true,
        Files::ReadUnless(known) => !known.has_file(&path),
        Files::Leave => false,
    };
    if is_read {
        let wrong = match std::fs::read(&path) {
            Ok(text) => Keys::parse(&text).err().map(|fault| fault.to_string()),
            Err(error) => Some(format!("cannot be read: {error}")),
        };
        if let Some(wrong) = wrong {
            let label = format!("{} {wrong}", path.display());
            faults
                .at(&raw.span, "no keys of an identity provider", label)
                .help("what the provider publishes as its jwks_uri goes there, or its https:// address here");
        }
    }
    Some(KeysAt::File(path))
}

fn keys_url(
    raw: &At<String>,
    authorities: Option<At<String>>,
    files: Files<'_>,
    faults: &mut Faults<'_>,
) -> Option<KeysUrl> {
    let uri = raw.value.parse::<Uri>().ok().filter(|uri| uri.scheme_str() == Some("https"));
    let authority =
        uri.as_ref().and_then(Uri::authority).filter(|authority| !authority.as_str().contains('@'));
    let host = authority.map(|authority| authority.host().trim_start_matches('[').trim_end_matches(']'));
    let name = host.and_then(|host| ServerName::try_from(host.to_owned()).ok());
    let (Some(uri), Some(authority), Some(host), Some(name)) = (&uri, authority, host, name) else {
        faults
            .at(&raw.span, "not where keys are", "https://HOST/PATH, or a file")
            .help("keys that come unprotected could be anybody's");
        return None;
    };
    let settings = ConnectSettings {
        roots: authorities.and_then(|path| check_tls::file(&path, faults)),
        name: Some(name),
        identities: Vec::new(),
        certificate: None,
        http2: false,
    };
    Some(KeysUrl {
        host: host.to_owned(),
        port: authority.port_u16().unwrap_or(443),
        authority: authority.to_string(),
        path: uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
        connector: check_tls::connector(settings, &raw.span, files, faults),
    })
}

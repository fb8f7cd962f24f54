use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use rustls::pki_types::ServerName;

use crate::tls::KeyPair;

/// Where an admin interface is, and what is shown to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(super) place: Place,
    pub(super) credentials: Credentials,
}

/// Where an admin interface is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// `127.0.0.1:7070`
    Tcp(String),
    /// `https://switchback.example.net:7070`
    Tls { authority: String, name: ServerName<'static> },
    /// `unix:/var/lib/switchback/admin.sock`
    Unix(PathBuf),
}

/// By what one shows who one is, and knows whom one speaks to.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Credentials {
    /// A token.
    pub(crate) token: Option<String>,
    /// A file with a token, which goes first.
    pub(crate) token_file: Option<PathBuf>,
    /// The file of the authorities that must have signed the interface's certificate; `None` for the system's.
    pub(crate) authorities: Option<PathBuf>,
    /// A client certificate.
    pub(crate) certificate: Option<KeyPair>,
}

impl Address {
    /// The same place, and these are shown there.
    pub(crate) fn with(self, credentials: Credentials) -> Self {
        Self { credentials, ..self }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self { place: Place::Tcp(address.to_string()), credentials: Credentials::default() }
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let place = text.parse()?;
        Ok(Self { place, credentials: Credentials::default() })
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:").or_else(|| text.starts_with('/').then_some(text)) {
            return Ok(Self::Unix(path.into()));
        }
        let (secure, authority) = match text.strip_prefix("https://") {
            Some(authority) => (true, authority),
            None => (false, text.strip_prefix("http://").unwrap_or(text)),
        };
        let authority = authority.trim_end_matches('/');
        let parsed = authority.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok());
        let (host, _) = parsed
            .filter(|_| !authority.contains(['/', '@']))
            .ok_or("an address and port, https:// and a host and port, or unix: and a path")?;
        let authority = authority.to_owned();
        if !secure {
            return Ok(Self::Tcp(authority));
        }
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host).map_err(|_| "behind https:// stands a host and port")?;
        Ok(Self::Tls { authority, name })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(authority) => f.write_str(authority),
            Self::Tls { authority, .. } => write!(f, "https://{authority}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.place.fmt(f)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The token is nobody's business.
        let Self { token, token_file, authorities, certificate } = self;
        let token = token.as_ref().map(|_| "…");
        f.debug_struct("Credentials")
            .field("token", &token)
            .field("token_file", token_file)
            .field("authorities", authorities)
            .field("certificate", certificate)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_as_people_write_them() {
        let tls = |authority: &str, host: &str| Place::Tls {
            authority: authority.to_owned(),
            name: ServerName::try_from(host.to_owned()).unwrap(),
        };
        for (text, place) in [
            ("127.0.0.1:7070", Some(Place::Tcp("127.0.0.1:7070".into()))),
            ("http://localhost:7070/", Some(Place::Tcp("localhost:7070".into()))),
            ("[::1]:7070", Some(Place::Tcp("[::1]:7070".into()))),
            ("unix:/run/x.sock", Some(Place::Unix("/run/x.sock".into()))),
            ("/run/x.sock", Some(Place::Unix("/run/x.sock".into()))),
            ("https://a.test:7070", Some(tls("a.test:7070", "a.test"))),
            ("https://[fd00::7]:7070/", Some(tls("[fd00::7]:7070", "fd00::7"))),
            ("https://a.test", None),
            ("https://anna@a.test:7070", None),
            ("localhost", None),
            ("http://localhost:7070/v1", None),
        ] {
            assert_eq!(text.parse::<Place>().ok(), place, "{text}");
        }
    }
}

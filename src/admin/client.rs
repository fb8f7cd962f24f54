use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, HOST};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::tls::{ConnectSettings, Connector, Material, Trouble};

pub(crate) use super::address::{Address, Credentials, Place};
use super::wire::Problem;

/// Why an answer could not be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    /// Nobody answers there.
    #[error(
        "cannot reach Switchback at {place}: {source}\nis it running? --admin or SWITCHBACK_ADMIN says where its admin interface is"
    )]
    Unreachable { place: Place, source: io::Error },
    /// Whoever answers is not who is meant, or will not speak to us.
    #[error(
        "no TLS with {place}: {source}\n--authorities says who must have signed its certificate; if it asks for one, --certificate and --key show it"
    )]
    NoTls { place: Place, source: io::Error },
    /// Our own files are no good.
    #[error("{trouble}; {}", trouble.remedy())]
    Files { trouble: Trouble },
    /// There is no token where there should be one.
    #[error("no token can be read from {}: {why}", path.display())]
    NoToken { path: PathBuf, why: String },
    /// A token must not go where others can read it.
    #[error("a token is not sent to {place}: others could read it on the way; use https://")]
    InTheClear { place: Place },
    /// It does not know who asks.
    #[error(
        "{detail}\nshow a token (SWITCHBACK_TOKEN or --token-file FILE; `switchback token new` makes one) or a client certificate (--certificate and --key), \
         or use the Unix socket, which knows its users (--admin unix:PATH)"
    )]
    Stranger { detail: String },
    /// It said no, and why.
    #[error("{detail}")]
    Refused { status: StatusCode, detail: String },
    /// It does not answer.
    #[error(
        "{place} has not answered within {} s; what was asked for may be in force all the same: switchback status",
        after.as_secs()
    )]
    Slow { place: Place, after: Duration },
    /// The connection broke off.
    #[error("the connection to {place} broke off: {source}")]
    Broken { place: Place, source: hyper::Error },
    /// Another program, or another version of this one.
    #[error("{place} does not answer as Switchback's admin interface does: {detail}")]
    Strange { place: Place, detail: String },
}

/// How long it is tried to reach somebody, …
const REACH: Duration = Duration::from_secs(5);
/// … and how long an answer may take: a change is answered when it is in force and on disk.
const PATIENCE: Duration = Duration::from_mins(1);
/// The same where it goes on without one.
const SOON: Duration = Duration::from_secs(2);

/// The path of a service, whatever people typed for its name.
pub(crate) fn service(name: &str) -> String {
    format!("/v1/services/{}", utf8_percent_encode(name, NON_ALPHANUMERIC))
}

/// The path by which a webhook is tried.
pub(crate) fn webhook_test(name: &str) -> String {
    format!("/v1/webhooks/{}/test", utf8_percent_encode(name, NON_ALPHANUMERIC))
}

/// Asks, and gives back what was answered as the type that is expected.
pub(crate) async fn ask<T: DeserializeOwned>(
    address: &Address,
    method: Method,
    path: &str,
    body: Option<&impl Serialize>,
) -> Result<T, AskError> {
    let text = ask_text(address, method, path, body).await?;
    serde_json::from_str(&text).map_err(|error| strange(address, &error))
}

/// Asks, and gives back the answer's text.
pub(crate) async fn ask_text(
    address: &Address,
    method: Method,
    path: &str,
    body: Option<&impl Serialize>,
) -> Result<String, AskError> {
    let body = body.map(serde_json::to_vec).transpose().map_err(|error| strange(address, &error))?;
    let answered = async {
        let (status, body) = send(address, method, path, body.unwrap_or_default()).await?;
        let bytes = body.collect().await.map_err(|source| broken(address, source))?.to_bytes();
        refuse_errors(address, status, &bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    within(PATIENCE, address, answered).await
}

/// As [`ask`], for something without which it goes on too.
pub(crate) async fn ask_soon<T: DeserializeOwned>(
    address: &Address,
    method: Method,
    path: &str,
    body: Option<&impl Serialize>,
) -> Result<T, AskError> {
    within(SOON, address, ask(address, method, path, body)).await
}

async fn within<T>(
    after: Duration,
    address: &Address,
    answered: impl Future<Output = Result<T, AskError>>,
) -> Result<T, AskError> {
    timeout(after, answered)
        .await
        .unwrap_or_else(|_| Err(AskError::Slow { place: address.place.clone(), after }))
}

/// Asks, and hands each line of an answer that may never end to `line`.
pub(crate) async fn follow(
    address: &Address,
    path: &str,
    mut line: impl FnMut(&str),
) -> Result<(), AskError> {
    let (status, mut body) = send(address, Method::GET, path, Vec::new()).await?;
    let mut waiting = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|source| broken(address, source))?.into_data() else { continue };
        waiting.extend_from_slice(&data);
        refuse_errors(address, status, &waiting)?;
        while let Some(end) = waiting.iter().position(|b| *b == b'\n') {
            let whole: Vec<u8> = waiting.drain(..=end).collect();
            line(String::from_utf8_lossy(&whole).trim_end());
        }
    }
    Ok(())
}

fn refuse_errors(address: &Address, status: StatusCode, body: &[u8]) -> Result<(), AskError> {
    if status.is_success() {
        return Ok(());
    }
    match serde_json::from_slice::<Problem>(body) {
        Ok(Problem { detail, .. }) if status == StatusCode::UNAUTHORIZED => {
            Err(AskError::Stranger { detail })
        }
        Ok(Problem { detail, .. }) => Err(AskError::Refused { status, detail }),
        Err(_) => Err(strange(address, &status)),
    }
}

async fn send(
    address: &Address,
    method: Method,
    path: &str,
    body: Vec<u8>,
) -> Result<(StatusCode, Incoming), AskError> {
    let token = token(&address.credentials)?;
    let late =
        |_| AskError::Unreachable { place: address.place.clone(), source: io::ErrorKind::TimedOut.into() };
    let stream = timeout(REACH, connect(address, token.as_ref())).await.map_err(late).flatten()?;
    let host = match &address.place {
        Place::Tcp(authority) | Place::Tls { authority, .. } => authority,
        Place::Unix(_) => "localhost",
    };
    let handshake = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|source| broken(address, source))?;
    // A connection that breaks is seen by the request on it.
    #[expect(clippy::disallowed_methods, reason = "a client runs on whatever runtime its caller has")]
    drop(tokio::spawn(connection));
    let mut request = Request::builder().method(method).uri(path).header(HOST, host);
    if let Ok(user) = std::env::var("USER") {
        request = request.header("x-switchback-user", user);
    }
    if let Some(token) = token {
        request = request.header(AUTHORIZATION, token);
    }
    let request = request.body(Full::new(Bytes::from(body))).map_err(|error| strange(address, &error))?;
    let response = sender.send_request(request).await.map_err(|source| broken(address, source))?;
    Ok((response.status(), response.into_body()))
}

/// What is shown as `Authorization`.
fn token(credentials: &Credentials) -> Result<Option<HeaderValue>, AskError> {
    let (path, token) = match (&credentials.token_file, &credentials.token) {
        (Some(path), _) => {
            let why = |error: io::Error| AskError::NoToken { path: path.clone(), why: error.to_string() };
            (path.clone(), std::fs::read_to_string(path).map_err(why)?)
        }
        (None, Some(token)) => (PathBuf::from("SWITCHBACK_TOKEN"), token.clone()),
        (None, None) => return Ok(None),
    };
    let token = token.trim();
    let value = HeaderValue::try_from(format!("Bearer {token}")).ok();
    let value = value.filter(|_| !token.is_empty() && !token.contains(char::is_whitespace));
    let mut value =
        value.ok_or_else(|| AskError::NoToken { path, why: "it is one line, without blanks".to_owned() })?;
    value.set_sensitive(true);
    Ok(Some(value))
}

async fn connect(address: &Address, token: Option<&HeaderValue>) -> Result<Box<dyn Stream>, AskError> {
    let Address { place, credentials } = address;
    let unreachable = |source: io::Error| AskError::Unreachable { place: place.clone(), source };
    match place {
        Place::Tcp(authority) => {
            let stream = TcpStream::connect(authority).await.map_err(unreachable)?;
            let is_here = stream.peer_addr().is_ok_and(|peer| peer.ip().is_loopback());
            if token.is_some() && !is_here {
                return Err(AskError::InTheClear { place: place.clone() });
            }
            Ok(Box::new(stream))
        }
        Place::Unix(path) => Ok(Box::new(UnixStream::connect(path).await.map_err(unreachable)?)),
        Place::Tls { authority, name } => {
            let connector = Connector::new(ConnectSettings {
                roots: credentials.authorities.clone(),
                name: Some(name.clone()),
                identities: Vec::new(),
                certificate: credentials.certificate.clone(),
                http2: false,
            });
            connector.renew().map_err(|trouble| AskError::Files { trouble })?;
            let no_tls = |source| AskError::NoTls { place: place.clone(), source };
            let config = connector.config().ok_or_else(|| no_tls(io::ErrorKind::NotFound.into()))?;
            let stream = TcpStream::connect(authority).await.map_err(unreachable)?;
            let shaken = TlsConnector::from(config).connect(name.clone(), stream).await.map_err(no_tls)?;
            Ok(Box::new(shaken))
        }
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

fn broken(address: &Address, source: hyper::Error) -> AskError {
    AskError::Broken { place: address.place.clone(), source }
}

fn strange(address: &Address, detail: &dyn fmt::Display) -> AskError {
    AskError::Strange { place: address.place.clone(), detail: detail.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_typed_for_a_name_stays_one_segment_of_the_path() {
        assert_eq!(service("a"), "/v1/services/a");
        assert_eq!(service("a/b?x y"), "/v1/services/a%2Fb%3Fx%20y");
    }

    fn token_of(credentials: &Credentials) -> Option<String> {
        let value = token(credentials).ok()??;
        assert!(value.is_sensitive());
        Some(value.to_str().unwrap().to_owned())
    }

    #[test]
    fn a_token_is_one_line_and_its_file_goes_first() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        let of = |token: Option<&str>, token_file: Option<&PathBuf>| {
            let (token, token_file) = (token.map(str::to_owned), token_file.cloned());
            token_of(&Credentials { token, token_file, ..Credentials::default() })
        };
        std::fs::write(&file, "sbt_file\n").unwrap();
        assert_eq!(of(None, None), None);
        assert_eq!(of(Some("sbt_x"), None).as_deref(), Some("Bearer sbt_x"));
        assert_eq!(of(Some("sbt_x"), Some(&file)).as_deref(), Some("Bearer sbt_file"));
        for bad in ["", " ", "a b", "a\nb", "\u{1}"] {
            let credentials = Credentials { token: Some(bad.to_owned()), ..Credentials::default() };
            assert!(matches!(token(&credentials), Err(AskError::NoToken { .. })), "{bad:?}");
        }
        let text = format!("{:?}", Credentials { token: Some("sbt_x".into()), ..Credentials::default() });
        assert!(!text.contains("sbt_x"), "{text}");
    }
}

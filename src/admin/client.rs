use std::fmt;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use super::wire::Problem;

/// Where an admin interface is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// `127.0.0.1:7070`
    Tcp(String),
    /// `unix:/var/lib/switchback/admin.sock`
    Unix(PathBuf),
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:").or_else(|| text.starts_with('/').then_some(text)) {
            return Ok(Self::Unix(path.into()));
        }
        let authority = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
        let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        if has_port && !authority.contains('/') {
            return Ok(Self::Tcp(authority.to_owned()));
        }
        Err("an address and port, or unix: and a path".to_owned())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(authority) => f.write_str(authority),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Why an answer could not be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    /// Nobody answers there.
    #[error(
        "cannot reach Switchback at {address}: {source}\nis it running? --admin or SWITCHBACK_ADMIN says where its admin interface is"
    )]
    Unreachable { address: Address, source: io::Error },
    /// It said no, and why.
    #[error("{detail}")]
    Refused { status: StatusCode, detail: String },
    /// The connection broke off.
    #[error("the connection to {address} broke off: {source}")]
    Broken { address: Address, source: hyper::Error },
    /// Another program, or another version of this one.
    #[error("{address} does not answer as Switchback's admin interface does: {detail}")]
    Strange { address: Address, detail: String },
}

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
    let (status, body) = send(address, method, path, body.unwrap_or_default()).await?;
    let bytes = body.collect().await.map_err(|source| broken(address, source))?.to_bytes();
    refuse_errors(address, status, &bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
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
        Ok(problem) => Err(AskError::Refused { status, detail: problem.detail }),
        Err(_) => Err(strange(address, &status)),
    }
}

async fn send(
    address: &Address,
    method: Method,
    path: &str,
    body: Vec<u8>,
) -> Result<(StatusCode, Incoming), AskError> {
    let unreachable = |source: io::Error| AskError::Unreachable { address: address.clone(), source };
    let (stream, host): (Box<dyn Stream>, &str) = match address {
        Address::Tcp(authority) => {
            (Box::new(TcpStream::connect(authority).await.map_err(unreachable)?), authority)
        }
        Address::Unix(path) => (Box::new(UnixStream::connect(path).await.map_err(unreachable)?), "localhost"),
    };
    let handshake = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|source| broken(address, source))?;
    // A connection that breaks is seen by the request on it.
    #[expect(clippy::disallowed_methods, reason = "a client runs on whatever runtime its caller has")]
    drop(tokio::spawn(connection));
    let mut request = Request::builder().method(method).uri(path).header("host", host);
    if let Ok(user) = std::env::var("USER") {
        request = request.header("x-switchback-user", user);
    }
    let request = request.body(Full::new(Bytes::from(body))).map_err(|error| strange(address, &error))?;
    let response = sender.send_request(request).await.map_err(|source| broken(address, source))?;
    Ok((response.status(), response.into_body()))
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

fn broken(address: &Address, source: hyper::Error) -> AskError {
    AskError::Broken { address: address.clone(), source }
}

fn strange(address: &Address, detail: &dyn fmt::Display) -> AskError {
    AskError::Strange { address: address.clone(), detail: detail.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_typed_for_a_name_stays_one_segment_of_the_path() {
        assert_eq!(service("a"), "/v1/services/a");
        assert_eq!(service("a/b?x y"), "/v1/services/a%2Fb%3Fx%20y");
    }

    #[test]
    fn addresses_read_as_people_write_them() {
        for (text, address) in [
            ("127.0.0.1:7070", Some(Address::Tcp("127.0.0.1:7070".into()))),
            ("http://localhost:7070/", Some(Address::Tcp("localhost:7070".into()))),
            ("[::1]:7070", Some(Address::Tcp("[::1]:7070".into()))),
            ("unix:/run/x.sock", Some(Address::Unix("/run/x.sock".into()))),
            ("/run/x.sock", Some(Address::Unix("/run/x.sock".into()))),
            ("localhost", None),
            ("http://localhost:7070/v1", None),
        ] {
            assert_eq!(text.parse::<Address>().ok(), address, "{text}");
        }
    }
}

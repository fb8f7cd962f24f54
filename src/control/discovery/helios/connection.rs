use std::fmt;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HOST, USER_AGENT,
};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::config::MasterAddress;
use crate::tls::{Connector, Material};

/// A connection to a master, kept from poll to poll. Dropped, it ends.
pub(super) struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    task: AbortHandle,
    host: HeaderValue,
}

/// Why a master has not answered. Nothing that it sent is in here: it may be full of secrets.
#[derive(Debug)]
pub(super) enum Failure {
    Unreachable(io::Error),
    NotTrusted(io::Error),
    /// We cannot speak TLS ourselves, for this reason.
    NoTls(String),
    Late,
    /// The connection has ended before the answer did.
    Broken,
    Status(StatusCode),
    TooLarge,
    Unreadable {
        line: usize,
        column: usize,
    },
}

/// How long a request may take, or a connection.
const PATIENCE: Duration = Duration::from_secs(10);
/// The largest answer that is read: some ten thousand hosts' in one, far more than a batch has.
const LARGEST: usize = 256 << 20;
/// Who asks.
const OURSELVES: &str = concat!("switchback/", env!("CARGO_PKG_VERSION"));

impl Connection {
    /// Connects to a master at one of its addresses.
    pub(super) async fn open(
        master: &MasterAddress,
        address: SocketAddr,
        tls: Option<&Arc<Connector>>,
    ) -> Result<Self, Failure> {
        timeout(PATIENCE, connect(master, address, tls)).await.unwrap_or(Err(Failure::Late))
    }

    /// Asks for something. The token is for this master.
    pub(super) async fn ask<T: DeserializeOwned>(
        &mut self,
        path: &str,
        body: Option<Vec<u8>>,
        token: Option<&HeaderValue>,
    ) -> Result<T, Failure> {
        let request = request(path, body, &self.host, token)?;
        let answer = async {
            self.sender.ready().await.map_err(|_| Failure::Broken)?;
            read(self.sender.send_request(request).await.map_err(|_| Failure::Broken)?).await
        };
        let body = timeout(PATIENCE, answer).await.unwrap_or(Err(Failure::Late))?;
        serde_json::from_slice(&body)
            .map_err(|error| Failure::Unreadable { line: error.line(), column: error.column() })
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn connect(
    master: &MasterAddress,
    address: SocketAddr,
    tls: Option<&Arc<Connector>>,
) -> Result<Connection, Failure> {
    let stream = TcpStream::connect(address).await.map_err(Failure::Unreachable)?;
    // Requests are sent whole.
    let _ = stream.set_nodelay(true);
    let (sender, task) = if master.tls {
        let shaken = shake(master, stream, tls).await?;
        drive(shaken).await?
    } else {
        drive(stream).await?
    };
    let told = master.to_string();
    let host = told.split_once("://").and_then(|(_, host)| HeaderValue::from_str(host).ok());
    Ok(Connection { sender, task, host: host.ok_or(Failure::Broken)? })
}

async fn shake(
    master: &MasterAddress,
    stream: TcpStream,
    tls: Option<&Arc<Connector>>,
) -> Result<impl AsyncRead + AsyncWrite + Unpin + 'static, Failure> {
    let connector = tls.ok_or_else(|| Failure::NoTls("nobody is trusted".to_owned()))?.clone();
    if connector.config().is_none() {
        // The first look at its files may be later than ours.
        let reading = connector.clone();
        match tokio::task::spawn_blocking(move || reading.renew()).await {
            Ok(Ok(_)) => {}
            Ok(Err(trouble)) => return Err(Failure::NoTls(trouble.to_string())),
            Err(_) => return Err(Failure::NoTls("its files cannot be read".to_owned())),
        }
    }
    let host = master.host.trim_end_matches('.').to_owned();
    let name = connector.name(None).or_else(|| ServerName::try_from(host).ok());
    let (Some(config), Some(name)) = (connector.config(), name) else {
        return Err(Failure::NoTls("there is no name to ask for".to_owned()));
    };
    TlsConnector::from(config).connect(name, stream).await.map_err(Failure::NotTrusted)
}

async fn drive<S>(stream: S) -> Result<(http1::SendRequest<Full<Bytes>>, AbortHandle), Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let handshake = http1::handshake(TokioIo::new(stream)).await;
    let (sender, connection) = handshake.map_err(|_| Failure::Broken)?;
    let task = tokio::task::spawn_local(async move {
        // Whatever ends it is seen by the request in flight, or by the next.
        let _ = connection.await;
    });
    Ok((sender, task.abort_handle()))
}

/// Without the version of a client of Helios: masters refuse those that they do not like, and take requests without.
fn request(
    path: &str,
    body: Option<Vec<u8>>,
    host: &HeaderValue,
    token: Option<&HeaderValue>,
) -> Result<Request<Full<Bytes>>, Failure> {
    let mut builder = match &body {
        Some(_) => Request::post(path).header(CONTENT_TYPE, "application/json"),
        None => Request::get(path),
    };
    builder = builder
        .header(HOST, host)
        .header(ACCEPT, "application/json")
        .header(ACCEPT_ENCODING, "gzip")
        .header(USER_AGENT, OURSELVES);
    if let Some(token) = token {
        builder = builder.header(AUTHORIZATION, token);
    }
    builder.body(Full::new(body.unwrap_or_default().into())).map_err(|_| Failure::Broken)
}

async fn read(answer: Response<Incoming>) -> Result<Bytes, Failure> {
    if answer.status() != StatusCode::OK {
        return Err(Failure::Status(answer.status()));
    }
    let zipped = answer.headers().get(CONTENT_ENCODING).is_some_and(|coding| coding == "gzip");
    let body = Limited::new(answer.into_body(), LARGEST)
        .collect()
        .await
        .map_err(|error| if error.is::<LengthLimitError>() { Failure::TooLarge } else { Failure::Broken })?;
    if zipped { unzip(&body.to_bytes(), LARGEST) } else { Ok(body.to_bytes()) }
}

/// Some kilobytes may stand for gigabytes: it is read only as far as is bearable.
fn unzip(zipped: &[u8], largest: usize) -> Result<Bytes, Failure> {
    let mut whole = Vec::new();
    let most = u64::try_from(largest).unwrap_or(u64::MAX).saturating_add(1);
    MultiGzDecoder::new(zipped).take(most).read_to_end(&mut whole).map_err(|_| Failure::Broken)?;
    if whole.len() > largest { Err(Failure::TooLarge) } else { Ok(whole.into()) }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Unreachable(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                f.write_str("cannot be reached: connection refused")
            }
            Failure::Unreachable(error) => write!(f, "cannot be reached: {error}"),
            Failure::NotTrusted(error) => write!(f, "cannot be spoken to over TLS: {error}"),
            Failure::NoTls(why) => write!(f, "cannot be spoken to over TLS: {why}"),
            Failure::Late => write!(f, "does not answer within {} s", PATIENCE.as_secs()),
            Failure::Broken => f.write_str("breaks off in the middle of its answer"),
            Failure::Status(status) => write!(f, "answers {}", status.as_u16()),
            Failure::TooLarge => write!(f, "sends more than {} MiB", LARGEST >> 20),
            Failure::Unreadable { line, column } => {
                write!(f, "sends what is not the answer of a master (line {line}, column {column})")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write;

    fn zip(text: &[u8]) -> Vec<u8> {
        let mut zipped = GzEncoder::new(Vec::new(), Compression::default());
        zipped.write_all(text).unwrap();
        zipped.finish().unwrap()
    }

    #[test]
    fn an_answer_is_unzipped_up_to_a_bound_and_only_if_it_is_whole() {
        let zipped = zip(b"0123456789");
        assert_eq!(unzip(&zipped, 10).unwrap(), "0123456789");
        assert!(matches!(unzip(&zipped, 9), Err(Failure::TooLarge)));
        assert!(matches!(unzip(&zipped[..zipped.len() - 4], 10), Err(Failure::Broken)));
        assert!(matches!(unzip(b"plain", 10), Err(Failure::Broken)));
        let twice = [zipped.clone(), zipped].concat();
        assert_eq!(unzip(&twice, 20).unwrap().len(), 20, "in several members");
    }

    #[test]
    fn a_request_has_the_token_where_there_is_one_and_no_version() {
        let (host, token) = (HeaderValue::from_static("h:1"), HeaderValue::from_static("Bearer t"));
        let asked = request("/hosts/", None, &host, Some(&token)).unwrap();
        assert_eq!(
            (asked.method().as_str(), asked.headers()[AUTHORIZATION].as_bytes()),
            ("GET", b"Bearer t".as_slice())
        );
        let asked = request("/hosts/statuses", Some(b"[]".to_vec()), &host, None).unwrap();
        assert_eq!((asked.method().as_str(), asked.headers().get(AUTHORIZATION)), ("POST", None));
        assert!(!asked.headers().contains_key("helios-version"));
    }
}

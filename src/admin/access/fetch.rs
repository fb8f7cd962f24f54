use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, HOST, USER_AGENT};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::config::KeysUrl;
use crate::jwt::{Keys, KeysFault};
use crate::tls::{Material, Trouble};

/// Why an identity provider's keys could not be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("{0}")]
    Files(#[from] Trouble),
    #[error("TLS cannot be spoken")]
    NoTls,
    #[error("cannot be reached: {0}")]
    Unreachable(std::io::Error),
    #[error("cannot be spoken to over TLS: {0}")]
    NotTrusted(std::io::Error),
    #[error("breaks off: {0}")]
    Broken(#[from] hyper::Error),
    #[error("answers {}; it is asked for its keys alone, and not elsewhere", .0.as_u16())]
    Status(StatusCode),
    #[error("sends more than {} KiB", LARGEST >> 10)]
    TooLarge,
    #[error("{0}")]
    NoKeys(#[from] KeysFault),
    #[error("does not answer within {} s", PATIENCE.as_secs())]
    Late,
}

/// How long it may take, all in all.
const PATIENCE: Duration = Duration::from_secs(10);
/// The largest answer. A key has less than a kilobyte, and its certificates some.
const LARGEST: usize = 512 << 10;

/// Asks an identity provider for its keys.
pub(super) async fn fetch(url: &KeysUrl) -> Result<Keys, FetchError> {
    timeout(PATIENCE, ask(url)).await.unwrap_or(Err(FetchError::Late))
}

async fn ask(url: &KeysUrl) -> Result<Keys, FetchError> {
    let connector = url.connector.clone();
    // Read anew each time, so that it need not be watched whether authorities change.
    let renewed = tokio::task::spawn_blocking(move || connector.renew()).await;
    renewed.map_err(|_| FetchError::NoTls)??;
    let (config, name) = (url.connector.config(), url.connector.name(None));
    let (Some(config), Some(name)) = (config, name) else { return Err(FetchError::NoTls) };
    let stream = TcpStream::connect((url.host.as_str(), url.port)).await.map_err(FetchError::Unreachable)?;
    let stream = TlsConnector::from(config).connect(name, stream).await.map_err(FetchError::NotTrusted)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get(&url.path)
        .header(HOST, &url.authority)
        .header(ACCEPT, "application/json")
        .header(USER_AGENT, concat!("switchback/", env!("CARGO_PKG_VERSION")))
        .body(Empty::<Bytes>::new())
        .map_err(|_| FetchError::NoTls)?;
    let answer = async {
        let response = sender.send_request(request).await?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status(response.status()));
        }
        match Limited::new(response.into_body(), LARGEST).collect().await {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => Err(FetchError::TooLarge),
            Err(error) => {
                Err(error.downcast::<hyper::Error>().map_or(FetchError::Late, |error| (*error).into()))
            }
        }
    };
    let body = tokio::select! {
        body = answer => body?,
        // It ends by itself only if it breaks, and the answer says why.
        Err(error) = connection => return Err(error.into()),
    };
    Ok(Keys::parse(&body)?)
}

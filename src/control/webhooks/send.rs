use std::error::Error;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{HeaderName, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::connect::{Connect, HttpConnector};
use hyper_util::client::legacy::{Client, Error as ClientError};
use hyper_util::rt::TokioExecutor;
use rustls::ClientConfig;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::config::WebhookConfig;
use crate::model::UnixMillis;
use crate::tls::{Connector, Material};

use super::keys::Keys;
use super::message::{Message, cut};
use super::schedule::{Tried, retry_after};
use super::shape::Shape;
use super::sign::signature;

/// Why a message has not arrived. Nothing in here is secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// A file of ours is not as it should be.
    Key {
        path: PathBuf,
        what: String,
    },
    /// We cannot speak TLS ourselves, for this reason.
    NoTls(String),
    Unreachable(String),
    Late,
    /// The connection has ended before the answer came.
    Broken(String),
    /// The receiver does not want it.
    Status {
        status: u16,
        said: String,
    },
}

/// What came of a try.
pub(super) struct Sent {
    pub(super) tried: Tried,
    /// Why it has not arrived, if it has not.
    pub(super) trouble: Option<Trouble>,
}

impl Sent {
    /// Another key, or another URL in a file, may change what comes of it.
    pub(super) fn is_of_keys(&self) -> bool {
        self.tried.is_of_wrong_key() || matches!(self.trouble, Some(Trouble::Key { .. }))
    }
}

/// How long a try may take: files, names, connection, TLS and the head of the answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long connecting may take, all addresses of a name together: each has its share of it.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
/// How long is waited for the rest of an answer, which is for people only.
const REST: Duration = Duration::from_secs(2);
/// The most that is read of an answer.
const LARGEST: usize = 64 << 10;
/// How much of it people are told.
const TOLD: usize = 200;
/// Who sends.
const OURSELVES: &str = concat!("switchback/", env!("CARGO_PKG_VERSION"));
/// The same for all tries of a message.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const SIGNATURE: HeaderName = HeaderName::from_static("switchback-signature");

/// Sends a message, once. Each try makes a connection of its own: messages are rare, one that is kept may have died meanwhile,
/// and a new one goes by the authorities that are trusted now.
pub(super) async fn send(
    config: &Arc<WebhookConfig>,
    message: &Message,
    source: &str,
    now: UnixMillis,
) -> Sent {
    let failed = |trouble| Sent { tried: Tried::Failed, trouble: Some(trouble) };
    let (keys, answer) = match timeout(PATIENCE, try_once(config, message, source, now)).await {
        Ok(Ok(answered)) => answered,
        Ok(Err(trouble)) => return failed(trouble),
        Err(_) => return failed(Trouble::Late),
    };
    let status = answer.status();
    let wish = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let retry_after = wish.and_then(|value| retry_after(value, now));
    let tried = Tried::Answered { status: status.as_u16(), retry_after };
    if status.is_success() {
        return Sent { tried, trouble: None };
    }
    let said = said(&keys.conceal(&String::from_utf8_lossy(&beginning(answer.into_body()).await)));
    Sent { tried, trouble: Some(Trouble::Status { status: status.as_u16(), said }) }
}

async fn try_once(
    config: &Arc<WebhookConfig>,
    message: &Message,
    source: &str,
    now: UnixMillis,
) -> Result<(Keys, Response<Incoming>), Trouble> {
    let reading = config.clone();
    let keys = spawn_blocking(move || Keys::read(&reading)).await;
    let keys = keys.map_err(|_| Trouble::Broken("its keys cannot be read".to_owned()))??;
    let request = request(&keys, config, message, source, now)?;
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_connect_timeout(Some(CONNECT_PATIENCE));
    let answer = match &config.tls {
        Some(connector) if keys.url.is_https() => {
            let mut tls = (*trust(connector).await?).clone();
            // The connector says by itself what it speaks.
            tls.alpn_protocols.clear();
            let https = HttpsConnectorBuilder::new().with_tls_config(tls).https_only().enable_http1();
            exchange(https.wrap_connector(http), request).await
        }
        Some(_) | None => exchange(http, request).await,
    };
    Ok((keys, answer?))
}

fn request(
    keys: &Keys,
    config: &WebhookConfig,
    message: &Message,
    source: &str,
    now: UnixMillis,
) -> Result<Request<Full<Bytes>>, Trouble> {
    let shape = Shape::of(&config.kind, keys);
    let body = shape.body(message, source);
    let mut builder = Request::post(keys.url.uri())
        .header(CONTENT_TYPE, shape.content_type())
        .header(USER_AGENT, OURSELVES)
        .header(IDEMPOTENCY_KEY, &message.id);
    if let Some(token) = &keys.bearer {
        let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| unsendable(config))?;
        value.set_sensitive(true);
        builder = builder.header(AUTHORIZATION, value);
    }
    if let Some(secret) = &keys.secret {
        let proof = signature(secret.as_bytes(), now.0 / 1_000, &message.id, &body);
        builder = builder.header(SIGNATURE, proof);
    }
    builder.body(Full::new(body.into())).map_err(|_| unsendable(config))
}

/// A token that has room in no header.
fn unsendable(config: &WebhookConfig) -> Trouble {
    let path = config.kind.files().last().cloned().unwrap_or_default();
    Trouble::Key { path, what: "has more in it than a token".to_owned() }
}

/// Whom we trust. The first look at its files may be later than ours.
async fn trust(connector: &Arc<Connector>) -> Result<Arc<ClientConfig>, Trouble> {
    if connector.config().is_none() {
        let reading = connector.clone();
        let read = spawn_blocking(move || reading.renew()).await;
        let read = read.map_err(|_| Trouble::NoTls("its files cannot be read".to_owned()))?;
        read.map_err(|trouble| Trouble::NoTls(trouble.to_string()))?;
    }
    connector.config().ok_or_else(|| Trouble::NoTls("nobody is trusted".to_owned()))
}

async fn exchange<C>(connector: C, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Trouble>
where
    C: Connect + Clone + Send + Sync + 'static,
{
    // No pool: it would keep what is used once.
    let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
    client.request(request).await.map_err(|error| unreached(&error))
}

/// The beginning of a body, as far as it comes in time. What the answer is has been said before.
async fn beginning(mut body: Incoming) -> Vec<u8> {
    let mut read = Vec::new();
    let reading = async {
        while let Some(Ok(frame)) = body.frame().await {
            let data = frame.into_data().unwrap_or_default();
            read.extend_from_slice(&data[..data.len().min(LARGEST - read.len())]);
            if read.len() == LARGEST {
                break;
            }
        }
    };
    // What has come is enough.
    let _ = timeout(REST, reading).await;
    read
}

/// The beginning of an answer in one line.
fn said(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    cut(plain.split_whitespace().collect::<Vec<_>>().join(" ").as_str(), TOLD)
}

fn unreached(error: &ClientError) -> Trouble {
    // What went wrong first is told: the rest says where in the client it did.
    let mut cause: &dyn Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let why = cut(&cause.to_string(), TOLD);
    if error.is_connect() { Trouble::Unreachable(why) } else { Trouble::Broken(why) }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Key { path, what } => write!(f, "is sent nothing, as {} {what}", path.display()),
            Trouble::NoTls(why) => write!(f, "cannot be spoken to over TLS: {why}"),
            Trouble::Unreachable(why) => write!(f, "cannot be reached: {why}"),
            Trouble::Late => write!(f, "does not answer within {} s", PATIENCE.as_secs()),
            Trouble::Broken(why) => write!(f, "breaks off: {why}"),
            Trouble::Status { status, said } if said.is_empty() => write!(f, "answers {status}"),
            Trouble::Status { status, said } => write!(f, "answers {status}: {said}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_told_in_one_line_of_two_hundred_characters() {
        assert_eq!(said("  no\r\n\tteam \u{7}\n"), "no team");
        assert_eq!(said(&"ä".repeat(5_000)).chars().count(), 200);
        assert_eq!(Trouble::Status { status: 404, said: said("") }.to_string(), "answers 404");
    }
}

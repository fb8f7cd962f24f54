use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{Generate, Speaks, tls};

/// Whom a client asks, and what.
pub(crate) struct Target {
    address: SocketAddr,
    speaks: Speaks,
    tls: Option<TlsConnector>,
    method: Method,
    path: String,
    body: Bytes,
    anew: bool,
    hosts: Option<u64>,
    asked: Cell<u64>,
}

/// A connection, or a stream of one.
pub(crate) struct Client {
    target: Rc<Target>,
    sender: Sender,
}

enum Sender {
    /// Each request has a connection of its own.
    Anew,
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

/// A call's message: five bytes before it say that it is not compressed, and how long it is.
const GRPC_MESSAGE_BYTES: u8 = 120;
pub(crate) const GRPC_PATH: &str = "/bench.Bench/Unary";

#[derive(Clone, Copy)]
struct LocalTasks;

impl<F: Future<Output: 'static> + 'static> hyper::rt::Executor<F> for LocalTasks {
    fn execute(&self, task: F) {
        tokio::task::spawn_local(task);
    }
}

impl Target {
    pub(crate) fn new(asked: &Generate) -> anyhow::Result<Self> {
        let alpn: &[u8] = if asked.speaks.has_streams() { b"h2" } else { b"http/1.1" };
        let tls = if asked.speaks.has_tls() {
            let authority = asked.authority.as_deref().context("--authority is missing")?;
            Some(TlsConnector::from(tls::client(authority, alpn)?))
        } else {
            None
        };
        let is_grpc = asked.speaks == Speaks::Grpc;
        let body = if is_grpc { grpc_message() } else { vec![b'x'; asked.body].into() };
        Ok(Self {
            address: asked.to,
            speaks: asked.speaks,
            tls,
            method: if body.is_empty() { Method::GET } else { Method::POST },
            path: if is_grpc { GRPC_PATH.to_owned() } else { asked.path.clone() },
            body,
            anew: asked.anew,
            hosts: asked.hosts,
            asked: Cell::new(0),
        })
    }

    fn request(&self) -> anyhow::Result<Request<Full<Bytes>>> {
        let asked = self.asked.replace(self.asked.get() + 1);
        let host = match self.hosts {
            Some(hosts) => format!("service-{}.test", asked % hosts),
            None => self.address.to_string(),
        };
        let builder = Request::builder().method(self.method.clone());
        let builder = if self.speaks.has_streams() {
            let scheme = if self.tls.is_some() { "https" } else { "http" };
            let uri = Uri::builder().scheme(scheme).authority(host).path_and_query(&*self.path).build()?;
            builder.uri(uri)
        } else {
            builder.uri(&self.path).header("host", host)
        };
        let builder = if self.speaks == Speaks::Grpc {
            builder.header("content-type", "application/grpc").header("te", "trailers")
        } else {
            builder
        };
        let builder = if self.anew { builder.header("connection", "close") } else { builder };
        Ok(builder.body(Full::new(self.body.clone()))?)
    }
}

impl Client {
    /// Connects. Of a connection whose protocol has streams there are so many clients, else there is one.
    pub(crate) async fn connect(target: &Rc<Target>, streams: usize) -> anyhow::Result<Vec<Self>> {
        let sender = if target.anew { Sender::Anew } else { Sender::connect(target).await? };
        let others = match &sender {
            Sender::Http2(sender) => vec![sender.clone(); streams.saturating_sub(1)],
            Sender::Anew | Sender::Http1(_) => Vec::new(),
        };
        let senders = others.into_iter().map(Sender::Http2).chain([sender]);
        Ok(senders.map(|sender| Self { target: target.clone(), sender }).collect())
    }

    /// Makes sure that there is a connection after one has failed.
    pub(super) async fn mend(&mut self) -> anyhow::Result<()> {
        let is_broken = match &self.sender {
            Sender::Anew => false,
            Sender::Http1(sender) => sender.is_closed(),
            Sender::Http2(sender) => sender.is_closed(),
        };
        if is_broken {
            self.sender = Sender::connect(&self.target).await?;
        }
        Ok(())
    }

    /// Asks, and waits for the whole answer.
    pub(crate) async fn ask(&mut self) -> anyhow::Result<()> {
        let request = self.target.request()?;
        let response = match &mut self.sender {
            Sender::Anew => match Sender::connect(&self.target).await? {
                // Its connection's task keeps the answer coming without it.
                Sender::Http1(mut sender) => sender.send_request(request).await?,
                Sender::Anew | Sender::Http2(_) => bail!("only HTTP/1.1 is asked over new connections"),
            },
            Sender::Http1(sender) => {
                // A proxy may close a connection that has carried enough requests.
                if sender.ready().await.is_err() {
                    self.mend().await?;
                    return Box::pin(self.ask()).await;
                }
                sender.send_request(request).await?
            }
            Sender::Http2(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
        };
        hear(response, self.target.speaks).await
    }
}

impl Sender {
    async fn connect(target: &Target) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(target.address).await?;
        stream.set_nodelay(true)?;
        match &target.tls {
            None => Self::over(stream, target.speaks).await,
            Some(connector) => {
                let name = ServerName::try_from("localhost")?;
                Self::over(connector.connect(name, stream).await?, target.speaks).await
            }
        }
    }

    async fn over<S>(stream: S, speaks: Speaks) -> anyhow::Result<Self>
    where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let stream = TokioIo::new(stream);
        // How a connection ends is seen by who asks over it.
        if speaks.has_streams() {
            let (sender, connection) = http2::handshake(LocalTasks, stream).await?;
            tokio::task::spawn_local(async move { connection.await.ok() });
            return Ok(Self::Http2(sender));
        }
        let (sender, connection) = http1::handshake(stream).await?;
        tokio::task::spawn_local(async move { connection.await.ok() });
        Ok(Self::Http1(sender))
    }
}

/// Hears an answer out, and whether it is a good one.
async fn hear(response: Response<Incoming>, speaks: Speaks) -> anyhow::Result<()> {
    let (head, mut body) = response.into_parts();
    ensure!(head.status == StatusCode::OK, "answered {}", head.status);
    let mut trailers = HeaderMap::new();
    while let Some(frame) = body.frame().await {
        if let Ok(found) = frame?.into_trailers() {
            trailers = found;
        }
    }
    if speaks == Speaks::Grpc {
        let code = trailers.get("grpc-status").or_else(|| head.headers.get("grpc-status"));
        ensure!(code.is_some_and(|code| code == "0"), "the call ended with the code {code:?}");
    }
    Ok(())
}

/// One message of a call, as it goes over the wire.
pub(crate) fn grpc_message() -> Bytes {
    let mut message = vec![0, 0, 0, 0, GRPC_MESSAGE_BYTES];
    message.resize(message.len() + usize::from(GRPC_MESSAGE_BYTES), b'x');
    message.into()
}

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

/// A whole answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// What carries a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    Http1,
    Http2,
}

/// A client's connection.
pub(crate) struct Client {
    sender: Sender,
}

enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr, over: Over) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let sender = match over {
            Over::Http1 => {
                let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
                tokio::spawn(connection);
                Sender::Http1(sender)
            }
            Over::Http2 => {
                let (sender, connection) =
                    http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
                tokio::spawn(connection);
                Sender::Http2(sender)
            }
        };
        Self { sender }
    }

    pub(crate) fn of_http1(sender: http1::SendRequest<Full<Bytes>>) -> Self {
        Self { sender: Sender::Http1(sender) }
    }

    pub(crate) fn of_http2(sender: http2::SendRequest<Full<Bytes>>) -> Self {
        Self { sender: Sender::Http2(sender) }
    }

    /// Sends a request, and reads the head of the answer.
    pub(crate) async fn begin(&mut self, request: Request<Full<Bytes>>) -> hyper::Result<Response<Incoming>> {
        match &mut self.sender {
            Sender::Http1(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
            Sender::Http2(sender) => sender.send_request(request).await,
        }
    }

    /// Sends a request, and reads the whole answer.
    pub(crate) async fn try_send(&mut self, request: Request<Full<Bytes>>) -> hyper::Result<Answer> {
        let (head, body) = self.begin(request).await?.into_parts();
        let body = body.collect().await?;
        let trailers = body.trailers().cloned();
        Ok(Answer { status: head.status, headers: head.headers, body: body.to_bytes(), trailers })
    }

    pub(crate) async fn send(&mut self, request: Request<Full<Bytes>>) -> Answer {
        self.try_send(request).await.unwrap()
    }

    pub(crate) async fn get(&mut self, host: &str, path: &str) -> Answer {
        let over = match self.sender {
            Sender::Http1(_) => Over::Http1,
            Sender::Http2(_) => Over::Http2,
        };
        self.send(request(over, Method::GET, host, path, "")).await
    }
}

/// A request in the form that its carrier asks for.
pub(crate) fn request(
    over: Over,
    method: Method,
    host: &str,
    path: &str,
    body: impl Into<Bytes>,
) -> Request<Full<Bytes>> {
    let builder = Request::builder().method(method);
    let builder = match over {
        Over::Http1 => builder.uri(path).header("host", host),
        Over::Http2 => builder.uri(format!("http://{host}{path}")),
    };
    builder.body(Full::new(body.into())).unwrap()
}

/// A URI in the form that its carrier asks for.
pub(crate) fn uri(over: Over, host: &str, path: &str) -> String {
    match over {
        Over::Http1 => path.to_owned(),
        Over::Http2 => format!("http://{host}{path}"),
    }
}

/// A request with a body of any kind over a connection of its own, and the head of its answer.
pub(crate) async fn begin<B>(
    address: SocketAddr,
    over: Over,
    request: Request<B>,
) -> hyper::Result<Response<Incoming>>
where
    B: Body<Data = Bytes, Error: std::error::Error + Send + Sync> + Send + Unpin + 'static,
{
    let wire = TokioIo::new(TcpStream::connect(address).await.unwrap());
    match over {
        Over::Http1 => {
            let (mut sender, connection) = http1::handshake(wire).await?;
            tokio::spawn(connection);
            sender.send_request(request).await
        }
        Over::Http2 => {
            let (mut sender, connection) = http2::handshake(TokioExecutor::new(), wire).await?;
            tokio::spawn(connection);
            sender.send_request(request).await
        }
    }
}

/// One request over a connection of its own.
pub(crate) async fn try_send(address: SocketAddr, request: Request<Full<Bytes>>) -> Option<Answer> {
    let stream = TcpStream::connect(address).await.ok()?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
    tokio::spawn(connection);
    let (head, body) = sender.send_request(request).await.ok()?.into_parts();
    let collected = body.collect().await.ok()?;
    let trailers = collected.trailers().cloned();
    Some(Answer { status: head.status, headers: head.headers, body: collected.to_bytes(), trailers })
}

/// Asks over a connection of its own.
pub(crate) async fn send(address: SocketAddr, request: Request<Full<Bytes>>) -> Answer {
    Client::connect(address, Over::Http1).await.send(request).await
}

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{Empty, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper::ext::Protocol;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::client::Over;
use super::endpoint::Endpoint;

pub(crate) trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// A WebSocket, whatever carries it.
pub(crate) type Socket = WebSocketStream<Box<dyn Io>>;

/// Messages may be as large as a test wants.
fn unbounded() -> WebSocketConfig {
    WebSocketConfig::default().max_message_size(None).max_frame_size(None)
}

async fn socket(io: impl Io + 'static, role: Role) -> Socket {
    let io: Box<dyn Io> = Box::new(io);
    WebSocketStream::from_raw_socket(io, role, Some(unbounded())).await
}

/// An endpoint that takes WebSockets, and does with each what `handle` does.
pub(crate) async fn serves<F>(over: Over, handle: impl Fn(Socket) -> F + Send + Sync + 'static) -> Endpoint
where
    F: Future<Output = ()> + Send + 'static,
{
    let handle = Arc::new(handle);
    match over {
        Over::Http1 => {
            Endpoint::raw(move |stream| {
                let handle = handle.clone();
                async move {
                    let io: Box<dyn Io> = Box::new(stream);
                    let taken = tokio_tungstenite::accept_async_with_config(io, Some(unbounded())).await;
                    if let Ok(socket) = taken {
                        handle(socket).await;
                    }
                }
            })
            .await
        }
        Over::Http2 => by_connect("websocket", handle).await,
    }
}

async fn by_connect<F>(
    protocol: &'static str,
    handle: Arc<impl Fn(Socket) -> F + Send + Sync + 'static>,
) -> Endpoint
where
    F: Future<Output = ()> + Send + 'static,
{
    Endpoint::raw(move |stream| {
        let handle = handle.clone();
        async move {
            let service = service_fn(move |mut request: Request<Incoming>| {
                let handle = handle.clone();
                async move {
                    let wanted = request.extensions().get::<Protocol>().map(Protocol::as_str);
                    let mut response = Response::new(Empty::<Bytes>::new());
                    if request.method() != Method::CONNECT || wanted != Some(protocol) {
                        *response.status_mut() = StatusCode::BAD_REQUEST;
                        return Ok::<_, Infallible>(response);
                    }
                    assert!(!request.headers().contains_key("sec-websocket-key"), "it is of HTTP/1.1");
                    let taken = hyper::upgrade::on(&mut request);
                    tokio::spawn(async move {
                        if let Ok(taken) = taken.await {
                            handle(socket(TokioIo::new(taken), Role::Server).await).await;
                        }
                    });
                    Ok(response)
                }
            });
            let mut server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            server.enable_connect_protocol();
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        }
    })
    .await
}

/// Sends back what comes, until the client closes.
pub(crate) async fn echo(mut socket: Socket) {
    while let Some(Ok(message)) = socket.next().await {
        let sent = match message {
            message if message.is_text() || message.is_binary() => socket.send(message).await,
            _ => socket.flush().await,
        };
        if sent.is_err() {
            return;
        }
    }
}

/// Opens a WebSocket; otherwise tells the status.
pub(crate) async fn open(address: SocketAddr, over: Over) -> Result<Socket, StatusCode> {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    match over {
        Over::Http1 => {
            let io: Box<dyn Io> = Box::new(stream);
            let opened =
                tokio_tungstenite::client_async_with_config("ws://a.test/chat?x=1", io, Some(unbounded()))
                    .await;
            match opened {
                Ok((socket, _)) => Ok(socket),
                Err(tokio_tungstenite::tungstenite::Error::Http(answer)) => Err(answer.status()),
                Err(error) => panic!("{error}"),
            }
        }
        Over::Http2 => match connect(stream, "websocket").await {
            Ok(taken) => Ok(socket(taken, Role::Client).await),
            Err(status) => Err(status),
        },
    }
}

/// An extended CONNECT over a connection of its own.
pub(crate) async fn connect(
    stream: TcpStream,
    protocol: &str,
) -> Result<TokioIo<hyper::upgrade::Upgraded>, StatusCode> {
    let (mut sender, connection) =
        http2::handshake::<_, _, Full<Bytes>>(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut request = Request::builder()
        .method(Method::CONNECT)
        .uri("http://a.test/chat?x=1")
        .header("sec-websocket-version", "13")
        .body(Full::default())
        .unwrap();
    request.extensions_mut().insert(Protocol::from(protocol));
    let response = sender.send_request(request).await.unwrap();
    if response.status() != StatusCode::OK {
        return Err(response.status());
    }
    Ok(TokioIo::new(hyper::upgrade::on(response).await.unwrap()))
}

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What an endpoint sends back.
pub(crate) type Answer = Response<BoxBody<Bytes, std::io::Error>>;

/// A server that keeps what it was asked.
pub(crate) struct Endpoint {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<AtomicUsize>,
    /// Its connections; they break off when it is dropped.
    _tasks: JoinSet<()>,
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Endpoint {
    /// Answers 200 with its name as the body.
    pub(crate) async fn named(name: &'static str) -> Self {
        Self::start(move |_| async move { answer(200, name) }).await
    }

    /// Answers with this status.
    pub(crate) async fn status(status: u16) -> Self {
        Self::start(move |_| async move { answer(status, "as told") }).await
    }

    /// Reads each request whole, and answers with what `handle` makes of it.
    pub(crate) async fn start<F>(handle: impl Fn(Seen) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        let handle = Arc::new(handle);
        Self::streaming(move |request| {
            let handle = handle.clone();
            async move {
                let (head, body) = request.into_parts();
                let Ok(body) = body.collect().await else { return answer(400, "broken") };
                let body = body.to_bytes();
                let seen = Seen {
                    method: head.method,
                    uri: head.uri,
                    version: head.version,
                    headers: head.headers,
                    body,
                };
                handle(seen).await
            }
        })
        .await
    }

    /// Answers 200 with its name on a port that another had, or on any.
    pub(crate) async fn named_at(port: u16, name: &'static str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        Self::streaming_on(listener, move |_| async move { answer(200, name) })
    }

    /// Answers with what `handle` makes of a request whose body it may read.
    pub(crate) async fn streaming<F>(handle: impl Fn(Request<Incoming>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        Self::streaming_on(TcpListener::bind("127.0.0.1:0").await.unwrap(), handle)
    }

    fn streaming_on<F>(
        listener: TcpListener,
        handle: impl Fn(Request<Incoming>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        let handle = Arc::new(handle);
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let log = seen.clone();
        Self::listen(listener, seen, move |stream| {
            let (handle, log) = (handle.clone(), log.clone());
            async move {
                let service = service_fn(move |request: Request<Incoming>| {
                    log.lock().unwrap().push(Seen {
                        method: request.method().clone(),
                        uri: request.uri().clone(),
                        version: request.version(),
                        headers: request.headers().clone(),
                        body: Bytes::new(),
                    });
                    let answered = handle(request);
                    async move { Ok::<_, Infallible>(answered.await) }
                });
                let server = auto::Builder::new(TokioExecutor::new());
                let _ = server.serve_connection(TokioIo::new(stream), service).await;
            }
        })
    }

    /// Does with each connection what `handle` does, below HTTP.
    pub(crate) async fn raw<F>(handle: impl Fn(TcpStream) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::listen(TcpListener::bind("127.0.0.1:0").await.unwrap(), Arc::default(), handle)
    }

    /// Takes connections and never answers.
    pub(crate) async fn hanging() -> Self {
        Self::raw(async |stream| {
            std::future::pending::<()>().await;
            drop(stream);
        })
        .await
    }

    /// Refuses connections: an address that nobody listens on.
    pub(crate) async fn refusing() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    }

    /// The same as [`raw`](Self::raw), on a listener that is there.
    pub(crate) fn on<F>(
        listener: TcpListener,
        handle: impl Fn(TcpStream) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::listen(listener, Arc::default(), handle)
    }

    fn listen<F>(
        listener: TcpListener,
        seen: Arc<Mutex<Vec<Seen>>>,
        handle: impl Fn(TcpStream) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let address = listener.local_addr().unwrap();
        let connections: Arc<AtomicUsize> = Arc::default();
        let counter = connections.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut open = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                counter.fetch_add(1, Ordering::SeqCst);
                open.spawn(handle(stream));
            }
        });
        Self { address, seen, connections, _tasks: tasks }
    }

    /// How many requests have arrived.
    pub(crate) fn hits(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    /// The heads of the requests that have arrived.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// How many connections were made.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// Where a gRPC answer says how the call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    /// In the head, without a body.
    InHead(&'static str),
    /// In the trailers, behind a message.
    InTrailers(&'static str),
    /// Nowhere: the body just ends.
    Missing,
}

/// A gRPC answer under a status of 200.
pub(crate) fn grpc(code: Code) -> Answer {
    let message = Bytes::from_static(b"\0\0\0\0\x02ok");
    let status = |code| HeaderMap::from_iter([(GRPC_STATUS, HeaderValue::from_static(code))]);
    let body = Full::new(if matches!(code, Code::InHead(_)) { Bytes::new() } else { message });
    let body = body.map_err(|never: Infallible| match never {});
    let mut response = match code {
        Code::InTrailers(code) => {
            Response::new(body.with_trailers(async move { Some(Ok(status(code))) }).boxed())
        }
        Code::InHead(_) | Code::Missing => Response::new(body.boxed()),
    };
    if let Code::InHead(code) = code {
        *response.headers_mut() = status(code);
    }
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    response
}

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// An answer with a text.
pub(crate) fn answer(status: u16, text: impl Into<Bytes>) -> Answer {
    let body = Full::new(text.into()).map_err(|never: Infallible| match never {}).boxed();
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

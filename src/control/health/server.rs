//! Endpoints for tests, on free ports: of HTTP, over TLS, of gRPC by tonic, and below all of these.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes};
use http::request::Parts;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, LocalOptions};
use tokio::task::{AbortHandle, spawn_local};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Status, server::Grpc};

use crate::tls::{ConnectSettings, Connector, Material};

/// What is answered.
pub(super) type Answer = Response<UnsyncBoxBody<Bytes, tonic::Status>>;

/// Runs a test on one thread, as checks run.
pub(super) fn on_one_thread<F: Future>(test: F) -> F::Output {
    let mut builder = Builder::new_current_thread();
    builder.enable_all().build_local(LocalOptions::default()).unwrap().block_on(test)
}

/// An endpoint. Dropped, it takes no more connections.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    seen: Rc<RefCell<Vec<(Parts, Bytes)>>>,
    task: AbortHandle,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// Does this with each connection.
    pub(super) async fn raw<F: Future<Output = ()> + 'static>(
        serve: impl Fn(TcpStream) -> F + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = spawn_local(async move {
            while let Ok((stream, _)) = listener.accept().await {
                spawn_local(serve(stream));
            }
        });
        Self { address, seen: Rc::default(), task: task.abort_handle() }
    }

    /// Answers requests of both protocols.
    pub(super) async fn http(answer: impl Fn() -> Answer + 'static) -> Self {
        let (seen, answer) = (Rc::<RefCell<Vec<_>>>::default(), Rc::new(answer));
        let log = seen.clone();
        let mut server = Self::raw(move |stream| serve(stream, log.clone(), answer.clone())).await;
        server.seen = seen;
        server
    }

    /// The same over TLS.
    pub(super) async fn https(tls: TlsAcceptor, answer: impl Fn() -> Answer + 'static) -> Self {
        let (seen, answer) = (Rc::<RefCell<Vec<_>>>::default(), Rc::new(answer));
        let log = seen.clone();
        let mut server = Self::raw(move |stream| {
            let (tls, log, answer) = (tls.clone(), log.clone(), answer.clone());
            async move {
                if let Ok(stream) = tls.accept(stream).await {
                    serve(stream, log, answer).await;
                }
            }
        })
        .await;
        server.seen = seen;
        server
    }

    /// Answers checks by gRPC, by tonic's hand: `SERVING` for the whole server and for `well`.
    pub(super) async fn tonic(tls: Option<TlsAcceptor>) -> Self {
        Self::raw(move |stream| {
            let tls = tls.clone();
            async move {
                match tls {
                    None => serve_calls(stream).await,
                    Some(tls) => serve_calls(tls.accept(stream).await.unwrap()).await,
                }
            }
        })
        .await
    }

    /// Does this with each connection, once they have agreed on TLS.
    pub(super) async fn raw_tls<F: Future<Output = ()> + 'static>(
        tls: TlsAcceptor,
        serve: impl Fn(TlsStream<TcpStream>) -> F + 'static,
    ) -> Self {
        let serve = Rc::new(serve);
        Self::raw(move |stream| {
            let (tls, serve) = (tls.clone(), serve.clone());
            async move {
                if let Ok(stream) = tls.accept(stream).await {
                    serve(stream).await;
                }
            }
        })
        .await
    }

    /// What it was asked, in order.
    pub(super) fn seen(&self) -> Vec<(Parts, Bytes)> {
        self.seen.borrow().clone()
    }
}

/// An answer of this status with a short body.
pub(super) fn status(status: u16) -> Answer {
    let body = Full::from("as told").map_err(|never| match never {});
    Response::builder().status(status).body(body.boxed_unsync()).unwrap()
}

async fn serve<S, A>(stream: S, log: Rc<RefCell<Vec<(Parts, Bytes)>>>, answer: Rc<A>)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
    A: Fn() -> Answer + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let (log, answer) = (log.clone(), answer.clone());
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            log.borrow_mut().push((head, body));
            Ok::<_, hyper::Error>(answer())
        }
    });
    let _ = auto::Builder::new(OnOneThread).serve_connection(TokioIo::new(stream), service).await;
}

async fn serve_calls<S: AsyncRead + AsyncWrite + Unpin + 'static>(stream: S) {
    let service = service_fn(|request: Request<Incoming>| async move {
        assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
        Ok::<_, hyper::Error>(Grpc::new(Plain).unary(tower::service_fn(answer), request).await)
    });
    let _ = auto::Builder::new(OnOneThread).serve_connection(TokioIo::new(stream), service).await;
}

/// Knows the whole server and a few services.
async fn answer(request: tonic::Request<Bytes>) -> Result<tonic::Response<Bytes>, Status> {
    let status: &[u8] = match &request.get_ref()[..] {
        b"" | b"\x0a\x04well" => b"\x08\x01",
        b"\x0a\x03ill" => b"\x08\x02",
        b"\x0a\x07unheard" => b"\x08\x03",
        b"\x0a\x05empty" => b"",
        b"\x0a\x08nonsense" => b"\x08",
        _ => return Err(Status::not_found("nobody has this name")),
    };
    Ok(tonic::Response::new(Bytes::from_static(status)))
}

/// Messages as they are.
#[derive(Clone, Copy, Default)]
struct Plain;

impl Codec for Plain {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(message);
        Ok(())
    }
}

impl Decoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}

/// Runs hyper's own tasks.
#[derive(Clone, Copy)]
struct OnOneThread;

impl<F: Future<Output: 'static> + 'static> hyper::rt::Executor<F> for OnOneThread {
    fn execute(&self, task: F) {
        spawn_local(task);
    }
}

/// An authority that signs endpoints' certificates.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Who has a certificate for this name, and knows of these protocols.
    pub(super) fn endpoint(&self, name: &str, alpn: &[&str]) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let chain = params.signed_by(&key, &self.issuer).unwrap().der().clone();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let mut config = builder.unwrap().with_no_client_auth().with_single_cert(vec![chain], key).unwrap();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }

    /// A side that trusts those whom this authority has signed. Its file need not stay.
    pub(super) fn trusted(&self, folder: &Path, http2: bool) -> Arc<Connector> {
        let roots = folder.join("roots.pem");
        std::fs::write(&roots, &self.pem).unwrap();
        let connector = Connector::new(ConnectSettings {
            roots: Some(roots),
            name: Some("endpoint.test".try_into().unwrap()),
            identities: Vec::new(),
            certificate: None,
            http2,
        });
        connector.renew().unwrap();
        Arc::new(connector)
    }
}

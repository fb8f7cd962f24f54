//! tonic, the other implementation of gRPC that services in Rust use, as client and as server. Messages are bytes as they
//! are.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use ::tonic::body::Body;
use ::tonic::client::Grpc;
use ::tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use ::tonic::server::NamedService;
use ::tonic::transport::server::TcpIncoming;
use ::tonic::transport::{
    Certificate, Channel, ClientTlsConfig, Endpoint, Identity, Server, ServerTlsConfig,
};
use ::tonic::{Code, Request, Response, Status, Streaming};
use bytes::{Buf, BufMut, Bytes};
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt, StreamExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::support::client::Over;
use crate::support::leg::{LEGS, Leg, Wire, sign_endpoint};
use crate::support::proxy::Proxy;
use crate::support::tls::{Authority, Pair};

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

type Answers = BoxStream<'static, Result<Bytes, Status>>;

/// A service with one method of each kind.
#[derive(Clone, Copy)]
struct Peer;

impl NamedService for Peer {
    const NAME: &'static str = "peer.Test";
}

impl tower::Service<http::Request<Body>> for Peer {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        async move {
            let mut grpc = ::tonic::server::Grpc::new(Plain);
            Ok(match request.uri().path() {
                "/peer.Test/Unary" => grpc.unary(tower::service_fn(unary), request).await,
                "/peer.Test/Hang" => grpc.unary(tower::service_fn(hang), request).await,
                "/peer.Test/Collect" => grpc.client_streaming(tower::service_fn(collect), request).await,
                "/peer.Test/Spread" => grpc.server_streaming(tower::service_fn(spread), request).await,
                "/peer.Test/Echo" => grpc.streaming(tower::service_fn(echo), request).await,
                _ => Status::unimplemented("nobody knows it").into_http(),
            })
        }
        .boxed()
    }
}

/// Sends back what it is sent, or fails as it is told to.
async fn unary(request: Request<Bytes>) -> Result<Response<Bytes>, Status> {
    let sent = request.metadata().get("x-sent").cloned();
    if request.get_ref() == "fail" {
        return Err(Status::failed_precondition("as told ☺"));
    }
    let mut response = Response::new(request.into_inner());
    if let Some(sent) = sent {
        response.metadata_mut().insert("x-came", sent);
    }
    Ok(response)
}

async fn hang(_: Request<Bytes>) -> Result<Response<Bytes>, Status> {
    std::future::pending().await
}

async fn collect(request: Request<Streaming<Bytes>>) -> Result<Response<Bytes>, Status> {
    let (mut messages, mut all) = (request.into_inner(), Vec::new());
    while let Some(message) = messages.message().await? {
        all.extend_from_slice(&message);
    }
    Ok(Response::new(all.into()))
}

/// A hundred messages, and then a failure if it is asked for.
async fn spread(request: Request<Bytes>) -> Result<Response<Answers>, Status> {
    let messages = stream::iter((0..100).map(|number| Ok(Bytes::from(format!("{number}")))));
    let fails = request.get_ref() == "fail";
    let end = stream::iter(fails.then(|| Err(Status::data_loss("at the end"))));
    Ok(Response::new(messages.chain(end).boxed()))
}

async fn echo(request: Request<Streaming<Bytes>>) -> Result<Response<Answers>, Status> {
    Ok(Response::new(request.into_inner().boxed()))
}

async fn serve(pair: Option<&Pair>) -> (std::net::SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut server = Server::builder();
    if let Some(pair) = pair {
        let identity = Identity::from_pem(&pair.chain, &pair.key);
        server = server.tls_config(ServerTlsConfig::new().identity(identity)).unwrap();
    }
    let mut tasks = JoinSet::new();
    let serving = server.add_service(Peer).serve_with_incoming(TcpIncoming::from(listener));
    tasks.spawn(async move { serving.await.unwrap() });
    (address, tasks)
}

async fn connect(leg: Leg, proxy: &Proxy) -> Grpc<Channel> {
    let (address, trust) = leg.of(proxy);
    let scheme = if leg.wire == Wire::Tls { "https" } else { "http" };
    let mut endpoint = Endpoint::from_shared(format!("{scheme}://{address}")).unwrap();
    if let Some(trust) = trust {
        let authority = Certificate::from_pem(std::fs::read(trust).unwrap());
        let tls = ClientTlsConfig::new().ca_certificate(authority).domain_name("a.test");
        endpoint = endpoint.tls_config(tls).unwrap();
    }
    let mut client = Grpc::new(endpoint.connect().await.unwrap());
    client.ready().await.unwrap();
    client
}

fn path(method: &str) -> http::uri::PathAndQuery {
    format!("/peer.Test/{method}").parse().unwrap()
}

/// Calls with one message each way.
async fn calls(client: &mut Grpc<Channel>) {
    let large = Bytes::from(vec![7; 3_000_000]);
    for message in [Bytes::new(), Bytes::from_static(b"hello"), large] {
        let mut request = Request::new(message.clone());
        request.metadata_mut().insert("x-sent", "1".parse().unwrap());
        client.ready().await.unwrap();
        let got = client.unary(request, path("Unary"), Plain).await.unwrap();
        assert_eq!(got.metadata().get("x-came").unwrap(), "1");
        assert!(got.into_inner() == message);
    }
    client.ready().await.unwrap();
    let failed = client.unary(Request::new("fail".into()), path("Unary"), Plain).await.unwrap_err();
    assert_eq!((failed.code(), failed.message()), (Code::FailedPrecondition, "as told ☺"));
    client.ready().await.unwrap();
    let failed = client.unary(Request::new("".into()), path("Nothing"), Plain).await.unwrap_err();
    assert_eq!((failed.code(), failed.message()), (Code::Unimplemented, "nobody knows it"));
    let mut request = Request::new("".into());
    request.set_timeout(Duration::from_millis(100));
    client.ready().await.unwrap();
    let failed = client.unary(request, path("Hang"), Plain).await.unwrap_err();
    // Whoever of the three is the first to notice.
    assert!(matches!(failed.code(), Code::DeadlineExceeded | Code::Cancelled), "{failed:?}");
}

/// Calls with many.
async fn streams(client: &mut Grpc<Channel>) {
    let many: Vec<Bytes> = (0..100).map(|number| Bytes::from(format!("{number}"))).collect();
    client.ready().await.unwrap();
    let sent = Request::new(stream::iter(many.clone()));
    let got = client.client_streaming(sent, path("Collect"), Plain).await.unwrap();
    assert_eq!(got.into_inner(), many.concat());

    for (asked, fails) in [("", false), ("fail", true)] {
        client.ready().await.unwrap();
        let got = client.server_streaming(Request::new(asked.into()), path("Spread"), Plain).await.unwrap();
        let (mut got, mut came) = (got.into_inner(), Vec::new());
        let end = loop {
            match got.message().await {
                Ok(Some(message)) => came.push(message),
                Ok(None) => break None,
                Err(status) => break Some((status.code(), status.message().to_owned())),
            }
        };
        assert_eq!(came, many);
        assert_eq!(end, fails.then(|| (Code::DataLoss, "at the end".to_owned())));
    }

    let (sending, sent) = futures_channel();
    client.ready().await.unwrap();
    let got = client.streaming(Request::new(sent), path("Echo"), Plain).await.unwrap();
    let mut got = got.into_inner();
    for message in &many {
        sending.send(message.clone()).unwrap();
        assert_eq!(got.message().await.unwrap().as_ref(), Some(message), "while the call goes on");
    }
    drop(sending);
    assert!(got.message().await.unwrap().is_none());
}

/// Messages that are sent one by one.
fn futures_channel() -> (tokio::sync::mpsc::UnboundedSender<Bytes>, BoxStream<'static, Bytes>) {
    let (sending, sent) = tokio::sync::mpsc::unbounded_channel();
    (sending, stream::unfold(sent, |mut sent| async { Some((sent.recv().await?, sent)) }).boxed())
}

#[tokio::test(flavor = "multi_thread")]
async fn tonic_makes_calls_of_every_kind_over_plain_and_tls_connections_on_either_leg() {
    let authority = Authority::new("ours");
    let pair = sign_endpoint(&authority);
    for inner in LEGS.into_iter().filter(|leg| leg.over == Over::Http2) {
        let (address, _server) = serve((inner.wire == Wire::Tls).then_some(&pair)).await;
        let proxy = Proxy::start_in(inner.folder(&authority, address));
        for outer in LEGS.into_iter().filter(|leg| leg.over == Over::Http2) {
            let mut client = connect(outer, &proxy).await;
            calls(&mut client).await;
            streams(&mut client).await;
        }
        proxy.counted("switchback_tries_total", &["fault=\"proxy\""], 0.0).await;
        proxy.counted("switchback_tries_total", &["outcome=\"reset\""], 0.0).await;
        proxy.counted("switchback_tries_total", &["outcome=\"truncated\""], 0.0).await;
    }
}

//! Endpoints for gRPC: each call is answered with one message and the code 0. nginx cannot do that; this can, and little
//! else, so that it takes as little as may be of the core that it shares with the load generator.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};

use clap::Args;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::{Builder, LocalOptions};

use crate::generate::grpc_message;

/// Where it listens.
#[derive(Args)]
pub(crate) struct Endpoint {
    /// Ports of 127.0.0.1.
    #[arg(long, value_delimiter = ',', required = true)]
    ports: Vec<u16>,
}

#[derive(Clone, Copy)]
struct LocalTasks;

impl<F: Future<Output: 'static> + 'static> hyper::rt::Executor<F> for LocalTasks {
    fn execute(&self, task: F) {
        tokio::task::spawn_local(task);
    }
}

const BACKLOG: u32 = 4_096;

impl Endpoint {
    /// Answers until it is ended.
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
        runtime.block_on(async {
            for port in &self.ports {
                let socket = TcpSocket::new_v4()?;
                socket.set_reuseaddr(true)?;
                socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, *port)))?;
                tokio::task::spawn_local(listen(socket.listen(BACKLOG)?));
            }
            std::future::pending().await
        })
    }
}

async fn listen(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        let serving =
            http2::Builder::new(LocalTasks).serve_connection(TokioIo::new(stream), service_fn(answer));
        // A connection that breaks off is its client's business, and so is one that only looks whether we listen.
        tokio::task::spawn_local(async move { serving.await.ok() });
    }
}

async fn answer(
    request: Request<Incoming>,
) -> Result<Response<impl Body<Data = bytes::Bytes, Error = Infallible>>, Infallible> {
    // A unary call is answered when its message has come.
    let mut asked = request.into_body();
    while let Some(Ok(_)) = asked.frame().await {}
    let trailers =
        HeaderMap::from_iter([(http::HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"))]);
    let body = Full::new(grpc_message()).with_trailers(async { Some(Ok(trailers)) });
    let mut response = Response::new(body);
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    Ok(response)
}

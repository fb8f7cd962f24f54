use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HOST, HeaderMap, HeaderValue, USER_AGENT};
use http::request::Builder;
use http::uri::{PathAndQuery, Scheme};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::config::Protocol;
use crate::model::Address;

use super::failure::Failure;
use super::rota::Errand;
use super::wire::{Wire, address};

/// The most that is read of an answer's body: checks have short answers, and what is longer is not read to its end.
const LARGEST_BODY: usize = 64 << 10;
/// The most that an answer's head may have.
const LARGEST_HEAD: u32 = 64 << 10;
/// How long a connection may take to close, of a peer that does not take our last bytes.
const CLOSING: Duration = Duration::from_secs(1);
/// Who asks.
const OURSELVES: &str = concat!("switchback-check/", env!("CARGO_PKG_VERSION"));
/// Who is asked for at a Unix socket, where nothing better is known.
const NOBODY: &str = "localhost";

/// What an endpoint has answered.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// As far as it was read.
    pub(super) body: Vec<u8>,
    /// What came behind it, or how it broke off.
    pub(super) end: Result<Option<HeaderMap>, hyper::Error>,
}

/// What runs on behalf of a check. It ends with it: dropped, it is cut off.
#[derive(Clone, Default)]
pub(super) struct Tasks(Rc<RefCell<JoinSet<()>>>);

/// Begins a request, of this path at whom the check is to ask for.
pub(super) fn request(errand: &Errand, method: Method, path: &PathAndQuery) -> Result<Builder, Failure> {
    let host = match (&errand.config.host, address(errand)) {
        (Some(host), _) => host.clone(),
        (None, Address::Tcp(address)) => {
            HeaderValue::from_str(&address.to_string()).map_err(http::Error::from)?
        }
        (None, Address::Unix(_)) => HeaderValue::from_static(NOBODY),
    };
    let request = Request::builder().method(method).header(USER_AGENT, OURSELVES);
    Ok(match errand.config.protocol {
        // No other request follows: the endpoint need not wait for one.
        Protocol::Http1 => request.uri(path.clone()).header(HOST, host).header(CONNECTION, "close"),
        Protocol::Http2 => {
            let scheme = if errand.tls.is_some() { Scheme::HTTPS } else { Scheme::HTTP };
            let uri = Uri::builder().scheme(scheme).authority(host.as_bytes()).path_and_query(path.clone());
            request.uri(uri.build()?)
        }
    })
}

/// Asks over this connection, and reads the answer.
pub(super) async fn exchange(
    protocol: Protocol,
    wire: Wire,
    request: Request<Full<Bytes>>,
    tasks: &Tasks,
) -> hyper::Result<Answer> {
    match protocol {
        Protocol::Http1 => {
            let mut builder = http1::Builder::new();
            builder.max_buf_size(LARGEST_HEAD as usize);
            let (mut sender, connection) = builder.handshake(TokioIo::new(wire)).await?;
            tasks.spawn(connection);
            Ok(read(sender.send_request(request).await?).await)
        }
        Protocol::Http2 => {
            let mut builder = http2::Builder::new(tasks.clone());
            builder.max_header_list_size(LARGEST_HEAD);
            let (mut sender, connection) = builder.handshake(TokioIo::new(wire)).await?;
            tasks.spawn(connection);
            Ok(read(sender.send_request(request).await?).await)
        }
    }
}

async fn read(answer: Response<Incoming>) -> Answer {
    let (head, mut incoming) = answer.into_parts();
    let mut body = Vec::new();
    let end = loop {
        match incoming.frame().await {
            None => break Ok(None),
            Some(Err(error)) => break Err(error),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => {
                    let room = LARGEST_BODY - body.len();
                    body.extend_from_slice(&data[..data.len().min(room)]);
                    if data.len() > room {
                        break Ok(None);
                    }
                }
                Err(frame) => break Ok(frame.into_trailers().ok()),
            },
        }
    };
    Answer { status: head.status, headers: head.headers, body, end }
}

impl Tasks {
    fn spawn(&self, task: impl Future + 'static) {
        self.0.borrow_mut().spawn_local(async move {
            // Whatever ends it is seen by the request in flight, or by nobody.
            let _ = task.await;
        });
    }

    /// Lets connections close, as they do when nobody asks any more.
    pub(super) async fn end(self) {
        let mut tasks = self.0.take();
        let _ = timeout(CLOSING, async { while tasks.join_next().await.is_some() {} }).await;
    }
}

impl<F: Future<Output: 'static> + 'static> hyper::rt::Executor<F> for Tasks {
    fn execute(&self, task: F) {
        self.spawn(task);
    }
}

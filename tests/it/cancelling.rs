//! Whoever gives up waiting lets go of the endpoint, too.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderValue, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;

use crate::support::client::{Over, begin, uri};
use crate::support::endpoint::{Answer, Endpoint, answer};
use crate::support::eventually;
use crate::support::frames::{DATA, END_STREAM, Frames, RST_STREAM, frame, head};
use crate::support::proxy::{Proxy, Service};

/// Why a stream is reset that nobody wants any more (RFC 9113, section 7).
const CANCEL: u32 = 8;

/// Counts those that were let go.
struct Guard(Arc<AtomicUsize>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// An endpoint that never answers, or never ends its answer; and how many of its handlers were dropped.
async fn endpoint() -> (Endpoint, Arc<AtomicUsize>) {
    let dropped = Arc::<AtomicUsize>::default();
    let counter = dropped.clone();
    let endpoint = Endpoint::streaming(move |request| {
        let guard = Guard(counter.clone());
        async move {
            let guard = guard;
            let (head, body) = request.into_parts();
            if head.uri.path() == "/mute" {
                return answer(400, listen(body).await.to_string());
            }
            let first = stream::once(async { Ok(Frame::data(Bytes::from_static(b"begun"))) });
            let rest = stream::once(async move {
                let _guard = guard;
                Err(listen(body).await)
            });
            let mut response: Answer = Response::new(BodyExt::boxed(StreamBody::new(first.chain(rest))));
            response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
            response
        }
    })
    .await;
    (endpoint, dropped)
}

/// Reads what comes, and then waits until nobody is there. (Who does not read does not hear of it.)
async fn listen(mut body: Incoming) -> std::io::Error {
    while let Some(frame) = body.frame().await {
        if let Err(error) = frame {
            return std::io::Error::other(error);
        }
    }
    std::future::pending().await
}

/// A call whose own messages have no end either, or which has none.
fn call(
    over: Over,
    path: &str,
    sends: bool,
) -> Request<impl http_body::Body<Data = Bytes, Error = Infallible> + Send + Unpin + use<>> {
    let first = stream::iter([Ok(Frame::data(Bytes::from_static(b"\0\0\0\0\x02hi")))]);
    let body = if sends { first.chain(stream::pending()).boxed() } else { first.boxed() };
    let builder = Request::post(uri(over, "a.test", path)).header("host", "a.test");
    builder.header("content-type", "application/grpc").body(StreamBody::new(body)).unwrap()
}

/// One stream is given up; its connection stays.
async fn give_up_stream(address: SocketAddr, path: &str, sends: bool, hits: impl AsyncFn()) -> Frames {
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "a.test"),
        (":path", path),
        ("content-type", "application/grpc"),
    ];
    let mut frames = Frames::connect(address).await;
    let message = frame(DATA, if sends { 0 } else { END_STREAM }, 1, b"\0\0\0\0\x02hi");
    frames.send(&[head(1, 0, &fields), message].concat()).await.unwrap();
    if path == "/mute" {
        hits().await;
    } else {
        while frames.next().await.unwrap().kind != DATA {}
    }
    frames.send(&frame(RST_STREAM, 0, 1, &CANCEL.to_be_bytes())).await.unwrap();
    frames
}

/// A connection is closed.
async fn give_up_connection(address: SocketAddr, path: &'static str, sends: bool, hits: impl AsyncFn()) {
    let call = begin(address, Over::Http1, call(Over::Http1, path, sends));
    if path == "/mute" {
        let call = tokio::spawn(call);
        hits().await;
        call.abort();
    } else {
        let mut body = call.await.unwrap().into_body();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "begun");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_its_client_gives_up_ends_at_the_endpoint_too() {
    for inner in ["http/1.1", "http/2"] {
        let (endpoint, dropped) = endpoint().await;
        let proxy = Proxy::start(&[Service::new("a").helios(endpoint.address).protocols(inner, "http/1.1")]);
        let mut calls = 0;
        for over in [Over::Http1, Over::Http2] {
            for (path, sends) in [("/mute", false), ("/mute", true), ("/begun", false), ("/begun", true)] {
                calls += 1;
                let hits = async || eventually("it is asked", async || endpoint.hits() == calls).await;
                let _stays = match over {
                    Over::Http1 => {
                        give_up_connection(proxy.address, path, sends, hits).await;
                        None
                    }
                    Over::Http2 => Some(give_up_stream(proxy.address, path, sends, hits).await),
                };
                let what = format!("{over:?} → {inner}: {path} is let go (sends: {sends})");
                eventually(&what, async || dropped.load(Ordering::SeqCst) == calls).await;
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "a handful")]
        let calls = calls as f64;
        proxy
            .counted("switchback_tries_total", &["outcome=\"client_gone\"", "fault=\"client\""], calls)
            .await;
        proxy.never("switchback_tries_total", &["fault=\"side\""]).await;
    }
}

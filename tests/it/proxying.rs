//! What passes through, and how.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::support::client::{Client, Over, request, send};
use crate::support::endpoint::{Answer, Endpoint, answer};
use crate::support::eventually;
use crate::support::proxy::{Proxy, Service};

/// An endpoint that tells in its answer what it was asked.
async fn echo() -> Endpoint {
    Endpoint::start(async move |seen| {
        let mut told = answer(200, seen.body.clone());
        let headers = told.headers_mut();
        headers.insert("x-method", seen.method.as_str().parse().unwrap());
        headers.insert("x-path", seen.uri.path_and_query().unwrap().as_str().parse().unwrap());
        let host = seen.headers.get("host").cloned();
        let authority = seen.uri.authority().map(|a| a.as_str().parse().unwrap());
        headers.insert("x-host", authority.or(host).unwrap());
        headers.insert("x-version", format!("{:?}", seen.version).parse().unwrap());
        told
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_and_its_answer_pass_whole_in_every_mix_of_protocols() {
    let endpoint = echo().await;
    for protocol in ["http/1.1", "http/2"] {
        let service = Service::new("a").helios(endpoint.address).protocols(protocol, "http/1.1");
        let proxy = Proxy::start(&[service]);
        for over in [Over::Http1, Over::Http2] {
            let mut client = Client::connect(proxy.address, over).await;
            for (method, body) in
                [(Method::GET, ""), (Method::POST, "hello"), (Method::PUT, ""), (Method::DELETE, "x")]
            {
                let sent = request(over, method.clone(), "a.test", "/p/a%20th?q=1&r", body);
                let got = client.send(sent).await;
                let what = format!("{over:?} → {protocol} {method}");
                assert_eq!(got.status, 200, "{what}");
                assert_eq!(got.text(), body, "{what}");
                assert_eq!(got.header("x-method"), method.as_str(), "{what}");
                assert_eq!(got.header("x-path"), "/p/a%20th?q=1&r", "{what}");
                assert_eq!(got.header("x-host"), "a.test", "{what}");
                let version = if protocol == "http/2" { "HTTP/2.0" } else { "HTTP/1.1" };
                assert_eq!(got.header("x-version"), version, "{what}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_belongs_to_one_connection_stays_there_and_where_it_came_from_is_told() {
    let endpoint = Endpoint::start(async move |_| {
        let mut told = answer(200, "");
        for (name, value) in [("connection", "x-secret"), ("x-secret", "1"), ("keep-alive", "timeout=5")] {
            told.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        told
    })
    .await;
    let proxy = Proxy::start(&[Service::new("a").helios(endpoint.address)]);
    let mut sent = request(Over::Http1, Method::GET, "a.test", "/", "");
    for (name, value) in [
        ("connection", "x-mine"),
        ("x-mine", "1"),
        ("te", "trailers, deflate"),
        ("proxy-connection", "keep-alive"),
        ("x-forwarded-for", "9.9.9.9"),
        ("x-kept", "yes"),
    ] {
        sent.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    let got = send(proxy.address, sent).await;
    assert_eq!((got.header("x-secret"), got.header("keep-alive")), ("", ""));
    let seen = endpoint.seen().remove(0).headers;
    for absent in ["x-mine", "proxy-connection"] {
        assert!(!seen.contains_key(absent), "{absent}: {seen:?}");
    }
    assert_eq!(seen["x-forwarded-for"], "127.0.0.1", "nobody is believed about it who is not listed");
    assert_eq!(seen["x-forwarded-proto"], "http");
    assert_eq!(seen["via"], "1.1 switchback");
    assert_eq!(seen["x-kept"], "yes");
    assert_eq!(seen["te"], "trailers");
}

/// Frames that a test sends one by one.
type Feed = mpsc::UnboundedSender<Result<Frame<Bytes>, Infallible>>;
type Fed = StreamBody<futures_util::stream::BoxStream<'static, Result<Frame<Bytes>, Infallible>>>;

fn feed() -> (Feed, Fed) {
    let (feed, frames) = mpsc::unbounded_channel();
    let stream =
        futures_util::stream::unfold(frames, |mut frames| async { Some((frames.recv().await?, frames)) });
    (feed, StreamBody::new(Box::pin(stream)))
}

/// An endpoint that sends each piece back as it comes, and the trailers.
async fn mirror() -> Endpoint {
    Endpoint::streaming(async move |request| {
        let body = request.into_body().map_err(std::io::Error::other).boxed();
        Response::new(body) as Answer
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_stream_both_ways_at_once_with_their_trailers() {
    let endpoint = mirror().await;
    let service = Service::new("a").helios(endpoint.address).protocols("http/2", "http/2");
    let proxy = Proxy::start(&[service]);
    let stream = TcpStream::connect(proxy.address).await.unwrap();
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let (feed, body) = feed();
    let request = Request::post("http://a.test/").body(body).unwrap();
    feed.send(Ok(Frame::data("one".into()))).unwrap();
    let mut answer = sender.send_request(request).await.unwrap().into_body();
    for piece in ["one", "two", "three"] {
        let got = answer.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(got, piece, "the answer goes on while the request does");
        match piece {
            "one" => feed.send(Ok(Frame::data("two".into()))).unwrap(),
            "two" => feed.send(Ok(Frame::data("three".into()))).unwrap(),
            _ => {}
        }
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", HeaderValue::from_static("3"));
    feed.send(Ok(Frame::trailers(trailers))).unwrap();
    drop(feed);
    let last = answer.frame().await.unwrap().unwrap().into_trailers().unwrap();
    assert_eq!(last["x-sum"], "3");
    assert!(answer.frame().await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_pass_over_http1_to_who_takes_them() {
    let endpoint = Endpoint::raw(async |mut stream| {
        let mut head = [0; 4_096];
        let _ = stream.read(&mut head).await;
        let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n\
                      2\r\nok\r\n0\r\nx-sum: 7\r\n\r\n";
        stream.write_all(answer.as_bytes()).await.unwrap();
        std::future::pending::<()>().await;
    })
    .await;
    let proxy = Proxy::start(&[Service::new("a").helios(endpoint.address)]);
    let mut sent = request(Over::Http1, Method::GET, "a.test", "/", "");
    sent.headers_mut().insert("te", HeaderValue::from_static("trailers"));
    let got = send(proxy.address, sent).await;
    assert_eq!(got.text(), "ok");
    assert_eq!(got.trailers.unwrap()["x-sum"], "7");
}

#[tokio::test(flavor = "multi_thread")]
async fn large_bodies_pass_unchanged() {
    let endpoint = echo().await;
    let large: Bytes = (0..=250).cycle().take(6_000_000).collect::<Vec<_>>().into();
    for protocol in ["http/1.1", "http/2"] {
        let service = Service::new("a").helios(endpoint.address).protocols(protocol, "http/1.1");
        let proxy = Proxy::start(&[service]);
        for over in [Over::Http1, Over::Http2] {
            let mut client = Client::connect(proxy.address, over).await;
            for method in [Method::POST, Method::PUT] {
                let got = client.send(request(over, method.clone(), "a.test", "/", large.clone())).await;
                assert!(got.body == large, "{over:?} → {protocol} {method}: {} bytes", got.body.len());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_unknown_length_passes_also_with_get() {
    let endpoint = echo().await;
    let proxy = Proxy::start(&[Service::new("a").helios(endpoint.address)]);
    let stream = TcpStream::connect(proxy.address).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    for method in [Method::GET, Method::POST] {
        let (feed, body) = feed();
        let builder = Request::builder().method(&method).uri("/").header("host", "a.test");
        let request = builder.header("transfer-encoding", "chunked").body(body).unwrap();
        for piece in ["a", "bc", "def"] {
            feed.send(Ok(Frame::data(piece.into()))).unwrap();
        }
        drop(feed);
        sender.ready().await.unwrap();
        let answer = sender.send_request(request).await.unwrap().into_body().collect().await.unwrap();
        assert_eq!(answer.to_bytes(), "abcdef", "{method}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_without_a_body_end_at_their_head() {
    let endpoint = Endpoint::start(async move |seen| match seen.uri.path() {
        "/204" => answer(204, ""),
        "/304" => answer(304, ""),
        _ => answer(200, "a body"),
    })
    .await;
    let proxy = Proxy::start(&[Service::new("a").helios(endpoint.address)]);
    for over in [Over::Http1, Over::Http2] {
        let mut client = Client::connect(proxy.address, over).await;
        for _ in 0..3 {
            assert_eq!(client.get("a.test", "/204").await.status, 204);
            assert_eq!(client.get("a.test", "/304").await.status, 304);
            let head = client.send(request(over, Method::HEAD, "a.test", "/", "")).await;
            assert_eq!((head.header("content-length"), head.text()), ("6", ""));
            assert_eq!(client.get("a.test", "/").await.text(), "a body");
        }
    }
    proxy.counted("switchback_tries_total", &["outcome=\"ok\"", "side=\"helios\""], 24.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_used_again_on_both_legs() {
    let endpoint = Endpoint::named("h").await;
    let proxy = Proxy::start(&[Service::new("a").helios(endpoint.address)]);
    let mut client = Client::connect(proxy.address, Over::Http1).await;
    for _ in 0..200 {
        assert_eq!(client.get("a.test", "/").await.status, 200);
    }
    assert_eq!((endpoint.hits(), endpoint.connections()), (200, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_requests_at_once_share_one_http2_connection() {
    let endpoint = Endpoint::start(async move |_| {
        tokio::time::sleep(Duration::from_millis(20)).await;
        answer(200, "")
    })
    .await;
    let service = Service::new("a").helios(endpoint.address).protocols("http/2", "http/2");
    let proxy = Proxy::start(&[service]);
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let address = proxy.address;
        all.spawn(async move {
            let mut client = Client::connect(address, Over::Http2).await;
            for _ in 0..5 {
                assert_eq!(client.get("a.test", "/").await.status, 200);
            }
        });
    }
    all.join_all().await;
    assert_eq!(endpoint.hits(), 100);
    assert!(endpoint.connections() <= 2, "one for each worker: {}", endpoint.connections());
}

/// Talks to the proxy byte by byte.
async fn raw(proxy: &Proxy, text: &str, until: &str) -> String {
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut got = String::new();
    let mut buffer = [0; 4_096];
    while !got.contains(until) {
        let count = stream.read(&mut buffer).await.unwrap();
        assert!(count > 0, "ended after: {got}");
        got.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
    }
    got
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelined_requests_are_answered_in_their_order() {
    let endpoint = Endpoint::start(async move |seen| {
        let slow = seen.uri.path() == "/1";
        tokio::time::sleep(Duration::from_millis(if slow { 50 } else { 0 })).await;
        answer(200, format!("[{}]", seen.uri.path()))
    })
    .await;
    let proxy = Proxy::start(&[Service::new("a").helios(endpoint.address)]);
    let asked: String =
        ["/1", "/2", "/3"].map(|path| format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n\r\n")).concat();
    let got = raw(&proxy, &asked, "[/3]").await;
    let places: Vec<usize> = ["[/1]", "[/2]", "[/3]"].map(|text| got.find(text).unwrap()).to_vec();
    assert!(places.is_sorted(), "{got}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http10_client_is_served_and_its_connection_closed() {
    let endpoint = echo().await;
    let proxy = Proxy::start(&[Service::new("a").host("*").helios(endpoint.address)]);
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    stream.write_all(b"GET /old HTTP/1.0\r\nHost: anything\r\n\r\n").await.unwrap();
    let mut got = String::new();
    stream.read_to_string(&mut got).await.unwrap();
    assert!(got.starts_with("HTTP/1.0 200") || got.starts_with("HTTP/1.1 200"), "{got}");
    assert!(got.contains("x-path: /old") && !got.contains("chunked"), "{got}");
    assert_eq!(endpoint.seen()[0].version, http::Version::HTTP_11);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_expects_to_be_told_to_go_on_is() {
    let endpoint = echo().await;
    let proxy = Proxy::start(&[Service::new("a").helios(endpoint.address)]);
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    let head = "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut buffer = [0; 1_024];
    let count = stream.read(&mut buffer).await.unwrap();
    assert!(buffer[..count].starts_with(b"HTTP/1.1 100 Continue"));
    stream.write_all(b"abc").await.unwrap();
    // The endpoint may have begun to answer before.
    let mut answer = String::from_utf8(buffer[..count].to_vec()).unwrap();
    while !answer.ends_with("abc") {
        let count = stream.read(&mut buffer).await.unwrap();
        assert!(count > 0, "{answer}");
        answer.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn services_are_found_by_host_and_longest_path() {
    let (one, two, api) =
        (Endpoint::named("one").await, Endpoint::named("two").await, Endpoint::named("api").await);
    let proxy = Proxy::start(&[
        Service::new("one").helios(one.address),
        Service::new("two").host("*.two.test").helios(two.address),
        Service::new("api").host("one.test").path("/api/").helios(api.address),
    ]);
    for (host, path, expected) in [
        ("one.test", "/", "one"),
        ("ONE.test:8080", "/apix", "one"),
        ("one.test", "/api", "api"),
        ("one.test", "/api/v1?x", "api"),
        ("x.two.test", "/", "two"),
        ("x.y.two.test", "/", "two"),
    ] {
        assert_eq!(proxy.get(host, path).await.text(), expected, "{host}{path}");
    }
    assert_eq!(proxy.get("two.test", "/").await.status, 404);
}

/// Endpoints close idle connections when they like; who asks just then must not suffer for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_was_closed_while_idle_costs_no_request() {
    let endpoint = Endpoint::raw(async |mut stream| {
        let mut head = [0; 4_096];
        if matches!(stream.read(&mut head).await, Ok(count) if count > 0) {
            // Promises to keep the connection, and does not.
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        }
    })
    .await;
    let proxy = Proxy::start(&[Service::new("a").helios(endpoint.address)]);
    let mut client = Client::connect(proxy.address, Over::Http1).await;
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        for _ in 0..50 {
            let got = client.send(request(Over::Http1, method.clone(), "a.test", "/", "")).await;
            assert_eq!(got.text(), "ok", "{method}");
        }
    }
    proxy.counted("switchback_tries_total", &["outcome=\"ok\""], 150.0).await;
    proxy.never("switchback_tries_total", &["fault=\"side\""]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_refuses_is_passed_over_and_nobody_notices() {
    let good = Endpoint::named("good").await;
    let service = Service::new("a").helios(Endpoint::refusing().await).helios(good.address);
    let proxy = Proxy::start(&[service]);
    for _ in 0..100 {
        assert_eq!(proxy.get("a.test", "/").await.text(), "good");
    }
    assert_eq!(good.hits(), 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_is_nobodys_failure_but_its_own() {
    let endpoint = Endpoint::hanging().await;
    let proxy = Proxy::start(&[Service::new("a").helios(endpoint.address)]);
    for client in 1..=3 {
        let mut stream = TcpStream::connect(proxy.address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await.unwrap();
        eventually("the endpoint is asked", async || endpoint.connections() == client).await;
        drop(stream);
    }
    proxy.counted("switchback_tries_total", &["outcome=\"client_gone\"", "fault=\"client\""], 3.0).await;
    proxy.never("switchback_tries_total", &["fault=\"side\""]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_amid_a_failure_has_got_the_failure() {
    let endpoint = Endpoint::raw(|mut stream| async move {
        let mut request = [0; 1_024];
        let _ = stream.read(&mut request).await;
        stream.write_all(b"HTTP/1.1 500 No\r\nContent-Length: 100\r\n\r\nsorry").await.unwrap();
        std::future::pending::<()>().await;
    })
    .await;
    let proxy = Proxy::start(&[Service::new("a").helios(endpoint.address)]);
    let mut client = TcpStream::connect(proxy.address).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await.unwrap();
    let mut got = Vec::new();
    while !got.ends_with(b"sorry") {
        assert!(client.read_buf(&mut got).await.unwrap() > 0);
    }
    drop(client);
    proxy.counted("switchback_tries_total", &["outcome=\"status\"", "fault=\"side\""], 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_makes_the_endpoint_wait() {
    let (sending, mut sent) = mpsc::unbounded_channel();
    let endpoint = Endpoint::streaming(move |_| {
        let sending = sending.clone();
        async move {
            let pieces = futures_util::stream::unfold(0_u64, move |count| {
                let sending = sending.clone();
                async move {
                    sending.send(count).ok()?;
                    let piece = Frame::data(Bytes::from(vec![0; 64 << 10]));
                    (count < 4_096).then_some((Ok::<_, std::io::Error>(piece), count + 1))
                }
            });
            Response::new(BodyExt::boxed(SyncBody(StreamBody::new(Box::pin(pieces))))) as Answer
        }
    })
    .await;
    let proxy = Proxy::start(&[Service::new("a").helios(endpoint.address)]);
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await.unwrap();
    // 256 MiB are on offer; what is taken is what fits between: sockets' buffers and the proxy's own.
    let mut taken = 0;
    while let Ok(Some(count)) = tokio::time::timeout(Duration::from_secs(1), sent.recv()).await {
        taken = count;
    }
    assert!(taken < 512, "{taken} pieces of 64 KiB were taken for a client that reads nothing");
}

/// Asserts nothing: a body that is polled by one task at a time may be shared.
struct SyncBody<B>(B);

impl<B: http_body::Body + Unpin> http_body::Body for SyncBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        std::pin::Pin::new(&mut self.0).poll_frame(cx)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_early_answer_reaches_a_client_that_still_sends() {
    let endpoint = Endpoint::streaming(async move |_| answer(413, "too much")).await;
    let proxy = Proxy::start(&[Service::new("a").helios(endpoint.address)]);
    let stream = TcpStream::connect(proxy.address).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let (feed, body) = feed();
    feed.send(Ok(Frame::data("begun".into()))).unwrap();
    let request = Request::post("/").header("host", "a.test").body(body).unwrap();
    let answer = sender.send_request(request).await.unwrap();
    assert_eq!(answer.status(), 413);
    drop(feed);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_over_http2_are_answered_as_they_are_ready() {
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let opened = gate.clone();
    let endpoint = Endpoint::start(move |seen| {
        let opened = opened.clone();
        async move {
            if seen.uri.path() == "/slow" {
                opened.acquire().await.unwrap().forget();
            }
            answer(200, "")
        }
    })
    .await;
    let proxy = Proxy::start(&[Service::new("a").helios(endpoint.address)]);
    let stream = TcpStream::connect(proxy.address).await.unwrap();
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let ask = |path: &'static str| {
        let mut sender = sender.clone();
        let uri = format!("http://a.test{path}");
        async move {
            let request = Request::get(uri).body(Empty::<Bytes>::new()).unwrap();
            sender.send_request(request).await.unwrap();
            path
        }
    };
    let slow = tokio::spawn(ask("/slow"));
    eventually("the slow one is under way", async || endpoint.hits() == 1).await;
    let fast = tokio::time::timeout(Duration::from_secs(20), ask("/fast")).await;
    assert_eq!(fast, Ok("/fast"), "it need not wait for the one before it");
    gate.add_permits(1);
    assert_eq!(slow.await.unwrap(), "/slow");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_can_carry_requests_for_several_services() {
    let (one, two) = (Endpoint::named("one").await, Endpoint::named("two").await);
    let proxy =
        Proxy::start(&[Service::new("one").helios(one.address), Service::new("two").helios(two.address)]);
    for over in [Over::Http1, Over::Http2] {
        let mut client = Client::connect(proxy.address, over).await;
        for name in ["one", "two", "one"] {
            assert_eq!(client.get(&format!("{name}.test"), "/").await.text(), name);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_lengths_the_chunks_count() {
    let endpoint = Endpoint::raw(async |mut stream| {
        let mut head = [0; 4_096];
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n\
                      b\r\nhello world\r\n0\r\n\r\n";
        while stream.read(&mut head).await.is_ok_and(|count| count > 0) {
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    })
    .await;
    let proxy = Proxy::start(&[Service::new("a").helios(endpoint.address)]);
    for over in [Over::Http1, Over::Http2] {
        assert_eq!(
            send(proxy.address, request(over, Method::GET, "a.test", "/", "")).await.text(),
            "hello world"
        );
    }
}

/// It may have been at work on the request: that is a failure, and not the race of an idle connection.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_breaks_off_later_is_the_sides_failure() {
    let endpoint = Endpoint::raw(async |mut stream| {
        let mut head = [0; 4_096];
        let _ = stream.read(&mut head).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        let _ = stream.read(&mut head).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    })
    .await;
    let proxy = Proxy::start(&[Service::new("a").helios(endpoint.address)]);
    let mut client = Client::connect(proxy.address, Over::Http1).await;
    assert_eq!(client.get("a.test", "/").await.text(), "ok");
    assert_eq!(client.get("a.test", "/").await.status, 502);
    proxy.counted("switchback_tries_total", &["outcome=\"reset\"", "fault=\"side\""], 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_breaks_off_its_body_after_the_answers_head_is_not_the_sides_failure() {
    let endpoint = mirror().await;
    let proxy = Proxy::start(&[Service::new("a").helios(endpoint.address)]);
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    let begun = "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n";
    stream.write_all(begun.as_bytes()).await.unwrap();
    let mut got = [0; 4_096];
    assert!(stream.read(&mut got).await.unwrap() > 0);
    stream.write_all(b"zz\r\n").await.unwrap();
    while stream.read(&mut got).await.is_ok_and(|count| count > 0) {}
    proxy.counted("switchback_tries_total", &["fault=\"client\""], 1.0).await;
    proxy.never("switchback_tries_total", &["fault=\"side\""]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn http_1_0_needs_no_host() {
    let endpoint = Endpoint::named("a").await;
    let proxy = Proxy::start(&[Service::new("a").host("*").helios(endpoint.address)]);
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
    let mut got = String::new();
    stream.read_to_string(&mut got).await.unwrap();
    assert!(got.contains(" 200 OK") && got.ends_with("\r\n\r\na"), "{got}");
    assert_eq!(endpoint.seen()[0].headers["via"], "1.0 switchback");
}

//! What a client may take up, and what it is told past that.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Method, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::client::{Client, Over, request};
use crate::support::endpoint::{Endpoint, answer};
use crate::support::eventually;
use crate::support::frames::{CONTINUATION, END_STREAM, Frames, GOAWAY, HEADERS, PING, block, frame};
use crate::support::proxy::{Folder, Proxy, Service};

const REFUSED: &str = "switchback_refused_requests_total";

/// A proxy whose listener has these limits.
async fn limited(limits: &str) -> (Proxy, Endpoint) {
    let endpoint = Endpoint::named("helios").await;
    let folder = Folder::with(&[Service::new("a").helios(endpoint.address)]);
    folder.add_to_process(&format!("[listeners.http.limits]\n{limits}\n"));
    (Proxy::start_in(folder), endpoint)
}

/// Sends this, and reads until the other end closes.
async fn until_closed(proxy: &Proxy, sent: &[u8]) -> String {
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    stream.write_all(sent).await.unwrap();
    let mut said = Vec::new();
    let _ = stream.read_to_end(&mut said).await;
    String::from_utf8(said).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_nothing_or_half_a_head_is_let_go() {
    let (proxy, endpoint) = limited("head = \"100ms\"").await;
    let half = "GET / HTTP/1.1\r\nHost: a.test\r\nX-Slow";
    // Who begins almost as HTTP/2 does speaks HTTP/1, and what a request line may be is nobody's to choose.
    let nearly = "PRI /x HTTP/1.1\r\nHost: a.test\r\nX-Slow";
    for (place, (sent, status)) in
        [("", ""), (half, "408"), ("PRI", "408"), ("PRI ", "408"), (nearly, "408")].into_iter().enumerate()
    {
        let said = until_closed(&proxy, sent.as_bytes()).await;
        assert_eq!(said.split(' ').nth(1).unwrap_or_default(), status, "{sent:?}: {said}");
        let count = f64::from(u32::try_from(place).unwrap()) + 1.0;
        proxy.counted(REFUSED, &["reason=\"head_timeout\""], count).await;
    }
    assert_eq!(endpoint.hits(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_pings_nor_drops_of_a_head_keep_an_http2_connection() {
    let (proxy, endpoint) = limited("idle = \"200ms\"").await;
    let ping = frame(PING, 0, 0, &[7; 8]);
    let drop = frame(CONTINUATION, 0, 1, b"");
    for (what, first, then) in [
        ("pings", Vec::new(), ping),
        ("a head that never ends", frame(HEADERS, END_STREAM, 1, &block(&[(":method", "GET")])), drop),
    ] {
        let mut client = Frames::connect(proxy.address).await;
        client.send(&first).await.unwrap();
        let mut beat = tokio::time::interval(std::time::Duration::from_millis(20));
        let closing = async {
            loop {
                tokio::select! {
                    got = client.next() => match got {
                        Some(frame) if frame.kind != GOAWAY => {}
                        Some(_) | None => return,
                    },
                    _ = beat.tick() => {}
                }
                if client.send(&then).await.is_err() {
                    return;
                }
            }
        };
        let closed = tokio::time::timeout(std::time::Duration::from_secs(20), closing).await;
        assert!(closed.is_ok(), "{what}");
    }
    assert_eq!(endpoint.hits(), 0);
}

/// More silent sockets than there may be connections used to keep everybody out for as long as they liked.
#[tokio::test(flavor = "multi_thread")]
async fn silent_sockets_do_not_keep_others_out() {
    let endpoint = Endpoint::named("helios").await;
    let folder = Folder::with(&[Service::new("a").helios(endpoint.address)]);
    folder.add_to_process("[limits]\nconnections = 20\n[listeners.http.limits]\nhead = \"100ms\"\n");
    let proxy = Proxy::start_in(folder);
    let mut silent = Vec::new();
    for _ in 0..60 {
        silent.push(TcpStream::connect(proxy.address).await.unwrap());
    }
    assert_eq!(proxy.get("a.test", "/").await.text(), "helios");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_nobody_uses_is_closed_without_a_word_of_blame() {
    let (proxy, _endpoint) = limited("idle = \"100ms\"").await;
    let said = until_closed(&proxy, b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    assert!(said.starts_with("HTTP/1.1 200") && said.ends_with("helios"), "{said}");

    let stream = TcpStream::connect(proxy.address).await.unwrap();
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let ended = tokio::spawn(connection);
    let answered = sender.send_request(request(Over::Http2, Method::GET, "a.test", "/", "")).await.unwrap();
    assert_eq!(answered.into_body().collect().await.unwrap().to_bytes(), "helios");
    ended.await.unwrap().expect("it ends with GOAWAY, and not with a reset");
    proxy.never(REFUSED, &["reason=\"head_timeout\""]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_nothing_of_an_answer_is_let_go_and_the_endpoint_with_it() {
    let endpoint = Endpoint::streaming(async |_| {
        let endless = futures_util::stream::repeat(Bytes::from(vec![7; 64 << 10]));
        let frames = futures_util::StreamExt::map(endless, |bytes| Ok::<_, Infallible>(Frame::data(bytes)));
        Response::new(StreamBody::new(frames).map_err(|never| match never {}).boxed())
    })
    .await;
    let folder = Folder::with(&[Service::new("a").helios(endpoint.address)]);
    folder.add_to_process("[listeners.http.limits]\nstalled = \"100ms\"\n");
    let proxy = Proxy::start_in(folder);
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await.unwrap();
    // The client's fault, and no evidence.
    proxy.counted("switchback_tries_total", &["outcome=\"client_gone\"", "fault=\"client\""], 1.0).await;
    drop(stream);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_is_too_large_is_refused_and_counted() {
    let (proxy, endpoint) = limited("header-bytes = \"16KiB\"\nheaders = 20\nuri-bytes = \"2KiB\"").await;
    let (long, path) = ("x".repeat(20 << 10), "p".repeat(2 << 10));
    let many = (0..21).fold(String::new(), |all, place| all + &format!("X-{place}: 1\r\n"));
    let few = (0..18).fold(String::new(), |all, place| all + &format!("X-{place}: 1\r\n"));
    for (what, head, status, reason) in [
        (
            "a long header",
            format!("GET / HTTP/1.1\r\nHost: a.test\r\nX: {long}\r\n\r\n"),
            "431",
            "head_too_large",
        ),
        ("many headers", format!("GET / HTTP/1.1\r\nHost: a.test\r\n{many}\r\n"), "431", "head_too_large"),
        (
            "a long path",
            format!("GET /{path} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n"),
            "414",
            "uri_too_long",
        ),
    ] {
        let said = until_closed(&proxy, head.as_bytes()).await;
        assert!(said.starts_with(&format!("HTTP/1.1 {status}")), "{what}: {said}");
        let labels = format!("reason=\"{reason}\"");
        eventually(what, async || proxy.metric(REFUSED, &[&labels]).await >= 1.0).await;
    }
    assert_eq!(endpoint.hits(), 0, "no byte of it has reached an endpoint");
    let said = until_closed(
        &proxy,
        format!("GET /fits HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n{few}\r\n").as_bytes(),
    )
    .await;
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
    let mut client = Client::connect(proxy.address, Over::Http2).await;
    let mut large = request(Over::Http2, Method::GET, "a.test", "/", "");
    large.headers_mut().insert("x", long.parse().unwrap());
    assert_eq!(client.send(large).await.status, 431);
    let mut numerous = request(Over::Http2, Method::GET, "a.test", "/", "");
    for place in 0..21 {
        let name = http::HeaderName::try_from(format!("x-{place}")).unwrap();
        numerous.headers_mut().insert(name, http::HeaderValue::from_static("1"));
    }
    assert_eq!(client.send(numerous).await.status, 431);
    assert_eq!(endpoint.hits(), 1);
    let got = client.send(request(Over::Http2, Method::GET, "a.test", &format!("/{path}"), "")).await;
    assert_eq!(got.status, 414);
    assert_eq!(client.get("a.test", "/").await.status, 200, "the connection goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_has_so_many_requests_and_no_more() {
    let (proxy, endpoint) = limited("requests = 3").await;
    let pipelined = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n".repeat(5);
    let said = until_closed(&proxy, pipelined.as_bytes()).await;
    assert_eq!(said.matches("HTTP/1.1 200").count(), 3, "{said}");
    assert_eq!(endpoint.hits(), 3);
    let stream = TcpStream::connect(proxy.address).await.unwrap();
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let ended = tokio::spawn(connection);
    for _ in 0..3 {
        let asked = request(Over::Http2, Method::GET, "a.test", "/", "");
        let answered = sender.send_request(asked).await.unwrap();
        assert_eq!(answered.into_body().collect().await.unwrap().to_bytes(), "helios");
    }
    ended.await.unwrap().expect("it ends with GOAWAY when the last answer has gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_too_large_is_the_clients_fault_however_it_comes() {
    let endpoint = Endpoint::start(async |seen| answer(200, format!("{}", seen.body.len()))).await;
    for protocol in ["http/1.1", "http/2"] {
        let service = Service::new("a")
            .helios(endpoint.address)
            .protocols(protocol, "http/1.1")
            .rest("[limits]\nbody = \"100KiB\"\n");
        let proxy = Proxy::start(&[service]);
        for over in [Over::Http1, Over::Http2] {
            for (size, method) in [(100 << 10, Method::POST), (100 << 10, Method::PUT)] {
                let body = vec![b'x'; size];
                let got = Client::connect(proxy.address, over).await;
                let got = { got }.send(request(over, method, "a.test", "/", body)).await;
                assert_eq!((got.status.as_u16(), got.text()), (200, "102400"), "{over:?} → {protocol}");
            }
            let before = endpoint.hits();
            let told = request(over, Method::POST, "a.test", "/", vec![b'x'; (100 << 10) + 1]);
            assert_eq!(Client::connect(proxy.address, over).await.send(told).await.status, 413);
            assert_eq!(endpoint.hits(), before, "what says that it is too large does not come");
        }
        proxy.counted(REFUSED, &["reason=\"body_too_large\""], 2.0).await;
        // Without a length it is noticed on the way; what was on its way is given up, and blamed on the client.
        let chunk = format!("{:x}\r\n{}\r\n", 64 << 10, "x".repeat(64 << 10));
        let head = "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n";
        let said = until_closed(&proxy, format!("{head}{chunk}{chunk}").as_bytes()).await;
        assert!(said.starts_with("HTTP/1.1 413"), "{said}");
        let blamed = ["outcome=\"body_too_large\"", "fault=\"client\""];
        proxy.counted("switchback_tries_total", &blamed, 1.0).await;
        proxy.never("switchback_tries_total", &["fault=\"side\""]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_has_so_many_connections_and_others_have_theirs() {
    let (proxy, _endpoint) = limited("connections-per-client = 2").await;
    let client = Client::connect(proxy.address, Over::Http1).await;
    let mut clients = [client, Client::connect(proxy.address, Over::Http2).await];
    for client in &mut clients {
        assert_eq!(client.get("a.test", "/").await.status, 200);
    }
    assert_eq!(until_closed(&proxy, b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await, "");
    proxy.counted(REFUSED, &["reason=\"too_many_connections\""], 1.0).await;
    drop(clients);
    // As soon as its connections are gone the client gets new ones.
    eventually("there is room again", async || {
        let sent = b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";
        until_closed(&proxy, sent).await.starts_with("HTTP/1.1 200")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_takes_as_many_connections_as_it_may_and_the_others_wait() {
    let open = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let (busy, busiest) =
        (std::sync::Arc::new(AtomicUsize::new(0)), std::sync::Arc::new(AtomicUsize::new(0)));
    let (opened, at_once, most) = (open.clone(), busy.clone(), busiest.clone());
    let endpoint = Endpoint::start(move |_| {
        let (opened, at_once, most) = (opened.clone(), at_once.clone(), most.clone());
        async move {
            most.fetch_max(at_once.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            opened.acquire().await.unwrap().forget();
            at_once.fetch_sub(1, Ordering::SeqCst);
            answer(200, "helios")
        }
    })
    .await;
    let folder = Folder::with(&[Service::new("a").helios(endpoint.address)]);
    folder.add_to_process("[listeners.http.limits]\nconnections = 3\n");
    let proxy = Proxy::start_in(folder);
    let sent = b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";
    let mut clients = Vec::new();
    for _ in 0..12 {
        let mut stream = TcpStream::connect(proxy.address).await.unwrap();
        stream.write_all(sent).await.unwrap();
        clients.push(stream);
    }
    // However the system deals them out over workers.
    eventually("there are as many as there may be", async || busy.load(Ordering::SeqCst) == 3).await;
    eventually("the others wait", async || proxy.metric("switchback_accepts_paused_total", &[]).await >= 1.0)
        .await;
    open.add_permits(12);
    for mut stream in clients {
        let mut said = String::new();
        stream.read_to_string(&mut said).await.unwrap();
        assert!(said.ends_with("helios"), "{said}");
    }
    assert_eq!(busiest.load(Ordering::SeqCst), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_has_no_room_still_closes_when_it_is_told_to() {
    let open = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let opened = open.clone();
    let endpoint = Endpoint::start(move |_| {
        let opened = opened.clone();
        async move {
            opened.acquire().await.unwrap().forget();
            answer(200, "helios")
        }
    })
    .await;
    let folder = Folder::with(&[Service::new("a").helios(endpoint.address)]);
    folder.add_to_process("[listeners.http.limits]\nconnections = 1\n");
    let proxy = Proxy::start_in(folder);
    let address = proxy.address;
    let ask = || {
        tokio::spawn(async move {
            let mut client = Client::connect(address, Over::Http1).await;
            client.try_send(request(Over::Http1, Method::GET, "a.test", "/", "")).await
        })
    };
    let first = ask();
    eventually("it is in flight", async || endpoint.hits() == 1).await;
    let waits: Vec<_> = (0..8).map(|_| ask()).collect();
    eventually("others wait", async || proxy.metric("switchback_accepts_paused_total", &[]).await >= 1.0)
        .await;
    let ending = tokio::spawn(proxy.end());
    eventually("nothing more is accepted", async || TcpStream::connect(address).await.is_err()).await;
    open.add_permits(100);
    assert_eq!(first.await.unwrap().unwrap().status, 200);
    for waits in waits {
        let _ = waits.await.unwrap();
    }
    ending.await.unwrap();
}

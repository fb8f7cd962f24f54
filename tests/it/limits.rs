//! What a client may take up, and what it is told past that.

use std::convert::Infallible;

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
    for (place, (sent, status)) in [("", ""), (half, "408"), ("PRI", "408")].into_iter().enumerate() {
        let said = until_closed(&proxy, sent.as_bytes()).await;
        assert_eq!(said.split(' ').nth(1).unwrap_or_default(), status, "{sent:?}: {said}");
        let count = f64::from(u32::try_from(place).unwrap()) + 1.0;
        proxy.counted(REFUSED, &["reason=\"head_timeout\""], count).await;
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
    proxy.counted(REFUSED, &[], 0.0).await;
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
        proxy.counted("switchback_tries_total", &["fault=\"side\""], 0.0).await;
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
async fn a_listener_takes_no_more_connections_than_it_may_and_the_others_wait() {
    let open = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let opened = open.clone();
    let endpoint = Endpoint::start(move |_| {
        let opened = opened.clone();
        async move {
            let _permit = opened.acquire().await.unwrap();
            answer(200, "helios")
        }
    })
    .await;
    let folder = Folder::with(&[Service::new("a").helios(endpoint.address)]);
    folder.add_to_process("[listeners.http.limits]\nconnections = 2\n");
    let proxy = Proxy::start_in(folder);
    let sent = b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";
    let mut clients = Vec::new();
    for _ in 0..6 {
        let mut stream = TcpStream::connect(proxy.address).await.unwrap();
        stream.write_all(sent).await.unwrap();
        clients.push(stream);
    }
    eventually("a worker has its share", async || {
        proxy.metric("switchback_accepts_paused_total", &[]).await >= 1.0
    })
    .await;
    assert!(endpoint.hits() <= 2, "{} at once", endpoint.hits());
    open.add_permits(1);
    for mut stream in clients {
        let mut said = String::new();
        stream.read_to_string(&mut said).await.unwrap();
        assert!(said.ends_with("helios"), "{said}");
    }
}

/// CVE-2023-44487: to ask and to give up at once costs a client nothing, and everybody else a lot.
#[tokio::test(flavor = "multi_thread")]
async fn who_gives_up_most_of_what_it_asks_for_is_let_go() {
    let endpoint = Endpoint::start(async |_| std::future::pending().await).await;
    let folder = Folder::with(&[Service::new("a").helios(endpoint.address)]);
    folder.add_to_process("[listeners.http.limits]\ncancelled = 3\n");
    let proxy = Proxy::start_in(folder);
    let stream = TcpStream::connect(proxy.address).await.unwrap();
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let ended = tokio::spawn(connection);
    for count in 1..=4 {
        let mut sender = sender.clone();
        let asked = request(Over::Http2, Method::GET, "a.test", "/", "");
        let asked = tokio::spawn(async move { sender.send_request(asked).await });
        eventually("it arrives", async || endpoint.hits() == count).await;
        asked.abort();
        let _ = asked.await;
        let gone = f64::from(u32::try_from(count).unwrap());
        proxy.counted("switchback_tries_total", &["outcome=\"client_gone\""], gone).await;
    }
    proxy.counted(REFUSED, &["reason=\"rapid_reset\""], 1.0).await;
    ended.await.unwrap().expect("it ends with GOAWAY");
    drop(sender);
}

/// A client that keeps one stream's window shut holds an endpoint with it, though its connection is busy.
#[tokio::test(flavor = "multi_thread")]
async fn who_takes_nothing_of_one_stream_loses_that_stream_only() {
    let endpoint = Endpoint::streaming(async |request| {
        let size = if request.uri().path() == "/large" { 8 << 20 } else { 10 };
        answer(200, vec![b'x'; size])
    })
    .await;
    for protocol in ["http/1.1", "http/2"] {
        let folder =
            Folder::with(&[Service::new("a").helios(endpoint.address).protocols(protocol, "http/1.1")]);
        folder.add_to_process("[listeners.http.limits]\nstalled = \"100ms\"\n");
        let proxy = Proxy::start_in(folder);
        let stream = TcpStream::connect(proxy.address).await.unwrap();
        let (mut sender, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let large = request(Over::Http2, Method::GET, "a.test", "/large", "");
        let untaken = sender.send_request(large).await.unwrap();
        let mut client = Client::of_http2(sender);
        eventually("it is given up", async || {
            assert_eq!(client.get("a.test", "/").await.status, 200, "the connection goes on");
            let gone = ["outcome=\"client_gone\"", "fault=\"client\""];
            proxy.metric("switchback_tries_total", &gone).await >= 1.0
        })
        .await;
        assert!(untaken.into_body().collect().await.is_err(), "a part must not look whole");
    }
}

/// A client that sends a body in drops would hold an endpoint for as long as it likes: each drop was a sign of life.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_comes_in_drops_is_the_clients_fault() {
    let endpoint = Endpoint::named("helios").await;
    let service = Service::new("a").helios(endpoint.address).rest("[timeouts]\nheader = \"200ms\"\n");
    let folder = Folder::with(&[service]);
    folder.add_to_process("[listeners.http.limits]\nstalled = \"100ms\"\nslowest = \"1024KiB\"\n");
    let proxy = Proxy::start_in(folder);
    let stream = TcpStream::connect(proxy.address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (mut reads, mut writes) = stream.into_split();
    let mut said = Vec::new();
    let drips = async {
        let head = b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n";
        writes.write_all(head).await.unwrap();
        while writes.write_all(b"1\r\nx\r\n").await.is_ok() {}
        std::future::pending::<()>().await;
    };
    let told = async {
        while !said.ends_with(b"}\n") {
            assert!(reads.read_buf(&mut said).await.unwrap() > 0);
        }
    };
    tokio::select! {
        () = drips => {}
        () = told => {}
    }
    let said = String::from_utf8_lossy(&said);
    assert!(said.starts_with("HTTP/1.1 400") && said.contains("client_body"), "{said}");
    proxy.counted("switchback_tries_total", &["outcome=\"client_body\"", "fault=\"client\""], 1.0).await;
}

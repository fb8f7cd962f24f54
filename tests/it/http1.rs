//! HTTP/1.1 where it is not as usual: heads in drops, answers before their requests, bodies that nobody wants.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::client::{Client, Over};
use crate::support::endpoint::{Endpoint, answer};
use crate::support::eventually;
use crate::support::proxy::{Proxy, Service};

/// Reads what comes until it holds this.
async fn until(stream: &mut TcpStream, wanted: &str) -> String {
    let mut said = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&said).into_owned();
        if text.contains(wanted) {
            return text;
        }
        assert_ne!(stream.read_buf(&mut said).await.unwrap(), 0, "ended after: {text}");
    }
}

async fn rest(mut stream: TcpStream) -> String {
    let mut said = String::new();
    let _ = stream.read_to_string(&mut said).await;
    said
}

/// An endpoint that reads until it has seen this, and then says that.
async fn saying(until_seen: &'static str, pieces: Vec<String>) -> Endpoint {
    let pieces = Arc::new(pieces);
    Endpoint::raw(move |mut stream| {
        let pieces = pieces.clone();
        async move {
            stream.set_nodelay(true).unwrap();
            let mut seen = Vec::new();
            while stream.read_buf(&mut seen).await.is_ok_and(|count| count > 0) {
                if String::from_utf8_lossy(&seen).contains(until_seen) {
                    seen.clear();
                    for piece in &*pieces {
                        let _ = stream.write_all(piece.as_bytes()).await;
                        tokio::task::yield_now().await;
                    }
                }
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_in_drops_is_a_head() {
    let endpoint = Endpoint::start(async |seen| answer(200, [&b"helios "[..], &seen.body].concat())).await;
    let proxy = Proxy::start(&[Service::new("a").helios(endpoint.address)]);
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    for _ in 0..2 {
        for byte in b"POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\n\r\nhi" {
            stream.write_all(&[*byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        until(&mut stream, "helios hi").await;
    }
    assert_eq!(endpoint.hits(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_in_drops_is_an_answer() {
    let whole = "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\
        \r\n4;a=b\r\nwiki\r\n5\r\npedia\r\n0\r\nx-sum: 7\r\n\r\n";
    for size in [1, 2, 3, 7, whole.len()] {
        let pieces = whole.as_bytes().chunks(size).map(|piece| String::from_utf8(piece.to_vec()).unwrap());
        let endpoint = saying("\r\n\r\n", pieces.collect()).await;
        let proxy = Proxy::start(&[Service::new("a").helios(endpoint.address)]);
        let mut stream = TcpStream::connect(proxy.address).await.unwrap();
        for _ in 0..2 {
            stream.write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\nTE: trailers\r\n\r\n").await.unwrap();
            let said = until(&mut stream, "x-sum: 7\r\n\r\n").await;
            let body = said.split_once("\r\n\r\n").unwrap().1;
            let text: String = body.split("\r\n").filter(|line| line.contains(char::is_alphabetic)).collect();
            assert!(text.contains("wikipedia") || text.contains("wiki") && text.contains("pedia"), "{said}");
            assert!(said.starts_with("HTTP/1.1 200"), "{said}");
        }
        assert_eq!(endpoint.connections(), 1, "by {size}: the connection is used again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_goes_on_behind_its_whole_answer_and_the_clients_connection_carries_the_next() {
    // It answers when it has seen the beginning, and reads on.
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nearly".to_owned();
    let (seen_end, endpoint) = {
        let seen_end = Arc::new(AtomicBool::new(false));
        let noted = seen_end.clone();
        let endpoint = Endpoint::raw(move |mut stream| {
            let (noted, answer) = (noted.clone(), answer.clone());
            async move {
                let mut seen = Vec::new();
                let mut answered = 0;
                while stream.read_buf(&mut seen).await.is_ok_and(|count| count > 0) {
                    let text = String::from_utf8_lossy(&seen).into_owned();
                    let asked = usize::from(text.contains("first")) + usize::from(text.contains("GET /next"));
                    noted.fetch_or(text.contains("last"), Ordering::SeqCst);
                    for _ in answered..asked {
                        stream.write_all(answer.as_bytes()).await.unwrap();
                    }
                    answered = asked.max(answered);
                }
            }
        })
        .await;
        (seen_end, endpoint)
    };
    let proxy = Proxy::start(&[Service::new("a").helios(endpoint.address)]);
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    stream.write_all(b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 9\r\n\r\nfirst").await.unwrap();
    until(&mut stream, "early").await;
    stream.write_all(b"last").await.unwrap();
    eventually("the rest has come", async || seen_end.load(Ordering::SeqCst)).await;
    stream.write_all(b"GET /next HTTP/1.1\r\nHost: a.test\r\n\r\n").await.unwrap();
    until(&mut stream, "early").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_try_that_kubernetes_fails_amid_an_upload_lets_go_of_its_connection() {
    let gone = Arc::new(AtomicBool::new(false));
    let noted = gone.clone();
    let kubernetes = Endpoint::raw(move |mut stream| {
        let noted = noted.clone();
        async move {
            let mut seen = Vec::new();
            while !String::from_utf8_lossy(&seen).contains("first") {
                if stream.read_buf(&mut seen).await.unwrap_or(0) == 0 {
                    return;
                }
            }
            let failure = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
            stream.write_all(failure).await.unwrap();
            while stream.read_buf(&mut seen).await.is_ok_and(|count| count > 0) {}
            noted.store(true, Ordering::SeqCst);
        }
    })
    .await;
    let helios = Endpoint::start(async |seen| answer(200, seen.body)).await;
    let service = Service::new("a").weight(100.0).helios(helios.address).kubernetes(kubernetes.address);
    let proxy = Proxy::start(&[service.rest("[judge]\nmode = \"off\"\n")]);
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    stream.write_all(b"PUT / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 9\r\n\r\nfirst").await.unwrap();
    // Not while the client is silent, and not when it goes on: Helios has it all.
    eventually("Kubernetes is let go", async || gone.load(Ordering::SeqCst)).await;
    stream.write_all(b"last").await.unwrap();
    until(&mut stream, "firstlast").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_nobody_wants_costs_the_connection_only_if_it_has_not_come() {
    let endpoint = Endpoint::named("helios").await;
    let proxy = Proxy::start(&[Service::new("a").helios(endpoint.address)]);
    let next = "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";
    for (head, body, goes_on) in [
        ("Content-Length: 4\r\n", "body", true),
        ("Content-Length: 400\r\n", "body", false),
        ("Transfer-Encoding: chunked\r\n", "4\r\nbody\r\n0\r\n\r\n", false),
        ("Content-Length: 4\r\nExpect: 100-continue\r\n", "", false),
    ] {
        let before = endpoint.hits();
        let mut stream = TcpStream::connect(proxy.address).await.unwrap();
        let refused = format!("POST / HTTP/1.1\r\nHost: nobody.test\r\n{head}\r\n{body}{next}");
        stream.write_all(refused.as_bytes()).await.unwrap();
        let said = rest(stream).await;
        assert!(said.starts_with("HTTP/1.1 404"), "{head}: {said}");
        assert!(!said.contains("100 Continue"), "{head}: {said}");
        assert_eq!(said.contains("helios"), goes_on, "{head}: {said}");
        assert_eq!(endpoint.hits() - before, usize::from(goes_on), "{head}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn long_answers_one_behind_the_other_take_one_connection() {
    let endpoint = Endpoint::start(async |_| answer(200, vec![b'x'; 1 << 20])).await;
    let proxy = Proxy::start(&[Service::new("a").helios(endpoint.address)]);
    let mut client = Client::connect(proxy.address, Over::Http1).await;
    for _ in 0..20 {
        assert_eq!(client.get("a.test", "/").await.body.len(), 1 << 20);
    }
    assert_eq!(endpoint.connections(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_come_before_an_answer_breaks_off_is_passed_on() {
    let pieces =
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n6\r\nsecond\r\nbroken\r\n";
    let endpoint = saying("\r\n\r\n", vec![pieces.to_owned()]).await;
    let proxy = Proxy::start(&[Service::new("a").helios(endpoint.address)]);
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await.unwrap();
    let said = rest(stream).await;
    assert!(said.contains("first") && said.contains("second") && !said.contains("0\r\n\r\n"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_says_how_its_connection_goes_on() {
    let endpoint = Endpoint::named("helios").await;
    let proxy = Proxy::start(&[Service::new("a").host("*").helios(endpoint.address)]);
    for (head, says) in [
        ("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n", Some("connection: close")),
        ("GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Close\r\n", Some("connection: close")),
        ("GET / HTTP/1.0\r\n", Some("connection: close")),
        ("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n", Some("connection: keep-alive")),
        ("GET / HTTP/1.1\r\nHost: a\r\n", None),
    ] {
        let mut stream = TcpStream::connect(proxy.address).await.unwrap();
        stream.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
        let said = until(&mut stream, "helios").await;
        let connection = said.lines().find(|line| line.starts_with("connection:"));
        assert_eq!(connection, says, "{head}");
        if says == Some("connection: close") {
            assert_eq!(rest(stream).await, "", "{head}");
        } else {
            stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
            assert!(rest(stream).await.ends_with("helios"), "{head}");
        }
    }
}

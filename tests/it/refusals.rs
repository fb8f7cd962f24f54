//! What clients are told when there is no answer to give.

use std::net::SocketAddr;
use std::time::Duration;

use http::{HeaderValue, Method};
use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::client::{Answer, Client, Over, request, send};
use crate::support::endpoint::{Endpoint, answer};
use crate::support::proxy::{Proxy, Service};

fn check(got: &Answer, status: u16, reason: &str, side: Option<&str>) {
    assert_eq!(got.status, status, "{reason}: {}", got.text());
    assert_eq!(got.header("content-type"), "application/problem+json", "{reason}");
    let body = got.json();
    assert_eq!(body["reason"], reason);
    assert_eq!(body["status"], status);
    assert_eq!(body["side"], serde_json::json!(side), "{reason}");
    let proxy_status = got.header("proxy-status");
    assert!(proxy_status.starts_with("switchback; error="), "{reason}: {proxy_status}");
    let timing = format!("{};desc=\"{reason}\"", side.unwrap_or("switchback"));
    assert_eq!(got.header("server-timing"), timing);
    if let Some(side) = side {
        assert!(proxy_status.ends_with(&format!("next-hop={side}")), "{reason}: {proxy_status}");
    }
}

/// Asks a service that has this endpoint only: it is told why there is no answer, and so are those who count.
async fn refused(endpoint: SocketAddr, timeouts: &str, status: u16, reason: &str) {
    let service = Service::new("a").helios(endpoint).rest(&format!("[timeouts]\n{timeouts}"));
    let proxy = Proxy::start(&[service]);
    check(&proxy.get("a.test", "/").await, status, reason, Some("helios"));
    let outcome = format!("outcome=\"{reason}\"");
    proxy.counted("switchback_tries_total", &[&outcome, "side=\"helios\"", "fault=\"side\""], 1.0).await;
    proxy.counted("switchback_tries_total", &[], 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_service_is_404() {
    let endpoint = Endpoint::named("a").await;
    let proxy = Proxy::start(&[Service::new("a").helios(endpoint.address)]);
    check(&proxy.get("b.test", "/").await, 404, "no_service", None);
    proxy.counted("switchback_refused_requests_total", &["reason=\"no_service\""], 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_endpoint_is_503_with_retry_after() {
    let endpoint = Endpoint::named("a").await;
    let force = "force = { header = \"x-side\", from = [\"127.0.0.1\"] }";
    let proxy = Proxy::start(&[Service::new("a").helios(endpoint.address).split(force)]);
    let mut sent = request(Over::Http1, Method::GET, "a.test", "/", "");
    sent.headers_mut().insert("x-side", HeaderValue::from_static("kubernetes"));
    let got = send(proxy.address, sent).await;
    check(&got, 503, "no_endpoint", Some("kubernetes"));
    proxy.counted("switchback_tries_total", &["outcome=\"no_endpoint\"", "fault=\"side\""], 1.0).await;
    assert_eq!(got.header("retry-after"), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_connection_is_502() {
    let ends = Endpoint::refusing().await;
    refused(ends, "", 502, "connect_refused").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_no_network_leads_to_is_502() {
    refused(SocketAddr::from(([255, 255, 255, 255], 80)), "", 502, "connect_failed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_not_made_in_time_is_504() {
    // A listener whose queue is full drops what comes.
    let full = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    full.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    full.listen(0).unwrap();
    let address = full.local_addr().unwrap().as_socket().unwrap();
    let _first = TcpStream::connect(address).await.unwrap();
    refused(address, "connect = \"100ms\"", 504, "connect_timeout").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_does_not_begin_in_time_is_504() {
    let hanging = Endpoint::hanging().await;
    refused(hanging.address, "header = \"100ms\"", 504, "header_timeout").await;
    refused(hanging.address, "header = \"100ms\"\nrequest = \"100ms\"", 504, "header_timeout").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_ends_without_an_answer_is_502() {
    let endpoint = Endpoint::raw(async |mut stream| {
        let mut head = [0; 1_024];
        let _ = stream.read(&mut head).await;
    })
    .await;
    refused(endpoint.address, "", 502, "reset").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_http_is_502() {
    let endpoint = Endpoint::raw(async |mut stream| {
        let mut head = [0; 1_024];
        let _ = stream.read(&mut head).await;
        let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.6\r\n\r\n").await;
    })
    .await;
    refused(endpoint.address, "", 502, "protocol").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_off_is_broken_off_for_the_client_too() {
    for (timeouts, stays, outcome) in [("", false, "truncated"), ("idle = \"100ms\"", true, "idle_timeout")] {
        let endpoint = Endpoint::raw(move |mut stream| async move {
            let mut head = [0; 1_024];
            let _ = stream.read(&mut head).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").await;
            if stays {
                std::future::pending::<()>().await;
            }
        })
        .await;
        let service = Service::new("a").helios(endpoint.address).rest(&format!("[timeouts]\n{timeouts}"));
        let proxy = Proxy::start(&[service]);
        let mut client = Client::connect(proxy.address, Over::Http1).await;
        let got = client.try_send(request(Over::Http1, Method::GET, "a.test", "/", "")).await;
        assert!(got.is_err(), "{outcome}: half an answer must not look whole");
        let outcome = format!("outcome=\"{outcome}\"");
        proxy.counted("switchback_tries_total", &[&outcome, "fault=\"side\""], 1.0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_cannot_be_understood_is_400_and_reaches_nobody() {
    let endpoint = Endpoint::named("a").await;
    let proxy = Proxy::start(&[Service::new("a").host("*").helios(endpoint.address)]);
    for asked in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n\r\n",
        "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : a.test\r\n\r\n",
        "NONSENSE\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(proxy.address).await.unwrap();
        stream.write_all(asked.as_bytes()).await.unwrap();
        let mut buffer = vec![0; 4_096];
        let count = stream.read(&mut buffer).await.unwrap();
        let got = String::from_utf8_lossy(&buffer[..count]).into_owned();
        assert!(got.starts_with("HTTP/1.1 400"), "{asked:?}: {got}");
    }
    assert_eq!(endpoint.hits(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_cannot_be_understood_is_502() {
    for head in [
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    ] {
        let endpoint = Endpoint::raw(move |mut stream| async move {
            let mut asked = [0; 1_024];
            let _ = stream.read(&mut asked).await;
            let _ = stream.write_all(head.as_bytes()).await;
            std::future::pending::<()>().await;
        })
        .await;
        refused(endpoint.address, "", 502, "protocol").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_has_no_body_for_head() {
    let endpoint = Endpoint::named("a").await;
    let proxy = Proxy::start(&[Service::new("a").helios(endpoint.address)]);
    for over in [Over::Http1, Over::Http2] {
        let got = send(proxy.address, request(over, Method::HEAD, "b.test", "/", "")).await;
        assert_eq!((got.status.as_u16(), got.text()), (404, ""), "{over:?}");
    }
}

/// A client that takes its time over a body is no fault of the side, and is not cut off while it sends.
#[tokio::test(flavor = "multi_thread")]
async fn the_clients_time_is_not_the_endpoints() {
    let endpoint = Endpoint::start(async |seen| answer(200, seen.body)).await;
    let timeouts = "[timeouts]\nheader = \"1s\"\nrequest = \"1s\"";
    let proxy = Proxy::start(&[Service::new("a").helios(endpoint.address).rest(timeouts)]);
    let head = "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 8\r\nConnection: close\r\n\r\n";
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    for piece in "unhurried".as_bytes()[..8].chunks(1) {
        tokio::time::sleep(Duration::from_millis(150)).await;
        stream.write_all(piece).await.unwrap();
    }
    let mut got = String::new();
    stream.read_to_string(&mut got).await.unwrap();
    assert!(got.starts_with("HTTP/1.1 200") && got.ends_with("unhurrie"), "{got}");
    let mut silent = TcpStream::connect(proxy.address).await.unwrap();
    silent.write_all(head.as_bytes()).await.unwrap();
    let mut got = String::new();
    silent.read_to_string(&mut got).await.unwrap();
    assert!(got.starts_with("HTTP/1.1 408") && got.contains("body_timeout"), "{got}");
    proxy.never("switchback_tries_total", &["fault=\"side\""]).await;
}

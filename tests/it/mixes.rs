//! What HTTP allows and few use, in every mix of protocols.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use crate::support::client::{Client, Over, begin, request, uri};
use crate::support::endpoint::{Answer, Endpoint, answer};
use crate::support::frames::{self, DATA, END_STREAM, frame, head};
use crate::support::proxy::{Folder, Proxy, Service};

/// Every mix: the client's protocol and the endpoint's.
const MIXES: [(Over, Over); 4] = [
    (Over::Http1, Over::Http1),
    (Over::Http1, Over::Http2),
    (Over::Http2, Over::Http1),
    (Over::Http2, Over::Http2),
];

fn name(over: Over) -> &'static str {
    if over == Over::Http1 { "http/1.1" } else { "http/2" }
}

fn proxy(address: SocketAddr, over: Over) -> Proxy {
    Proxy::start(&[Service::new("a").helios(address).protocols(name(over), "http/1.1")])
}

/// An endpoint that speaks HTTP/1.1 by hand: to each head the bytes that `answer` makes of its first line.
async fn by_hand(answer: impl Fn(&str) -> &'static str + Send + Sync + 'static) -> Endpoint {
    let answer = Arc::new(answer);
    Endpoint::raw(move |mut stream| {
        let answer = answer.clone();
        async move {
            let mut came = Vec::new();
            while stream.read_buf(&mut came).await.is_ok_and(|count| count > 0) {
                while let Some(end) = came.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                    let head: Vec<u8> = came.drain(..end + 4).collect();
                    let line = String::from_utf8(head).unwrap();
                    if stream.write_all(answer(line.lines().next().unwrap()).as_bytes()).await.is_err() {
                        return;
                    }
                }
            }
        }
    })
    .await
}

/// Sends bytes, and reads until they end so, or to the end.
async fn talk(stream: &mut TcpStream, sent: &str, until: &str) -> String {
    stream.write_all(sent.as_bytes()).await.unwrap();
    let mut got = Vec::new();
    while !String::from_utf8_lossy(&got).ends_with(until) {
        if stream.read_buf(&mut got).await.unwrap() == 0 {
            break;
        }
    }
    String::from_utf8(got).unwrap()
}

/// 304 and HEAD tell how long a body would be; none comes, and the connections go on.
#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_tells_of_a_body_that_does_not_come_passes_as_it_is() {
    let http1 = by_hand(|line| match line.split(' ').nth(1) {
        Some("/204") => "HTTP/1.1 204 No Content\r\n\r\n",
        Some("/304") => "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: \"x\"\r\n\r\n",
        _ if line.starts_with("HEAD") => "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        _ => "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    })
    .await;
    let http2 = frames::endpoint(|number, stream| match number % 4 {
        0 => head(stream, END_STREAM, &[(":status", "204")]),
        1 => head(stream, END_STREAM, &[(":status", "304"), ("content-length", "5"), ("etag", "\"x\"")]),
        2 => head(stream, END_STREAM, &[(":status", "200"), ("content-length", "5")]),
        _ => {
            let head = head(stream, 0, &[(":status", "200"), ("content-length", "5")]);
            [head, frame(DATA, END_STREAM, stream, b"hello")].concat()
        }
    })
    .await;
    for (outer, inner) in MIXES {
        let endpoint = if inner == Over::Http1 { &http1 } else { &http2 };
        let proxy = proxy(endpoint.address, inner);
        let before = endpoint.connections();
        let mut client = Client::connect(proxy.address, outer).await;
        for _ in 0..2 {
            let what = format!("{outer:?} → {inner:?}");
            assert_eq!(client.get("a.test", "/204").await.status, 204, "{what}");
            let got = client.get("a.test", "/304").await;
            assert_eq!((got.status.as_u16(), got.header("etag")), (304, "\"x\""), "{what}");
            assert!(matches!(got.header("content-length"), "5" | ""), "{what}");
            let got = client.send(request(outer, Method::HEAD, "a.test", "/", "")).await;
            assert_eq!((got.header("content-length"), got.text()), ("5", ""), "{what}");
            assert_eq!(client.get("a.test", "/").await.text(), "hello", "{what}");
        }
        assert_eq!(endpoint.connections(), before + 1);
        proxy.counted("switchback_tries_total", &["outcome=\"ok\""], 8.0).await;
    }
}

/// Sends back what it is sent, with the trailers, and says beforehand that there will be some.
async fn mirror() -> Endpoint {
    Endpoint::streaming(async |request| {
        let body = request.into_body().map_err(std::io::Error::other).boxed();
        let mut response: Answer = Response::new(body);
        response.headers_mut().insert("trailer", HeaderValue::from_static("x-sum"));
        response
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_of_unknown_length_and_their_trailers_pass_both_ways() {
    let endpoint = mirror().await;
    for (outer, inner) in MIXES {
        let proxy = proxy(endpoint.address, inner);
        let trailers = HeaderMap::from_iter([("x-sum".parse().unwrap(), HeaderValue::from_static("3"))]);
        let frames = ["one", "two"].map(|piece| Frame::data(Bytes::from(piece))).into_iter();
        let frames = frames.chain([Frame::trailers(trailers)]).map(Ok::<_, Infallible>);
        let builder = Request::post(uri(outer, "a.test", "/")).header("host", "a.test");
        let builder = builder.header("te", "trailers").header("trailer", "x-sum");
        let request = builder.body(StreamBody::new(stream::iter(frames))).unwrap();
        let answered = begin(proxy.address, outer, request).await.unwrap();
        let got = answered.into_body().collect().await.unwrap();
        let sum = got.trailers().and_then(|trailers| trailers.get("x-sum")).cloned();
        assert_eq!(sum.unwrap_or_else(|| panic!("{outer:?} → {inner:?}")), "3");
        assert_eq!(got.to_bytes(), "onetwo", "{outer:?} → {inner:?}");
    }
}

/// An endpoint may answer before it has the whole request; its client hears that while it sends.
#[tokio::test(flavor = "multi_thread")]
async fn an_early_answer_comes_while_the_client_sends_and_spoils_nothing() {
    let endpoint = Endpoint::streaming(async |request| {
        let early = request.uri().path() == "/early";
        if early { answer(413, "too much") } else { answer(200, "next") }
    })
    .await;
    for (outer, inner) in MIXES {
        let proxy = proxy(endpoint.address, inner);
        // The body never ends.
        let body = StreamBody::new(
            stream::once(async { Ok::<_, Infallible>(Frame::data(Bytes::from("begun"))) })
                .chain(stream::pending())
                .boxed(),
        );
        let request =
            Request::post(uri(outer, "a.test", "/early")).header("host", "a.test").body(body).unwrap();
        let answered = begin(proxy.address, outer, request).await.unwrap();
        assert_eq!(answered.status(), 413, "{outer:?} → {inner:?}");
        assert_eq!(answered.into_body().collect().await.unwrap().to_bytes(), "too much");
        assert_eq!(proxy.get("a.test", "/").await.text(), "next");
        proxy.never("switchback_tries_total", &["fault=\"side\""]).await;
    }
}

/// Who sends all of it before it listens hears of the refusal too: to close at once would reset the connection, and the
/// answer be lost (RFC 9112, section 9.6).
#[tokio::test(flavor = "multi_thread")]
async fn whoever_sends_a_large_body_before_it_listens_hears_that_it_is_too_large() {
    const SENT: usize = 4 << 20;
    // One that answers before it has all could be passed on before too much has come.
    let endpoint = Endpoint::named("helios").await;
    let service = Service::new("a").helios(endpoint.address).rest("[limits]\nbody = \"100KiB\"\n");
    let proxy = Proxy::start(&[service]);
    let counted = format!("Content-Length: {SENT}\r\n\r\n{}", "x".repeat(SENT));
    let chunk = format!("{:x}\r\n{}\r\n", 64 << 10, "x".repeat(64 << 10));
    let chunked = format!("Transfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n", chunk.repeat(SENT >> 16));
    let mut told = Vec::new();
    for rest in [counted, chunked] {
        for _ in 0..10 {
            let mut stream = TcpStream::connect(proxy.address).await.unwrap();
            let sent = format!("POST / HTTP/1.1\r\nHost: a.test\r\n{rest}");
            let wrote = stream.write_all(sent.as_bytes()).await;
            let mut got = Vec::new();
            let read = stream.read_to_end(&mut got).await;
            let got = String::from_utf8_lossy(&got).lines().next().unwrap_or("").to_owned();
            told.push(format!("{got} wrote {wrote:?} read {read:?}"));
        }
    }
    let good = |told: &&String| {
        told.starts_with("HTTP/1.1 413 ") && told.contains("wrote Ok(())") && told.contains("read Ok")
    };
    assert_eq!(told.iter().filter(good).count(), told.len(), "{told:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http_1_0_client_may_ask_to_go_on() {
    let (http1, http2) = (Endpoint::named("hello").await, Endpoint::named("hello").await);
    for (endpoint, inner) in [(http1, Over::Http1), (http2, Over::Http2)] {
        let proxy = proxy(endpoint.address, inner);
        let mut stream = TcpStream::connect(proxy.address).await.unwrap();
        for _ in 0..3 {
            let sent = "GET / HTTP/1.0\r\nHost: a.test\r\nConnection: keep-alive\r\n\r\n";
            let got = talk(&mut stream, sent, "hello").await.to_ascii_lowercase();
            assert!(got.contains(" 200 ") && got.contains("connection: keep-alive\r\n"), "{inner:?} {got}");
            assert!(got.contains("content-length: 5\r\n"), "{got}");
        }
        let got = talk(&mut stream, "GET / HTTP/1.0\r\nHost: a.test\r\n\r\n", "not to come").await;
        assert!(got.ends_with("hello"), "and is closed: {got}");
    }
}

/// What HTTP/1.0 cannot be told the length of ends with its connection.
#[tokio::test(flavor = "multi_thread")]
async fn an_http_1_0_client_gets_a_body_of_unknown_length_to_the_end_of_its_connection() {
    let endpoint = Endpoint::streaming(async |_| {
        let pieces = ["hel", "lo"].map(|piece| Ok(Frame::data(Bytes::from(piece))));
        Response::new(BodyExt::boxed(StreamBody::new(stream::iter(pieces))))
    })
    .await;
    for inner in [Over::Http1, Over::Http2] {
        let proxy = proxy(endpoint.address, inner);
        let mut stream = TcpStream::connect(proxy.address).await.unwrap();
        let sent = "GET / HTTP/1.0\r\nHost: a.test\r\nConnection: keep-alive\r\n\r\n";
        let got = talk(&mut stream, sent, "\r\n\r\nhello").await;
        assert!(got.ends_with("\r\n\r\nhello") && !got.contains("chunked"), "{inner:?} {got}");
        // Where all of it had come with its head over HTTP/2, its length is known, and the connection stays.
        let is_known = inner == Over::Http2 && got.contains("content-length: 5\r\n");
        assert!(is_known || stream.read(&mut [0]).await.unwrap() == 0, "{inner:?} {got}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelined_requests_with_bodies_are_answered_in_their_order() {
    let endpoint = Endpoint::start(async |seen| {
        let told = format!("[{} {}]", seen.method, String::from_utf8_lossy(&seen.body));
        answer(200, told)
    })
    .await;
    for inner in [Over::Http1, Over::Http2] {
        let proxy = proxy(endpoint.address, inner);
        let sent = "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\none\
                    PUT / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ntwo\r\n0\r\n\r\n\
                    HEAD / HTTP/1.1\r\nHost: a.test\r\n\r\n\
                    DELETE / HTTP/1.1\r\nHost: a.test\r\n\r\n\
                    GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";
        let mut stream = TcpStream::connect(proxy.address).await.unwrap();
        let got = talk(&mut stream, sent, "not to come").await;
        assert_eq!(got.matches("HTTP/1.1 200").count(), 5, "{inner:?} {got}");
        let places = ["[POST one]", "[PUT two]", "[DELETE ]", "[GET ]"].map(|text| got.find(text).unwrap());
        assert!(places.is_sorted(), "{inner:?} {got}");
    }
}

/// Who has said all that it has to say may shut its end, and listen.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_has_shut_its_end_still_gets_its_answer() {
    let shut = Arc::new(Notify::new());
    let told = shut.clone();
    let endpoint = Endpoint::start(move |seen| {
        let told = told.clone();
        async move {
            told.notified().await;
            answer(200, format!("{} bytes", seen.body.len()))
        }
    })
    .await;
    for inner in [Over::Http1, Over::Http2] {
        let proxy = proxy(endpoint.address, inner);
        for (sent, expected) in [
            ("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n", "0 bytes"),
            ("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\none", "3 bytes"),
        ] {
            let mut stream = TcpStream::connect(proxy.address).await.unwrap();
            stream.write_all(sent.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
            shut.notify_one();
            let mut got = String::new();
            stream.read_to_string(&mut got).await.unwrap();
            assert!(got.starts_with("HTTP/1.1 200") && got.ends_with(expected), "{inner:?} {got:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_expects_to_be_told_to_go_on_is_whatever_endpoints_speak() {
    let reading = Endpoint::start(async |seen| answer(200, seen.body)).await;
    let telling = Endpoint::raw(async |mut stream| {
        let mut came = vec![0; 4_096];
        let count = stream.read(&mut came).await.unwrap();
        // It was not asked, and says so all the same.
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.unwrap();
        let mut all = came[..count].to_vec();
        while !all.ends_with(b"abc") {
            stream.read_buf(&mut all).await.unwrap();
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc").await.unwrap();
        let _ = stream.read(&mut came).await;
    })
    .await;
    for (endpoint, inner) in [(&reading, Over::Http1), (&reading, Over::Http2), (&telling, Over::Http1)] {
        let proxy = proxy(endpoint.address, inner);
        let mut stream = TcpStream::connect(proxy.address).await.unwrap();
        let head = "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n";
        let got = talk(&mut stream, head, "\r\n\r\n").await;
        assert_eq!(got, "HTTP/1.1 100 Continue\r\n\r\n", "{inner:?}");
        let got = talk(&mut stream, "abc", "abc").await;
        assert!(got.starts_with("HTTP/1.1 200"), "{inner:?} {got}");
    }
}

/// RFC 8297: interim answers may come before any final one, and as many as the endpoint likes.
#[tokio::test(flavor = "multi_thread")]
async fn early_hints_do_not_stand_in_for_the_answer() {
    let http1 = by_hand(|_| {
        "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n\
         HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
    })
    .await;
    let http2 = frames::endpoint(|_, stream| {
        let hints = head(stream, 0, &[(":status", "103"), ("link", "</a.css>; rel=preload")]);
        let last = head(stream, 0, &[(":status", "200")]);
        [hints.clone(), hints, last, frame(DATA, END_STREAM, stream, b"hello")].concat()
    })
    .await;
    for (outer, inner) in MIXES {
        let endpoint = if inner == Over::Http1 { &http1 } else { &http2 };
        let proxy = proxy(endpoint.address, inner);
        let mut client = Client::connect(proxy.address, outer).await;
        for _ in 0..3 {
            let got = client.get("a.test", "/").await;
            assert_eq!((got.status.as_u16(), got.text()), (200, "hello"), "{outer:?} → {inner:?}");
            assert!(!got.headers.contains_key("link"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_legs_may_have_addresses_of_ipv6() {
    let listener = TcpListener::bind("[::1]:0").await.unwrap();
    let endpoint = Endpoint::on(listener, |mut stream: TcpStream| async move {
        let mut came = [0; 4_096];
        while let Ok(count @ 1..) = stream.read(&mut came).await {
            let head = String::from_utf8_lossy(&came[..count]).to_ascii_lowercase();
            let line = head.lines().find(|line| line.starts_with("x-forwarded-for")).unwrap().to_owned();
            let told = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{line}", line.len());
            stream.write_all(told.as_bytes()).await.unwrap();
        }
    });
    assert!(endpoint.address.is_ipv6());
    let folder = Folder::with(&[Service::new("a").helios(endpoint.address)]);
    let text = std::fs::read_to_string(folder.path().join("switchback.toml")).unwrap();
    folder.write_process(&text.replacen("127.0.0.1:0", "[::1]:0", 1));
    let proxy = Proxy::start_in(folder);
    assert!(proxy.address.is_ipv6());
    for over in [Over::Http1, Over::Http2] {
        let mut client = Client::connect(proxy.address, over).await;
        assert_eq!(client.get("a.test:8080", "/").await.text(), "x-forwarded-for: ::1");
    }
    let mut client = Client::connect(proxy.address, Over::Http1).await;
    assert_eq!(client.get("[::1]:80", "/").await.status, 404, "a host like any other");
}

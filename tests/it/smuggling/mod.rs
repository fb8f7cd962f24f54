//! Requests that two parsers may read in two ways: each is refused, and no byte of it reaches an endpoint, or it is
//! passed on in a form that can be read in one way only.
//!
//! Each case names where it is from: RFC 9112 (HTTP/1.1) and RFC 9110; C. Linhart and others, *HTTP Request Smuggling*
//! (Watchfire, 2005); J. Kettle, *HTTP Desync Attacks* (2019), *HTTP/2: The Sequel is Always Worse* (2021),
//! *Browser-Powered Desync Attacks* (2022), *HTTP/1.1 Must Die* (2025); J. Jara, *Funky Chunks* (2025).

mod answers;
mod http2;

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use http_body_util::BodyExt;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;

use crate::support::client::{Client, Over};
use crate::support::endpoint::{Endpoint, answer};
use crate::support::proxy::{Proxy, Service};

/// What must become of a case.
#[derive(Clone, Copy, Debug)]
enum Becomes {
    /// This status and the end of the connection, and nothing at the endpoint.
    Refused(&'static str),
    /// This status; where it ends is beyond doubt, so what follows is served.
    Answered(&'static str),
    /// These whole requests at the endpoint: method, path and body.
    Seen(&'static [&'static str]),
}
use Becomes::{Answered, Refused, Seen};

/// What follows each case on its connection. Whoever takes it for a part of the case has been fooled.
const NEXT: &str = "GET /next HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";

/// Notes every byte that comes.
struct Noting {
    stream: TcpStream,
    came: Arc<Mutex<Vec<u8>>>,
}

impl AsyncRead for Noting {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.came.lock().unwrap().extend_from_slice(&buffer.filled()[before..]);
        read
    }
}

impl AsyncWrite for Noting {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Everything that an endpoint was sent: as bytes, and as requests.
#[derive(Clone, Default)]
struct Came {
    bytes: Arc<Mutex<Vec<u8>>>,
    /// Methods and paths, as soon as they come.
    heads: Arc<Mutex<Vec<String>>>,
    requests: Arc<Mutex<Vec<String>>>,
}

async fn noting() -> (Endpoint, Came) {
    let came = Came::default();
    let log = came.clone();
    let endpoint = Endpoint::raw(move |stream| {
        let (wire, log) = (Noting { stream, came: log.bytes.clone() }, log.clone());
        async move {
            let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
                let log = log.clone();
                async move {
                    let (head, body) = request.into_parts();
                    let path = head.uri.path_and_query().map_or("", |path| path.as_str());
                    let told = format!("{} {path}", head.method);
                    log.heads.lock().unwrap().push(told.clone());
                    let Ok(body) = body.collect().await else { return Ok(answer(400, "broken")) };
                    let told = format!("{told} {}", String::from_utf8_lossy(&body.to_bytes()));
                    log.requests.lock().unwrap().push(told.trim_end().to_owned());
                    Ok::<_, Infallible>(answer(200, "seen"))
                }
            });
            let server = auto::Builder::new(TokioExecutor::new());
            let _ = server.serve_connection(TokioIo::new(wire), service).await;
        }
    })
    .await;
    (endpoint, came)
}

/// Sends a case with [`NEXT`] behind it, and checks what becomes of it.
async fn check(name: &str, sent: &str, becomes: Becomes, protocol: &'static str) -> Result<(), String> {
    let (endpoint, came) = noting().await;
    let service = Service::new("a").helios(endpoint.address).protocols(protocol, "http/1.1");
    let proxy = Proxy::start(&[service]);
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    stream.write_all(format!("{sent}{NEXT}").as_bytes()).await.unwrap();
    let mut said = Vec::new();
    let _ = stream.read_to_end(&mut said).await;
    let said = String::from_utf8_lossy(&said).into_owned();
    let (bytes, requests) = (came.bytes.lock().unwrap().clone(), came.requests.lock().unwrap().clone());
    let raw = String::from_utf8_lossy(&bytes);
    let fault = match becomes {
        Refused(status) => {
            let is_told = said.starts_with(&format!("HTTP/1.1 {status}"))
                || said.starts_with(&format!("HTTP/1.0 {status}"));
            let answers = said.matches("HTTP/1.").count();
            (!is_told || answers != 1 || !bytes.is_empty()).then(|| format!("not refused with {status}"))
        }
        Answered(status) => {
            let is_told = said.starts_with(&format!("HTTP/1.1 {status}"));
            (!is_told || requests != ["GET /next"]).then(|| format!("not answered with {status}"))
        }
        Seen(expected) => (requests != expected).then(|| format!("expected {expected:?}")),
    };
    // However it is read, what is passed on has one framing.
    let heads = raw.to_ascii_lowercase();
    let two_framings = heads
        .split("\r\n\r\n")
        .any(|head| head.contains("\r\ncontent-length:") && head.contains("\r\ntransfer-encoding:"));
    let fault = fault.or_else(|| two_framings.then(|| "two framings in one head".to_owned()));
    fault.map_or(Ok(()), |fault| {
        Err(format!("{name} → {protocol}: {fault}\n  said: {said:?}\n  seen: {requests:?}\n  raw: {raw:?}"))
    })
}

/// A POST with these headers and this body.
fn post(headers: &str, body: &str) -> String {
    format!("POST /case HTTP/1.1\r\nHost: a.test\r\n{headers}\r\n{body}")
}

/// A GET with these headers.
fn get(headers: &str) -> String {
    format!("GET /case HTTP/1.1\r\nHost: a.test\r\n{headers}\r\n")
}

const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";
const BOTH: Becomes = Seen(&["POST /case hello", "GET /next"]);

/// It is read as chunks, passed on as such, and the connection is closed behind it (RFC 9112, section 6.1).
const CLOSED: Becomes = Seen(&["POST /case hello"]);

/// How long is the body?
fn framing() -> Vec<(&'static str, String, Becomes)> {
    let chunks = "5\r\nhello\r\n0\r\n\r\n";
    vec![
        ("a length (RFC 9112 §6.2)", post("Content-Length: 5\r\n", "hello"), BOTH),
        ("chunks (RFC 9112 §7.1)", post(CHUNKED, chunks), BOTH),
        ("no body at all (RFC 9112 §6.3)", post("", ""), Seen(&["POST /case", "GET /next"])),
        (
            "length before chunked (RFC 9112 §6.3, CL.TE of 2005)",
            post(&format!("Content-Length: 4\r\n{CHUNKED}"), chunks),
            CLOSED,
        ),
        (
            "chunked before length (RFC 9112 §6.3, TE.CL of 2019)",
            post(&format!("{CHUNKED}Content-Length: 4\r\n"), chunks),
            CLOSED,
        ),
        (
            "two lengths that differ (RFC 9112 §6.3)",
            post("Content-Length: 5\r\nContent-Length: 4\r\n", "hello"),
            Refused("400"),
        ),
        ("two lengths in a list (RFC 9110 §8.6)", post("Content-Length: 5, 4\r\n", "hello"), Refused("400")),
        ("a negative length (RFC 9110 §8.6)", post("Content-Length: -5\r\n", "hello"), Refused("400")),
        ("a length with a sign (RFC 9110 §8.6)", post("Content-Length: +5\r\n", "hello"), Refused("400")),
        ("a length in hexadecimal (RFC 9110 §8.6)", post("Content-Length: 0x5\r\n", "hello"), Refused("400")),
        ("a length with a point (RFC 9110 §8.6)", post("Content-Length: 5.0\r\n", "hello"), Refused("400")),
        (
            "a length beyond 64 bits (RFC 9110 §8.6)",
            post("Content-Length: 18446744073709551621\r\n", "hello"),
            Refused("400"),
        ),
        ("an empty length (RFC 9110 §8.6)", post("Content-Length: \r\n", ""), Refused("400")),
        ("a length with a word (Kettle 2019)", post("Content-Length: 5 hello\r\n", "hello"), Refused("400")),
    ]
}

/// Is it in chunks?
fn codings() -> Vec<(&'static str, String, Becomes)> {
    let chunks = "5\r\nhello\r\n0\r\n\r\n";
    let with = |coding: &str| post(&format!("{coding}\r\n"), chunks);
    vec![
        (
            "chunked twice (RFC 9112 §7.1)",
            with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
            Refused("400"),
        ),
        (
            "chunked twice in a list (RFC 9112 §6.1)",
            with("Transfer-Encoding: chunked, chunked"),
            Refused("400"),
        ),
        ("chunked and identity (Kettle 2019)", with("Transfer-Encoding: chunked, identity"), Refused("400")),
        ("identity and chunked (Kettle 2019)", with("Transfer-Encoding: identity, chunked"), Refused("400")),
        ("xchunked (Kettle 2019)", with("Transfer-Encoding: xchunked"), Refused("400")),
        ("chunked with a tab before it (Kettle 2019)", with("Transfer-Encoding:\tchunked"), BOTH),
        (
            "chunked with a vertical tab (Kettle 2019)",
            with("Transfer-Encoding: \u{b}chunked"),
            Refused("400"),
        ),
        ("chunked in quotation marks (Kettle 2019)", with("Transfer-Encoding: \"chunked\""), Refused("400")),
        (
            "a space before the colon (RFC 9112 §5.1, Kettle 2019)",
            with("Transfer-Encoding : chunked"),
            Refused("400"),
        ),
        ("a tab before the colon (RFC 9112 §5.1)", with("Transfer-Encoding\t: chunked"), Refused("400")),
        ("a space before the name (RFC 9112 §5.2)", with(" Transfer-Encoding: chunked"), Refused("400")),
        (
            "a folded line (RFC 9112 §5.2, Kettle 2019)",
            with("Transfer-Encoding:\r\n chunked"),
            Refused("400"),
        ),
        (
            "a folded line of another header (RFC 9112 §5.2)",
            with("X: y\r\n Transfer-Encoding: chunked"),
            Refused("400"),
        ),
        ("upper case (RFC 9112 §7)", with("TRANSFER-ENCODING: CHUNKED"), BOTH),
        (
            "gzip, chunked, that we cannot take off (RFC 9112 §6.1)",
            with("Transfer-Encoding: gzip, chunked"),
            Refused("400"),
        ),
        (
            "chunked in HTTP/1.0 (RFC 9112 §6.1)",
            format!("POST /case HTTP/1.0\r\nHost: a.test\r\n{CHUNKED}\r\n{chunks}"),
            Refused("400"),
        ),
    ]
}

/// How long is a chunk?
fn chunks() -> Vec<(&'static str, String, Becomes)> {
    let with = |body: &str| post(CHUNKED, body);
    // A body that breaks off has been begun: the endpoint sees that it is broken, and never the next request.
    let broken = Seen(&[]);
    vec![
        ("an extension (RFC 9112 §7.1.1)", with("5;a=b\r\nhello\r\n0\r\n\r\n"), BOTH),
        ("leading zeros (RFC 9112 §7.1)", with("0005\r\nhello\r\n0\r\n\r\n"), BOTH),
        (
            "hexadecimal letters (RFC 9112 §7.1)",
            with("A\r\n0123456789\r\n0\r\n\r\n"),
            Seen(&["POST /case 0123456789", "GET /next"]),
        ),
        ("0x before the size (Kettle 2019)", with("0x5\r\nhello\r\n0\r\n\r\n"), broken),
        ("a sign before the size (RFC 9112 §7.1)", with("+5\r\nhello\r\n0\r\n\r\n"), broken),
        ("a size that is negative (RFC 9112 §7.1)", with("-5\r\nhello\r\n0\r\n\r\n"), broken),
        ("an underscore in the size (Jara 2025)", with("0_5\r\nhello\r\n0\r\n\r\n"), broken),
        ("a size beyond 64 bits (RFC 9112 §7.1)", with("10000000000000005\r\nhello\r\n0\r\n\r\n"), broken),
        ("no size (RFC 9112 §7.1)", with("\r\nhello\r\n0\r\n\r\n"), broken),
        ("a bare LF behind the size (Jara 2025)", with("5\nhello\r\n0\r\n\r\n"), broken),
        ("a bare LF within an extension (Jara 2025, TERM.EXT)", with("5;\nhello\r\n0\r\n\r\n"), broken),
        (
            "a bare LF within an extension that hides a chunk (Jara 2025, TERM.EXT)",
            with("2;\nxx\r\n05\r\n0\r\n\r\n"),
            broken,
        ),
        ("an end of line in place of the last chunk (RFC 9112 §7.1)", with("\r\n\r\n"), broken),
        ("an extension in place of the last chunk (RFC 9112 §7.1)", with(";a\r\n\r\n"), broken),
        ("an end of line behind the last chunk but one", with("5\r\nhello\r\n\r\n\r\n"), broken),
        ("a bare CR within an extension (Jara 2025)", with("5;a\rb\r\nhello\r\n0\r\n\r\n"), broken),
        ("a chunk that is longer than it says (Jara 2025, SPILL)", with("5\r\nhelloX\r\n0\r\n\r\n"), broken),
        ("a chunk without its end of line (RFC 9112 §7.1)", with("5\r\nhello0\r\n\r\n"), broken),
    ]
}

/// Who is asked, for what?
/// Hosts that are none.
fn hosts() -> Vec<(&'static str, String, Becomes)> {
    let alone = |host: &str| format!("GET /case HTTP/1.1\r\nHost: {host}\r\n\r\n");
    vec![
        ("a user in the host (RFC 9110 §7.2)", alone("u@a.test"), Answered("400")),
        ("a path in the host (RFC 9112 §3.2)", alone("a.test/x"), Answered("400")),
        ("a space in the host (RFC 9112 §3.2)", alone("a.test b.test"), Answered("400")),
        ("two ports in the host (RFC 9112 §3.2)", alone("a.test:1:2"), Answered("400")),
    ]
}

fn heads() -> Vec<(&'static str, String, Becomes)> {
    let line = |line: &str| format!("{line}\r\nHost: a.test\r\n\r\n");
    vec![
        ("no host (RFC 9112 §3.2)", "GET /case HTTP/1.1\r\n\r\n".to_owned(), Answered("400")),
        ("two hosts (RFC 9112 §3.2)", get("Host: b.test\r\n"), Answered("400")),
        ("two hosts that are the same (RFC 9112 §3.2)", get("Host: a.test\r\n"), Answered("400")),
        (
            "an absolute form and another host (RFC 9112 §3.2.2)",
            "GET http://a.test/case HTTP/1.1\r\nHost: evil.test\r\n\r\n".to_owned(),
            Seen(&["GET /case", "GET /next"]),
        ),
        (
            "an absolute form of nobody's and our host (RFC 9112 §3.2.2)",
            "GET http://evil.test/case HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n".to_owned(),
            Refused("404"),
        ),
        ("a header without a colon (RFC 9112 §5)", get("X\r\n"), Refused("400")),
        ("a header without a name (RFC 9112 §5)", get(": x\r\n"), Refused("400")),
        ("a NUL in a value (RFC 9110 §5.5)", get("X: a\0b\r\n"), Refused("400")),
        ("a bare CR in a value (RFC 9110 §5.5)", get("X: a\rTransfer-Encoding: chunked\r\n"), Refused("400")),
        ("a name that is no token (RFC 9110 §5.6.2)", get("X(y): z\r\n"), Refused("400")),
        ("a name of other letters (RFC 9110 §5.6.2)", get("Xé: z\r\n"), Refused("400")),
        ("a space in the path (RFC 9112 §3.2)", line("GET /a b HTTP/1.1"), Refused("400")),
        ("a tab for a space (RFC 9112 §3)", line("GET\t/case HTTP/1.1"), Refused("400")),
        ("two spaces (RFC 9112 §3)", line("GET  /case HTTP/1.1"), Refused("400")),
        ("no version (RFC 9112 §3)", line("GET /case"), Refused("400")),
        ("another version (RFC 9112 §2.3)", line("GET /case HTTP/1.2"), Refused("400")),
        ("a version of lower case (RFC 9112 §2.3)", line("GET /case http/1.1"), Refused("400")),
        ("a control character in the path (RFC 3986 §2)", line("GET /\u{1}case HTTP/1.1"), Refused("400")),
        ("a fragment (RFC 9112 §3.2.1)", line("GET /case#x HTTP/1.1"), Seen(&["GET /case", "GET /next"])),
        (
            "a tunnel (RFC 9110 §9.3.6)",
            "CONNECT a.test:80 HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n".to_owned(),
            Refused("400"),
        ),
        (
            "a GET with a body (RFC 9110 §9.3.1, Kettle 2022)",
            format!("GET /case HTTP/1.1\r\nHost: a.test\r\nContent-Length: {}\r\n\r\n{NEXT}", NEXT.len()),
            Seen(&["GET /case GET /next HTTP/1.1\r\nHost: a.test\r\nConnection: close", "GET /next"]),
        ),
        (
            "Connection names Content-Length (RFC 9110 §7.6.1)",
            post("Connection: content-length\r\nContent-Length: 5\r\n", "hello"),
            BOTH,
        ),
        (
            "Connection names Host (RFC 9110 §7.6.1)",
            get("Connection: host\r\n"),
            Seen(&["GET /case", "GET /next"]),
        ),
        (
            "Connection names Transfer-Encoding (RFC 9110 §7.6.1)",
            post(&format!("Connection: transfer-encoding\r\n{CHUNKED}"), "5\r\nhello\r\n0\r\n\r\n"),
            BOTH,
        ),
        (
            "an upgrade to HTTP/2 (RFC 9113 §3.1)",
            get(
                "Connection: upgrade, http2-settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
            ),
            Seen(&["GET /case", "GET /next"]),
        ),
        (
            "Expect with a body (RFC 9110 §10.1.1, Kettle 2025)",
            post("Expect: 100-continue\r\nContent-Length: 5\r\n", "hello"),
            BOTH,
        ),
    ]
}

async fn check_all(cases: Vec<(&str, String, Becomes)>) {
    let mut faults = Vec::new();
    for (name, sent, becomes) in cases {
        for protocol in ["http/1.1", "http/2"] {
            if let Err(fault) = check(name, &sent, becomes, protocol).await {
                faults.push(fault);
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_has_one_length_or_none_is_passed_on() {
    check_all(framing()).await;
    check_all(codings()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunk_has_one_length_or_the_body_is_broken() {
    check_all(chunks()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_can_be_read_in_one_way_or_is_refused() {
    check_all(heads()).await;
    check_all(hosts()).await;
}

/// What stands behind a body must not be taken for a part of the head (RFC 9110 §6.5.1), on either leg.
#[tokio::test(flavor = "multi_thread")]
async fn trailers_say_nothing_of_framing_host_or_client() {
    const BAD: [(&str, &str); 5] = [
        ("content-length", "5"),
        ("host", "evil.test"),
        ("transfer-encoding", "chunked"),
        ("x-forwarded-for", "10.0.0.1"),
        ("x-forwarded_client-cert", "Hash=00"),
    ];
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let log = seen.clone();
    let endpoint = Endpoint::streaming(move |request| {
        let log = log.clone();
        async move {
            let body = request.into_body().collect().await.unwrap();
            let names =
                body.trailers().into_iter().flat_map(|trailers| trailers.keys().map(ToString::to_string));
            log.lock().unwrap().extend(names);
            // Over HTTP/2 a transfer coding makes all of it malformed (RFC 9113, section 8.2.2).
            let allowed = BAD.into_iter().filter(|(name, _)| *name != "transfer-encoding");
            let trailers = allowed.chain([("x-kept", "1")]);
            let trailers = trailers.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
            let trailers = trailers.collect::<http::HeaderMap>();
            let body = http_body_util::Full::new("seen".into()).map_err(|never: Infallible| match never {});
            http::Response::new(body.with_trailers(async move { Some(Ok(trailers)) }).boxed())
        }
    })
    .await;
    let service = Service::new("a").helios(endpoint.address).protocols("http/2", "http/1.1");
    let proxy = Proxy::start(&[service]);
    let lines: Vec<String> =
        BAD.iter().chain(&[("x-kept", "1")]).map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let lines = lines.concat();
    let sent = post(CHUNKED, &format!("5\r\nhello\r\n0\r\n{lines}\r\n"));
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    stream.write_all(format!("{sent}{NEXT}").as_bytes()).await.unwrap();
    stream.read_to_end(&mut Vec::new()).await.unwrap();
    assert_eq!(*seen.lock().unwrap(), ["x-kept"]);

    let mut client = Client::connect(proxy.address, Over::Http2).await;
    let got = client.get("a.test", "/").await;
    let names: Vec<String> = got.trailers.unwrap().keys().map(ToString::to_string).collect();
    assert_eq!(names, ["x-kept"]);
}

/// Gateways that take `_` for `-` must not take a client's word for who it is (Kettle 2019; nginx drops such names).
#[tokio::test(flavor = "multi_thread")]
async fn who_a_client_says_that_it_is_does_not_pass_in_any_spelling() {
    let (endpoint, came) = noting().await;
    let proxy = Proxy::start(&[Service::new("a").helios(endpoint.address)]);
    let spelled = ["X-Forwarded-Client-Cert", "X_Forwarded_Client_Cert", "x-forwarded_client-cert"];
    let lines: Vec<String> = spelled.iter().map(|name| format!("{name}: Hash=00\r\n")).collect();
    let lines = lines.concat();
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    let sent = get(&format!("{lines}X_Other: 1\r\nConnection: close\r\n"));
    stream.write_all(sent.as_bytes()).await.unwrap();
    stream.read_to_end(&mut Vec::new()).await.unwrap();
    let bytes = came.bytes.lock().unwrap().clone();
    let raw = String::from_utf8(bytes).unwrap().to_ascii_lowercase();
    assert!(raw.contains("x_other: 1") && !raw.contains("hash=00"), "{raw}");
}

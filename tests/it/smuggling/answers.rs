//! Endpoints whose answers two parsers may read in two ways: none passes as what it is not, and nothing of one answer is
//! taken for the next client's (J. Kettle, 2021: *response queue poisoning*).
//!
//! From RFC 9112 (HTTP/1.1), RFC 9113 (HTTP/2) and RFC 9110.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::client::{Answer, Client, Over, request};
use crate::support::endpoint::Endpoint;
use crate::support::frames::{self, DATA, END_STREAM, frame, head};
use crate::support::proxy::{Proxy, Service};

/// What a client must get.
#[derive(Clone, Copy, Debug)]
enum Becomes {
    /// 502.
    Refused,
    /// 502, or an answer that breaks off.
    Broken,
    /// This status and body.
    Is(u16, &'static str),
}
use Becomes::{Broken, Is, Refused};

/// A case: what it is and where it is from, how it is asked, what the endpoint says, what becomes of it.
type Case<A> = (&'static str, Method, A, Becomes);

/// What an endpoint of HTTP/2 says on a stream.
type Frames = fn(u32) -> Vec<u8>;

/// What an endpoint says to all but the first request.
const NEXT: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext";

/// An endpoint of HTTP/1.1 that answers the first request so, and is honest then.
async fn http1(first: String) -> Endpoint {
    let first = Arc::new((first, AtomicUsize::new(0)));
    Endpoint::raw(move |mut stream| {
        let first = first.clone();
        async move {
            let mut came = [0; 4_096];
            while stream.read(&mut came).await.is_ok_and(|count| count > 0) {
                let said = if first.1.fetch_add(1, Ordering::SeqCst) == 0 { &first.0 } else { NEXT };
                if stream.write_all(said.as_bytes()).await.is_err() {
                    return;
                }
            }
        }
    })
    .await
}

/// The same in HTTP/2. It says what it says on the stream that was opened.
async fn http2(first: Frames) -> Endpoint {
    frames::endpoint(move |number, stream| {
        if number == 0 {
            return first(stream);
        }
        let head = head(stream, 0, &[(":status", "200"), ("content-length", "4")]);
        [head, frame(DATA, END_STREAM, stream, b"next")].concat()
    })
    .await
}

/// Asks the first request and two more, one over the same connection and one over another.
async fn check(
    (name, method, becomes): (&str, &Method, Becomes),
    endpoint: &Endpoint,
    (outer, inner): (Over, &'static str),
) -> Vec<String> {
    let mut faults = Vec::new();
    let proxy = Proxy::start(&[Service::new("a").helios(endpoint.address).protocols(inner, "http/1.1")]);
    let mut client = Client::connect(proxy.address, outer).await;
    let got = client.try_send(request(outer, method.clone(), "a.test", "/case", "")).await;
    let is_so = match (becomes, &got) {
        (Refused | Broken, Ok(answer)) => answer.status == 502,
        (Broken, Err(_)) => true,
        (Is(status, body), Ok(answer)) => answer.status == status && answer.text() == body,
        (Refused | Is(..), Err(_)) => false,
    };
    let shown = |got: &hyper::Result<Answer>| match got {
        Ok(got) => format!("{} {:?} {:?}", got.status, got.headers, String::from_utf8_lossy(&got.body)),
        Err(error) => format!("{error:?}"),
    };
    if !is_so {
        faults.push(format!("{name}: {outer:?} → {inner} got {}", shown(&got)));
    }
    // A client of HTTP/1.1 may have been told that its connection ends.
    let ends = got.is_err() && outer == Over::Http1;
    let again = if ends { Client::connect(proxy.address, outer).await } else { client };
    for mut client in [again, Client::connect(proxy.address, outer).await] {
        let next = client.try_send(request(outer, Method::GET, "a.test", "/next", "")).await;
        if !next.as_ref().is_ok_and(|next| next.status == 200 && next.text() == "next") {
            faults.push(format!("{name}: {outer:?} → {inner}: the next got {}", shown(&next)));
        }
    }
    faults
}

fn get(name: &'static str, said: &str, becomes: Becomes) -> Case<String> {
    (name, Method::GET, said.to_owned(), becomes)
}

/// An answer of 200 with these headers and this body.
fn with(name: &'static str, headers: &str, body: &str, becomes: Becomes) -> Case<String> {
    get(name, &format!("HTTP/1.1 200 OK\r\n{headers}\r\n\r\n{body}"), becomes)
}

const HELLO: Becomes = Is(200, "hello");
const CHUNKS: &str = "5\r\nhello\r\n0\r\n\r\n";
/// An answer that nobody asked for.
const POISON: &str = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";

/// How long is the body?
fn framing() -> Vec<Case<String>> {
    let length =
        |name, value: &str, becomes| with(name, &format!("Content-Length: {value}"), "hello", becomes);
    let coding =
        |name, value: &str, becomes| with(name, &format!("Transfer-Encoding: {value}"), CHUNKS, becomes);
    vec![
        length("a length (RFC 9112 §6.2)", "5", HELLO),
        with(
            "two lengths that differ (RFC 9112 §6.3)",
            "Content-Length: 5\r\nContent-Length: 3",
            "hello",
            Refused,
        ),
        length("two lengths in a list (RFC 9110 §8.6)", "5, 3", Refused),
        length("a negative length (RFC 9110 §8.6)", "-5", Refused),
        length("a length with a sign (RFC 9110 §8.6)", "+5", Refused),
        length("a length in hexadecimal (RFC 9110 §8.6)", "0x5", Refused),
        length("a length beyond 64 bits (RFC 9110 §8.6)", "18446744073709551621", Refused),
        length("an empty length (RFC 9110 §8.6)", "", Refused),
        coding("chunks (RFC 9112 §7.1)", "chunked", HELLO),
        coding("gzip, chunked, that cannot be taken off (RFC 9112 §6.1)", "gzip, chunked", Refused),
        coding("chunked and not last (RFC 9112 §6.3)", "chunked, gzip", Refused),
        coding("identity (RFC 9112 §7)", "identity", Refused),
        coding("xchunked (Kettle 2019)", "xchunked", Refused),
        coding("chunked with a vertical tab (Kettle 2019)", "\u{b}chunked", Refused),
        coding("chunked twice in a list (RFC 9112 §6.1)", "chunked, chunked", Refused),
        coding("chunked twice (RFC 9112 §6.1)", "chunked\r\nTransfer-Encoding: chunked", Refused),
        coding("chunked and a length (RFC 9112 §6.3)", "chunked\r\nContent-Length: 3", HELLO),
        coding("a length and chunked (RFC 9112 §6.3)", "chunked\r\nContent-Length: 300", HELLO),
    ]
}

/// How long is a chunk?
fn chunks() -> Vec<Case<String>> {
    let body = |name, body: &str, becomes| with(name, "Transfer-Encoding: chunked", body, becomes);
    vec![
        body("an extension (RFC 9112 §7.1.1)", "5;a=b\r\nhello\r\n0\r\n\r\n", HELLO),
        body("0x before the size (Kettle 2019)", "0x5\r\nhello\r\n0\r\n\r\n", Broken),
        body("a sign before the size (RFC 9112 §7.1)", "+5\r\nhello\r\n0\r\n\r\n", Broken),
        body("a size beyond 64 bits (RFC 9112 §7.1)", "10000000000000005\r\nhello\r\n0\r\n\r\n", Broken),
        body("no size (RFC 9112 §7.1)", "\r\nhello\r\n0\r\n\r\n", Broken),
        body("a bare LF behind the size (Jara 2025)", "5\nhello\r\n0\r\n\r\n", Broken),
        body("a bare LF within an extension (Jara 2025)", "5;\nhello\r\n0\r\n\r\n", Broken),
        body("a chunk that is longer than it says (Jara 2025)", "5\r\nhelloX\r\n0\r\n\r\n", Broken),
        body("a chunk without its end of line (RFC 9112 §7.1)", "5\r\nhello0\r\n\r\n", Broken),
    ]
}

/// What is said?
fn heads() -> Vec<Case<String>> {
    let line =
        |name, line: &str, becomes| get(name, &format!("{line}\r\nContent-Length: 5\r\n\r\nhello"), becomes);
    let header =
        |name, header: &str, becomes| with(name, &format!("{header}\r\nContent-Length: 5"), "hello", becomes);
    vec![
        line("a status of two digits (RFC 9112 §4)", "HTTP/1.1 20 OK", Refused),
        line("a status of four digits (RFC 9112 §4)", "HTTP/1.1 2000 OK", Refused),
        line("a status below 100 (RFC 9110 §15)", "HTTP/1.1 099 OK", Refused),
        line("a status of letters (RFC 9112 §4)", "HTTP/1.1 abc OK", Refused),
        line("no status (RFC 9112 §4)", "HTTP/1.1 OK", Refused),
        line("no reason (RFC 9112 §4)", "HTTP/1.1 200", HELLO),
        line("another version (RFC 9112 §2.3)", "HTTP/1.2 200 OK", Refused),
        line("a version of HTTP/2 (RFC 9112 §2.3)", "HTTP/2.0 200 OK", Refused),
        line("a version of lower case (RFC 9112 §2.3)", "http/1.1 200 OK", Refused),
        line("another protocol", "ICY 200 OK", Refused),
        line("a reason with a bare CR (RFC 9112 §4)", "HTTP/1.1 200 O\rK", Refused),
        line("a reason with a NUL (RFC 9112 §4)", "HTTP/1.1 200 O\0K", Refused),
        get("no head at all", "hello\r\n\r\n", Refused),
        header("a folded line (RFC 9112 §5.2)", "X: y\r\n Content-Length: 3", Refused),
        header("a NUL in a value (RFC 9110 §5.5)", "X: a\0b", Refused),
        header("a bare CR in a value (RFC 9110 §5.5)", "X: a\rContent-Length: 3", Refused),
        header("a space before the colon (RFC 9112 §5.1)", "X : y", Refused),
        header("a header without a colon (RFC 9112 §5)", "X", Refused),
        header("a header without a name (RFC 9112 §5)", ": x", Refused),
        header("a name that is no token (RFC 9110 §5.6.2)", "X(y): z", Refused),
    ]
}

/// Whose is what follows?
fn surplus() -> Vec<Case<String>> {
    let empty = |name, method, head: &str, status| {
        (name, method, format!("HTTP/1.1 {head}\r\n\r\n{POISON}"), Is(status, ""))
    };
    let flood = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(500);
    vec![
        with("more than its length", "Content-Length: 5", &format!("hello{POISON}"), HELLO),
        with("a few bytes more", "Content-Length: 5", "hello!", HELLO),
        with(
            "an answer behind its chunks",
            "Transfer-Encoding: chunked",
            &format!("{CHUNKS}{POISON}"),
            HELLO,
        ),
        with("an empty body with one behind it", "Content-Length: 0", POISON, Is(200, "")),
        empty("204 with a body (RFC 9110 §15.3.5)", Method::GET, "204 No", 204),
        empty("204 with a length (RFC 9110 §8.6)", Method::GET, "204 No\r\nContent-Length: 45", 204),
        empty("304 with a body (RFC 9110 §15.4.5)", Method::GET, "304 No\r\nContent-Length: 45", 304),
        empty("HEAD with a body (RFC 9110 §9.3.2)", Method::HEAD, "200 OK\r\nContent-Length: 45", 200),
        empty("HEAD with chunks", Method::HEAD, "200 OK\r\nTransfer-Encoding: chunked", 200),
        get(
            "an upgrade that nobody wanted (RFC 9110 §15.2.2)",
            "HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
            Refused,
        ),
        get("many interim answers (RFC 9110 §15.2)", &format!("{flood}{NEXT}"), Is(200, "next")),
        get(
            "an interim answer with a length (RFC 9110 §15.2)",
            &format!("HTTP/1.1 103 E\r\nContent-Length: 45\r\n\r\n{NEXT}"),
            Is(200, "next"),
        ),
    ]
}

fn get2(name: &'static str, said: Frames, becomes: Becomes) -> Case<Frames> {
    (name, Method::GET, said, becomes)
}

const OK: (&str, &str) = (":status", "200");

/// An answer of `hello` with these fields behind its own.
fn hello(stream: u32, fields: &[(&str, &str)]) -> Vec<u8> {
    [head(stream, 0, fields), frame(DATA, END_STREAM, stream, b"hello")].concat()
}

fn lengths2() -> Vec<Case<Frames>> {
    vec![
        get2("a length (RFC 9113 §8.1.1)", |s| hello(s, &[OK, ("content-length", "5")]), HELLO),
        get2("no length (RFC 9113 §8.1.1)", |s| hello(s, &[OK]), HELLO),
        get2(
            "a length that is too short (RFC 9113 §8.1.1)",
            |s| hello(s, &[OK, ("content-length", "3")]),
            Broken,
        ),
        get2(
            "a length that is too long (RFC 9113 §8.1.1)",
            |s| hello(s, &[OK, ("content-length", "8")]),
            Broken,
        ),
        get2(
            "two lengths that differ (RFC 9110 §8.6)",
            |s| hello(s, &[OK, ("content-length", "5"), ("content-length", "3")]),
            Broken,
        ),
        get2(
            "two lengths that differ, the other first (RFC 9110 §8.6)",
            |s| hello(s, &[OK, ("content-length", "3"), ("content-length", "5")]),
            Broken,
        ),
        get2(
            "two lengths in a list (RFC 9110 §8.6)",
            |s| hello(s, &[OK, ("content-length", "5, 3")]),
            Broken,
        ),
        get2("a length with a sign (RFC 9110 §8.6)", |s| hello(s, &[OK, ("content-length", "+5")]), Broken),
        get2("chunked (RFC 9113 §8.2.2)", |s| hello(s, &[OK, ("transfer-encoding", "chunked")]), Refused),
        get2("Connection (RFC 9113 §8.2.2)", |s| hello(s, &[OK, ("connection", "close")]), Refused),
        get2("204 with a body (RFC 9110 §15.3.5)", |s| hello(s, &[(":status", "204")]), Is(204, "")),
        get2(
            "304 with a body (RFC 9110 §15.4.5)",
            |s| hello(s, &[(":status", "304"), ("content-length", "5")]),
            Is(304, ""),
        ),
        ("HEAD with a body (RFC 9110 §9.3.2)", Method::HEAD, |s| hello(s, &[OK]), Is(200, "")),
    ]
}

fn fields2() -> Vec<Case<Frames>> {
    vec![
        get2(
            "a value with CRLF (Kettle 2021)",
            |s| hello(s, &[OK, ("x", "y\r\ncontent-length: 0\r\n\r\n")]),
            Refused,
        ),
        get2("a value with LF (RFC 9113 §8.2.1)", |s| hello(s, &[OK, ("x", "y\nz: 1")]), Refused),
        get2("a value with a NUL (RFC 9113 §8.2.1)", |s| hello(s, &[OK, ("x", "y\0")]), Refused),
        get2("a name with CRLF (Kettle 2021)", |s| hello(s, &[OK, ("x: y\r\nz", "1")]), Refused),
        get2("a name in upper case (RFC 9113 §8.2.1)", |s| hello(s, &[OK, ("X", "1")]), Refused),
        get2("no status (RFC 9113 §8.3.2)", |s| hello(s, &[("x", "1")]), Refused),
        get2("two statuses (RFC 9113 §8.3.2)", |s| hello(s, &[OK, (":status", "404")]), Refused),
        get2("a status behind a field (RFC 9113 §8.3)", |s| hello(s, &[("x", "1"), OK]), Refused),
        get2("a status of two digits (RFC 9110 §15)", |s| hello(s, &[(":status", "20")]), Refused),
        get2("a status of letters (RFC 9110 §15)", |s| hello(s, &[(":status", "2x0")]), Refused),
        get2("a status with CRLF (Kettle 2021)", |s| hello(s, &[(":status", "200 OK\r\nx: y")]), Refused),
        get2("a request's path (RFC 9113 §8.3)", |s| hello(s, &[OK, (":path", "/evil")]), Refused),
        get2(
            "a body before its head (RFC 9113 §8.1)",
            |s| [frame(DATA, 0, s, b"hello"), hello(s, &[OK])].concat(),
            Refused,
        ),
        get2(
            "many interim answers (RFC 9110 §15.2)",
            |s| [head(s, 0, &[(":status", "103")]).repeat(500), hello(s, &[OK])].concat(),
            HELLO,
        ),
        get2(
            "an interim answer that is the last (RFC 9113 §8.1)",
            |s| head(s, END_STREAM, &[(":status", "103")]),
            Refused,
        ),
        get2("an upgrade (RFC 9113 §8.6)", |s| hello(s, &[(":status", "101")]), Refused),
        get2(
            "a status behind the body (RFC 9113 §8.1)",
            |s| {
                let begun = [head(s, 0, &[OK]), frame(DATA, 0, s, b"hello")].concat();
                [begun, head(s, END_STREAM, &[(":status", "404")])].concat()
            },
            Broken,
        ),
        get2(
            "trailers with CRLF (Kettle 2021)",
            |s| {
                let begun = [head(s, 0, &[OK]), frame(DATA, 0, s, b"hello")].concat();
                [begun, head(s, END_STREAM, &[("x", "y\r\n\r\nHTTP/1.1 200 OK")])].concat()
            },
            Broken,
        ),
    ]
}

async fn check_http1(cases: Vec<Case<String>>) {
    let mut faults = Vec::new();
    for (name, method, said, becomes) in cases {
        for outer in [Over::Http1, Over::Http2] {
            let endpoint = http1(said.clone()).await;
            faults.extend(check((name, &method, becomes), &endpoint, (outer, "http/1.1")).await);
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

async fn check_http2(cases: Vec<Case<Frames>>) {
    let mut faults = Vec::new();
    for (name, method, said, becomes) in cases {
        for outer in [Over::Http1, Over::Http2] {
            let endpoint = http2(said).await;
            faults.extend(check((name, &method, becomes), &endpoint, (outer, "http/2")).await);
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_body_of_an_answer_has_one_length_or_is_broken() {
    check_http1(framing()).await;
    check_http1(chunks()).await;
    check_http2(lengths2()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_head_of_an_answer_can_be_read_in_one_way_or_is_refused() {
    check_http1(heads()).await;
    check_http2(fields2()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_follows_an_answer_is_nobodys_answer() {
    check_http1(surplus()).await;
}

/// Whoever never comes to the point is left to itself in the time that an answer may take.
#[tokio::test(flavor = "multi_thread")]
async fn interim_answers_without_an_end_are_no_answer() {
    let endpoint = Endpoint::raw(async |mut stream| {
        let _ = stream.read(&mut [0; 4_096]).await;
        while stream.write_all(b"HTTP/1.1 103 Early Hints\r\n\r\n").await.is_ok() {}
    })
    .await;
    let rest = "[timeouts]\nheader = \"300ms\"\n";
    let proxy = Proxy::start(&[Service::new("a").helios(endpoint.address).rest(rest)]);
    let got = proxy.get("a.test", "/").await;
    assert_eq!((got.status.as_u16(), got.json()["reason"].as_str()), (504, Some("header_timeout")));
}

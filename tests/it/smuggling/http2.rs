//! Clients that speak HTTP/2, where lengths are no question but everything else is: what HTTP/1.1 cannot say must not
//! be said to it.
//!
//! From RFC 9113 (HTTP/2); J. Kettle, *HTTP/2: The Sequel is Always Worse* (2021), whose H2.CL and H2.TE are
//! CVE-2021-21295 in Netty and CVE-2021-33193 in Apache httpd among others; B. Nowotny, *CONTINUATION flood* (2024).

use std::time::Duration;

use super::noting;
use crate::support::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, HEADERS, block, frame, head,
};
use crate::support::proxy::{Proxy, Service};

/// What must become of a case.
#[derive(Clone, Copy, Debug)]
enum Becomes {
    /// An answer of 400 or more, or the end of its stream or connection, and nothing at the endpoint.
    Refused,
    /// It has begun, and the endpoint sees that it is broken.
    Broken,
    /// This is a whole request at the endpoint.
    Seen(&'static str),
}
use Becomes::{Broken, Refused, Seen};

/// A case: what it is and where it is from, its frames, what becomes of it.
type Case = (&'static str, Vec<u8>, Becomes);

const NEXT: [(&str, &str); 4] = asked("GET", "/next");

const fn asked<'a>(method: &'a str, path: &'a str) -> [(&'a str, &'a str); 4] {
    [(":method", method), (":scheme", "http"), (":authority", "a.test"), (":path", path)]
}

/// A GET with these fields behind its own.
fn get(fields: &[(&str, &str)]) -> Vec<u8> {
    head(1, END_STREAM, &[&asked("GET", "/case"), fields].concat())
}

/// A POST of `hello` with these fields behind its own.
fn post(fields: &[(&str, &str)]) -> Vec<u8> {
    let head = head(1, 0, &[&asked("POST", "/case"), fields].concat());
    [head, frame(DATA, END_STREAM, 1, b"hello")].concat()
}

/// A request with these fields and no others.
fn only(fields: &[(&str, &str)]) -> Vec<u8> {
    head(1, END_STREAM, fields)
}

/// The same with one of its own fields changed.
fn with(name: &str, value: &str) -> Vec<u8> {
    only(&asked("GET", "/case").map(|field| if field.0 == name { (name, value) } else { field }))
}

/// The same without one of its own fields.
fn without(name: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let own: Vec<_> = asked("GET", "/case").into_iter().filter(|field| field.0 != name).collect();
    only(&[&own, more].concat())
}

/// Reads until a stream has ended; tells what has been said, and whether the connection lives.
async fn hear(frames: &mut Frames, stream: u32, said: &mut Vec<String>) -> (Option<u16>, bool) {
    let mut status = None;
    while let Some(frame) = frames.next().await {
        said.push(format!("{}:{}:{:?}", frame.stream, frame.kind, frame.status().unwrap_or_default()));
        if frame.stream == stream {
            status = status.or(frame.status());
            if frame.is_last() {
                return (status, true);
            }
        }
    }
    (status, false)
}

async fn check((name, sent, becomes): &Case, protocol: &'static str) -> Result<(), String> {
    let (endpoint, came) = noting().await;
    let proxy = Proxy::start(&[Service::new("a").helios(endpoint.address).protocols(protocol, "http/1.1")]);
    let mut frames = Frames::connect(proxy.address).await;
    let _ = frames.send(sent).await;
    let mut said = Vec::new();
    let (status, mut lives) = hear(&mut frames, 1, &mut said).await;
    let mut next = None;
    if lives {
        let _ = frames.send(&head(3, END_STREAM, &NEXT)).await;
        (next, lives) = hear(&mut frames, 3, &mut said).await;
    }
    let (heads, requests) = (came.heads.lock().unwrap().clone(), came.requests.lock().unwrap().clone());
    let raw = String::from_utf8_lossy(&came.bytes.lock().unwrap().clone()).to_ascii_lowercase();
    let ours = |list: &[String]| list.iter().filter(|told| *told != "GET /next").cloned().collect::<Vec<_>>();
    let is_refused = status.is_none_or(|status| status >= 400);
    let fault = match becomes {
        Refused if !is_refused || !ours(&heads).is_empty() || raw.contains("/case") => Some("not refused"),
        Broken if status.is_some_and(|status| status < 400) || !ours(&requests).is_empty() => {
            Some("not broken")
        }
        Seen(expected) if ours(&requests) != [*expected] || status != Some(200) => {
            Some("not as it should be")
        }
        _ if lives && (next != Some(200) || !requests.iter().any(|told| told == "GET /next")) => {
            Some("what follows suffers")
        }
        _ if raw.contains("evil") => Some("evil passes"),
        _ => None,
    };
    fault.map_or(Ok(()), |fault| {
        Err(format!("{name} → {protocol}: {fault}\n  said: {said:?}\n  heads: {heads:?}\n  seen: {requests:?}\n  raw: {raw:?}"))
    })
}

async fn check_all(cases: Vec<Case>) {
    let mut faults = Vec::new();
    for case in &cases {
        for protocol in ["http/1.1", "http/2"] {
            let checked = tokio::time::timeout(Duration::from_secs(20), check(case, protocol)).await;
            faults.extend(checked.unwrap_or_else(|_| Err(format!("{} → {protocol}: no end", case.0))).err());
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

const HELLO: Becomes = Seen("POST /case hello");
const PLAIN: Becomes = Seen("GET /case");

/// How long is the body?
fn framing() -> Vec<Case> {
    let length = |value: &'static str| post(&[("content-length", value)]);
    vec![
        ("no length (RFC 9113 §8.1)", post(&[]), HELLO),
        ("a length that is so (RFC 9113 §8.1.1)", length("5"), HELLO),
        ("a length that is too short (RFC 9113 §8.1.1, Kettle 2021: H2.CL)", length("3"), Broken),
        ("a length of nothing (RFC 9113 §8.1.1, Kettle 2021: H2.CL, Netflix)", length("0"), Broken),
        ("a length that is too long (RFC 9113 §8.1.1)", length("8"), Broken),
        ("a length and no body (RFC 9113 §8.1.1)", get(&[("content-length", "5")]), Refused),
        ("a length of nothing and none", get(&[("content-length", "0")]), PLAIN),
        (
            "two lengths that differ (RFC 9110 §8.6)",
            post(&[("content-length", "5"), ("content-length", "3")]),
            Refused,
        ),
        (
            "two lengths that differ, the other first (RFC 9110 §8.6)",
            post(&[("content-length", "3"), ("content-length", "5")]),
            Refused,
        ),
        ("two lengths in a list (RFC 9110 §8.6)", length("5, 3"), Refused),
        ("a negative length (RFC 9110 §8.6)", length("-5"), Refused),
        ("a length with a sign (RFC 9110 §8.6)", length("+5"), Refused),
        ("a length in hexadecimal (RFC 9110 §8.6)", length("0x5"), Refused),
        ("a length beyond 64 bits (RFC 9110 §8.6)", length("18446744073709551621"), Refused),
        ("an empty length (RFC 9110 §8.6)", length(""), Refused),
        ("chunked (RFC 9113 §8.2.2, Kettle 2021: H2.TE)", post(&[("transfer-encoding", "chunked")]), Refused),
        ("identity (RFC 9113 §8.2.2)", post(&[("transfer-encoding", "identity")]), Refused),
        ("chunked with a tab (Kettle 2021: H2.TE)", post(&[("transfer-encoding", "\tchunked")]), Refused),
    ]
}

/// What belongs to a connection of HTTP/1.1 does not come over HTTP/2 (RFC 9113, section 8.2.2).
fn connections() -> Vec<Case> {
    vec![
        ("Connection: close", get(&[("connection", "close")]), Refused),
        ("Connection: Transfer-Encoding", get(&[("connection", "transfer-encoding")]), Refused),
        ("Keep-Alive", get(&[("keep-alive", "timeout=5")]), Refused),
        ("Proxy-Connection", get(&[("proxy-connection", "keep-alive")]), Refused),
        ("Upgrade", get(&[("upgrade", "websocket")]), Refused),
        ("TE: trailers", get(&[("te", "trailers")]), PLAIN),
        ("TE: gzip", get(&[("te", "gzip")]), Refused),
        ("Expect", post(&[("expect", "100-continue")]), HELLO),
    ]
}

/// What is the name, and where does the value end?
fn fields() -> Vec<Case> {
    let value = |value: &'static str| get(&[("x", value)]);
    let name = |name: &'static str| get(&[(name, "y")]);
    vec![
        ("a name in upper case (RFC 9113 §8.2.1)", name("X-Upper"), Refused),
        ("Transfer-Encoding in upper case (Kettle 2021)", post(&[("Transfer-Encoding", "chunked")]), Refused),
        ("a name with a colon (RFC 9113 §8.2.1, Kettle 2021)", name("x: evil"), Refused),
        ("a name with CRLF (RFC 9113 §8.2.1, Kettle 2021)", name("x: y\r\nx-evil"), Refused),
        ("a name with a space (RFC 9113 §8.2.1)", name("x y"), Refused),
        ("a name with a space behind it (Kettle 2021)", post(&[("transfer-encoding ", "chunked")]), Refused),
        ("a name with a NUL (RFC 9113 §8.2.1)", name("x\0"), Refused),
        ("a name of other letters (RFC 9113 §8.2.1)", name("xé"), Refused),
        ("no name (RFC 9113 §8.2.1)", name(""), Refused),
        (
            "a value with CRLF (RFC 9113 §8.2.1, Kettle 2021: H2.TE by injection)",
            post(&[("x", "y\r\ntransfer-encoding: chunked")]),
            Refused,
        ),
        (
            "a value with a whole request (Kettle 2021: request splitting)",
            value("y\r\n\r\nGET /evil HTTP/1.1\r\nHost: a.test"),
            Refused,
        ),
        ("a value with LF (RFC 9113 §8.2.1)", value("y\nx-evil: 1"), Refused),
        ("a value with CR (RFC 9113 §8.2.1)", value("y\rx-evil: 1"), Refused),
        ("a value with a NUL (RFC 9113 §8.2.1)", value("y\0z"), Refused),
        ("a value that ends in LF (RFC 9113 §8.2.1)", value("y\n"), Refused),
        ("a value with DEL (RFC 9110 §5.5)", value("y\u{7f}"), Refused),
        ("a cookie with CRLF (Kettle 2021)", get(&[("cookie", "a=b\r\nx-evil: 1")]), Refused),
    ]
}

/// Who is asked, for what, and how?
fn pseudo() -> Vec<Case> {
    let more = |name: &'static str, value: &'static str| get(&[(name, value)]);
    vec![
        (
            "behind a field (RFC 9113 §8.3)",
            only(&[
                (":method", "GET"),
                ("x", "y"),
                (":scheme", "http"),
                (":authority", "a.test"),
                (":path", "/case"),
            ]),
            Refused,
        ),
        ("two methods (RFC 9113 §8.3.1, Kettle 2021)", more(":method", "POST"), Refused),
        ("two paths (RFC 9113 §8.3.1, Kettle 2021)", more(":path", "/evil"), Refused),
        ("two authorities (RFC 9113 §8.3.1)", more(":authority", "evil.test"), Refused),
        ("two schemes (RFC 9113 §8.3.1)", more(":scheme", "https"), Refused),
        ("one that is an answer's (RFC 9113 §8.3)", more(":status", "200"), Refused),
        ("one that nobody knows (RFC 9113 §8.3)", more(":evil", "1"), Refused),
        ("no method (RFC 9113 §8.3.1)", without(":method", &[]), Refused),
        ("no path (RFC 9113 §8.3.1)", without(":path", &[]), Refused),
        ("no scheme (RFC 9113 §8.3.1)", without(":scheme", &[]), Refused),
        ("no host at all (RFC 9113 §8.3.1)", without(":authority", &[]), Refused),
        ("a host for an authority (RFC 9113 §8.3.1)", without(":authority", &[("host", "a.test")]), PLAIN),
        (
            "two hosts for an authority (RFC 9112 §3.2)",
            without(":authority", &[("host", "a.test"), ("host", "evil.test")]),
            Refused,
        ),
        ("a host beside its authority (RFC 9113 §8.3.1)", more("host", "a.test"), PLAIN),
        ("another host than the authority (RFC 9113 §8.3.1, Kettle 2021)", more("host", "evil.test"), PLAIN),
        (
            "two hosts beside an authority (RFC 9112 §3.2)",
            get(&[("host", "a.test"), ("host", "evil.test")]),
            Refused,
        ),
        ("a host with a path", without(":authority", &[("host", "a.test/evil")]), Refused),
        ("an empty method", with(":method", ""), Refused),
        ("a method with a space (Kettle 2021)", with(":method", "GET /evil HTTP/1.1"), Refused),
        (
            "a method with CRLF (Kettle 2021)",
            with(":method", "GET /evil HTTP/1.1\r\nHost: a.test\r\n\r\nGET"),
            Refused,
        ),
        ("a method of lower case (RFC 9110 §9.1)", with(":method", "get"), Seen("get /case")),
        ("an empty path (RFC 9113 §8.3.1)", with(":path", ""), Refused),
        ("a path without a slash (RFC 9113 §8.3.1)", with(":path", "case"), Refused),
        ("an asterisk with GET (RFC 9113 §8.3.1)", with(":path", "*"), Refused),
        ("a path with a space (RFC 3986 §3.3)", with(":path", "/case /evil"), Refused),
        (
            "a path with CRLF (Kettle 2021: request line injection)",
            with(":path", "/case HTTP/1.1\r\nx-evil: 1\r\n"),
            Refused,
        ),
        ("a path with LF", with(":path", "/case\n"), Refused),
        ("a path with a NUL", with(":path", "/case\0"), Refused),
        ("a path that is a URI (RFC 9113 §8.3.1)", with(":path", "http://evil.test/case"), Refused),
        ("an authority with a path", with(":authority", "a.test/evil"), Refused),
        ("an authority with a space (Kettle 2021)", with(":authority", "a.test evil"), Refused),
        ("an authority with CRLF (Kettle 2021)", with(":authority", "a.test\r\nx-evil: 1"), Refused),
        ("an authority with a user (RFC 9113 §8.3.1)", with(":authority", "evil@a.test"), Refused),
        ("an empty authority (RFC 9113 §8.3.1)", with(":authority", ""), Refused),
        ("a scheme that is not so", with(":scheme", "https"), PLAIN),
        ("a scheme of another kind (RFC 9113 §8.3.1)", with(":scheme", "ftp"), PLAIN),
        ("a scheme with a URI (Kettle 2021)", with(":scheme", "http://evil.test/x?"), Refused),
        ("a scheme with CRLF (Kettle 2021)", with(":scheme", "http\r\nx-evil: 1"), Refused),
        ("an empty scheme (RFC 9113 §8.3.1)", with(":scheme", ""), Refused),
    ]
}

/// Tunnels, and what looks like them.
fn tunnels() -> Vec<Case> {
    let connect = [(":method", "CONNECT"), (":authority", "a.test")];
    let full = asked("CONNECT", "/case");
    vec![
        ("a tunnel (RFC 9113 §8.5)", only(&connect), Refused),
        ("a tunnel with a path (RFC 9113 §8.5)", only(&full), Refused),
        (
            "a tunnel with a body (RFC 9113 §8.5)",
            {
                let head = head(1, 0, &connect);
                [head, frame(DATA, END_STREAM, 1, b"GET /evil HTTP/1.1\r\nHost: a.test\r\n\r\n")].concat()
            },
            Refused,
        ),
        ("a protocol without CONNECT (RFC 8441 §4)", get(&[(":protocol", "websocket")]), Refused),
        (
            "a protocol without a path (RFC 8441 §4)",
            only(&[&connect[..], &[(":protocol", "websocket")]].concat()),
            Refused,
        ),
        (
            "a protocol with CRLF (RFC 8441 §4)",
            only(&[&full[..], &[(":protocol", "websocket\r\nx-evil: 1")]].concat()),
            Refused,
        ),
    ]
}

/// Where does the head end, and the request?
fn ends() -> Vec<Case> {
    let begun = || head(1, 0, &asked("POST", "/case"));
    let hello = || frame(DATA, 0, 1, b"hello");
    let whole = block(&asked("GET", "/case"));
    let (first, second) = whole.split_at(20);
    let flood = || (0..20_000).flat_map(|_| frame(CONTINUATION, 0, 1, &block(&[("x", "y")])));
    vec![
        (
            "a head in two frames (RFC 9113 §6.10)",
            [frame(HEADERS, END_STREAM, 1, first), frame(CONTINUATION, END_HEADERS, 1, second)].concat(),
            PLAIN,
        ),
        (
            "a head within another (RFC 9113 §6.10)",
            [frame(HEADERS, END_STREAM, 1, first), head(3, END_STREAM, &NEXT)].concat(),
            Refused,
        ),
        (
            "a head without an end (Nowotny 2024: CVE-2024-27983, CVE-2023-45288)",
            frame(HEADERS, END_STREAM, 1, &whole).into_iter().chain(flood()).collect(),
            Refused,
        ),
        (
            "trailers (RFC 9113 §8.1)",
            [begun(), hello(), head(1, END_STREAM, &[("x-sum", "1")])].concat(),
            HELLO,
        ),
        (
            "trailers that are not the end (RFC 9113 §8.1)",
            [begun(), hello(), head(1, 0, &[("x-sum", "1")])].concat(),
            Broken,
        ),
        (
            "a path behind the body (RFC 9113 §8.1)",
            [begun(), hello(), head(1, END_STREAM, &[(":path", "/evil")])].concat(),
            Broken,
        ),
        (
            "trailers with CRLF (Kettle 2021)",
            [begun(), hello(), head(1, END_STREAM, &[("x", "y\r\n\r\nGET /evil HTTP/1.1")])].concat(),
            Broken,
        ),
        (
            "trailers in upper case (RFC 9113 §8.2.1)",
            [begun(), hello(), head(1, END_STREAM, &[("X-Sum", "1")])].concat(),
            Broken,
        ),
        (
            "fields that HPACK does not know (RFC 7541 §2.3.3)",
            frame(HEADERS, END_STREAM | END_HEADERS, 1, &[0xff, 0xff, 0x7f]),
            Refused,
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_http2_is_as_long_as_it_says_or_is_broken() {
    check_all(framing()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_over_http2_say_nothing_of_connections_and_nothing_in_two_ways() {
    check_all(connections()).await;
    check_all(fields()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_over_http2_can_be_read_in_one_way_or_is_refused() {
    check_all(pseudo()).await;
    check_all(tunnels()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_over_http2_has_one_beginning_and_one_end() {
    check_all(ends()).await;
}

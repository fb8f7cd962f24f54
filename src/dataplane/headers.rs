use std::mem;

use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
    COOKIE, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue, MAX_FORWARDS, SET_COOKIE, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE, VIA,
};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, Request, Response, StatusCode, Uri, Version};

use crate::config::Protocol;
use crate::model::{Cause, Dialect};

use super::forwarded::{self, Forwarded, append};
use super::trace_context;
use super::upgrade::Upgrade;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Where a gRPC answer says how the call ended, …
pub(super) const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
/// … and why.
pub(super) const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
/// How long the caller of a gRPC method will wait.
pub(super) const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// The type of a gRPC call's body, up to what may follow.
const GRPC: &[u8] = b"application/grpc";

/// What a prepared request speaks, and what else it would like to speak.
pub(super) struct Prepared {
    pub(super) dialect: Dialect,
    pub(super) upgrade: Option<Box<Upgrade>>,
}

/// The host that a request names: its authority, else its one `Host` header. HTTP/1.1 asks for exactly one
/// (RFC 9112, section 3.2).
pub(super) fn host<B>(request: &Request<B>) -> Result<Option<&str>, Cause> {
    let mut named = request.headers().get_all(HOST).iter();
    let (first, second) = (named.next(), named.next());
    if second.is_some() {
        return Err(Cause::BadRequest);
    }
    if let Some(authority) = request.uri().authority() {
        return Ok(Some(without_user(authority)));
    }
    match first {
        Some(host) if is_host(host.as_bytes()) => {
            str::from_utf8(host.as_bytes()).map(Some).map_err(|_| Cause::BadRequest)
        }
        Some(_) => Err(Cause::BadRequest),
        None if request.version() == Version::HTTP_11 => Err(Cause::BadRequest),
        None => Ok(None),
    }
}

/// Whether this is a host, and perhaps a port (RFC 9110, section 7.2): a user, a path or a space in it would mean different
/// things to different readers. It may be empty.
fn is_host(host: &[u8]) -> bool {
    // Nearly all are a name, and nothing else.
    host.iter().all(|byte| IS_OF_NAME[usize::from(*byte)]) || is_host_and_port(host)
}

fn is_host_and_port(host: &[u8]) -> bool {
    let (name, port) = match host.iter().rposition(|byte| *byte == b']') {
        Some(end) => host.split_at(end + 1),
        None => host.split_at(host.iter().position(|byte| *byte == b':').unwrap_or(host.len())),
    };
    let is_bracketed = name.first() == Some(&b'[');
    let fits = |byte: &u8| match byte {
        b':' | b'[' | b']' => is_bracketed,
        byte => IS_OF_NAME[usize::from(*byte)],
    };
    let is_port = port.is_empty() || port[0] == b':' && port[1..].iter().all(u8::is_ascii_digit);
    name.iter().all(fits) && is_port
}

/// Bytes of which names are made (RFC 3986, section 3.2.2).
static IS_OF_NAME: [bool; 256] = {
    let all = b"-._~%!$&'()*+,;=0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let (mut is_of_name, mut at) = ([false; 256], 0);
    while at < all.len() {
        is_of_name[all[at] as usize] = true;
        at += 1;
    }
    is_of_name
};

/// Makes a client's head an endpoint's: what belonged to the client's connection is taken off, what tells the
/// endpoint where it came from is put on. Tells what the request speaks, and would like to.
pub(super) fn prepare<B>(request: &mut Request<B>, forwarded: &Forwarded) -> Result<Prepared, Cause> {
    let version = request.version();
    let by_http2 = version == Version::HTTP_2;
    if let Some(authority) = request.uri().authority() {
        // The authority is what counts (RFC 9112, section 3.2.2); both forms agree from here on.
        let host = host_value(authority)?;
        request.headers_mut().insert(HOST, host);
    } else if version != Version::HTTP_11 {
        // Others may leave it out, HTTP/1.1 may not (RFC 9112, section 3.2).
        request.headers_mut().entry(HOST).or_insert(HeaderValue::from_static(""));
    }
    let present = Present::in_(request.headers());
    let wants_more = present.upgrade || *request.method() == Method::CONNECT;
    let upgrade = if wants_more { Upgrade::wanted(request) } else { None };
    if *request.method() == Method::CONNECT {
        // For a protocol whose name is none.
        return Err(Cause::BadRequest);
    }
    let headers = request.headers_mut();
    if present.hop_by_hop && !is_chunked_at_most(headers) {
        return Err(Cause::BadRequest);
    }
    let trailers = present.te && accepts_trailers(headers);
    strip(headers, present);
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    if present.expect {
        // The client is told to go on when its body is asked for.
        headers.remove(EXPECT);
    }
    if by_http2 && present.cookie {
        join_cookies(headers);
    }
    forwarded.tell(headers, present.forwarded);
    forwarded.vouch(headers, present.caller);
    if present.trace {
        trace_context::check(headers);
    }
    let via = match version {
        Version::HTTP_2 => "2 switchback",
        Version::HTTP_10 => "1.0 switchback",
        _ => "1.1 switchback",
    };
    append(headers, VIA, &HeaderValue::from_static(via));
    let dialect = if present.content_type { dialect(headers) } else { Dialect::Http };
    Ok(Prepared { dialect, upgrade })
}

/// What a request speaks.
pub(super) fn dialect(headers: &HeaderMap) -> Dialect {
    if headers.get(CONTENT_TYPE).is_some_and(is_grpc) { Dialect::Grpc } else { Dialect::Http }
}

/// Whether a body of this type is a gRPC call's. `application/grpc-web` is another protocol, in whose bodies
/// the code is out of sight.
fn is_grpc(content_type: &HeaderValue) -> bool {
    let rest = content_type.as_bytes().split_at_checked(GRPC.len());
    rest.is_some_and(|(start, rest)| {
        start.eq_ignore_ascii_case(GRPC) && matches!(rest.first(), None | Some(b'+' | b';'))
    })
}

/// Puts a prepared head into the form that the endpoint's protocol asks for, whatever form it had before.
/// `has_body` says that bytes will follow.
pub(super) fn address<B>(
    request: &mut Request<B>,
    protocol: Protocol,
    is_tls: bool,
    has_body: bool,
) -> Result<(), Cause> {
    match protocol {
        Protocol::Http1 => {
            *request.version_mut() = Version::HTTP_11;
            if let Some(authority) = request.uri().authority() {
                let (host, path) = (host_value(authority)?, path(request.uri()));
                request.headers_mut().entry(HOST).or_insert(host);
                *request.uri_mut() = Uri::from(path);
            }
            let headers = request.headers_mut();
            if headers.contains_key(TE) {
                headers.insert(CONNECTION, HeaderValue::from_static("te"));
            }
            if has_body && !headers.contains_key(CONTENT_LENGTH) {
                // Said outright: what says nothing of its length has no body.
                headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
            }
        }
        Protocol::Http2 => {
            let was = mem::replace(request.version_mut(), Version::HTTP_2);
            let headers = request.headers_mut();
            if was != Version::HTTP_2 {
                headers.remove(TRANSFER_ENCODING);
                headers.remove(CONNECTION);
            }
            let host = headers.remove(HOST);
            let scheme = if is_tls { Scheme::HTTPS } else { Scheme::HTTP };
            let same = |host: &HeaderValue| is_at(request.uri(), &scheme, host);
            if host.as_ref().is_some_and(same) {
                return Ok(());
            }
            let authority = match host {
                Some(host) => Authority::try_from(host.as_bytes()).map_err(|_| Cause::BadRequest)?,
                None => request.uri().authority().cloned().ok_or(Cause::BadRequest)?,
            };
            let mut parts = http::uri::Parts::default();
            parts.scheme = Some(scheme);
            parts.authority = Some(authority);
            parts.path_and_query = Some(path(request.uri()));
            *request.uri_mut() = Uri::from_parts(parts).map_err(|_| Cause::BadRequest)?;
        }
    }
    Ok(())
}

/// Whether a request's target says already what the endpoint is to be told.
fn is_at(uri: &Uri, scheme: &Scheme, host: &HeaderValue) -> bool {
    let named = uri.authority().is_some_and(|authority| authority.as_str().as_bytes() == host.as_bytes());
    named && uri.scheme() == Some(scheme) && uri.path_and_query().is_some()
}

fn path(uri: &Uri) -> PathAndQuery {
    uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"))
}

/// Makes an endpoint's head an answer's. Tells whether it means what it seems to: it is no upgrade,
/// and `chunked` is the only transfer coding that can be taken off (RFC 9112, section 6.1).
pub(super) fn answer<B>(response: &mut Response<B>) -> bool {
    let is_upgrade = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    let present = Present::in_(headers);
    let is_understood = !is_upgrade && (!present.hop_by_hop || is_chunked_at_most(headers));
    if present.hop_by_hop && headers.contains_key(TRANSFER_ENCODING) {
        // Where both are, this one is not true (RFC 9112, section 6.3).
        headers.remove(CONTENT_LENGTH);
    }
    strip(headers, present);
    is_understood
}

/// Whether an answer with this status has no body, whatever its head says (RFC 9110, sections 15.3.5 and 15.4.5).
pub(super) fn has_no_content(status: StatusCode) -> bool {
    matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

fn is_chunked_at_most(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let is_chunked = |coding: &HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"chunked");
    codings.next().is_none_or(is_chunked) && codings.next().is_none()
}

/// The value of a cookie.
pub(super) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    headers.get_all(COOKIE).iter().flat_map(|line| line.as_bytes().split(|b| *b == b';')).find_map(|pair| {
        let (key, value) = pair.trim_ascii().split_at_checked(name.len())?;
        (key == name.as_bytes()).then_some(value)?.strip_prefix(b"=")
    })
}

/// Which of the headers that matter to a proxy are there. Looking once through the names is cheaper than
/// asking for each of a dozen that are seldom there.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each says that a header is there")]
struct Present {
    connection: bool,
    hop_by_hop: bool,
    upgrade: bool,
    te: bool,
    expect: bool,
    cookie: bool,
    content_type: bool,
    forwarded: bool,
    caller: bool,
    trace: bool,
}

impl Present {
    fn in_(headers: &HeaderMap) -> Self {
        let mut present = Self::default();
        for name in headers.keys() {
            let name = name.as_str();
            match name.len() {
                2 if name == "te" => (present.te, present.hop_by_hop) = (true, true),
                6 if name == "expect" => present.expect = true,
                6 if name == "cookie" => present.cookie = true,
                7 if name == "upgrade" => (present.upgrade, present.hop_by_hop) = (true, true),
                10 if name == "connection" => present.connection = true,
                10 if name == "keep-alive" => present.hop_by_hop = true,
                10 if name == "tracestate" => present.trace = true,
                11 if name == "traceparent" => present.trace = true,
                12 if name == "content-type" => present.content_type = true,
                16 if name == "proxy-connection" => present.hop_by_hop = true,
                17 if name == "transfer-encoding" => present.hop_by_hop = true,
                9 | 15..=17 if forwarded::is_spelled_so(name) => present.forwarded = true,
                23 if forwarded::is_caller(name) => present.caller = true,
                _ => {}
            }
        }
        present
    }
}

/// Takes off what belongs to one connection only (RFC 9110, section 7.6.1).
fn strip(headers: &mut HeaderMap, present: Present) {
    if present.connection {
        strip_connection(headers);
    }
    if present.hop_by_hop {
        for name in [KEEP_ALIVE, PROXY_CONNECTION, TE, TRANSFER_ENCODING, UPGRADE] {
            headers.remove(name);
        }
    }
}

/// Takes off `Connection`, and every header that it names.
fn strip_connection(headers: &mut HeaderMap) {
    let lists = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let named =
        lists.flat_map(|list| list.split(',')).filter_map(|name| HeaderName::try_from(name.trim()).ok());
    let named: Vec<HeaderName> = named.collect();
    headers.remove(CONNECTION);
    for name in named {
        // A sender must not list what is meant for the far end; doing so must not strip it.
        if !matches!(name, HOST | CONTENT_LENGTH) {
            headers.remove(name);
        }
    }
}

/// What says where a message goes, how long it is, who sends it and what it means: that is known before the body or not at all.
const NOT_TRAILERS: [HeaderName; 16] = [
    AUTHORIZATION,
    CACHE_CONTROL,
    CONNECTION,
    CONTENT_ENCODING,
    CONTENT_LENGTH,
    CONTENT_RANGE,
    CONTENT_TYPE,
    HOST,
    KEEP_ALIVE,
    MAX_FORWARDS,
    PROXY_CONNECTION,
    SET_COOKIE,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Takes off what may not stand behind a body, where whoever merges it into the head would be told of another body,
/// host or client (RFC 9110, section 6.5.1).
pub(super) fn strip_trailers(trailers: &mut HeaderMap) {
    // There are few, and hardly ever one of those.
    let is_none = |name: &HeaderName| NOT_TRAILERS.contains(name) || forwarded::is_told(name.as_str());
    if trailers.keys().any(is_none) {
        for name in NOT_TRAILERS {
            trailers.remove(name);
        }
        forwarded::remove(trailers, forwarded::is_told);
    }
}

fn accepts_trailers(headers: &HeaderMap) -> bool {
    headers
        .get_all(TE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .any(|coding| coding.trim().eq_ignore_ascii_case("trailers"))
}

/// HTTP/2 may carry a cookie header in pieces; before it goes on they are one (RFC 9113, section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut pieces = headers.get_all(COOKIE).iter();
    if pieces.next().is_none() || pieces.next().is_none() {
        return;
    }
    let joined: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(value) = HeaderValue::from_bytes(&joined.join(&b"; "[..])) {
        headers.insert(COOKIE, value);
    }
}

fn host_value(authority: &Authority) -> Result<HeaderValue, Cause> {
    HeaderValue::from_str(without_user(authority)).map_err(|_| Cause::BadRequest)
}

fn without_user(authority: &Authority) -> &str {
    let text = authority.as_str();
    memchr::memrchr(b'@', text.as_bytes()).map_or(text, |at| &text[at + 1..])
}

#[cfg(test)]
mod tests {
    use crate::config::Peers;

    use super::*;

    fn head(build: impl FnOnce(http::request::Builder) -> http::request::Builder) -> Request<()> {
        build(Request::builder()).body(()).unwrap()
    }

    fn forwarded() -> Forwarded {
        let trusted = Peers { networks: vec!["10.0.0.0/8".parse().unwrap()], unix: false };
        Forwarded::new(Some([10, 0, 0, 7].into()), forwarded::Proto::Http, None, &trusted.into())
    }

    #[test]
    fn hop_by_hop_headers_stay_behind_with_those_that_connection_names() {
        let mut head = head(|request| {
            request
                .uri("/x")
                .header("host", "a")
                .header("connection", "close, X-Private")
                .header("connection", "content-length, keep-alive")
                .header("x-private", "1")
                .header("x-public", "1")
                .header("keep-alive", "timeout=5")
                .header("proxy-connection", "keep-alive")
                .header("upgrade", "h2c")
                .header("te", "gzip, trailers")
                .header("transfer-encoding", "chunked")
                .header("content-length", "3")
                .header("expect", "100-continue")
        });
        prepare(&mut head, &forwarded()).unwrap();
        let mut left: Vec<&str> = head.headers().keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        let expected =
            ["content-length", "host", "te", "via", "x-forwarded-for", "x-forwarded-proto", "x-public"];
        assert_eq!(left, expected);
        assert_eq!(head.headers()["te"], "trailers");
    }

    #[test]
    fn where_a_request_came_from_is_added_to_what_was_said_before() {
        let mut head = head(|request| {
            request
                .uri("/")
                .header("host", "a:8080")
                .header("x-forwarded-for", "1.1.1.1")
                .header("x-forwarded-proto", "https")
                .header("via", "1.0 edge")
        });
        prepare(&mut head, &forwarded()).unwrap();
        assert_eq!(head.headers()["x-forwarded-for"], "1.1.1.1, 10.0.0.7");
        assert_eq!(head.headers()["x-forwarded-proto"], "https");
        assert_eq!(head.headers()["via"], "1.0 edge, 1.1 switchback");
    }

    #[test]
    fn host_and_authority_are_one_and_the_same_on_either_protocol() {
        let absolute = |version| {
            let mut head = head(|request| {
                request.version(version).uri("http://user@a.example.net:8080/x?y").header("host", "other")
            });
            assert_eq!(host(&head), Ok(Some("a.example.net:8080")));
            prepare(&mut head, &forwarded()).unwrap();
            head
        };
        let mut to_http1 = absolute(Version::HTTP_2);
        address(&mut to_http1, Protocol::Http1, false, false).unwrap();
        assert_eq!(
            (to_http1.uri().to_string().as_str(), &to_http1.headers()["host"]),
            ("/x?y", &HeaderValue::from_static("a.example.net:8080"))
        );
        let mut to_http2 = absolute(Version::HTTP_11);
        address(&mut to_http2, Protocol::Http2, false, false).unwrap();
        assert_eq!(to_http2.uri().to_string(), "http://a.example.net:8080/x?y");
        assert!(!to_http2.headers().contains_key("host"));
    }

    #[test]
    fn what_a_request_speaks_stands_in_its_content_type() {
        for (content_type, dialect) in [
            ("application/grpc", Dialect::Grpc),
            ("application/grpc+proto", Dialect::Grpc),
            ("application/grpc;charset=x", Dialect::Grpc),
            ("Application/gRPC", Dialect::Grpc),
            ("application/grpc-web", Dialect::Http),
            ("application/grpc-web+proto", Dialect::Http),
            ("application/grpcx", Dialect::Http),
            ("application/json", Dialect::Http),
            ("", Dialect::Http),
        ] {
            let mut head =
                head(|request| request.uri("/").header("host", "a").header("content-type", content_type));
            let prepared = prepare(&mut head, &forwarded()).unwrap();
            assert_eq!(prepared.dialect, dialect, "{content_type:?}");
        }
        let mut head = head(|request| request.uri("/").header("host", "a"));
        assert_eq!(prepare(&mut head, &forwarded()).unwrap().dialect, Dialect::Http);
    }

    #[test]
    fn a_request_names_one_host() {
        assert_eq!(host(&head(|request| request.uri("/"))), Err(Cause::BadRequest));
        let two = head(|request| request.uri("/").header("host", "a").header("host", "b"));
        assert_eq!(host(&two), Err(Cause::BadRequest));
        let old = head(|request| request.version(Version::HTTP_10).uri("/"));
        assert_eq!(host(&old), Ok(None));
    }

    #[test]
    fn cookies_are_found_and_joined() {
        let mut headers = HeaderMap::new();
        headers.append("cookie", HeaderValue::from_static("a=1; session=x=y"));
        headers.append("cookie", HeaderValue::from_static("b=2"));
        assert_eq!(cookie(&headers, "session"), Some(&b"x=y"[..]));
        assert_eq!(cookie(&headers, "b"), Some(&b"2"[..]));
        assert_eq!(cookie(&headers, "ession"), None);
        join_cookies(&mut headers);
        assert_eq!(headers["cookie"], "a=1; session=x=y; b=2");
    }
}

use http::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, Entry, HOST, HeaderMap, HeaderName, HeaderValue, TE,
    TRANSFER_ENCODING, UPGRADE, VIA,
};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Uri, Version};

use crate::config::Protocol;
use crate::model::Cause;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// What a client's connection adds to each of its requests.
pub(super) struct Forwarded {
    pub(super) client: HeaderValue,
}

/// The host that a request names: its authority, else its one `Host` header. HTTP/1.1 asks for exactly one
/// (RFC 9112, section 3.2).
pub(super) fn host(head: &Parts) -> Result<Option<&str>, Cause> {
    let mut named = head.headers.get_all(HOST).iter();
    let (first, second) = (named.next(), named.next());
    if second.is_some() {
        return Err(Cause::BadRequest);
    }
    if let Some(authority) = head.uri.authority() {
        return Ok(Some(without_user(authority)));
    }
    match first {
        Some(host) => host.to_str().map(Some).map_err(|_| Cause::BadRequest),
        None if head.version == Version::HTTP_11 => Err(Cause::BadRequest),
        None => Ok(None),
    }
}

/// Makes a client's head an endpoint's: what belonged to the client's connection is taken off, what tells the
/// endpoint where it came from is put on.
pub(super) fn prepare(head: &mut Parts, forwarded: &Forwarded) -> Result<(), Cause> {
    let by_http2 = head.version == Version::HTTP_2;
    if let Some(authority) = head.uri.authority() {
        // The authority is what counts (RFC 9112, section 3.2.2); both forms agree from here on.
        let host = host_value(authority)?;
        head.headers.insert(HOST, host);
    }
    let trailers = accepts_trailers(&head.headers);
    strip(&mut head.headers);
    if trailers {
        head.headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    // hyper has told the client to go on by the time that its body is asked for.
    head.headers.remove(EXPECT);
    if by_http2 {
        join_cookies(&mut head.headers);
    }
    append(&mut head.headers, FORWARDED_FOR, &forwarded.client);
    if let Some(host) = head.headers.get(HOST).cloned() {
        head.headers.entry(FORWARDED_HOST).or_insert(host);
    }
    head.headers.entry(FORWARDED_PROTO).or_insert(HeaderValue::from_static("http"));
    let via = if by_http2 { "2 switchback" } else { "1.1 switchback" };
    append(&mut head.headers, VIA, &HeaderValue::from_static(via));
    head.extensions.clear();
    Ok(())
}

/// Puts a prepared head into the form that the endpoint's protocol asks for, whatever form it had before.
/// `has_body` says that bytes will follow.
pub(super) fn address(head: &mut Parts, protocol: Protocol, has_body: bool) -> Result<(), Cause> {
    let path = head.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    head.version = Version::HTTP_11;
    match protocol {
        Protocol::Http1 => {
            if head.headers.contains_key(TE) {
                head.headers.insert(CONNECTION, HeaderValue::from_static("te"));
            }
            if has_body && !head.headers.contains_key(CONTENT_LENGTH) {
                // Said outright: for GET hyper would otherwise take a body of unknown length for none.
                head.headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
            }
            if let Some(authority) = head.uri.authority() {
                head.headers.entry(HOST).or_insert(host_value(authority)?);
                head.uri = Uri::from(path);
            }
        }
        Protocol::Http2 => {
            head.version = Version::HTTP_2;
            head.headers.remove(TRANSFER_ENCODING);
            head.headers.remove(CONNECTION);
            let authority = match head.headers.remove(HOST) {
                Some(host) => Authority::try_from(host.as_bytes()).map_err(|_| Cause::BadRequest)?,
                None => head.uri.authority().cloned().ok_or(Cause::BadRequest)?,
            };
            let mut parts = http::uri::Parts::default();
            parts.scheme = Some(Scheme::HTTP);
            parts.authority = Some(authority);
            parts.path_and_query = Some(path);
            head.uri = Uri::from_parts(parts).map_err(|_| Cause::BadRequest)?;
        }
    }
    Ok(())
}

/// Makes an endpoint's head an answer's.
pub(super) fn answer(headers: &mut HeaderMap, by: Version) {
    strip(headers);
    let via = if by == Version::HTTP_2 { "2 switchback" } else { "1.1 switchback" };
    append(headers, VIA, &HeaderValue::from_static(via));
}

/// The value of a cookie.
pub(super) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    headers.get_all(COOKIE).iter().flat_map(|line| line.as_bytes().split(|b| *b == b';')).find_map(|pair| {
        let (key, value) = pair.trim_ascii().split_at_checked(name.len())?;
        (key == name.as_bytes()).then_some(value)?.strip_prefix(b"=")
    })
}

/// Takes off what belongs to one connection only (RFC 9110, section 7.6.1).
fn strip(headers: &mut HeaderMap) {
    if let Entry::Occupied(connection) = headers.entry(CONNECTION) {
        let (_, values) = connection.remove_entry_mult();
        let values: Vec<HeaderValue> = values.collect();
        for name in values.iter().filter_map(|value| value.to_str().ok()).flat_map(|list| list.split(',')) {
            if let Ok(name) = HeaderName::try_from(name.trim()) {
                // A sender must not list what is meant for the far end; doing so must not strip it.
                if !matches!(name, HOST | CONTENT_LENGTH) {
                    headers.remove(name);
                }
            }
        }
    }
    for name in [KEEP_ALIVE, PROXY_CONNECTION, TE, TRANSFER_ENCODING, UPGRADE] {
        headers.remove(name);
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

/// Adds to a list, in one line.
fn append(headers: &mut HeaderMap, name: HeaderName, value: &HeaderValue) {
    match headers.entry(name) {
        Entry::Vacant(place) => {
            place.insert(value.clone());
        }
        Entry::Occupied(mut place) => {
            let mut list: Vec<&[u8]> = place.iter().map(HeaderValue::as_bytes).collect();
            list.push(value.as_bytes());
            if let Ok(joined) = HeaderValue::from_bytes(&list.join(&b", "[..])) {
                place.insert(joined);
            }
        }
    }
}

fn host_value(authority: &Authority) -> Result<HeaderValue, Cause> {
    HeaderValue::from_str(without_user(authority)).map_err(|_| Cause::BadRequest)
}

fn without_user(authority: &Authority) -> &str {
    let text = authority.as_str();
    text.rsplit_once('@').map_or(text, |(_, host)| host)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn head(build: impl FnOnce(http::request::Builder) -> http::request::Builder) -> Parts {
        build(Request::builder()).body(()).unwrap().into_parts().0
    }

    fn forwarded() -> Forwarded {
        Forwarded { client: HeaderValue::from_static("10.0.0.7") }
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
        let mut left: Vec<&str> = head.headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        let expected = [
            "content-length",
            "host",
            "te",
            "via",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-proto",
            "x-public",
        ];
        assert_eq!(left, expected);
        assert_eq!(head.headers["te"], "trailers");
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
        assert_eq!(head.headers["x-forwarded-for"], "1.1.1.1, 10.0.0.7");
        assert_eq!(head.headers["x-forwarded-host"], "a:8080");
        assert_eq!(head.headers["x-forwarded-proto"], "https");
        assert_eq!(head.headers["via"], "1.0 edge, 1.1 switchback");
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
        address(&mut to_http1, Protocol::Http1, false).unwrap();
        assert_eq!(
            (to_http1.uri.to_string().as_str(), &to_http1.headers["host"]),
            ("/x?y", &HeaderValue::from_static("a.example.net:8080"))
        );
        let mut to_http2 = absolute(Version::HTTP_11);
        address(&mut to_http2, Protocol::Http2, false).unwrap();
        assert_eq!(to_http2.uri.to_string(), "http://a.example.net:8080/x?y");
        assert!(!to_http2.headers.contains_key("host"));
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

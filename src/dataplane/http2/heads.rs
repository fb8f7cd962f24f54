//! Heads of messages (RFC 9113, section 8), from the fields that came and to those that go.

use http::header::{
    CONNECTION, CONTENT_LENGTH, DATE, HeaderMap, HeaderName, HeaderValue, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::response;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, Request, Response, StatusCode, Uri, Version};
use http_body::SizeHint;
use hyper::ext::Protocol as Extended;

use super::super::core::Core;
use super::super::headers::has_no_content;
use super::hpack::{Encoder, Field};

/// What the fields of one head come to.
pub(super) struct Fields {
    method: Option<Method>,
    scheme: Option<Scheme>,
    authority: Option<Authority>,
    path: Option<PathAndQuery>,
    protocol: Option<Extended>,
    status: Option<StatusCode>,
    headers: HeaderMap,
    /// How long it says that its body is.
    pub(super) length: Option<u64>,
    size: usize,
    most: usize,
    is_malformed: bool,
}

/// What is wrong with a head whose frames are in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    Malformed,
    TooLarge,
}

impl Fields {
    /// Of a head that may be so large, as RFC 9113 counts it (section 6.5.2).
    pub(super) const fn new(headers: HeaderMap, most: usize) -> Self {
        Self {
            method: None,
            scheme: None,
            authority: None,
            path: None,
            protocol: None,
            status: None,
            headers,
            length: None,
            size: 0,
            most,
            is_malformed: false,
        }
    }

    pub(super) fn take(&mut self, field: Field, size: usize) {
        self.size += size;
        if self.size > self.most || self.is_malformed {
            return;
        }
        let is_twice = match field {
            Field::Regular(name, value) => return self.take_regular(name, value),
            Field::Method(method) => self.method.replace(method).is_some(),
            Field::Scheme(scheme) => self.scheme.replace(scheme).is_some(),
            Field::Authority(authority) => self.authority.replace(authority).is_some(),
            Field::Path(path) => self.path.replace(path).is_some(),
            Field::Status(status) => self.status.replace(status).is_some(),
            Field::Protocol(name) => match std::str::from_utf8(&name) {
                Ok(name) => self.protocol.replace(Extended::from(name)).is_some(),
                Err(_) => true,
            },
            Field::Malformed => true,
        };
        // Those of the message itself stand before all others (section 8.3).
        self.is_malformed |= is_twice || !self.headers.is_empty();
    }

    fn take_regular(&mut self, name: HeaderName, value: HeaderValue) {
        // What belongs to a connection of HTTP/1.1 does not come over HTTP/2 (section 8.2.2).
        let is_wrong = match name.as_str().len() {
            2 => name == TE && value.as_bytes() != b"trailers",
            7 => name == UPGRADE,
            10 => name == CONNECTION || name.as_str() == "keep-alive",
            14 if name == CONTENT_LENGTH => {
                let length = number(value.as_bytes());
                let is_other = self.length.is_some() && self.length != length;
                if self.length.is_some() && !is_other {
                    return;
                }
                self.length = length;
                length.is_none() || is_other
            }
            16 => name.as_str() == "proxy-connection",
            17 => name == TRANSFER_ENCODING,
            _ => false,
        };
        if is_wrong || self.headers.try_append(name, value).is_err() {
            self.is_malformed = true;
        }
    }

    fn check(&self) -> Result<(), Wrong> {
        if self.size > self.most {
            return Err(Wrong::TooLarge);
        }
        if self.is_malformed { Err(Wrong::Malformed) } else { Ok(()) }
    }

    /// The head of a request (section 8.3.1).
    pub(super) fn into_request(self) -> Result<Request<()>, Wrong> {
        self.check()?;
        let Self { method, scheme, authority, path, protocol, status: None, headers, .. } = self else {
            return Err(Wrong::Malformed);
        };
        let method = method.ok_or(Wrong::Malformed)?;
        let is_tunnel = method == Method::CONNECT && protocol.is_none();
        let is_whole = if is_tunnel {
            scheme.is_none() && path.is_none() && authority.is_some()
        } else {
            scheme.is_some() && path.as_ref().is_some_and(|path| fits(&method, path))
        };
        if !is_whole || protocol.is_some() && method != Method::CONNECT {
            return Err(Wrong::Malformed);
        }
        let mut parts = http::uri::Parts::default();
        // Without a host there is nothing that a scheme could belong to.
        parts.scheme = scheme.filter(|_| authority.is_some());
        (parts.authority, parts.path_and_query) = (authority, path);
        let mut request = Request::new(());
        *request.method_mut() = method;
        *request.uri_mut() = Uri::from_parts(parts).map_err(|_| Wrong::Malformed)?;
        *request.version_mut() = Version::HTTP_2;
        *request.headers_mut() = headers;
        if let Some(protocol) = protocol {
            request.extensions_mut().insert(protocol);
        }
        Ok(request)
    }

    /// The head of an answer (section 8.3.2).
    pub(super) fn into_response(self) -> Result<Response<()>, Wrong> {
        self.check()?;
        let is_requests = self.method.is_some() || self.scheme.is_some() || self.authority.is_some();
        let status = self.status.ok_or(Wrong::Malformed)?;
        if is_requests || self.path.is_some() || self.protocol.is_some() {
            return Err(Wrong::Malformed);
        }
        let mut response = Response::new(());
        *response.status_mut() = status;
        *response.version_mut() = Version::HTTP_2;
        *response.headers_mut() = self.headers;
        Ok(response)
    }

    /// What stands behind a body (section 8.1): no field of the message itself.
    pub(super) fn into_trailers(self) -> Result<HeaderMap, Wrong> {
        self.check()?;
        let is_head = self.method.is_some() || self.scheme.is_some() || self.authority.is_some();
        if is_head || self.path.is_some() || self.protocol.is_some() || self.status.is_some() {
            return Err(Wrong::Malformed);
        }
        Ok(self.headers)
    }
}

/// Whether a path is one that a request with this method may have.
fn fits(method: &Method, path: &PathAndQuery) -> bool {
    let path = path.as_str();
    path.starts_with('/') || path == "*" && *method == Method::OPTIONS
}

/// Digits, and nothing else.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

/// Writes the head of a request that was addressed to an endpoint.
pub(super) fn write_request<B>(
    out: &mut Vec<u8>,
    encoder: &mut Encoder,
    request: &Request<B>,
    size: &SizeHint,
) {
    let (method, uri) = (request.method(), request.uri());
    let is_connect = *method == Method::CONNECT;
    encoder.begin(out);
    encoder.method(out, method);
    encoder.scheme(out, uri.scheme().unwrap_or(&Scheme::HTTP));
    if let Some(authority) = uri.authority() {
        encoder.authority(out, authority.as_str());
    }
    encoder.path(out, uri.path_and_query().map_or("/", PathAndQuery::as_str));
    if let Some(protocol) = request.extensions().get::<Extended>() {
        encoder.protocol(out, protocol.as_str());
    }
    let mut has_length = false;
    for (name, value) in request.headers() {
        has_length |= *name == CONTENT_LENGTH;
        encoder.field(out, name, value);
    }
    if !has_length && !is_connect {
        let means_something =
            |length: &u64| *length > 0 || !matches!(*method, Method::GET | Method::HEAD | Method::DELETE);
        if let Some(length) = size.exact().filter(means_something) {
            encoder.field(out, &CONTENT_LENGTH, &HeaderValue::from(length));
        }
    }
}

/// Writes the head of an answer.
pub(super) fn write_response(
    out: &mut Vec<u8>,
    encoder: &mut Encoder,
    head: &response::Parts,
    size: &SizeHint,
    core: &Core,
) {
    encoder.begin(out);
    encoder.status(out, head.status);
    let (mut has_date, mut has_length) = (false, false);
    for (name, value) in &head.headers {
        has_date |= *name == DATE;
        has_length |= *name == CONTENT_LENGTH;
        encoder.field(out, name, value);
    }
    if !has_date {
        core.with_date(|date| encoder.date(out, date));
    }
    if !has_length
        && !has_no_content(head.status)
        && let Some(length) = size.exact().filter(|length| *length > 0)
    {
        encoder.field(out, &CONTENT_LENGTH, &HeaderValue::from(length));
    }
}

/// Writes what stands behind a body.
pub(super) fn write_trailers(out: &mut Vec<u8>, encoder: &mut Encoder, trailers: &HeaderMap) {
    encoder.begin(out);
    for (name, value) in trailers {
        encoder.field(out, name, value);
    }
}

//! A client that wants to go on in another protocol: `Upgrade` in HTTP/1.1 (RFC 9110, section 7.8), extended
//! CONNECT in HTTP/2 (RFC 8441). From the client to the answer of an endpoint, in the words of both; what comes
//! behind it is [`relay`](super::relay)'s.
//!
//! Until it is sent a request of either kind is a GET, or what HTTP/1.1 has made of it, and is dealt, counted,
//! judged and asked again like any other: so the two sides may speak different HTTP.

use http::header::{
    CONNECTION, CONTENT_LENGTH, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, TE, UPGRADE,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use hyper::ext::Protocol as Extended;

use crate::config::Protocol;
use crate::model::Cause;

use super::headers;
use super::http1::endpoint::Http1;
use super::incoming::{ClientEnd, EndpointBody, Io};
use super::websocket::{self, WEBSOCKET};

/// What a client wants to switch to.
pub(super) struct Upgrade {
    /// As `Upgrade` or `:protocol` names it.
    wanted: HeaderValue,
    is_websocket: bool,
    by: By,
    /// What an endpoint that speaks HTTP/1.1 has to prove that it has read. Absent if the client sent none.
    key: Option<HeaderValue>,
    /// How it was last asked for.
    asked: Asked,
    client: Option<ClientEnd>,
    /// Set when an endpoint has agreed.
    endpoint: Option<Io<Http1>>,
}

/// What the client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Http1,
    Http2,
}

/// How an endpoint was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// It was not: what the client wants cannot be said in the endpoint's HTTP, and need not be granted.
    Not,
    ByUpgrade,
    ByConnect,
}

/// Both ends, when they have agreed.
pub(super) struct Agreed {
    pub(super) client: ClientEnd,
    pub(super) endpoint: Io<Http1>,
    pub(super) is_websocket: bool,
    /// Whether the client's connection ends where the stream begins.
    pub(super) takes_connection: bool,
}

impl Upgrade {
    /// What a request wants to switch to, if that is anything that can be passed on. It becomes a GET if it was
    /// an extended CONNECT. `h2c` is no such thing: HTTP/2 has given it up (RFC 9113, section 3.1).
    pub(super) fn wanted<B>(request: &mut Request<B>) -> Option<Box<Self>> {
        let (wanted, by) = match request.version() {
            Version::HTTP_2 => {
                let protocol = request.extensions_mut().remove::<Extended>()?;
                let wanted = HeaderValue::from_str(protocol.as_str()).ok()?;
                *request.method_mut() = Method::GET;
                (wanted, By::Http2)
            }
            Version::HTTP_11 => (offered(request.headers())?, By::Http1),
            _ => return None,
        };
        let is_websocket = wanted.as_bytes().eq_ignore_ascii_case(WEBSOCKET.as_bytes());
        let key = match by {
            By::Http1 => request.headers().get(SEC_WEBSOCKET_KEY).cloned(),
            By::Http2 => Some(websocket::new_key()),
        };
        let (client, endpoint) = (None, None);
        Some(Box::new(Self { wanted, is_websocket, by, key, asked: Asked::Not, client, endpoint }))
    }

    /// Where the client is to be found when an endpoint has agreed.
    pub(super) fn goes_on_at(&mut self, client: Option<ClientEnd>) {
        self.client = client;
    }

    /// What is wanted, in a word.
    pub(super) fn name(&self) -> &str {
        self.wanted.to_str().unwrap_or_default()
    }

    /// Whether endpoints that speak this have to be asked by extended CONNECT, and so have to allow it.
    pub(super) fn needs_connect<B>(&self, protocol: Protocol, request: &Request<B>, has_body: bool) -> bool {
        protocol == Protocol::Http2 && (self.by == By::Http2 || self.is_plain(request.method(), has_body))
    }

    /// Whether endpoints that speak this can be asked for it. What HTTP/1.1 wants need not be granted.
    pub(super) fn can_be_put_to(&self, protocol: Protocol) -> bool {
        protocol == Protocol::Http2 || self.by == By::Http1 || self.is_websocket
    }

    /// Puts what is wanted into an addressed head, in the endpoint's words. Only a WebSocket has words for it
    /// in both. What HTTP/1.1 wants need not be granted; there is nothing else that an extended CONNECT could
    /// mean.
    pub(super) fn address<B>(
        &mut self,
        request: &mut Request<B>,
        protocol: Protocol,
        has_body: bool,
    ) -> Result<(), Cause> {
        let by_connect = self.needs_connect(protocol, request, has_body);
        // Whoever was asked before has not agreed.
        self.endpoint = None;
        match (protocol, self.by) {
            (Protocol::Http1, By::Http2) if !self.is_websocket => Err(Cause::NoUpgrade),
            (Protocol::Http1, _) => {
                self.asked = Asked::ByUpgrade;
                let headers = request.headers_mut();
                let named = if headers.contains_key(TE) { "te, upgrade" } else { "upgrade" };
                headers.insert(CONNECTION, HeaderValue::from_static(named));
                headers.insert(UPGRADE, self.wanted.clone());
                if let Some(key) = &self.key {
                    headers.insert(SEC_WEBSOCKET_KEY, key.clone());
                    headers.entry(SEC_WEBSOCKET_VERSION).or_insert(HeaderValue::from_static("13"));
                }
                Ok(())
            }
            (Protocol::Http2, _) if by_connect => {
                self.asked = Asked::ByConnect;
                *request.method_mut() = Method::CONNECT;
                let headers = request.headers_mut();
                for name in [UPGRADE, SEC_WEBSOCKET_KEY, CONTENT_LENGTH] {
                    headers.remove(name);
                }
                let name = if self.is_websocket { WEBSOCKET } else { self.name() };
                request.extensions_mut().insert(Extended::from(name));
                Ok(())
            }
            (Protocol::Http2, _) => {
                self.asked = Asked::Not;
                request.headers_mut().remove(UPGRADE);
                Ok(())
            }
        }
    }

    /// Makes an endpoint's head an answer's, and takes the endpoint's end if it has agreed. The error is why the head does not
    /// mean what it seems to.
    pub(super) fn answer(&mut self, response: &mut Response<EndpointBody>) -> Result<(), Cause> {
        let understood = |is_so: bool| is_so.then_some(()).ok_or(Cause::Protocol);
        let status = response.status();
        let agreed = match self.asked {
            Asked::ByUpgrade => status == StatusCode::SWITCHING_PROTOCOLS,
            // To an extended CONNECT any success is a consent (RFC 8441, section 5).
            Asked::ByConnect => status.is_success(),
            Asked::Not => false,
        };
        if !agreed {
            // To an extended CONNECT any success is a consent: there are no words for an answer that is none. An endpoint of
            // HTTP/1.1 is free to answer as if nothing had been asked for: what is there is not what the client wants.
            if self.by == By::Http2 && status.is_success() {
                return Err(if self.asked == Asked::ByUpgrade { Cause::NoUpgrade } else { Cause::Protocol });
            }
            return understood(headers::answer(response));
        }
        if self.asked == Asked::ByUpgrade && !self.is_proven(response.headers()) {
            return Err(Cause::Protocol);
        }
        let endpoint = Io::of(response);
        let chosen = response.headers_mut().remove(UPGRADE);
        *response.status_mut() = StatusCode::OK;
        let is_understood = headers::answer(response);
        response.headers_mut().remove(CONTENT_LENGTH);
        match self.by {
            By::Http1 => self.answer_http1(response, chosen),
            By::Http2 => {
                response.headers_mut().remove(SEC_WEBSOCKET_ACCEPT);
            }
        }
        self.endpoint = is_understood.then_some(endpoint);
        understood(is_understood)
    }

    /// Both ends, if an endpoint has agreed.
    pub(super) fn agreed(&mut self) -> Option<Agreed> {
        let (client, endpoint) = (self.client.take(), self.endpoint.take());
        let (Some(client), Some(endpoint)) = (client, endpoint) else { return None };
        let takes_connection = self.by == By::Http1;
        Some(Agreed { client, endpoint, is_websocket: self.is_websocket, takes_connection })
    }

    fn answer_http1<B>(&self, response: &mut Response<B>, chosen: Option<HeaderValue>) {
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        *response.version_mut() = Version::HTTP_11;
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, chosen.unwrap_or_else(|| self.wanted.clone()));
        if let (Asked::ByConnect, Some(key)) = (self.asked, &self.key) {
            headers.insert(SEC_WEBSOCKET_ACCEPT, websocket::accept(key));
        }
    }

    /// Whether an endpoint's 101 is to what was asked.
    fn is_proven(&self, headers: &HeaderMap) -> bool {
        let Some(chosen) = headers.get(UPGRADE).and_then(|chosen| chosen.to_str().ok()) else { return false };
        let is_offered = tokens(self.name()).any(|offered| offered.eq_ignore_ascii_case(chosen.trim()));
        let accept = || headers.get(SEC_WEBSOCKET_ACCEPT).map(HeaderValue::as_bytes);
        let is_read = match &self.key {
            Some(key) if self.is_websocket => accept() == Some(websocket::accept(key).as_bytes()),
            Some(_) | None => true,
        };
        is_offered && is_read
    }

    /// Whether it is a WebSocket's handshake as the standard has it, and so can be translated.
    fn is_plain(&self, method: &Method, has_body: bool) -> bool {
        self.is_websocket && self.key.is_some() && !has_body && *method == Method::GET
    }
}

/// The protocols that a head of HTTP/1.1 offers to switch to, but for `h2c`. What `Connection` does not name is
/// not meant for this proxy.
fn offered(headers: &HeaderMap) -> Option<HeaderValue> {
    let is_named = lists(headers.get_all(CONNECTION)).any(|name| name.eq_ignore_ascii_case("upgrade"));
    if !is_named {
        return None;
    }
    let is_http = |name: &str| name.eq_ignore_ascii_case("h2c") || name.eq_ignore_ascii_case("h2");
    let offered: Vec<&str> = lists(headers.get_all(UPGRADE)).filter(|name| !is_http(name)).collect();
    if offered.is_empty() {
        return None;
    }
    HeaderValue::from_str(&offered.join(", ")).ok()
}

fn lists(values: http::header::GetAll<'_, HeaderValue>) -> impl Iterator<Item = &str> {
    values.into_iter().filter_map(|value| value.to_str().ok()).flat_map(tokens)
}

fn tokens(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|token| !token.is_empty())
}

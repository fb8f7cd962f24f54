use std::net::SocketAddr;

use axum::extract::{FromRequestParts, Request};
use axum::http::header::{HOST, ORIGIN};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::model::Caller;

use super::access::Known;
use super::peer::Peer;
use super::problem::Refusal;

/// The header in which a caller over loopback says who they are. Nobody checks it, and the record says so.
const CLAIMED: &str = "x-switchback-user";
/// The longest name that is recorded.
const LONGEST_NAME: usize = 64;

/// Who is behind a request.
pub(super) struct Asker(pub(super) Caller);

impl<S: Send + Sync> FromRequestParts<S> for Asker {
    type Rejection = Refusal;

    async fn from_request_parts(head: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let known = head.extensions.get::<Known>();
        let known = known.ok_or_else(|| Refusal::new(StatusCode::UNAUTHORIZED, "nothing says who asks"))?;
        Ok(Self(known.caller.clone()))
    }
}

/// What somebody says who need not say who they are.
pub(super) fn claimed(headers: &HeaderMap) -> String {
    let name = headers.get(CLAIMED).and_then(|name| name.to_str().ok()).map(str::trim);
    match name.filter(|name| !name.is_empty() && name.len() <= LONGEST_NAME) {
        Some(name) => format!("{name} (by own word)"),
        None => "somebody on this machine".to_owned(),
    }
}

/// Refuses what a web page could send: a foreign `Host`, which is a name made to resolve to loopback, and a
/// foreign `Origin`. Over TLS a `Host` is foreign to our certificate already.
pub(super) async fn refuse_strangers(request: Request, next: Next) -> Response {
    let headers = request.headers();
    let is_plain = matches!(request.extensions().get(), Some(Peer::Tcp(_)));
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    if is_plain && !host.is_some_and(is_loopback_name) {
        let detail = "the admin interface answers to localhost, 127.0.0.1 and [::1] only";
        return Refusal::new(StatusCode::FORBIDDEN, detail).into_response();
    }
    if headers.contains_key(ORIGIN) {
        let detail = "the admin interface takes no requests from web pages";
        return Refusal::new(StatusCode::FORBIDDEN, detail).into_response();
    }
    next.run(request).await
}

fn is_loopback_name(host: &str) -> bool {
    if let Ok(address) = host.parse::<SocketAddr>() {
        return address.ip().is_loopback();
    }
    let name = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
    let name = name.map_or(host, |(name, _)| name);
    name.eq_ignore_ascii_case("localhost") || matches!(name, "127.0.0.1" | "[::1]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_names_are_answered() {
        for (host, ours) in [
            ("localhost:7070", true),
            ("LOCALHOST", true),
            ("127.0.0.1:7070", true),
            ("127.0.0.1", true),
            ("[::1]:7070", true),
            ("[::1]", true),
            ("evil.example.net", false),
            ("evil.example.net:7070", false),
            ("127.0.0.1.evil.example.net", false),
            ("10.0.0.1:7070", false),
            ("", false),
        ] {
            assert_eq!(is_loopback_name(host), ours, "{host:?}");
        }
    }
}

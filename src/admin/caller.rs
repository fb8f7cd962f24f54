use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, FromRequestParts, Request};
use axum::http::header::{HOST, ORIGIN};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::serve::IncomingStream;
use nix::unistd::{Uid, User};
use tokio::net::{TcpListener, UnixListener};

use crate::model::{Caller, Rights, Via};

use super::problem::Refusal;

/// What is at the other end of a connection.
#[derive(Clone, Debug)]
pub(super) enum Peer {
    /// Somebody over TCP.
    Tcp(SocketAddr),
    /// The user of this number, as the system says.
    User(Option<u32>),
}

/// The header in which a caller over loopback says who they are. Nobody checks it, and the record says so.
const CLAIMED: &str = "x-switchback-user";
/// The longest name that is recorded.
const LONGEST_NAME: usize = 64;

impl Connected<IncomingStream<'_, TcpListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, TcpListener>) -> Self {
        Peer::Tcp(*stream.remote_addr())
    }
}

impl Connected<IncomingStream<'_, UnixListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        Peer::User(stream.io().peer_cred().ok().map(|cred| cred.uid()))
    }
}

/// Who is behind a request.
pub(super) struct Asker(pub(super) Caller);

impl<S: Send + Sync> FromRequestParts<S> for Asker {
    type Rejection = Response;

    async fn from_request_parts(head: &mut Parts, state: &S) -> Result<Self, Response> {
        let ConnectInfo(peer) = ConnectInfo::<Peer>::from_request_parts(head, state)
            .await
            .map_err(IntoResponse::into_response)?;
        let (name, via, from) = match peer {
            Peer::User(Some(uid)) => (user_name(uid), Via::User, "unix".to_owned()),
            Peer::User(None) => ("unknown user".to_owned(), Via::Word, "unix".to_owned()),
            Peer::Tcp(from) => (claimed(&head.headers), Via::Word, from.to_string()),
        };
        Ok(Self(Caller { name: Arc::from(name), via, from: from.into(), rights: Rights::unbounded() }))
    }
}

fn user_name(uid: u32) -> String {
    let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
    user.map_or_else(|| format!("uid {uid}"), |user| user.name)
}

fn claimed(headers: &HeaderMap) -> String {
    let name = headers.get(CLAIMED).and_then(|name| name.to_str().ok()).map(str::trim);
    match name.filter(|name| !name.is_empty() && name.len() <= LONGEST_NAME) {
        Some(name) => format!("{name} (by own word)"),
        None => "somebody on this machine".to_owned(),
    }
}

/// Refuses what a web page could send: a foreign `Host`, which is a name made to resolve to loopback, and a
/// foreign `Origin`.
pub(super) async fn refuse_strangers(request: Request, next: Next) -> Response {
    let headers = request.headers();
    let over_tcp = matches!(request.extensions().get(), Some(ConnectInfo(Peer::Tcp(_))));
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    if over_tcp && !host.is_some_and(is_loopback_name) {
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

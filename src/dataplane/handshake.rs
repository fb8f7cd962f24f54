use std::io;
use std::rc::Rc;
use std::time::Duration;

use http::HeaderValue;
use rustls::ProtocolVersion;
use tokio::io::AsyncWriteExt as _;
use tokio_rustls::{TlsAcceptor, TlsStream};
use tracing::debug;

use crate::tls::{Acceptor, caller};

use super::core::Core;
use super::held::Held;
use super::waits::{Limit, within};
use super::wire::{Socket, Wire};

/// Agrees on TLS with a client, and learns who it is if endpoints are told. `None` if that fails.
pub(super) async fn accept(
    core: &Rc<Core>,
    acceptor: &Acceptor,
    stream: Socket,
    patience: Duration,
) -> Option<(Wire, Option<HeaderValue>)> {
    let mut held = Held::new(stream);
    held.hold();
    let shaking = TlsAcceptor::from(acceptor.config()?).accept(held);
    let limit = Limit { until: core.now().after(patience), recall: None };
    let mut stream = match within(core, limit, shaking).await {
        Ok(Ok(stream)) => stream,
        // Who only looks whether somebody listens says nothing, and leaves.
        Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => return None,
        Ok(Err(error)) => {
            debug!(%error, "a client does not agree on TLS");
            return fail(core);
        }
        Err(_) => return fail(core),
    };
    stream.get_mut().0.let_go();
    // Tickets for other sessions leave with the first answer. Before TLS 1.3 the client waits for the last word of a handshake.
    if stream.get_ref().1.protocol_version() != Some(ProtocolVersion::TLSv1_3)
        && !matches!(within(core, limit, stream.flush()).await, Ok(Ok(())))
    {
        return fail(core);
    }
    let is_forwarded = acceptor.settings().clients.as_ref().is_some_and(|clients| clients.forwarded);
    let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let caller = match certificate.filter(|_| is_forwarded) {
        None => None,
        // Whoever has proven to be somebody is not passed on as nobody.
        Some(certificate) => match caller(certificate) {
            Some(caller) => Some(caller),
            None => return fail(core),
        },
    };
    Some((Wire::Tls(Box::new(TlsStream::from(stream))), caller))
}

fn fail<T>(core: &Core) -> Option<T> {
    core.handshakes_failed.set(core.handshakes_failed.get() + 1);
    core.keep_beating();
    None
}

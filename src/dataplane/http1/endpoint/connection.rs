use std::cell::{RefCell, RefMut};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use http::Request;
use http::header::TRANSFER_ENCODING;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::yield_now;

use crate::model::Cause;

use super::super::super::body::RequestBody;
use super::super::super::broken::Broken;
use super::super::super::core::Core;
use super::super::super::room::Room;
use super::super::super::wire::Wire;
use super::super::framing::content_length;
use super::super::outgoing::{Length, Outgoing, Trailers};
use super::super::source::Source;
use super::super::wake;
use super::asked::Asked;
use super::head;

/// A connection to an endpoint. Whoever has it is the only one who asks over it.
#[derive(Clone)]
pub(in crate::dataplane) struct Http1(Rc<RefCell<Connection>>);

#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of the connection, and they come in all mixes"
)]
pub(super) struct Connection {
    pub(super) source: Source<Wire>,
    /// What is to be sent of heads, and where bodies are put together.
    pub(super) outbox: Vec<u8>,
    /// Whether a byte of the last request has left.
    pub(super) has_sent: bool,
    /// Whether the last request is still being sent, …
    pub(super) is_sending: bool,
    /// … and its answer read.
    pub(super) is_reading: bool,
    /// Whether it can carry another request behind this one.
    pub(super) persists: bool,
    /// Where an answer came before all of its request has gone, who reads the one …
    pub(super) reader: Option<Waker>,
    /// … and who sends the other. …
    pub(super) sender: Option<Waker>,
    /// … One of them has broken off: there is no answer to half a request, and nobody to send to who is not heard.
    pub(super) is_cut: bool,
}

/// The most that the head of an answer may have.
pub(super) const MOST_HEAD: usize = 64 << 10;

impl Http1 {
    pub(in crate::dataplane) fn new(wire: Wire) -> Self {
        Self(Rc::new(RefCell::new(Connection {
            source: Source::new(wire),
            outbox: Vec::new(),
            has_sent: false,
            is_sending: false,
            is_reading: false,
            persists: true,
            reader: None,
            sender: None,
            is_cut: false,
        })))
    }

    /// Begins to ask. The head says how long the body is.
    pub(in crate::dataplane) fn ask(
        &self,
        core: &Rc<Core>,
        request: &Request<RequestBody>,
        body: RequestBody,
    ) -> Result<Asked, Cause> {
        let length = length(request, &body)?;
        let outgoing = Outgoing::new(Some(body), length);
        let mut connection = self.borrow_mut();
        connection.outbox.clear();
        head::write(&mut connection.outbox, request);
        (connection.has_sent, connection.is_sending, connection.is_reading) = (false, true, true);
        drop(connection);
        Ok(Asked::new(self.clone(), core.clone(), request.method(), outgoing))
    }

    /// Whether it can carry a request now: the last one is over, and nothing has come that was not asked for. (Which is
    /// nearly always that its endpoint has closed it.)
    pub(in crate::dataplane) fn is_open(&self) -> bool {
        let mut connection = self.borrow_mut();
        connection.persists
            && !connection.is_sending
            && !connection.is_reading
            && connection.source.came.is_empty()
            && connection.source.wire.is_quiet()
    }

    /// Sends the rest while somebody else reads the answer. Where one of them breaks off, the other does.
    pub(super) fn go_on(&self, core: Rc<Core>, mut outgoing: Outgoing<RequestBody>) {
        let connection = self.clone();
        tokio::task::spawn_local(async move {
            let sent = poll_fn(|cx| {
                let mut connection = connection.borrow_mut();
                if connection.is_cut {
                    return Poll::Ready(Err(Broken::Closed));
                }
                connection.sender = Some(cx.waker().clone());
                connection.poll_send(cx, &core.room, &mut outgoing)
            });
            // All of it has gone: from here on the connection may be another request's.
            let Err(broken) = sent.await else { return };
            // Whoever carries the answer may be about to hear that the client has gone, which says more.
            yield_now().await;
            let mut connection = connection.borrow_mut();
            (connection.is_sending, connection.persists) = (false, false);
            // That nothing more can be sent does not keep an answer from coming.
            if matches!(broken, Broken::Body(_)) {
                connection.is_cut = true;
                wake(connection.reader.take());
                // The endpoint need not wait for the rest, either.
                let mut nobody = Context::from_waker(Waker::noop());
                let _ = Pin::new(&mut connection.source.wire).poll_shutdown(&mut nobody);
            }
        });
    }

    /// The same, and the kernel is asked whether something has come: what cannot be asked again is not risked on a guess.
    pub(in crate::dataplane) fn is_surely_open(&self) -> bool {
        self.borrow_mut().source.wire.is_surely_quiet()
    }

    pub(super) fn borrow_mut(&self) -> RefMut<'_, Connection> {
        self.0.borrow_mut()
    }
}

impl Connection {
    /// Sends a request, to its end.
    pub(super) fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        room: &Room,
        outgoing: &mut Outgoing<RequestBody>,
    ) -> Poll<Result<(), Broken>> {
        let Self { source, outbox, has_sent, is_sending, .. } = self;
        let sent = outgoing.poll(cx, &mut source.wire, outbox, has_sent, room);
        *is_sending = !matches!(sent, Poll::Ready(Ok(())));
        if !*is_sending {
            outgoing.finish();
        }
        sent
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // An endpoint that speaks TLS is told that nothing is missing, where that is so.
        if !self.is_sending && !self.is_reading && matches!(self.source.wire, Wire::Tls(_)) {
            let mut nobody = Context::from_waker(Waker::noop());
            let _ = Pin::new(&mut self.source.wire).poll_shutdown(&mut nobody);
        }
    }
}

/// How long a request's body is, as its head says. The error is that this does not become clear: an endpoint would take what it
/// does not expect for another request.
fn length(request: &Request<RequestBody>, body: &RequestBody) -> Result<Length, Cause> {
    let headers = request.headers();
    let declared = content_length(headers).map_err(|_| Cause::BadRequest)?;
    match (body, declared) {
        (RequestBody::Empty, None | Some(0)) => Ok(Length::Nothing),
        (RequestBody::Empty, Some(_)) => Err(Cause::BadRequest),
        (_, Some(length)) => Ok(Length::Exactly(length)),
        (_, None) if headers.contains_key(TRANSFER_ENCODING) => Ok(Length::Chunked(Trailers::Pass)),
        (_, None) => Err(Cause::BadRequest),
    }
}

/// What comes and goes over it once both ends have agreed on another protocol.
impl AsyncRead for Http1 {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.borrow_mut().source).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Http1 {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.borrow_mut().source.wire).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.borrow_mut().source.wire).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.borrow_mut().source.wire).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixStream;

    use super::super::super::super::wire::Socket;
    use super::*;

    #[tokio::test]
    async fn a_request_of_which_nothing_has_left_is_still_there() {
        let (near, far) = UnixStream::pair().unwrap();
        drop(far);
        let connection = Http1::new(Wire::Plain(Socket::Unix(near)));
        connection.borrow_mut().outbox.extend_from_slice(b"POST / HTTP/1.1\r\n\r\n");
        let (room, mut outgoing) =
            (Room::default(), Outgoing::new(Some(RequestBody::Empty), Length::Nothing));
        let sent = poll_fn(|cx| connection.borrow_mut().poll_send(cx, &room, &mut outgoing)).await;
        assert!(matches!(sent, Err(Broken::Io(_))), "{sent:?}");
        assert!(!connection.borrow_mut().has_sent);
        assert!(matches!(outgoing.take_back(), Some(RequestBody::Empty)));
    }
}

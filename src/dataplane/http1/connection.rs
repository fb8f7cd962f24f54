use std::cell::{RefCell, RefMut};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Bytes, BytesMut};
use http::Request;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use crate::model::Cause;

use super::super::body::{BodyError, RequestBody};
use super::super::core::Core;
use super::super::wire::Wire;
use super::asked::Asked;
use super::head;
use super::outgoing::Outgoing;

/// A connection to an endpoint. Whoever has it is the only one who asks over it.
#[derive(Clone)]
pub(in crate::dataplane) struct Http1(Rc<RefCell<Connection>>);

pub(super) struct Connection {
    pub(super) wire: Wire,
    /// What has come and is not understood yet.
    pub(super) came: Bytes,
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

/// Why there is no answer, or no more of it.
#[derive(Debug, thiserror::Error)]
pub(in crate::dataplane) enum Broken {
    #[error("the endpoint has closed the connection")]
    Closed,
    #[error("the connection broke off: {0}")]
    Io(#[from] io::Error),
    #[error("what came is no answer of HTTP/1.1")]
    Malformed,
    #[error(transparent)]
    Body(#[from] BodyError),
}

/// The most that the head of an answer may have, and the trailers.
pub(super) const MOST_HEAD: usize = 64 << 10;
/// Of what is sent, room for so much is kept.
const KEPT: usize = 4 << 10;

impl Http1 {
    pub(in crate::dataplane) fn new(wire: Wire) -> Self {
        Self(Rc::new(RefCell::new(Connection {
            wire,
            came: Bytes::new(),
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
        let outgoing = Outgoing::new(request, body)?;
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
            && connection.came.is_empty()
            && connection.wire.is_quiet()
    }

    pub(super) fn borrow_mut(&self) -> RefMut<'_, Connection> {
        self.0.borrow_mut()
    }
}

impl Connection {
    /// Reads what there is, behind what has come; `false` at the end.
    pub(super) fn poll_more(&mut self, cx: &mut Context<'_>, core: &Core) -> Poll<io::Result<bool>> {
        let mut scratch = core.scratch.borrow_mut();
        let mut buffer = ReadBuf::new(&mut scratch);
        ready!(Pin::new(&mut self.wire).poll_read(cx, &mut buffer))?;
        let read = buffer.filled();
        if self.came.is_empty() {
            self.came = Bytes::copy_from_slice(read);
        } else {
            let mut both = BytesMut::with_capacity(self.came.len() + read.len());
            both.extend_from_slice(&self.came);
            both.extend_from_slice(read);
            self.came = both.freeze();
        }
        Poll::Ready(Ok(!read.is_empty()))
    }

    /// Reads up to so many bytes to where they stay. Empty at the end.
    pub(super) fn poll_piece(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<io::Result<Bytes>> {
        // Room is made when there is something to read.
        ready!(self.wire.poll_maybe_readable(cx));
        let mut piece = BytesMut::with_capacity(most);
        ready!(pin!(self.wire.read_buf(&mut piece)).poll(cx))?;
        Poll::Ready(Ok(piece.freeze()))
    }

    /// What was to be sent has gone.
    pub(super) fn clear_outbox(&mut self) {
        self.outbox.clear();
        if self.outbox.capacity() > KEPT {
            self.outbox = Vec::new();
        }
    }
}

/// What comes and goes over it once both ends have agreed on another protocol.
impl AsyncRead for Http1 {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let connection = &mut *self.borrow_mut();
        if connection.came.is_empty() {
            return Pin::new(&mut connection.wire).poll_read(cx, buffer);
        }
        let length = connection.came.len().min(buffer.remaining());
        buffer.put_slice(&connection.came.split_to(length));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Http1 {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.borrow_mut().wire).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.borrow_mut().wire).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.borrow_mut().wire).poll_shutdown(cx)
    }
}

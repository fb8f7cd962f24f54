use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Buf;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frame::Code;
use super::outbox::Sent;
use super::session::Session;
use super::stream::{Failed, Stream};

/// A stream on which both ends have agreed on another protocol (RFC 8441).
pub(in crate::dataplane) struct Duplex {
    session: Rc<RefCell<Session>>,
    stream: Rc<Stream>,
}

impl Duplex {
    pub(super) fn new(session: Rc<RefCell<Session>>, stream: Rc<Stream>) -> Self {
        // A length says nothing here (RFC 9110, section 9.3.6).
        stream.declared.set(None);
        Self { session, stream }
    }
}

impl AsyncRead for Duplex {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { session, stream } = self.get_mut();
        let popped = stream.inbox.borrow_mut().pop();
        if let Some(mut piece) = popped {
            let taken = piece.len().min(buffer.remaining());
            buffer.put_slice(&piece[..taken]);
            piece.advance(taken);
            if !piece.is_empty() {
                stream.inbox.borrow_mut().put_back(piece);
            }
            session.borrow_mut().release_of(stream, taken as u64);
            return Poll::Ready(Ok(()));
        }
        match stream.failed.get() {
            // Whoever takes its leave like this has said all that it had to say.
            Some(Failed::Reset(Code::NO_ERROR | Code::CANCEL)) => Poll::Ready(Ok(())),
            Some(_) => Poll::Ready(Err(ErrorKind::ConnectionReset.into())),
            None if stream.has_ended.get() => Poll::Ready(Ok(())),
            None => {
                stream.reader_waits(cx);
                Poll::Pending
            }
        }
    }
}

impl AsyncWrite for Duplex {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Self { session, stream } = self.get_mut();
        if stream.failed.get().is_some() || stream.has_sent_all.get() {
            return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
        }
        let mut session = session.borrow_mut();
        let (gone, sent) = session.send(stream, bytes, false);
        if sent != Sent::All && gone == 0 {
            session.wait_for_room(cx, stream);
            return Poll::Pending;
        }
        Poll::Ready(Ok(gone))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Who drives the connection writes what there is.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { session, stream } = self.get_mut();
        if stream.failed.get().is_none() && !stream.has_sent_all.get() {
            session.borrow_mut().send_end(stream);
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for Duplex {
    fn drop(&mut self) {
        let mut session = self.session.borrow_mut();
        session.leave(&self.stream);
        if !self.stream.is_over() {
            session.reset(&self.stream, Code::CANCEL, Failed::Reset(Code::CANCEL));
        }
    }
}

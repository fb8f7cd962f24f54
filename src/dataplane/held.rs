use std::io::{IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::wire::{Socket, poll_write_pieces};

/// So much is held at most: a record of TLS.
const MOST: usize = 16 << 10;

/// A socket beneath TLS. TLS speaks for itself, too: of tickets behind its handshake, and of the end. What it says may be held
/// back, and then leaves with an answer: each write of its own costs the kernel as much as the answer does, and wakes the client.
pub(super) struct Held {
    socket: Socket,
    /// What is held back.
    waiting: Vec<u8>,
    /// Whether what is written is held back, until there is nothing to read or until it may go.
    holds: bool,
    /// Whether closing says all that shutting its end would.
    leaves: bool,
}

impl Held {
    /// Holds nothing back.
    pub(super) const fn new(socket: Socket) -> Self {
        Self { socket, waiting: Vec::new(), holds: false, leaves: false }
    }

    pub(super) const fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Holds back what is written from now on.
    pub(super) const fn hold(&mut self) {
        self.holds = true;
    }

    /// What is held leaves with what is written next, or when it is flushed.
    pub(super) const fn let_go(&mut self) {
        self.holds = false;
    }

    /// The same, and whoever ends it closes it at once.
    pub(super) const fn leave(&mut self) {
        (self.holds, self.leaves) = (false, true);
    }

    fn poll_release(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        while !self.waiting.is_empty() {
            let gone = ready!(Pin::new(&mut self.socket).poll_write(cx, &self.waiting))?;
            self.went(gone);
        }
        Poll::Ready(Ok(()))
    }

    fn went(&mut self, gone: usize) {
        if gone < self.waiting.len() {
            self.waiting.drain(..gone);
        } else {
            self.waiting = Vec::new(); // a connection is long, and this is its beginning or its end
        }
    }
}

impl AsyncRead for Held {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let this = self.get_mut();
        let read = Pin::new(&mut this.socket).poll_read(cx, buffer);
        if read.is_pending() && this.holds {
            // The other side waits, perhaps for this.
            ready!(this.poll_release(cx))?;
        }
        read
    }
}

impl AsyncWrite for Held {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let this = self.get_mut();
        let length: usize = pieces.iter().map(|piece| piece.len()).sum();
        if this.holds && this.waiting.len() + length <= MOST {
            for piece in pieces {
                this.waiting.extend_from_slice(piece);
            }
            return Poll::Ready(Ok(length));
        }
        let first = pieces.iter().find(|piece| !piece.is_empty()).map_or(&[][..], |piece| piece);
        while !this.waiting.is_empty() {
            let both = [IoSlice::new(&this.waiting), IoSlice::new(first)];
            let gone = ready!(poll_write_pieces(&mut this.socket, cx, &both))?;
            let of_this = gone.saturating_sub(this.waiting.len());
            this.went(gone);
            if of_this > 0 {
                return Poll::Ready(Ok(of_this));
            }
        }
        poll_write_pieces(&mut this.socket, cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let this = self.get_mut();
        if this.holds {
            return Poll::Ready(Ok(()));
        }
        ready!(this.poll_release(cx))?;
        Pin::new(&mut this.socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_release(cx))?;
        if this.leaves { Poll::Ready(Ok(())) } else { Pin::new(&mut this.socket).poll_shutdown(cx) }
    }
}

impl Drop for Held {
    /// What is still held may say why this ends.
    fn drop(&mut self) {
        let _ = self.poll_release(&mut Context::from_waker(Waker::noop()));
    }
}

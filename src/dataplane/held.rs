use std::io::{ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::wire::{Socket, poll_write_pieces};

/// So much is held at most: a whole record of TLS (RFC 8446, section 5.2), and what TLS says beside it.
const MOST: usize = 17 << 10;

/// A socket beneath TLS. TLS speaks for itself, too: of tickets behind its handshake, and of the end. What it says may be held
/// back, and then leaves with an answer: each write of its own is a packet of its own, and wakes the client for nothing that it waits for.
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
            self.went(gone)?;
        }
        Poll::Ready(Ok(()))
    }

    fn went(&mut self, gone: usize) -> Result<()> {
        if gone == 0 {
            return Err(ErrorKind::WriteZero.into());
        }
        if gone < self.waiting.len() {
            self.waiting.drain(..gone);
        } else {
            self.waiting = Vec::new(); // a connection is long, and this is its beginning or its end
        }
        Ok(())
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
        while !this.waiting.is_empty() {
            let all: Vec<IoSlice<'_>> = [&this.waiting[..]]
                .into_iter()
                .chain(pieces.iter().map(|piece| &**piece))
                .map(IoSlice::new)
                .collect();
            let gone = ready!(poll_write_pieces(&mut this.socket, cx, &all))?;
            let of_pieces = gone.saturating_sub(this.waiting.len());
            this.went(gone)?;
            if of_pieces > 0 {
                return Poll::Ready(Ok(of_pieces));
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
        if !self.waiting.is_empty() {
            let _ = self.socket.try_write(&self.waiting);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use socket2::SockRef;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixStream;

    use super::*;

    /// One that holds, and the other end of its socket.
    fn holding() -> (Held, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut held = Held::new(Socket::Unix(ours));
        held.hold();
        (held, theirs)
    }

    /// What has come by now.
    fn came(theirs: &UnixStream) -> Option<Vec<u8>> {
        let mut came = vec![0; 2 * MOST];
        let length = theirs.try_read(&mut came).ok()?;
        came.truncate(length);
        Some(came)
    }

    #[tokio::test]
    async fn what_is_held_leaves_in_one_with_what_is_written_next() {
        let (mut held, mut theirs) = holding();
        held.write_all(b"tickets, ").await.unwrap();
        held.flush().await.unwrap();
        assert_eq!(came(&theirs), None);
        held.let_go();
        assert_eq!(held.write(b"an answer").await.unwrap(), 9, "of what is written now");
        let mut first = [0; 64];
        let length = theirs.read(&mut first).await.unwrap();
        assert_eq!(&first[..length], b"tickets, an answer");
    }

    #[tokio::test]
    async fn what_is_held_leaves_where_there_is_nothing_to_read_or_when_it_is_flushed_or_ends() {
        let (mut held, mut theirs) = holding();
        held.write_all(b"hello").await.unwrap();
        let mut nothing = [0; 1];
        let mut nothing = ReadBuf::new(&mut nothing);
        let polled = poll_fn(|cx| Poll::Ready(Pin::new(&mut held).poll_read(cx, &mut nothing))).await;
        assert!(polled.is_pending());
        let mut five = [0; 5];
        theirs.read_exact(&mut five).await.unwrap();
        assert_eq!(&five, b"hello");

        held.write_all(b"there").await.unwrap();
        held.let_go();
        held.flush().await.unwrap();
        theirs.read_exact(&mut five).await.unwrap();
        assert_eq!(&five, b"there");

        held.hold();
        held.write_all(b"alert").await.unwrap();
        drop(held);
        let mut rest = Vec::new();
        theirs.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"alert");
    }

    #[tokio::test]
    async fn more_than_a_record_is_not_held() {
        let (mut held, mut theirs) = holding();
        held.write_all(b"first").await.unwrap();
        held.write_all(&vec![b'x'; MOST]).await.unwrap();
        let mut all = vec![0; 5 + MOST];
        theirs.read_exact(&mut all).await.unwrap();
        assert!(all.starts_with(b"firstx"));
    }

    #[tokio::test]
    async fn what_leaves_in_parts_comes_whole_and_in_order() {
        let (mut held, mut theirs) = holding();
        SockRef::from(&theirs).set_recv_buffer_size(4 << 10).unwrap();
        let Socket::Unix(ours) = &held.socket else { unreachable!("it is one") };
        SockRef::from(ours).set_send_buffer_size(4 << 10).unwrap();
        let all: Vec<u8> = (0..200_000_u32).map(|byte| (byte % 251) as u8).collect();
        let sending = async {
            held.write_all(&all[..16_000]).await.unwrap();
            held.let_go();
            held.write_all(&all[16_000..]).await.unwrap();
            held.flush().await.unwrap();
            drop(held);
        };
        let mut came = Vec::new();
        let (read, ()) = tokio::join!(theirs.read_to_end(&mut came), sending);
        read.unwrap();
        assert!(came == all);
    }

    #[tokio::test]
    async fn whoever_leaves_says_what_is_held_and_leaves_the_rest_to_closing() {
        let (mut held, mut theirs) = holding();
        held.write_all(b"bye").await.unwrap();
        held.leave();
        held.shutdown().await.unwrap();
        let mut three = [0; 3];
        theirs.read_exact(&mut three).await.unwrap();
        assert_eq!(came(&theirs), None, "its end is not shut");
        drop(held);
        assert_eq!(theirs.read(&mut three).await.unwrap(), 0);
    }
}

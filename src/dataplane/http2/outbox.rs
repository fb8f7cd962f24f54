use std::io::{ErrorKind, Result};
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use http::HeaderMap;
use tokio::io::AsyncWrite;

use super::frame::{self, Head};
use super::heads;
use super::session::Session;
use super::stream::Stream;

/// What is to be sent, of all streams.
#[derive(Default)]
pub(super) struct Outbox {
    pub(super) bytes: Vec<u8>,
    /// Of those, so many have gone.
    written: usize,
    /// So many have gone in all.
    gone: u64,
    /// Whether what is left may begin amid a frame.
    is_begun: bool,
}

/// What became of a piece of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    All,
    /// The peer gives no room for more of it, …
    NoWindow,
    /// … or others are to be sent first.
    NoRoom,
}

/// While so much waits to be sent, no body is asked for more, …
const FULL: usize = 64 << 10;
/// … and while so much does, nothing is read that might have to be answered.
const MOST: usize = 256 << 10;
/// Of an outbox, room for so much is kept.
const KEPT: usize = 16 << 10;

impl Outbox {
    /// How many bytes stand before the next.
    pub(super) const fn position(&self) -> u64 {
        self.gone + (self.bytes.len() - self.written) as u64
    }

    /// Whether what stands behind so many bytes has begun to leave.
    pub(super) const fn has_left(&self, behind: u64) -> bool {
        self.gone > behind
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.written == self.bytes.len()
    }

    const fn waiting(&self) -> usize {
        self.bytes.len() - self.written
    }

    /// Whether no frame has left in part.
    pub(super) const fn is_whole(&self) -> bool {
        !self.is_begun
    }

    /// What has not left never will.
    pub(super) fn cut(&mut self) {
        self.bytes.truncate(self.written);
    }

    /// Whether whoever is to take it does not.
    pub(super) const fn is_too_full(&self) -> bool {
        self.waiting() >= MOST
    }

    /// Writes all that is there.
    pub(super) fn poll_flush<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        wire: &mut W,
    ) -> Poll<Result<()>> {
        while !self.is_empty() {
            let gone = ready!(Pin::new(&mut *wire).poll_write(cx, &self.bytes[self.written..]))?;
            if gone == 0 {
                return Poll::Ready(Err(ErrorKind::WriteZero.into()));
            }
            self.written += gone;
            self.gone += gone as u64;
            self.is_begun = !self.is_empty();
        }
        self.written = 0;
        self.bytes.clear();
        Pin::new(wire).poll_flush(cx)
    }

    /// Nothing is under way: what is quiet takes little room.
    pub(super) fn shrink(&mut self) {
        if self.is_empty() && self.bytes.capacity() > KEPT {
            self.bytes = Vec::new();
        }
    }

    /// Lets go of what has gone.
    fn tidy(&mut self) {
        if self.written >= FULL {
            self.bytes.drain(..mem::take(&mut self.written));
        }
    }
}

impl Session {
    /// Puts a piece of a body into the outbox, as much of it as may go; tells how much that was.
    pub(super) fn send(&mut self, stream: &Rc<Stream>, all: &[u8], is_last: bool) -> (usize, Sent) {
        self.outbox.tidy();
        let mut piece = all;
        loop {
            let room = FULL.saturating_sub(self.outbox.waiting());
            let window = stream.may_send.get().min(self.may_send);
            let most = usize::try_from(window).unwrap_or(0).min(frame::LONGEST).min(piece.len());
            if !piece.is_empty() && most == 0 {
                return (all.len() - piece.len(), Sent::NoWindow);
            }
            if room == 0 {
                return (all.len() - piece.len(), Sent::NoRoom);
            }
            self.call_driver();
            let ends = is_last && most == piece.len();
            let flags = if ends { frame::END_STREAM } else { 0 };
            Head { length: most, kind: frame::DATA, flags, stream: stream.id }.write(&mut self.outbox.bytes);
            self.outbox.bytes.extend_from_slice(&piece[..most]);
            piece = &piece[most..];
            stream.is_fed.set(true);
            self.may_send -= frame::weight(most);
            stream.may_send.set(stream.may_send.get() - frame::weight(most));
            if ends {
                self.sent_all(stream);
            }
            if piece.is_empty() {
                return (all.len(), Sent::All);
            }
        }
    }

    /// Ends what is sent over a stream with an empty piece.
    pub(super) fn send_end(&mut self, stream: &Rc<Stream>) {
        frame::write(&mut self.outbox.bytes, frame::DATA, frame::END_STREAM, stream.id, &[]);
        self.sent_all(stream);
        self.call_driver();
    }

    /// The same with what stands behind a body.
    pub(super) fn send_trailers(&mut self, stream: &Rc<Stream>, trailers: &HeaderMap) {
        let Self { outbox, encoder, .. } = self;
        let at = frame::begin_block(&mut outbox.bytes);
        heads::write_trailers(&mut outbox.bytes, encoder, trailers);
        frame::end_block(&mut outbox.bytes, at, stream.id, frame::END_STREAM);
        self.sent_all(stream);
        self.call_driver();
    }

    /// Waits for room for what was not sent.
    pub(super) fn wait_for_room(&mut self, cx: &Context<'_>, stream: &Rc<Stream>) {
        stream.writer_waits(cx);
        // What its own window keeps back is called by that.
        if stream.may_send.get() > 0 && !stream.is_waiting.replace(true) {
            // Otherwise the first would have its turn before all others, each time.
            let queue = if stream.is_fed.take() { &mut self.fed } else { &mut self.waiting };
            queue.push(stream.clone());
        }
    }
}

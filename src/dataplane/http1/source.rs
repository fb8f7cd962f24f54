use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

use super::super::broken::Broken;
use super::super::core::Core;
use super::super::pace::Paced;
use super::super::room::Room;
use super::super::wire::Wire;
use super::framing::{Left, Piece};

/// What comes over a wire.
pub(super) struct Source<W> {
    pub(super) wire: W,
    /// What has come and is not understood yet.
    pub(super) came: Bytes,
    /// So much of it was no whole head.
    looked_at: usize,
}

/// A wire that can be asked whether there may be something to read before there is room for it.
pub(super) trait Readable: AsyncRead + Unpin {
    fn poll_maybe_readable(&self, cx: &mut Context<'_>) -> Poll<()>;
}

/// Where so much comes for certain, it is read to where it stays.
const LONG: u64 = 16 << 10;

impl<W: Readable> Source<W> {
    pub(super) const fn new(wire: W) -> Self {
        Self { wire, came: Bytes::new(), looked_at: 0 }
    }

    /// Takes a head off what has come, if all of it may be there: one that comes in drops is not read anew with each of them.
    pub(super) fn take_head<H, E>(
        &mut self,
        parse: impl FnOnce(&mut Bytes) -> Result<Option<H>, E>,
    ) -> Result<Option<H>, E> {
        // An empty line ends it, which may have begun before.
        let tail = &self.came[self.looked_at.saturating_sub(2)..];
        let ends = |at: usize| matches!(tail[at + 1..], [b'\n', ..] | [b'\r', b'\n', ..]);
        if self.looked_at == 0 || memchr::memchr_iter(b'\n', tail).any(ends) {
            let head = parse(&mut self.came)?;
            if head.is_some() {
                self.looked_at = 0;
                if self.came.is_empty() {
                    // Where it was read to is let go.
                    self.came = Bytes::new();
                }
                return Ok(head);
            }
        }
        self.looked_at = self.came.len();
        Ok(None)
    }

    /// Reads what there is, behind what has come; `false` at the end.
    pub(super) fn poll_more(&mut self, cx: &mut Context<'_>, core: &Core) -> Poll<io::Result<bool>> {
        let mut scratch = core.scratch.borrow_mut();
        let mut buffer = ReadBuf::new(&mut scratch);
        ready!(Pin::new(&mut self.wire).poll_read(cx, &mut buffer))?;
        let read = buffer.filled();
        if self.came.is_empty() {
            self.came = core.room.keep(read);
        } else {
            let mut both = BytesMut::with_capacity(self.came.len() + read.len());
            both.extend_from_slice(&self.came);
            both.extend_from_slice(read);
            self.came = both.freeze();
        }
        Poll::Ready(Ok(!read.is_empty()))
    }

    /// Reads the next piece of a body.
    pub(super) fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        core: &Core,
        left: &mut Left,
    ) -> Poll<Result<Piece, Broken>> {
        loop {
            match left.take(&mut self.came)? {
                Piece::More => {}
                piece => {
                    left.ends(&mut self.came);
                    return Poll::Ready(Ok(piece));
                }
            }
            let run = left.run();
            if self.came.is_empty() && run >= LONG {
                let most = usize::try_from(run).unwrap_or(usize::MAX);
                let piece = ready!(self.poll_piece(cx, &core.room, most))?;
                if piece.is_empty() {
                    return Poll::Ready(Err(Broken::Closed));
                }
                left.passed(piece.len() as u64);
                return Poll::Ready(Ok(Piece::Data(piece)));
            }
            if !ready!(self.poll_more(cx, core))? {
                let is_end = *left == Left::UntilClosed;
                *left = Left::Nothing;
                return Poll::Ready(if is_end { Ok(Piece::End) } else { Err(Broken::Closed) });
            }
        }
    }

    /// Reads up to so many bytes to where they stay. Empty at the end.
    fn poll_piece(&mut self, cx: &mut Context<'_>, room: &Room, most: usize) -> Poll<io::Result<Bytes>> {
        // Room is made when there is something to read.
        ready!(self.wire.poll_maybe_readable(cx));
        let mut place = room.piece();
        let polled = pin!(self.wire.read_buf(&mut (&mut place).limit(most))).poll(cx);
        if polled.is_pending() {
            room.put_back(place);
            return Poll::Pending;
        }
        polled.map_ok(|_| place.freeze())
    }
}

impl Readable for Wire {
    fn poll_maybe_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        Self::poll_maybe_readable(self, cx)
    }
}

impl Readable for Paced {
    fn poll_maybe_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        Self::poll_maybe_readable(self, cx)
    }
}

/// What comes once both ends have agreed on another protocol.
impl<W: AsyncRead + Unpin> AsyncRead for Source<W> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { wire, came, .. } = self.get_mut();
        if came.is_empty() {
            return Pin::new(wire).poll_read(cx, buffer);
        }
        buffer.put_slice(&came.split_to(came.len().min(buffer.remaining())));
        Poll::Ready(Ok(()))
    }
}

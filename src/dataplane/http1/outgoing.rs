use std::io::{IoSlice, Write};
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::Body;
use tokio::io::AsyncWrite;

use super::super::body::BodyError;
use super::super::broken::Broken;
use super::super::room::Room;

/// What is left to be sent of a message. Its head is put into an outbox, where what stands between the pieces of its body is
/// put too; the pieces themselves are sent from where they are.
pub(super) struct Outgoing<B> {
    /// Absent once there is nothing to come of it.
    body: Option<B>,
    is_begun: bool,
    length: Length,
    /// Of what has been put into the outbox, so much has gone.
    written: usize,
    /// Behind that, …
    piece: Bytes,
    /// … and behind the piece.
    behind: &'static [u8],
    /// Why no more comes.
    broken: Option<Broken>,
}

/// How much is still to come of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    Nothing,
    Exactly(u64),
    /// So much as comes; each piece says how long it is.
    Chunked(Trailers),
    /// So much as comes; the end of the connection is the body's.
    UntilClosed,
}

/// Whether what stands behind a body is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trailers {
    Pass,
    Drop,
}

const CHUNK_ENDS: &[u8] = b"\r\n";
const CHUNK_AND_BODY_END: &[u8] = b"\r\n0\r\n\r\n";
/// A piece of up to so many bytes is copied, …
const SMALL: usize = 4 << 10;
/// … and so many together.
const MOST_JOINED: usize = 12 << 10;
/// Of an outbox, room for so much is kept.
const KEPT: usize = 16 << 10;

impl<B: Body<Data = Bytes, Error = BodyError> + Unpin> Outgoing<B> {
    pub(super) const fn new(body: Option<B>, length: Length) -> Self {
        Self { body, is_begun: false, length, written: 0, piece: Bytes::new(), behind: &[], broken: None }
    }

    /// A body follows what is in the outbox.
    pub(super) fn begin(&mut self, body: B, length: Length) {
        (self.body, self.is_begun, self.length) = (Some(body), false, length);
    }

    /// Sends on, to the end; notes whether a byte has left.
    pub(super) fn poll<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        wire: &mut W,
        outbox: &mut Vec<u8>,
        has_sent: &mut bool,
        room: &Room,
    ) -> Poll<Result<(), Broken>> {
        let mut waits = false;
        loop {
            // Small pieces go along with what is before them, if they are there.
            while !waits && self.piece.is_empty() && self.behind.is_empty() && self.length != Length::Nothing
            {
                match self.poll_body(cx, outbox) {
                    Poll::Ready(Ok(())) => self.join(outbox),
                    Poll::Ready(Err(broken)) => (self.broken, self.length) = (Some(broken), Length::Nothing),
                    Poll::Pending => waits = true,
                }
            }
            if self.is_empty(outbox) {
                ready!(Pin::new(&mut *wire).poll_flush(cx))?;
                return match self.broken.take() {
                    // What came before has been passed on.
                    Some(broken) => Poll::Ready(Err(broken)),
                    None if waits => Poll::Pending,
                    None => Poll::Ready(Ok(())),
                };
            }
            let written = self.poll_write(cx, wire, outbox);
            if written.is_pending()
                && let Some(broken) = self.broken.take_if(|broken| is_clients(broken))
            {
                // What an endpoint does not take need not be waited for.
                return Poll::Ready(Err(broken));
            }
            ready!(written)?;
            *has_sent = true;
            if self.piece.is_empty() {
                room.take_back_piece(mem::take(&mut self.piece));
            }
        }
    }

    /// Puts a small piece behind what is in the outbox.
    fn join(&mut self, outbox: &mut Vec<u8>) {
        if self.piece.len() <= SMALL && outbox.len() <= MOST_JOINED {
            outbox.extend_from_slice(&self.piece);
            outbox.extend_from_slice(self.behind);
            (self.piece, self.behind) = (Bytes::new(), &[]);
        }
    }

    /// It is over, and nothing is kept of it.
    pub(super) fn finish(&mut self) {
        self.body = None;
    }

    /// All that is left, in another place.
    pub(super) fn take(&mut self) -> Self {
        mem::replace(self, Self::new(None, Length::Nothing))
    }

    /// The body, if nothing of it was taken.
    pub(super) fn take_back(&mut self) -> Option<B> {
        self.body.take().filter(|_| !self.is_begun)
    }

    /// Puts together what comes next.
    fn poll_body(&mut self, cx: &mut Context<'_>, outbox: &mut Vec<u8>) -> Poll<Result<(), Broken>> {
        loop {
            let Some(body) = &mut self.body else { return Poll::Ready(Err(Broken::Closed)) };
            let frame = ready!(Pin::new(body).poll_frame(cx));
            self.is_begun = true;
            let frame = match frame {
                Some(frame) => frame?,
                None => return Poll::Ready(self.end(outbox, None)),
            };
            match frame.into_data() {
                Ok(piece) if piece.is_empty() => {}
                Ok(piece) => return Poll::Ready(self.pass(outbox, piece)),
                Err(frame) => return Poll::Ready(self.end(outbox, frame.into_trailers().ok().as_ref())),
            }
        }
    }

    fn pass(&mut self, outbox: &mut Vec<u8>, piece: Bytes) -> Result<(), Broken> {
        match &mut self.length {
            Length::Nothing => return Err(BodyError::Length.into()),
            Length::UntilClosed => {}
            Length::Exactly(left) => {
                *left = left.checked_sub(piece.len() as u64).ok_or(BodyError::Length)?;
                if *left == 0 {
                    self.length = Length::Nothing;
                }
            }
            Length::Chunked(_) => {
                // Into memory, where nothing fails.
                let _ = write!(outbox, "{:x}\r\n", piece.len());
                self.behind = CHUNK_ENDS;
                if self.body.as_ref().is_some_and(Body::is_end_stream) {
                    (self.behind, self.length) = (CHUNK_AND_BODY_END, Length::Nothing);
                }
            }
        }
        self.piece = piece;
        Ok(())
    }

    fn end(&mut self, outbox: &mut Vec<u8>, trailers: Option<&HeaderMap>) -> Result<(), Broken> {
        match mem::replace(&mut self.length, Length::Nothing) {
            Length::Nothing | Length::Exactly(0) | Length::UntilClosed => {}
            Length::Exactly(_) => return Err(BodyError::Length.into()),
            Length::Chunked(passes) => {
                outbox.extend_from_slice(b"0\r\n");
                let trailers = trailers.filter(|_| passes == Trailers::Pass);
                write_fields(outbox, trailers.into_iter().flatten());
                outbox.extend_from_slice(b"\r\n");
            }
        }
        Ok(())
    }

    fn poll_write<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        wire: &mut W,
        outbox: &mut Vec<u8>,
    ) -> Poll<Result<(), Broken>> {
        let head = &outbox[self.written..];
        let gone = if self.piece.is_empty() && self.behind.is_empty() {
            ready!(Pin::new(wire).poll_write(cx, head))?
        } else if head.is_empty() && self.behind.is_empty() {
            ready!(Pin::new(wire).poll_write(cx, &self.piece))?
        } else {
            let pieces = [head, &self.piece, self.behind].map(IoSlice::new);
            ready!(Pin::new(wire).poll_write_vectored(cx, &pieces))?
        };
        if gone == 0 {
            return Poll::Ready(Err(Broken::Closed));
        }
        let of_head = gone.min(head.len());
        let of_piece = (gone - of_head).min(self.piece.len());
        self.written += of_head;
        self.piece.advance(of_piece);
        self.behind = &self.behind[gone - of_head - of_piece..];
        if self.written == outbox.len() {
            (self.written, *outbox) = (0, emptied(mem::take(outbox)));
        }
        Poll::Ready(Ok(()))
    }

    fn is_empty(&self, outbox: &[u8]) -> bool {
        self.written == outbox.len() && self.piece.is_empty() && self.behind.is_empty()
    }
}

/// Whether it is a request that has broken off: what came of it before is of no use.
const fn is_clients(broken: &Broken) -> bool {
    matches!(broken, Broken::Body(BodyError::Client(_) | BodyError::TooLarge | BodyError::Elsewhere))
}

fn emptied(mut outbox: Vec<u8>) -> Vec<u8> {
    if outbox.capacity() > KEPT {
        return Vec::new();
    }
    outbox.clear();
    outbox
}

pub(super) fn write_fields<'a>(
    out: &mut Vec<u8>,
    fields: impl IntoIterator<Item = (&'a HeaderName, &'a HeaderValue)>,
) {
    for (name, value) in fields {
        let (name, value) = (name.as_str().as_bytes(), value.as_bytes());
        out.reserve(name.len() + value.len() + 4);
        out.extend_from_slice(name);
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
}

use std::future::poll_fn;
use std::io::{IoSlice, Write};
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes};
use http::header::TRANSFER_ENCODING;
use http::{HeaderMap, Request};
use http_body::Body as _;
use tokio::io::AsyncWrite;
use tokio::task::yield_now;

use crate::model::Cause;

use super::super::body::{BodyError, RequestBody};
use super::connection::{Broken, Connection, Http1};
use super::framing::content_length;
use super::head;

/// What is left to be sent of a request.
pub(super) struct Outgoing {
    body: RequestBody,
    length: Length,
    /// Of what has been put together in the connection's outbox, so much has gone.
    written: usize,
    /// Behind that, …
    piece: Bytes,
    /// … and behind the piece.
    behind: &'static [u8],
}

/// How much is still to come of a body.
enum Length {
    Nothing,
    Exactly(u64),
    /// So much as comes; each piece says how long it is.
    Chunked,
}

const CHUNK_ENDS: &[u8] = b"\r\n";
const CHUNK_AND_BODY_END: &[u8] = b"\r\n0\r\n\r\n";

impl Outgoing {
    /// The error is that the head does not say how long the body is: an endpoint would take what it does not expect for
    /// another request.
    pub(super) fn new(request: &Request<RequestBody>, body: RequestBody) -> Result<Self, Cause> {
        let headers = request.headers();
        let declared = content_length(headers).map_err(|_| Cause::BadRequest)?;
        let length = match (&body, declared) {
            (RequestBody::Empty, None | Some(0)) => Length::Nothing,
            (RequestBody::Empty, Some(_)) => return Err(Cause::BadRequest),
            (_, Some(length)) => Length::Exactly(length),
            (_, None) if headers.contains_key(TRANSFER_ENCODING) => Length::Chunked,
            (_, None) => return Err(Cause::BadRequest),
        };
        Ok(Self { body, length, written: 0, piece: Bytes::new(), behind: &[] })
    }

    /// Sends on, to the end.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        connection: &mut Connection,
    ) -> Poll<Result<(), Broken>> {
        loop {
            let is_there =
                self.is_empty(connection) && self.poll_body(cx, &mut connection.outbox)?.is_ready();
            if self.is_empty(connection) {
                ready!(Pin::new(&mut connection.wire).poll_flush(cx))?;
                if !is_there {
                    return Poll::Pending;
                }
                connection.clear_outbox();
                connection.is_sending = false;
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_write(cx, connection))?;
        }
    }

    /// Sends the rest while somebody else reads the answer. Where one of them breaks off, the other does.
    pub(super) fn go_on(mut self, connection: Http1) {
        tokio::task::spawn_local(async move {
            let sent = poll_fn(|cx| {
                let connection = &mut *connection.borrow_mut();
                if connection.is_cut {
                    return Poll::Ready(Err(Broken::Closed));
                }
                connection.sender = Some(cx.waker().clone());
                self.poll(cx, connection)
            });
            let sent = sent.await;
            // Whoever carries the answer may be about to hear that the client has gone, which says more.
            yield_now().await;
            let mut connection = connection.borrow_mut();
            connection.is_sending = false;
            connection.persists &= sent.is_ok();
            // That nothing more can be sent does not keep an answer from coming.
            if matches!(sent, Err(Broken::Body(_))) {
                connection.is_cut = true;
                connection.reader.take().map(Waker::wake);
            }
        });
    }

    /// All that is left, in another place.
    pub(super) fn take(&mut self) -> Self {
        let nothing = Self {
            body: RequestBody::Empty,
            length: Length::Nothing,
            written: 0,
            piece: Bytes::new(),
            behind: &[],
        };
        mem::replace(self, nothing)
    }

    /// The body of which nothing was taken.
    pub(super) fn take_back(&mut self) -> Option<RequestBody> {
        let is_whole = self.piece.is_empty() && self.behind.is_empty();
        is_whole.then(|| mem::replace(&mut self.body, RequestBody::Empty))
    }

    /// Puts together what comes next; nothing is left to be sent if that is nothing.
    fn poll_body(&mut self, cx: &mut Context<'_>, outbox: &mut Vec<u8>) -> Poll<Result<(), Broken>> {
        loop {
            if matches!(self.length, Length::Nothing) {
                return Poll::Ready(Ok(()));
            }
            let frame = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
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
            Length::Exactly(left) => {
                *left = left.checked_sub(piece.len() as u64).ok_or(BodyError::Length)?;
                if *left == 0 {
                    self.length = Length::Nothing;
                }
            }
            Length::Chunked => {
                // Into memory, where nothing fails.
                let _ = write!(outbox, "{:x}\r\n", piece.len());
                self.behind = CHUNK_ENDS;
                if self.body.is_end_stream() {
                    (self.behind, self.length) = (CHUNK_AND_BODY_END, Length::Nothing);
                }
            }
        }
        self.piece = piece;
        Ok(())
    }

    fn end(&mut self, outbox: &mut Vec<u8>, trailers: Option<&HeaderMap>) -> Result<(), Broken> {
        match mem::replace(&mut self.length, Length::Nothing) {
            Length::Nothing | Length::Exactly(0) => {}
            Length::Exactly(_) => return Err(BodyError::Length.into()),
            Length::Chunked => {
                outbox.extend_from_slice(b"0\r\n");
                head::write_fields(outbox, trailers.into_iter().flatten());
                outbox.extend_from_slice(b"\r\n");
            }
        }
        Ok(())
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, connection: &mut Connection) -> Poll<Result<(), Broken>> {
        let Connection { wire, outbox, has_sent, .. } = connection;
        let wire = Pin::new(wire);
        let head = &outbox[self.written..];
        let mut gone = if self.piece.is_empty() && self.behind.is_empty() {
            ready!(wire.poll_write(cx, head))?
        } else {
            let pieces = [head, &self.piece, self.behind].map(IoSlice::new);
            ready!(wire.poll_write_vectored(cx, &pieces))?
        };
        if gone == 0 {
            return Poll::Ready(Err(Broken::Closed));
        }
        *has_sent = true;
        let of_head = gone.min(head.len());
        self.written += of_head;
        gone -= of_head;
        let of_piece = gone.min(self.piece.len());
        self.piece.advance(of_piece);
        gone -= of_piece;
        self.behind = &self.behind[gone.min(self.behind.len())..];
        if self.is_empty(connection) {
            connection.outbox.clear();
            self.written = 0;
            self.piece = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }

    fn is_empty(&self, connection: &Connection) -> bool {
        self.written == connection.outbox.len() && self.piece.is_empty() && self.behind.is_empty()
    }
}

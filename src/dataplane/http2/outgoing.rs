use std::cell::RefCell;
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http_body::Body;

use super::super::body::BodyError;
use super::super::broken::Broken;
use super::super::room::Room;
use super::outbox::Sent;
use super::session::Session;
use super::stream::Stream;

/// What is left to be sent of a message, behind its head.
pub(super) struct Outgoing<B> {
    /// Absent once there is nothing to come of it.
    body: Option<B>,
    is_begun: bool,
    /// What has been taken of it, and not been sent.
    piece: Bytes,
    /// Whether nothing comes behind that.
    is_last: bool,
    /// Whether the peer gives no room for it, …
    pub(super) is_blocked: bool,
    /// … and how often something of it has gone.
    pub(super) moves: u32,
}

impl<B: Body<Data = Bytes, Error = BodyError> + Unpin> Outgoing<B> {
    pub(super) const fn new(body: Option<B>) -> Self {
        Self { body, is_begun: false, piece: Bytes::new(), is_last: false, is_blocked: false, moves: 0 }
    }

    /// Puts all that may go into the outbox, to the end.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        session: &RefCell<Session>,
        stream: &Rc<Stream>,
        room: &Room,
    ) -> Poll<Result<(), Broken>> {
        loop {
            if stream.has_sent_all.get() {
                self.body = None;
                return Poll::Ready(Ok(()));
            }
            if let Some(failed) = stream.failed.get() {
                return Poll::Ready(Err(failed.into()));
            }
            if !self.piece.is_empty() {
                ready!(self.poll_send(cx, session, stream, room));
                continue;
            }
            let Some(body) = &mut self.body else { return Poll::Ready(Err(Broken::Closed)) };
            let frame = match Pin::new(&mut *body).poll_frame(cx) {
                Poll::Ready(frame) => frame,
                Poll::Pending => {
                    // That the peer has reset it is heard meanwhile.
                    stream.writer_waits(cx);
                    return Poll::Pending;
                }
            };
            self.is_begun = true;
            let Some(frame) = frame.transpose()? else {
                session.borrow_mut().send_end(stream);
                continue;
            };
            match frame.into_data() {
                Ok(piece) => {
                    self.is_last = body.is_end_stream();
                    self.piece = piece;
                    if self.piece.is_empty() && self.is_last {
                        session.borrow_mut().send_end(stream);
                    }
                }
                Err(frame) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        session.borrow_mut().send_trailers(stream, &trailers);
                        room.take_back(trailers);
                    }
                }
            }
        }
    }

    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        session: &RefCell<Session>,
        stream: &Rc<Stream>,
        room: &Room,
    ) -> Poll<()> {
        let mut session = session.borrow_mut();
        let (gone, sent) = session.send(stream, &self.piece, self.is_last);
        self.piece.advance(gone);
        if gone > 0 {
            self.moves = self.moves.wrapping_add(1);
        }
        if sent == Sent::All {
            self.is_blocked = false;
            room.take_back_piece(mem::take(&mut self.piece));
            return Poll::Ready(());
        }
        session.wait_for_room(cx, stream);
        self.is_blocked = sent == Sent::NoWindow;
        Poll::Pending
    }

    /// All that is left, in another place.
    pub(super) fn take(&mut self) -> Self {
        mem::replace(self, Self::new(None))
    }

    /// The body, if nothing of it was taken.
    pub(super) fn take_back(&mut self) -> Option<B> {
        self.body.take().filter(|_| !self.is_begun)
    }
}

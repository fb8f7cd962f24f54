use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::super::super::broken::Broken;
use super::super::super::core::Core;
use super::super::framing::{Left, Piece};
use super::super::wake;
use super::connection::Http1;

/// The body of an endpoint's answer. While it has not ended its connection cannot carry another request.
pub(in crate::dataplane) struct Body {
    connection: Http1,
    core: Rc<Core>,
    left: Left,
}

impl Body {
    pub(super) fn new(connection: Http1, core: Rc<Core>, left: Left) -> Self {
        let body = Self { connection, core, left };
        body.note_end();
        body
    }

    /// The connection, once both ends have agreed on another protocol: it is never a request's again.
    pub(in crate::dataplane) fn switch(&self) -> Http1 {
        self.connection.borrow_mut().persists = false;
        self.connection.clone()
    }

    fn note_end(&self) {
        if self.left == Left::Nothing {
            self.connection.borrow_mut().is_reading = false;
        }
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Piece, Broken>> {
        let connection = &mut *self.connection.borrow_mut();
        if connection.is_cut {
            return Poll::Ready(Err(Broken::Closed));
        }
        if connection.is_sending {
            connection.reader = Some(cx.waker().clone());
        }
        connection.source.poll_body(cx, &self.core, &mut self.left)
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        if self.left != Left::Nothing {
            let mut connection = self.connection.borrow_mut();
            connection.is_cut = true;
            wake(connection.sender.take());
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = self.get_mut();
        if this.left == Left::Nothing {
            // Its connection may be another's by now.
            return Poll::Ready(None);
        }
        let polled = ready!(this.poll_piece(cx));
        if polled.is_err() {
            let mut connection = this.connection.borrow_mut();
            (connection.persists, connection.is_cut) = (false, true);
            wake(connection.sender.take());
        }
        this.note_end();
        Poll::Ready(polled.map(Piece::into_frame).transpose())
    }

    fn is_end_stream(&self) -> bool {
        self.left == Left::Nothing
    }

    fn size_hint(&self) -> SizeHint {
        self.left.size_hint()
    }
}

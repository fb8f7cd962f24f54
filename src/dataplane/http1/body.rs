use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::super::core::Core;
use super::connection::{Broken, Http1};
use super::framing::{Left, Piece};

/// The body of an endpoint's answer. While it has not ended its connection cannot carry another request.
pub(in crate::dataplane) struct Body {
    connection: Http1,
    core: Rc<Core>,
    left: Left,
}

/// Where so much comes for certain, it is read to where it stays.
const LONG: u64 = 16 << 10;
/// And so much at once at most.
const MOST_PIECE: u64 = 64 << 10;

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
        loop {
            match self.left.take(&mut connection.came)? {
                Piece::More => {}
                piece => {
                    self.left.ends(&mut connection.came);
                    return Poll::Ready(Ok(piece));
                }
            }
            let run = self.left.run();
            if connection.came.is_empty() && run != u64::MAX && run >= LONG {
                let most = usize::try_from(run.min(MOST_PIECE)).unwrap_or(usize::MAX);
                let piece = ready!(connection.poll_piece(cx, most))?;
                if piece.is_empty() {
                    return Poll::Ready(Err(Broken::Closed));
                }
                self.left.passed(piece.len() as u64);
                return Poll::Ready(Ok(Piece::Data(piece)));
            }
            if !ready!(connection.poll_more(cx, &self.core))? {
                let is_end = self.left == Left::UntilClosed;
                self.left = Left::Nothing;
                return Poll::Ready(if is_end { Ok(Piece::End) } else { Err(Broken::Closed) });
            }
        }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        if self.left != Left::Nothing {
            let mut connection = self.connection.borrow_mut();
            connection.is_cut = true;
            connection.sender.take().map(Waker::wake);
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = self.get_mut();
        let piece = match ready!(this.poll_piece(cx)) {
            Ok(piece) => piece,
            Err(broken) => {
                this.connection.borrow_mut().persists = false;
                return Poll::Ready(Some(Err(broken)));
            }
        };
        this.note_end();
        Poll::Ready(match piece {
            Piece::Data(piece) => Some(Ok(Frame::data(piece))),
            Piece::Trailers(trailers) => Some(Ok(Frame::trailers(trailers))),
            Piece::More | Piece::End => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.left == Left::Nothing
    }

    fn size_hint(&self) -> SizeHint {
        match self.left {
            Left::Nothing => SizeHint::with_exact(0),
            Left::Exactly(left) => SizeHint::with_exact(left),
            Left::Chunks(_) | Left::UntilClosed => SizeHint::default(),
        }
    }
}

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::sync::oneshot;

use super::super::broken::Broken;
use super::duplex::Duplex;
use super::session::Session;
use super::stream::Stream;

/// What comes over a stream: the body of a client's request, or of an endpoint's answer.
pub(in crate::dataplane) struct Body {
    session: Rc<RefCell<Session>>,
    stream: Rc<Stream>,
    /// Whether it is none: what comes is for who goes on in another protocol.
    is_tunnel: bool,
}

impl Body {
    pub(super) const fn new(session: Rc<RefCell<Session>>, stream: Rc<Stream>, is_tunnel: bool) -> Self {
        Self { session, stream, is_tunnel }
    }

    /// The client's end, for when the two agree on another protocol.
    pub(in crate::dataplane) fn switch(&self) -> oneshot::Receiver<Duplex> {
        let (sender, receiver) = oneshot::channel();
        self.stream.switches.set(Some(sender));
        receiver
    }

    /// The endpoint's end, once it has agreed.
    pub(in crate::dataplane) fn become_duplex(&mut self) -> Duplex {
        self.is_tunnel = true;
        Duplex::new(self.session.clone(), self.stream.clone())
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        if !self.is_tunnel && !self.stream.is_unwanted.get() {
            self.session.borrow_mut().leave(&self.stream);
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let Self { session, stream, is_tunnel } = self.get_mut();
        if *is_tunnel {
            return Poll::Ready(None);
        }
        let mut inbox = stream.inbox.borrow_mut();
        if let Some(piece) = inbox.pop() {
            drop(inbox);
            session.borrow_mut().release_of(stream, piece.len() as u64);
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        // All that had come by then is read, whatever became of the stream.
        if stream.has_ended.get() {
            return Poll::Ready(inbox.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))));
        }
        if let Some(failed) = stream.failed.get() {
            return Poll::Ready(Some(Err(failed.into())));
        }
        stream.reader_waits(cx);
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        let inbox = self.stream.inbox.borrow();
        self.is_tunnel || self.stream.has_ended.get() && inbox.is_empty() && inbox.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let inbox = self.stream.inbox.borrow();
        match self.stream.declared.get() {
            _ if self.is_tunnel => SizeHint::with_exact(0),
            // Where a length is said, HTTP/1.1 has no place for trailers.
            _ if inbox.trailers.is_some() => SizeHint::default(),
            _ if self.stream.has_ended.get() => SizeHint::with_exact(inbox.bytes),
            Some(left) => SizeHint::with_exact(inbox.bytes + left),
            None => SizeHint::default(),
        }
    }
}

use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::sync::oneshot;

use super::super::super::broken::Broken;
use super::super::super::core::Core;
use super::super::framing::{Left, Piece};
use super::link::{Link, Progress};

/// The body of a client's request, read by whoever wants it.
pub(in crate::dataplane) struct Body {
    link: Link,
    core: Rc<Core>,
    left: Left,
    is_broken: bool,
}

/// How a client is told that it may send its body (RFC 9110, section 15.2.1).
const GO_ON: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

impl Body {
    pub(super) fn new(link: Link, core: Rc<Core>, left: Left) -> Self {
        link.set(if left == Left::Nothing { Progress::Whole } else { Progress::Read });
        Self { link, core, left, is_broken: false }
    }

    /// The client's end, for when the two agree on another protocol.
    pub(in crate::dataplane) fn switch(&self) -> oneshot::Receiver<Link> {
        let (sender, receiver) = oneshot::channel();
        self.link.borrow_mut().switches = Some(sender);
        receiver
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Piece, Broken>> {
        if self.is_broken || self.link.progress() == Progress::Cut {
            self.is_broken = true;
            return Poll::Ready(Err(Broken::Closed));
        }
        let ends = &mut *self.link.borrow_mut();
        if mem::take(&mut ends.expects_word) && ends.source.came.is_empty() {
            ends.outbox.extend_from_slice(GO_ON);
            self.link.call_server(cx);
        }
        let had_ended = ends.source.wire.has_ended();
        let polled = ends.source.poll_body(cx, &self.core, &mut self.left);
        match &polled {
            Poll::Ready(Ok(_)) if self.left != Left::Nothing => return polled,
            Poll::Ready(Ok(_)) => self.link.set(Progress::Whole),
            Poll::Ready(Err(_)) => {
                self.is_broken = true;
                self.link.set(Progress::Broken);
            }
            Poll::Pending => {
                self.link.reader_waits(cx);
                if had_ended || !ends.source.wire.has_ended() {
                    return polled;
                }
                // What follows of it that the client sends nothing more is for who serves.
            }
        }
        self.link.call_server(cx);
        polled
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        if self.left != Left::Nothing && !self.is_broken {
            self.link.leave(self.left);
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = self.get_mut();
        if this.left == Left::Nothing && !this.is_broken {
            // What comes now is another request's.
            return Poll::Ready(None);
        }
        this.poll_piece(cx).map(|polled| polled.map(Piece::into_frame).transpose())
    }

    fn is_end_stream(&self) -> bool {
        self.left == Left::Nothing
    }

    fn size_hint(&self) -> SizeHint {
        self.left.size_hint()
    }
}

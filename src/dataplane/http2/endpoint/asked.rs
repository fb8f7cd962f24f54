use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use http::Response;
use tokio::task::{spawn_local, yield_now};

use super::super::super::body::RequestBody;
use super::super::super::broken::{Broken, Unasked};
use super::super::super::core::Core;
use super::super::super::incoming::EndpointBody;
use super::super::body::Body;
use super::super::frame::Code;
use super::super::outgoing::Outgoing;
use super::super::session::Session;
use super::super::stream::{Failed, Stream};

/// A request under way, until the head of its answer is there.
pub(in crate::dataplane) struct Asked {
    session: Rc<RefCell<Session>>,
    core: Rc<Core>,
    stream: Rc<Stream>,
    outgoing: Outgoing<RequestBody>,
    is_empty: bool,
    has_sent: bool,
    is_answered: bool,
    /// How its body has broken off.
    failed: Option<Broken>,
}

impl Asked {
    pub(super) const fn new(
        session: Rc<RefCell<Session>>,
        core: Rc<Core>,
        stream: Rc<Stream>,
        body: RequestBody,
        is_empty: bool,
    ) -> Self {
        let outgoing = Outgoing::new(Some(body));
        // Nothing comes behind the head of one without a body.
        let has_sent = is_empty;
        Self { session, core, stream, outgoing, is_empty, has_sent, is_answered: false, failed: None }
    }

    /// A request for which there is no stream any more.
    pub(super) fn refused(session: Rc<RefCell<Session>>, core: Rc<Core>, body: RequestBody) -> Self {
        let stream = Rc::new(Stream::new(0, 0, 0, 0));
        stream.fail(Failed::Refused);
        let is_empty = matches!(body, RequestBody::Empty);
        Self::new(session, core, stream, body, is_empty)
    }

    /// Sends what can be sent. That it cannot be is told by what comes, or by why nothing does.
    fn poll_send(&mut self, cx: &mut Context<'_>) {
        match self.outgoing.poll(cx, &self.session, &self.stream, &self.core.room) {
            Poll::Ready(Err(broken @ Broken::Body(_))) => {
                self.session.borrow_mut().reset(&self.stream, Code::CANCEL, Failed::Reset(Code::CANCEL));
                self.failed = Some(broken);
            }
            Poll::Ready(Ok(())) => self.has_sent = true,
            Poll::Ready(Err(_)) | Poll::Pending => {}
        }
    }

    fn answer(&mut self, head: Response<()>) -> Response<EndpointBody> {
        self.is_answered = true;
        if self.is_empty && !self.stream.has_sent_all.get() && !head.status().is_success() {
            // The other protocol that was to follow does not.
            self.session.borrow_mut().send_end(&self.stream);
        }
        if !self.has_sent {
            // It has answered early. Who reads the answer may not ask for more of it before it has sent all of the request.
            let (session, stream, core) = (self.session.clone(), self.stream.clone(), self.core.clone());
            spawn_local(go_on(session, stream, core, self.outgoing.take()));
        }
        let body = Body::new(self.session.clone(), self.stream.clone(), false);
        head.map(|()| EndpointBody::Http2(body))
    }

    fn unasked(&mut self, broken: Broken) -> Unasked {
        let is_refused = self.stream.failed.get() == Some(Failed::Refused);
        let is_untouched = is_refused || !self.session.borrow().outbox.has_left(self.stream.behind);
        let is_clients = matches!(broken, Broken::Body(_));
        let unsent = if !is_untouched || is_clients {
            None
        } else if self.is_empty {
            Some(RequestBody::Empty)
        } else {
            self.outgoing.take_back()
        };
        Unasked { broken, is_unseen: is_refused, unsent }
    }
}

/// Sends the rest while somebody else reads the answer. Where one of them breaks off, the other does.
async fn go_on(
    session: Rc<RefCell<Session>>,
    stream: Rc<Stream>,
    core: Rc<Core>,
    mut outgoing: Outgoing<RequestBody>,
) {
    let sent = poll_fn(|cx| outgoing.poll(cx, &session, &stream, &core.room)).await;
    if let Err(Broken::Body(_)) = sent {
        // Whoever carries the answer may be about to hear that the client has gone, which says more.
        yield_now().await;
        session.borrow_mut().reset(&stream, Code::CANCEL, Failed::Closed);
    }
}

impl Future for Asked {
    type Output = Result<Response<EndpointBody>, Unasked>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if let Some(broken) = this.failed.take() {
            return Poll::Ready(Err(this.unasked(broken)));
        }
        if !this.has_sent {
            this.poll_send(cx);
        }
        if this.failed.is_some() {
            // Whoever asked for this may hear that the client has gone, which says more than that its body has broken off.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let head = this.stream.inbox.borrow_mut().head.take();
        if let Some(head) = head {
            return Poll::Ready(Ok(this.answer(head)));
        }
        if let Some(failed) = this.stream.failed.get() {
            return Poll::Ready(Err(this.unasked(failed.into())));
        }
        this.stream.reader_waits(cx);
        Poll::Pending
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if self.is_answered {
            return;
        }
        let mut session = self.session.borrow_mut();
        session.leave(&self.stream);
        // The answer may have come, and nobody is left who would send the rest of the request.
        if !self.stream.is_over() {
            session.reset(&self.stream, Code::CANCEL, Failed::Reset(Code::CANCEL));
        }
    }
}

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use http::{Method, Request};
use http_body::Body as _;
use hyper::ext::Protocol as Extended;
use tokio::io::AsyncWrite;

use super::super::super::body::RequestBody;
use super::super::super::core::Core;
use super::super::super::wire::Wire;
use super::super::frame;
use super::super::heads;
use super::super::reading::{Skip, poll_read};
use super::super::session::{Bounds, Ending, Role, Session};
use super::super::stream::Failed;
use super::asked::Asked;

/// A connection to an endpoint. It ends when this is let go and all that was asked has been answered.
pub(in crate::dataplane) struct Http2(Rc<RefCell<Session>>);

/// Streams that are opened before it is known how many may be.
const UNKNOWN_STREAMS: usize = 1;

impl Http2 {
    /// Drives a connection, by a task of its own: whoever asks over it comes and goes.
    pub(in crate::dataplane) fn new(core: &Rc<Core>, wire: Wire, bounds: Bounds) -> Self {
        let session = Rc::new(RefCell::new(Session::new(Role::Client, bounds)));
        let mut driver = Driver { wire, session: session.clone(), core: core.clone(), is_cut: false };
        tokio::task::spawn_local(poll_fn(move |cx| driver.poll(cx)));
        Self(session)
    }

    /// Begins to ask.
    pub(in crate::dataplane) fn ask(
        &self,
        core: &Rc<Core>,
        request: &Request<RequestBody>,
        body: RequestBody,
    ) -> Asked {
        let mut session = self.0.borrow_mut();
        let Some(id) = session.next() else {
            return Asked::refused(self.0.clone(), core.clone(), body);
        };
        let stream = session.open(id);
        stream.is_head.set(*request.method() == Method::HEAD);
        let is_empty = matches!(body, RequestBody::Empty);
        // What is behind an extended CONNECT is another protocol's.
        let ends = is_empty && request.extensions().get::<Extended>().is_none();
        let Session { outbox, encoder, .. } = &mut *session;
        let at = frame::begin_block(&mut outbox.bytes);
        heads::write_request(&mut outbox.bytes, encoder, request, &body.size_hint());
        let flags = if ends { frame::END_STREAM } else { 0 };
        frame::end_block(&mut outbox.bytes, at, id, flags);
        if ends {
            session.sent_all(&stream);
        }
        session.call_driver();
        drop(session);
        Asked::new(self.0.clone(), core.clone(), stream, body, is_empty)
    }

    /// Whether it can carry another request.
    pub(in crate::dataplane) fn is_open(&self) -> bool {
        self.0.borrow().next().is_some()
    }

    /// Whether it takes what is sent, and has room for one more request than so many; some streams last longer than whoever
    /// opened them. An endpoint that allows none for the moment is asked one by one.
    pub(in crate::dataplane) fn has_room(&self, asked: usize, most: usize) -> bool {
        let session = self.0.borrow();
        let allowed = if session.peer.is_known { session.peer.streams as usize } else { UNKNOWN_STREAMS };
        let most = allowed.max(UNKNOWN_STREAMS).min(most);
        session.streams.len().max(asked) < most && !session.outbox.is_too_full()
    }

    /// Waits until it is known what the endpoint allows, which it says first of all; tells whether it allows extended CONNECT.
    pub(in crate::dataplane) fn settled(&self) -> impl Future<Output = bool> + use<> {
        let session = self.0.clone();
        async move {
            loop {
                let settled = session.borrow().settled.clone();
                let rung = settled.notified();
                {
                    let session = session.borrow();
                    if session.peer.is_known || session.ending != Ending::No {
                        return session.peer.allows_connect;
                    }
                }
                rung.await;
            }
        }
    }
}

impl Drop for Http2 {
    fn drop(&mut self) {
        self.0.borrow_mut().end_gracefully();
    }
}

/// Who reads what has come, and writes what is to be sent, until the connection is over.
struct Driver {
    wire: Wire,
    session: Rc<RefCell<Session>>,
    core: Rc<Core>,
    /// Whether nothing more can be sent.
    is_cut: bool,
}

impl Driver {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.session.borrow_mut().attend(cx);
        let driven = self.poll_drive(cx);
        self.session.borrow_mut().rest();
        driven
    }

    fn poll_drive(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Self { wire, session, core, is_cut } = self;
        loop {
            let mut read = Poll::Pending;
            if session.borrow().ending != Ending::Closed {
                // An endpoint asks for nothing.
                read = poll_read(wire, session, core, cx, &mut Skip::nothing(), |_| {});
            }
            let mut session = session.borrow_mut();
            if *is_cut {
                // All that it has said before it broke off has been read.
                session.close(Failed::Closed);
            }
            let flushed = session.outbox.poll_flush(cx, wire);
            match &flushed {
                Poll::Ready(Ok(())) => session.call_waiting(),
                Poll::Ready(Err(_)) if session.ending != Ending::Closed => {
                    // An answer may have come, and nobody have been told of it.
                    *is_cut = true;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Poll::Ready(Err(_)) | Poll::Pending => {}
            }
            if session.is_over() {
                ready!(flushed).ok();
                // The endpoint is told that nothing is missing.
                return Pin::new(wire).poll_shutdown(cx).map(|_| ());
            }
            if session.streams.is_empty() {
                session.outbox.shrink();
            }
            if read.is_pending() {
                return Poll::Pending;
            }
        }
    }
}

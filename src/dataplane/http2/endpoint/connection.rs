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
    pub(in crate::dataplane) fn new(core: &Rc<Core>, mut wire: Wire, bounds: Bounds) -> Self {
        let session = Rc::new(RefCell::new(Session::new(Role::Client, bounds)));
        let (core, driven) = (core.clone(), session.clone());
        tokio::task::spawn_local(async move {
            poll_fn(|cx| {
                driven.borrow_mut().attend(cx);
                let polled = drive(cx, &mut wire, &driven, &core);
                driven.borrow_mut().rest();
                polled
            })
            .await;
        });
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
        let Session { outbox, encoder, peer, .. } = &mut *session;
        let at = frame::begin_block(&mut outbox.bytes);
        heads::write_request(&mut outbox.bytes, encoder, request, &body.size_hint());
        let flags = if ends { frame::END_STREAM } else { 0 };
        frame::end_block(&mut outbox.bytes, at, id, flags, peer.longest);
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

    /// Streams that the endpoint allows at once. One that allows none for the moment is asked one by one.
    pub(in crate::dataplane) fn most_streams(&self) -> usize {
        let peer = &self.0.borrow().peer;
        if peer.is_known { (peer.streams as usize).max(UNKNOWN_STREAMS) } else { UNKNOWN_STREAMS }
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

/// Reads what has come, and writes what is to be sent, until the connection is over.
fn drive(cx: &mut Context<'_>, wire: &mut Wire, session: &RefCell<Session>, core: &Core) -> Poll<()> {
    loop {
        // What an endpoint has said before it broke off is read first.
        let read = match session.borrow().ending {
            Ending::Closed => None,
            _ => Some(()),
        };
        let read = read.map_or(Poll::Pending, |()| {
            // An endpoint asks for nothing.
            poll_read(wire, session, core, cx, &mut Skip::nothing(), |_| {})
        });
        let mut session = session.borrow_mut();
        let flushed = session.outbox.poll_flush(cx, wire);
        match &flushed {
            Poll::Ready(Ok(())) => session.call_waiting(),
            Poll::Ready(Err(_)) => session.close(Failed::Closed),
            Poll::Pending => {}
        }
        if session.is_over() {
            ready!(flushed).ok();
            // The endpoint is told that nothing is missing.
            return Pin::new(wire).poll_shutdown(cx).map(|_| ());
        }
        if session.streams.is_empty() {
            session.outbox.shrink();
        }
        if read.is_pending() || session.outbox.is_too_full() {
            return Poll::Pending;
        }
    }
}

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use http::{Method, Response, StatusCode};
use tokio::task::yield_now;

use super::super::super::body::RequestBody;
use super::super::super::broken::{Broken, Unasked};
use super::super::super::core::Core;
use super::super::super::incoming::EndpointBody;
use super::super::outgoing::Outgoing;
use super::body::Body;
use super::connection::{Http1, MOST_HEAD};
use super::head::{self, Head};

/// A request under way, until the head of its answer is there.
pub(in crate::dataplane) struct Asked {
    connection: Http1,
    core: Rc<Core>,
    is_head: bool,
    outgoing: Outgoing<RequestBody>,
    /// Why no more of it can be sent. An answer may have come before.
    failed: Option<Broken>,
    /// Until the runtime has been told what has come.
    told: Option<Pin<Box<dyn Future<Output = ()>>>>,
}

impl Asked {
    pub(super) fn new(
        connection: Http1,
        core: Rc<Core>,
        method: &Method,
        outgoing: Outgoing<RequestBody>,
    ) -> Self {
        Self { connection, core, is_head: *method == Method::HEAD, outgoing, failed: None, told: None }
    }

    /// Sends what can be sent. That it cannot be is told by who reads.
    fn poll_send(&mut self, cx: &mut Context<'_>) {
        let connection = &mut *self.connection.borrow_mut();
        if connection.is_sending
            && let Poll::Ready(Err(broken)) = connection.poll_send(cx, &self.core.room, &mut self.outgoing)
        {
            (connection.is_sending, connection.persists) = (false, false);
            self.failed = Some(broken);
        }
    }

    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Head, Broken>> {
        let connection = &mut *self.connection.borrow_mut();
        loop {
            if !connection.source.came.is_empty() {
                if let Some(head) =
                    connection.source.take_head(|came| head::parse(came, self.is_head, &self.core.room))?
                {
                    return Poll::Ready(Ok(head));
                }
                if connection.source.came.len() >= MOST_HEAD {
                    return Poll::Ready(Err(Broken::Malformed));
                }
            }
            match connection.source.poll_more(cx, &self.core) {
                Poll::Ready(Ok(true)) => {}
                Poll::Ready(Ok(false)) => return Poll::Ready(Err(Broken::Closed)),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                Poll::Pending if self.failed.is_some() => {
                    // An answer may have come, and nobody have been told of it: that is waited for.
                    let told = self.told.get_or_insert_with(|| Box::pin(yield_now()));
                    ready!(told.as_mut().poll(cx));
                    return Poll::Ready(Err(self.failed.take().unwrap_or(Broken::Closed)));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn answer(&mut self, head: Head) -> Result<Response<EndpointBody>, Broken> {
        let Head { response, left, persists } = head;
        let mut connection = self.connection.borrow_mut();
        connection.persists &= persists;
        if connection.is_sending {
            // What comes of the rest of it would be taken for the other protocol.
            if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                return Err(Broken::Malformed);
            }
            drop(connection);
            // It has answered early. Who reads the answer may not ask for more of it before it has sent all of the request.
            self.connection.go_on(self.core.clone(), self.outgoing.take());
        } else {
            drop(connection);
        }
        let body = Body::new(self.connection.clone(), self.core.clone(), left);
        Ok(response.map(|()| EndpointBody::Http1(body)))
    }

    fn unasked(&mut self, broken: Broken) -> Unasked {
        let has_sent = self.connection.borrow_mut().has_sent;
        let is_clients = matches!(broken, Broken::Body(_));
        let unsent = (!has_sent && !is_clients).then(|| self.outgoing.take_back()).flatten();
        Unasked { broken, is_unseen: false, unsent }
    }
}

impl Future for Asked {
    type Output = Result<Response<EndpointBody>, Unasked>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        // Without all of the request no answer is to it.
        if let Some(broken) = this.failed.take_if(|broken| matches!(broken, Broken::Body(_))) {
            return Poll::Ready(Err(this.unasked(broken)));
        }
        this.poll_send(cx);
        if matches!(this.failed, Some(Broken::Body(_))) {
            // Whoever asked for this may hear that the client has gone, which says more than that its body has broken off.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        this.poll_head(cx)
            .map(|head| head.and_then(|head| this.answer(head)).map_err(|broken| this.unasked(broken)))
    }
}

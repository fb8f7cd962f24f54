use std::rc::Rc;

use http::request::Parts;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;

use crate::config::Protocol;
use crate::model::Cause;

use super::body::{Fate, Kept, RequestBody};
use super::core::Core;
use super::endpoints::Lease;
use super::headers;
use super::rescue::is_idempotent;
use super::waits::{Expired, Limit, within};

/// A request that is to be sent to an endpoint.
pub(super) struct Asking {
    head: Parts,
    body: RequestBody,
    origin: Origin,
}

/// What a request's copies share.
#[derive(Clone)]
struct Origin {
    has_body: bool,
    fate: Rc<Fate>,
    kept: Option<Rc<Kept>>,
}

/// A copy of a request that may be sent twice, for when the first is lost.
pub(super) struct Unsent {
    head: Parts,
    origin: Origin,
}

impl Asking {
    /// A prepared head and the client's body. Of the body of an idempotent request, up to `room` bytes are
    /// kept.
    pub(super) fn new(head: Parts, body: Incoming, room: usize) -> Self {
        let (has_body, fate) = (!body.is_end_stream(), Rc::new(Fate::default()));
        if has_body && is_idempotent(&head.method) && room > 0 {
            let (body, kept) = RequestBody::kept(body, room, &fate);
            return Self { head, body, origin: Origin { has_body, fate, kept: Some(kept) } };
        }
        let body = RequestBody::once(body, &fate);
        Self { head, body, origin: Origin { has_body, fate, kept: None } }
    }

    /// A copy, if the request is one that may be sent twice.
    pub(super) fn spare(&self) -> Option<Unsent> {
        let repeatable =
            is_idempotent(&self.head.method) && (!self.origin.has_body || self.origin.kept.is_some());
        repeatable.then(|| Unsent { head: self.head.clone(), origin: self.origin.clone() })
    }
}

impl Unsent {
    /// The request again, if its body has been kept to here.
    pub(super) fn revive(self) -> Option<Asking> {
        let body = match &self.origin.kept {
            Some(kept) => kept.again()?,
            None => RequestBody::Empty,
        };
        Some(Asking { head: self.head, body, origin: self.origin })
    }
}

/// Sends a request over a connection, and waits for the head of the answer. With the cause of a failure comes
/// the request itself, if no byte of it has left.
pub(super) async fn send(
    core: &Rc<Core>,
    lease: Lease,
    asking: Asking,
    protocol: Protocol,
    limit: Limit,
) -> Result<(Response<Incoming>, Lease), (Cause, Option<Asking>)> {
    let Asking { mut head, body, origin } = asking;
    headers::address(&mut head, protocol, origin.has_body).map_err(|cause| (cause, None))?;
    let request = Request::from_parts(head, body);
    let (sent, lease) = match lease {
        Lease::Http1(mut sender) => {
            let sent = within(core, limit, sender.try_send_request(request)).await;
            (sent, Lease::Http1(sender))
        }
        Lease::Http2(stream) => {
            let mut sender = stream.sender();
            let sent = within(core, limit, sender.try_send_request(request)).await;
            (sent, Lease::Http2(stream))
        }
    };
    match sent {
        Ok(Ok(response)) => Ok((response, lease)),
        Ok(Err(error)) => Err(unsent(error, origin)),
        Err(Expired::Late) => Err((Cause::HeaderTimeout, None)),
        Err(Expired::TakenBack) => Err((Cause::TakenBack, None)),
    }
}

fn unsent(mut error: TrySendError<Request<RequestBody>>, origin: Origin) -> (Cause, Option<Asking>) {
    let request = error.take_message();
    let error = error.into_error();
    let cause = if origin.fate.is_broken() {
        Cause::ClientBody
    } else if error.is_parse() || error.is_parse_too_large() {
        Cause::Protocol
    } else {
        Cause::Reset
    };
    let again = request.map(|request| {
        let (head, body) = request.into_parts();
        Asking { head, body, origin }
    });
    (cause, again)
}

use std::mem;
use std::rc::Rc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, Request, Response, Version};
use http_body::Body;

use crate::config::{Protocol, SideConfig};
use crate::model::{Cause, Side, grpc_timeout_value};

use super::body::{Bounds, Coming, Fate, Kept, RequestBody};
use super::broken::{Broken, Unasked};
use super::core::Core;
use super::endpoints::Lease;
use super::headers;
use super::incoming::{ClientBody, EndpointBody, Sent};
use super::rescue::is_idempotent;
use super::rules::Passing;
use super::serve::InFlight;
use super::upgrade::Upgrade;

/// A request that is to be sent to an endpoint, perhaps twice.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of the request")]
pub(super) struct Asking {
    /// Its head, and its body until it is sent.
    request: Request<RequestBody>,
    stage: Stage,
    origin: Origin,
    /// Whether it is a HEAD, whose answer has no body.
    pub(super) is_head: bool,
    /// What the client speaks.
    version: Version,
    /// Bytes of the body, if that is known beforehand.
    size: Option<u64>,
    /// Whether being asked changes nothing (RFC 9110, section 9.2.1), and it has no body; or it is marked so.
    pub(super) is_safe: bool,
    /// Whether being asked twice does no more than being asked once.
    is_idempotent: bool,
    /// What the client wants to switch to.
    pub(super) upgrade: Option<Box<Upgrade>>,
    /// Absent if the service changes nothing on the way.
    pub(super) passing: Option<Rc<Passing>>,
    /// Whether the last endpoint has said that it did not look at it.
    pub(super) is_unseen: bool,
}

/// A body of up to so many bytes comes with its head, or just behind it.
const AT_HAND: u64 = 16 << 10;

/// Whether a request's service says of its method that it may be asked twice. Methods of HTTP say so themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Marked {
    Safe,
    No,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It is sent next.
    Ready,
    /// It is being sent, or could not be, and must not be sent again.
    UnderWay,
}

/// Where a request's body comes from.
enum Origin {
    NoBody,
    /// From the client, once.
    Once(Rc<Fate>),
    /// From the client, and the beginning is kept.
    Kept(Rc<Kept>),
}

impl Asking {
    /// A prepared request. Of the body of an idempotent one, as much as may be is kept.
    pub(super) fn new(
        request: Request<ClientBody>,
        upgrade: Option<Box<Upgrade>>,
        passing: Option<Rc<Passing>>,
        marked: Marked,
        bounds: Bounds,
        core: &Rc<Core>,
        in_flight: &InFlight,
    ) -> Self {
        let is_head = *request.method() == Method::HEAD;
        let (version, size) = (request.version(), request.body().size_hint().exact());
        let is_safe = marked == Marked::Safe || request.method().is_safe() && request.body().is_end_stream();
        let is_idempotent = marked == Marked::Safe || is_idempotent(request.method());
        let (request, origin) = if request.body().is_end_stream() {
            (request.map(|_| RequestBody::Empty), Origin::NoBody)
        } else if is_idempotent && bounds.kept > 0 {
            let mut kept = None;
            let request = request.map(|incoming| {
                let source = kept.insert(Kept::new(incoming, bounds, core, in_flight.upload()));
                source.again().unwrap_or(RequestBody::Empty)
            });
            (request, kept.map_or(Origin::NoBody, Origin::Kept))
        } else {
            let fate = Rc::new(Fate::new(core, bounds));
            let request = request.map(|incoming| {
                RequestBody::Streamed(Coming::new(incoming, core, in_flight.upload()), fate.clone())
            });
            (request, Origin::Once(fate))
        };
        let (stage, is_unseen) = (Stage::Ready, false);
        Self {
            request,
            stage,
            origin,
            is_head,
            version,
            size,
            is_safe,
            is_idempotent,
            upgrade,
            passing,
            is_unseen,
        }
    }

    /// The same for a second try at the same time, before the first is sent; `None` if being asked changes something.
    pub(super) fn twin(&self) -> Option<Self> {
        if !self.is_safe || self.upgrade.is_some() {
            return None;
        }
        let origin = match &self.origin {
            Origin::NoBody => Origin::NoBody,
            Origin::Kept(kept) => Origin::Kept(kept.clone()),
            Origin::Once(_) => return None,
        };
        let (request, passing) = (copy(self.ready()?), self.passing.clone());
        Some(Self { request, origin, upgrade: None, passing, is_unseen: false, ..*self })
    }

    /// Makes a twin ready to be sent while the first may still be; `false` if the client has not sent all of its body, or
    /// more than is kept.
    pub(super) fn is_all_there(&mut self) -> bool {
        match (&self.origin, self.stage) {
            (Origin::NoBody, stage) => stage == Stage::Ready,
            (Origin::Kept(kept), Stage::Ready) => match kept.beside() {
                Some(body) => {
                    *self.request.body_mut() = body;
                    true
                }
                None => false,
            },
            (Origin::Kept(_) | Origin::Once(_), _) => false,
        }
    }

    fn ready(&self) -> Option<&Request<RequestBody>> {
        (self.stage == Stage::Ready).then_some(&self.request)
    }

    /// Whether it can be sent, for the first time or again.
    pub(super) fn is_ready(&self) -> bool {
        let is_whole = match &self.origin {
            Origin::NoBody | Origin::Once(_) => true,
            Origin::Kept(kept) => kept.is_whole(),
        };
        is_whole && self.stage == Stage::Ready
    }

    /// Whether it can be sent again when it has been sent.
    pub(super) fn is_repeatable(&self) -> bool {
        self.is_idempotent && !matches!(self.origin, Origin::Once(_))
    }

    /// Sends it over a connection; what comes of it can be waited for. Where that is safe, it stays here to be sent again.
    pub(super) fn send(
        &mut self,
        core: &Rc<Core>,
        lease: &Lease,
        to: Side,
        side: &SideConfig,
    ) -> Result<Sent, Cause> {
        let broken = self.broken().unwrap_or(Cause::ClientBody);
        if mem::replace(&mut self.stage, Stage::UnderWay) != Stage::Ready {
            return Err(broken);
        }
        let is_repeatable = self.is_repeatable();
        let has_body = !matches!(self.origin, Origin::NoBody);
        let request = &mut self.request;
        if let Origin::Kept(kept) = &self.origin
            && matches!(request.body(), RequestBody::Empty)
        {
            *request.body_mut() = kept.again().ok_or(broken)?;
        }
        if let Some(passing) = &self.passing {
            passing.address(request.headers_mut(), to);
        }
        // What the connection speaks: the side may have been changed since it was asked for.
        let protocol = match lease {
            Lease::Http1(_) => Protocol::Http1,
            Lease::Http2(_) => Protocol::Http2,
        };
        headers::address(request, protocol, side.tls.is_some(), has_body)?;
        if let Some(upgrade) = &mut self.upgrade {
            upgrade.address(request, protocol, has_body)?;
        }
        let body = mem::replace(request.body_mut(), RequestBody::Empty);
        let asked = match lease {
            Lease::Http1(connection) => Sent::Http1(connection.ask(core, request, body)?),
            Lease::Http2(stream) => {
                let asked = stream.ask(core, request, body);
                forget_connect(request);
                Sent::Http2(asked)
            }
        };
        if is_repeatable {
            self.stage = Stage::Ready;
        }
        Ok(asked)
    }

    /// Tells whoever is asked next how long the caller of a gRPC method will still wait.
    pub(super) fn set_grpc_timeout(&mut self, left: Duration) {
        if self.stage == Stage::Ready
            && let Ok(value) = HeaderValue::try_from(grpc_timeout_value(left))
        {
            self.request.headers_mut().insert(headers::GRPC_TIMEOUT, value);
        }
    }

    /// The head's fields. It is not asked again.
    pub(super) fn take_headers(&mut self) -> HeaderMap {
        mem::take(self.request.headers_mut())
    }

    /// Whether endpoints that speak this have to allow an extended CONNECT.
    pub(super) fn needs_connect(&self, protocol: Protocol) -> bool {
        let has_body = !matches!(self.origin, Origin::NoBody);
        self.upgrade
            .as_ref()
            .zip(self.ready())
            .is_some_and(|(upgrade, request)| upgrade.needs_connect(protocol, request, has_body))
    }

    /// Whether there is much of a body, or nobody knows how much: sending it may take the client long.
    pub(super) fn is_upload(&self) -> bool {
        self.size.is_none_or(|bytes| bytes > AT_HAND)
    }

    /// Whether the client speaks HTTP/2.
    pub(super) fn is_http2(&self) -> bool {
        self.version == Version::HTTP_2
    }

    /// Whether what the client wants to switch to can be asked of endpoints that speak this.
    pub(super) fn can_be_put_to(&self, protocol: Protocol) -> bool {
        self.upgrade.as_ref().is_none_or(|upgrade| upgrade.can_be_put_to(protocol))
    }

    /// Makes an endpoint's head an answer's. The error is why it does not mean what it seems to.
    pub(super) fn understand(&mut self, response: &mut Response<EndpointBody>) -> Result<(), Cause> {
        match &mut self.upgrade {
            None => headers::answer(response).then_some(()).ok_or(Cause::Protocol),
            Some(upgrade) => upgrade.answer(response),
        }
    }

    /// Why the client's body ended before its end, if it did.
    pub(super) fn broken(&self) -> Option<Cause> {
        self.fate().and_then(Fate::broken)
    }

    /// What became of the client's body, if there is one.
    pub(super) fn fate(&self) -> Option<&Fate> {
        match &self.origin {
            Origin::NoBody => None,
            Origin::Once(fate) => Some(fate),
            Origin::Kept(kept) => Some(kept.fate()),
        }
    }

    /// Says why there is no answer, and takes the request back if it was not sent.
    pub(super) fn explain(&mut self, unasked: Unasked) -> Cause {
        let Unasked { broken, is_unseen, unsent } = unasked;
        self.is_unseen = is_unseen;
        if let Some(body) = unsent
            && self.stage == Stage::UnderWay
        {
            *self.request.body_mut() = body;
            self.stage = Stage::Ready;
        }
        self.broken().unwrap_or(match broken {
            Broken::Malformed => Cause::Protocol,
            Broken::Body(_) => Cause::ClientBody,
            Broken::Closed | Broken::Io(_) => Cause::Reset,
        })
    }
}

/// What is kept is as it was before it was put into an endpoint's words.
fn forget_connect(request: &mut Request<RequestBody>) {
    if *request.method() == Method::CONNECT {
        *request.method_mut() = Method::GET;
        request.extensions_mut().clear();
    }
}

/// A copy of a request's head. Its body, if it has one, is read from where the original's is kept.
fn copy(request: &Request<RequestBody>) -> Request<RequestBody> {
    let mut copy = Request::new(RequestBody::Empty);
    copy.method_mut().clone_from(request.method());
    copy.uri_mut().clone_from(request.uri());
    copy.headers_mut().clone_from(request.headers());
    *copy.version_mut() = request.version();
    copy
}

use std::cell::Cell;
use std::convert::Infallible;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method, Request, Response};
use http_body::Body as _;
use hyper::ext::Protocol as Extended;

use crate::config::{Affinity, ListenerLimits, Peers};
use crate::model::{Cause, Dialect, Route, Side};
use crate::snapshot::{AffinityKey, ServiceView, Turn};
use crate::splitter::{Half, Halves, Point, Sticky, Why};
use crate::verdict::Stratum;

use super::answer::AnswerBody;
use super::attempt::Counts;
use super::body::LeastPace;
use super::core::{Core, Located};
use super::crowd::Admitted;
use super::exchange::{Dealt, Exchange};
use super::forwarded::{Forwarded, Proto};
use super::headers::{self, Prepared};
use super::incoming::{ClientBody, ClientEnd};
use super::origin::Origin;
use super::pace::Pace;
use super::respond;
use super::trace::Trace;

/// The client at the other end of a connection.
pub(super) struct Client {
    /// The listener's place in the configuration.
    pub(super) listener: usize,
    origin: Origin,
    pub(super) requests: Rc<Requests>,
    pub(super) limits: Rc<ListenerLimits>,
    pub(super) forwarded: Forwarded,
}

/// A connection's requests.
#[derive(Debug, Default)]
pub(super) struct Requests {
    /// That have come.
    pub(super) asked: Cell<u32>,
    /// That the client has given up before an answer began.
    cancelled: Cell<u32>,
    /// Whose bodies somebody still reads. An answer may be over before its request is.
    uploads: Cell<u32>,
    /// What the connection does below HTTP, …
    pub(super) pace: Rc<Pace>,
    /// … and what it has been given, if anything. Kept for as long as the last of them.
    _admitted: Option<Box<Admitted>>,
}

/// A request that has no whole answer yet.
pub(super) struct InFlight {
    core: Rc<Core>,
    of: Rc<Requests>,
    /// Whether its answer has begun.
    pub(super) answered: bool,
    /// Its turn, where there may be only so many.
    pub(super) turn: Option<Turn>,
}

impl Requests {
    /// Whether somebody still reads a body.
    pub(super) fn are_read(&self) -> bool {
        self.uploads.get() > 0
    }

    /// Whether the client has given up most of what it has asked for, and more than `bound`: whoever does so makes
    /// endpoints work for nothing (CVE-2023-44487, "rapid reset").
    pub(super) fn are_mostly_cancelled(&self, bound: u32) -> bool {
        let cancelled = self.cancelled.get();
        cancelled > bound && cancelled > self.asked.get() / 2
    }
}

/// A client's body, for as long as somebody may read it.
pub(super) struct Upload(Rc<Requests>);

impl Drop for Upload {
    fn drop(&mut self) {
        self.0.uploads.set(self.0.uploads.get().saturating_sub(1));
    }
}

impl InFlight {
    /// Its body is going to be read.
    pub(super) fn upload(&self) -> Upload {
        self.of.uploads.set(self.of.uploads.get().saturating_add(1));
        Upload(self.of.clone())
    }

    fn begin(core: &Rc<Core>, of: &Rc<Requests>) -> Self {
        core.in_flight.set(core.in_flight.get() + 1);
        of.pace.in_flight.set(of.pace.in_flight.get() + 1);
        Self { core: core.clone(), of: of.clone(), answered: false, turn: None }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.core.in_flight.set(self.core.in_flight.get().saturating_sub(1));
        let in_flight = &self.of.pace.in_flight;
        in_flight.set(in_flight.get().saturating_sub(1));
        self.core.has_ended();
        if !self.answered {
            self.of.cancelled.set(self.of.cancelled.get().saturating_add(1));
        }
    }
}

/// A request that no side is asked.
struct Refusal {
    cause: Cause,
    dialect: Dialect,
    /// Whose it would have been, if anyone's.
    service: Option<Arc<str>>,
}

/// Whether a client speaks TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tls {
    Yes,
    No,
}

impl Client {
    /// `caller` is who a client that speaks TLS has proven to be, if endpoints are told; `trusted` are the proxies that are
    /// believed.
    pub(super) fn new(
        listener: usize,
        origin: Origin,
        tls: Tls,
        caller: Option<HeaderValue>,
        limits: &Rc<ListenerLimits>,
        trusted: &Rc<Peers>,
        admitted: Admitted,
    ) -> Self {
        let proto = if tls == Tls::Yes { Proto::Https } else { Proto::Http };
        let forwarded = Forwarded::new(origin.address(), proto, caller, trusted);
        let requests = Rc::new(Requests { _admitted: admitted.kept(), ..Requests::default() });
        Self { listener, origin, requests, limits: limits.clone(), forwarded }
    }

    /// It asks for nothing now: what can be made again is let go.
    pub(super) fn rest(&mut self) {
        self.forwarded.rest();
    }
}

/// Answers one request. All that can be done at once is done before there is anything to wait for, so that
/// what waits is small.
pub(super) fn serve(
    core: &Rc<Core>,
    client: &Client,
    request: Request<ClientBody>,
) -> impl Future<Output = Result<Response<AnswerBody>, Infallible>> + use<> {
    let asked = &client.requests.asked;
    asked.set(asked.get().saturating_add(1));
    let is_head = request.method() == Method::HEAD;
    let opened = open(core, client, request).map_err(|refusal| {
        let mut in_flight = InFlight::begin(core, &client.requests);
        in_flight.answered = true;
        (in_flight, refusal)
    });
    async move {
        Ok(match opened {
            Ok(exchange) => exchange.run().await,
            Err((_in_flight, Refusal { cause, dialect, service })) => {
                respond::problem(cause, None, service.as_deref(), is_head, dialect)
            }
        })
    }
}

/// Finds the service, and chooses the side.
fn open(
    core: &Rc<Core>,
    client: &Client,
    mut request: Request<ClientBody>,
) -> Result<Box<Exchange>, Refusal> {
    let view = locate(core, client, &request).map_err(|cause| {
        core.refuse(cause);
        Refusal { cause, dialect: headers::dialect(request.headers()), service: None }
    })?;
    let service = core.service(&view);
    let address = client.forwarded.address(request.headers());
    let forced = forced(&view, address, request.headers());
    let user = user(&view, address, request.headers());
    let affinity = affinity(&view, address, &request);
    let half = view.calibrating.map(|halves| half(core, halves, &view, address, request.headers()));
    let choice = service.choose(&view, forced, user, |bound| core.draw(bound));
    let counts = if choice.why == Why::Forced { Counts::AsTraffic } else { Counts::AsEvidence };
    let mut prepared = headers::prepare(&mut request, &client.forwarded);
    if let Ok(Prepared { upgrade: Some(upgrade), .. }) = &mut prepared {
        upgrade.goes_on_at(ClientEnd::of(&request));
    }
    request.extensions_mut().clear();
    let dialect = prepared.as_ref().map_or(Dialect::Http, |prepared| prepared.dialect);
    let trace = Trace::begin(core, &view, &service, choice.side, dialect, address, &request);
    let admitted = prepared.and_then(|prepared| admit(core, &view, &request).map(|()| prepared.upgrade));
    let upgrade = match admitted {
        Ok(upgrade) => upgrade,
        Err(cause) => {
            let dialect = headers::dialect(request.headers());
            service.refuse(core, cause, dialect, trace.as_deref());
            return Err(Refusal { cause, dialect, service: Some(service.name.clone()) });
        }
    };
    let stratum = if counts == Counts::AsEvidence && view.judged {
        service.stratum(&view, Route::new(dialect, request.method().as_str(), request.uri().path()))
    } else {
        Stratum::OTHER
    };
    // Behind the route, which is of the path that people know.
    let passing = service.rules(&view).map(|rules| Rc::new(rules.pass(&mut request, || core.random())));
    if let Some(trace) = &trace {
        trace.identify(request.headers(), passing.as_ref().and_then(|passing| passing.request_id()));
    }
    let is_told = view.config.sides.iter().any(|(_, side)| side.proxy_protocol.is_some());
    let origin = is_told.then(|| Box::new(client.origin));
    let in_flight = InFlight::begin(core, &client.requests);
    let side = choice.side;
    let pace = LeastPace { a_second: client.limits.slowest, grace: client.limits.stalled };
    let dealt = Dealt {
        in_flight,
        view,
        service,
        side,
        counts,
        stratum,
        half,
        affinity,
        dialect,
        pace,
        origin,
        upgrade,
        passing,
        trace,
    };
    Ok(Exchange::new(core.clone(), dealt, request))
}

/// Whether there is room for a request: its own, its service's, and everybody's.
fn admit(core: &Core, view: &ServiceView, request: &Request<ClientBody>) -> Result<(), Cause> {
    // What says itself that it is too large need not come.
    if request.body().size_hint().lower() > view.config.limits.body {
        return Err(Cause::BodyTooLarge);
    }
    if core.in_flight.get() >= core.most_in_flight {
        return Err(Cause::Overloaded);
    }
    let quota = view.gates.as_ref().and_then(|gates| gates.quota.as_ref());
    quota.map_or(Ok(()), |quota| quota.take(core.now())).map_err(|_| Cause::RateLimit)
}

fn locate(core: &Rc<Core>, client: &Client, request: &Request<ClientBody>) -> Result<Located, Cause> {
    // A tunnel to anywhere; an extended one is for a protocol, and to this host.
    if request.method() == Method::CONNECT && request.extensions().get::<Extended>().is_none() {
        return Err(Cause::BadRequest);
    }
    if request.uri().path_and_query().is_some_and(|path| path.as_str().len() > client.limits.uri_bytes) {
        return Err(Cause::UriTooLong);
    }
    // Over HTTP/1 whoever reads heads has seen to it.
    if request.headers().len() > client.limits.headers {
        return Err(Cause::HeadTooLarge);
    }
    let host = headers::host(request)?;
    core.view().find(client.listener, host, request.uri().path()).ok_or(Cause::NoService)
}

/// The side that a trusted caller names.
fn forced(view: &ServiceView, client: Option<IpAddr>, headers: &HeaderMap) -> Option<Side> {
    let force = view.plan.force.as_ref()?;
    let named = Side::parse(headers.get(&force.header)?.to_str().ok()?)?;
    force.trusts(client?).then_some(named)
}

/// The user's place, if the service is sticky and the request says who the user is.
fn user(view: &ServiceView, client: Option<IpAddr>, headers: &HeaderMap) -> Option<Point> {
    let of = |key: &[u8]| Point::of(&view.config.name, key);
    identify(view.plan.sticky.as_ref()?, client, headers, of)
}

/// The half that a request is of if it is put to Helios: its user's, if the service is sticky and the request says who the
/// user is.
fn half(
    core: &Core,
    halves: Halves,
    view: &ServiceView,
    client: Option<IpAddr>,
    headers: &HeaderMap,
) -> Half {
    let of = |key: &[u8]| halves.of_user(&view.config.name, key);
    let of_user = view.plan.sticky.as_ref().and_then(|sticky| identify(sticky, client, headers, of));
    of_user.unwrap_or_else(|| Half::drawn(core.toss()))
}

/// What keeps the request on one endpoint, if the service asks for that.
fn affinity(
    view: &ServiceView,
    client: Option<IpAddr>,
    request: &Request<ClientBody>,
) -> Option<AffinityKey> {
    match view.config.affinity.as_ref()? {
        Affinity::User(by) => identify(by, client, request.headers(), AffinityKey::of),
        Affinity::Path => Some(AffinityKey::of(request.uri().path().as_bytes())),
    }
}

/// What is made of that by which a user is known, if the request says it.
fn identify<T>(
    by: &Sticky,
    client: Option<IpAddr>,
    headers: &HeaderMap,
    of: impl FnOnce(&[u8]) -> T,
) -> Option<T> {
    match by {
        Sticky::Header(header) => headers.get(header).map(|value| of(value.as_bytes())),
        Sticky::Cookie(cookie) => headers::cookie(headers, cookie).map(of),
        Sticky::ClientAddress => Some(match client? {
            IpAddr::V4(address) => of(&address.octets()),
            IpAddr::V6(address) => of(&address.octets()),
        }),
    }
}

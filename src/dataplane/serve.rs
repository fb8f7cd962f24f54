use std::cell::Cell;
use std::convert::Infallible;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use http::{HeaderMap, HeaderValue, Method, Request, Response};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::ext::Protocol as Extended;

use crate::config::ListenerLimits;
use crate::model::{Cause, Dialect, Outcome, Route, Side};
use crate::snapshot::ServiceView;
use crate::splitter::{Point, Sticky, Why};
use crate::verdict::Stratum;

use super::answer::AnswerBody;
use super::attempt::Counts;
use super::core::{Core, Located};
use super::exchange::{Dealt, Exchange};
use super::headers::{self, Forwarded};
use super::origin::Origin;
use super::respond;
use super::trace::Trace;

/// The client at the other end of a connection.
pub(super) struct Client {
    /// The listener's place in the configuration.
    pub(super) listener: usize,
    pub(super) address: IpAddr,
    origin: Origin,
    /// Requests that have no whole answer yet. (Shared within one thread; its wire, that asks for more, looks at it.)
    pub(super) in_flight: Arc<AtomicU32>,
    /// Requests that have come.
    pub(super) asked: Cell<u32>,
    pub(super) limits: ListenerLimits,
    pub(super) forwarded: Forwarded,
}

/// A request that has no whole answer yet.
pub(super) struct InFlight(Arc<AtomicU32>);

impl InFlight {
    fn begin(count: &Arc<AtomicU32>) -> Self {
        count.store(count.load(Relaxed) + 1, Relaxed);
        Self(count.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.store(self.0.load(Relaxed).saturating_sub(1), Relaxed);
    }
}

/// Whether a client speaks TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tls {
    Yes,
    No,
}

impl Client {
    /// `caller` is who a client that speaks TLS has proven to be, if endpoints are told.
    pub(super) fn new(
        listener: usize,
        origin: Origin,
        tls: Tls,
        caller: Option<HeaderValue>,
        limits: ListenerLimits,
    ) -> Self {
        let address = origin.client.ip().to_canonical();
        let text = address.to_string();
        let client = HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("unknown"));
        let proto = HeaderValue::from_static(if tls == Tls::Yes { "https" } else { "http" });
        let forwarded = Forwarded { client, proto, caller };
        let (in_flight, asked) = (Arc::default(), Cell::new(0));
        Self { listener, address, origin, in_flight, asked, limits, forwarded }
    }
}

/// Answers one request. All that can be done at once is done before there is anything to wait for, so that
/// what waits is small.
pub(super) fn serve(
    core: Rc<Core>,
    client: &Client,
    request: Request<Incoming>,
) -> impl Future<Output = Result<Response<AnswerBody>, Infallible>> + use<> {
    client.asked.set(client.asked.get().saturating_add(1));
    let is_head = request.method() == Method::HEAD;
    let opened = open(core, client, request);
    let refused = opened.is_err().then(|| InFlight::begin(&client.in_flight));
    async move {
        let _refused = refused;
        Ok(match opened {
            Ok(exchange) => exchange.run().await,
            Err((cause, dialect)) => respond::problem(cause, None, None, is_head, dialect),
        })
    }
}

/// Finds the service, and chooses the side.
fn open(
    core: Rc<Core>,
    client: &Client,
    mut request: Request<Incoming>,
) -> Result<Box<Exchange>, (Cause, Dialect)> {
    let view = locate(&core, client, &request).map_err(|cause| {
        core.refuse(cause);
        (cause, headers::dialect(request.headers()))
    })?;
    let service = core.service(&view);
    // What says itself that it is too large need not come.
    if request.body().size_hint().lower() > view.config.limits.body {
        core.refuse(Cause::BodyTooLarge);
        return Err((Cause::BodyTooLarge, headers::dialect(request.headers())));
    }
    let forced = forced(&view, client, request.headers());
    let user = user(&view, client, request.headers());
    let choice = service.choose(&view, forced, user, |bound| core.draw(bound));
    let counts = if choice.why == Why::Forced { Counts::AsTraffic } else { Counts::AsEvidence };
    let prepared = headers::prepare(&mut request, &client.forwarded);
    let dialect = prepared.as_ref().map_or(Dialect::Http, |prepared| prepared.dialect);
    let trace = Trace::begin(&core, &view, &service, choice.side, dialect, &request);
    let upgrade = match prepared {
        Ok(prepared) => prepared.upgrade,
        Err(cause) => {
            if let Some(trace) = trace {
                trace.answer(respond::status(cause));
                trace.end(Outcome::Failed(cause), None, false);
            }
            core.refuse(cause);
            return Err((cause, headers::dialect(request.headers())));
        }
    };
    let stratum = if counts == Counts::AsEvidence && view.judged {
        service.stratum(&view, Route::new(dialect, request.method().as_str(), request.uri().path()))
    } else {
        Stratum::OTHER
    };
    let is_told = view.config.sides.iter().any(|(_, side)| side.proxy_protocol.is_some());
    let origin = is_told.then(|| Box::new(client.origin));
    let in_flight = InFlight::begin(&client.in_flight);
    let side = choice.side;
    let dealt = Dealt { in_flight, view, service, side, counts, stratum, dialect, origin, upgrade, trace };
    Ok(Exchange::new(core, dealt, request))
}

fn locate(core: &Rc<Core>, client: &Client, request: &Request<Incoming>) -> Result<Located, Cause> {
    // A tunnel to anywhere; an extended one is for a protocol, and to this host.
    if request.method() == Method::CONNECT && request.extensions().get::<Extended>().is_none() {
        return Err(Cause::BadRequest);
    }
    if request.uri().path_and_query().is_some_and(|path| path.as_str().len() > client.limits.uri_bytes) {
        return Err(Cause::UriTooLong);
    }
    let host = headers::host(request)?;
    core.view().find(client.listener, host, request.uri().path()).ok_or(Cause::NoService)
}

/// The side that a trusted caller names.
fn forced(view: &ServiceView, client: &Client, headers: &HeaderMap) -> Option<Side> {
    let force = view.plan.force.as_ref()?;
    let named = Side::parse(headers.get(&force.header)?.to_str().ok()?)?;
    force.trusts(client.address).then_some(named)
}

/// The user's place, if the service is sticky and the request says who the user is.
fn user(view: &ServiceView, client: &Client, headers: &HeaderMap) -> Option<Point> {
    let name = &view.config.name;
    match view.plan.sticky.as_ref()? {
        Sticky::Header(header) => headers.get(header).map(|value| Point::of(name, value.as_bytes())),
        Sticky::Cookie(cookie) => headers::cookie(headers, cookie).map(|value| Point::of(name, value)),
        Sticky::ClientAddress => Some(match client.address {
            IpAddr::V4(address) => Point::of(name, &address.octets()),
            IpAddr::V6(address) => Point::of(name, &address.octets()),
        }),
    }
}

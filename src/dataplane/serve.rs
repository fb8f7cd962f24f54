use std::net::IpAddr;
use std::rc::Rc;

use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use hyper::body::Incoming;

use crate::model::{Cause, Side};
use crate::snapshot::ServiceView;
use crate::splitter::{Point, Sticky, Why};

use super::attempt::{AnswerBody, Counts};
use super::core::{Core, Located};
use super::exchange::Exchange;
use super::headers::{self, Forwarded};
use super::respond;

/// The client at the other end of a connection.
pub(super) struct Client {
    /// The listener's place in the configuration.
    pub(super) listener: usize,
    pub(super) address: IpAddr,
    pub(super) forwarded: Forwarded,
}

impl Client {
    pub(super) fn new(listener: usize, address: IpAddr) -> Self {
        let address = address.to_canonical();
        let text = address.to_string();
        let client = HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("unknown"));
        Self { listener, address, forwarded: Forwarded { client } }
    }
}

/// Answers one request.
pub(super) async fn serve(
    core: Rc<Core>,
    client: Rc<Client>,
    request: Request<Incoming>,
) -> Response<AnswerBody> {
    let (mut head, body) = request.into_parts();
    let view = match locate(&core, &client, &head) {
        Ok(view) => view,
        Err(cause) => {
            core.refuse(cause);
            return respond::problem(cause, None, None);
        }
    };
    let service = core.service(&view);
    let forced = forced(&view, &client, &head.headers);
    let user = user(&view, &client, &head.headers);
    let choice = service.choose(&view, forced, user, |bound| core.draw(bound));
    let counts = if choice.why == Why::Forced { Counts::AsTraffic } else { Counts::AsEvidence };
    if let Err(cause) = headers::prepare(&mut head, &client.forwarded) {
        core.refuse(cause);
        return respond::problem(cause, None, Some(view.config.name.as_str()));
    }
    let response = Exchange::new(core, view, service.clone()).run(choice.side, counts, head, body).await;
    service.tally.borrow_mut().answer(response.status());
    response
}

fn locate(core: &Rc<Core>, client: &Client, head: &Parts) -> Result<Located, Cause> {
    if head.method == Method::CONNECT {
        return Err(Cause::BadRequest);
    }
    let host = headers::host(head)?;
    core.view().find(client.listener, host, head.uri.path()).ok_or(Cause::NoService)
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

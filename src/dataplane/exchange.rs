use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use http::response::Parts;
use http::{HeaderMap, Request, Response, StatusCode, Version};

use crate::model::{Cause, Dialect, Fault, Micros, Outcome, Side, grpc_timeout};
use crate::snapshot::{AffinityKey, ServiceId};
use crate::splitter::Half;
use crate::verdict::{Question, Stratum};

use super::answer::{AnswerBody, Stream};
use super::asking::{Asking, Marked};
use super::attempt::{Counts, Try, TryOf};
use super::body::{Bounds, Fate, LeastPace, hear_out};
use super::core::{Core, Located};
use super::endpoints::{EndpointState, Fresh, Lease, Serial};
use super::headers;
use super::hedge;
use super::incoming::{ClientBody, EndpointBody};
use super::lifetime::Lifetime;
use super::origin::Origin;
use super::relay;
use super::rescue::is_worth_asking_again;
use super::respond;
use super::rules::Passing;
use super::serve::InFlight;
use super::service::Service;
use super::told::Told;
use super::trace::Trace;
use super::upgrade::Upgrade;
use super::waits::{Expired, Limit, Recall, within};

/// One request, from the choice of its side to the end of its answer: one side is asked, and then, if that was
/// Kubernetes and it failed, Helios.
///
/// It has one place in memory for as long as it lives. Its steps borrow it, and in the end it is the answer's
/// body: what is large is moved as little as can be.
pub(super) struct Exchange {
    pub(super) core: Rc<Core>,
    pub(super) stream: Stream,
    pub(super) view: Located,
    service: Rc<Service>,
    pub(super) started: Micros,
    side: Side,
    counts: Counts,
    stratum: Stratum,
    /// The half of Helios that it is of, while those are compared.
    half: Option<Half>,
    affinity: Option<AffinityKey>,
    dialect: Dialect,
    /// When the caller will wait no longer, if it says so.
    due: Option<Micros>,
    /// For endpoints that are told where a connection comes from.
    origin: Option<Box<Origin>>,
    pub(super) asking: Asking,
    /// Absent if there is no access log.
    trace: Option<Rc<Trace>>,
    /// Until the last byte; an upgraded stream takes it along.
    pub(super) in_flight: Option<InFlight>,
}

/// A request that was dealt to a side.
pub(super) struct Dealt {
    pub(super) in_flight: InFlight,
    pub(super) view: Located,
    pub(super) service: Rc<Service>,
    pub(super) side: Side,
    pub(super) counts: Counts,
    /// The group in which it is compared.
    pub(super) stratum: Stratum,
    /// The half of Helios that it is of, while those are compared.
    pub(super) half: Option<Half>,
    /// What keeps it on one endpoint.
    pub(super) affinity: Option<AffinityKey>,
    pub(super) dialect: Dialect,
    pub(super) pace: LeastPace,
    pub(super) origin: Option<Box<Origin>>,
    pub(super) upgrade: Option<Box<Upgrade>>,
    pub(super) passing: Option<Rc<Passing>>,
    pub(super) trace: Option<Rc<Trace>>,
}

/// Whether Helios is asked when Kubernetes fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Otherwise {
    AskHelios,
    Fail,
}

/// One try's task.
#[derive(Clone, Copy)]
pub(super) struct Plan {
    pub(super) side: Side,
    pub(super) counts: Counts,
    pub(super) otherwise: Otherwise,
    pub(super) begun: Micros,
    /// Another try of the same request is under way.
    pub(super) is_hedge: bool,
}

/// A try that failed. If the request may be asked again, `asking` is ready.
pub(super) struct Lost {
    cause: Cause,
    /// The answer, if there was one: better than none. Its try has been counted.
    answer: Option<Box<(Response<EndpointBody>, Try, Lease)>>,
}

/// Endpoints of one side that are asked for a connection before giving up.
const MOST_ENDPOINTS: u32 = 3;

/// A connection that breaks off so soon after a request was sent over it had been closed before.
const CLOSED_ALREADY: Micros = Micros(20_000);

/// After a revert nobody who can be asked again waits longer than this for Kubernetes, or than Helios' own
/// slowest answers take, if that is longer.
const PATIENCE: Duration = Duration::from_millis(250);

impl Exchange {
    /// A prepared request, and where it goes.
    pub(super) fn new(core: Rc<Core>, dealt: Dealt, request: Request<ClientBody>) -> Box<Self> {
        let Dealt { in_flight, view, service, side, counts, stratum, half, affinity, dialect, .. } = dealt;
        let Dealt { pace, origin, upgrade, passing, trace, .. } = dealt;
        let started = trace.as_ref().map_or_else(|| core.now(), |trace| trace.started());
        let (mut marked, mut due) = (Marked::No, None);
        if dialect == Dialect::Grpc {
            let rescue = &view.config.rescue;
            marked = if rescue.grpc.contains(request.uri().path()) { Marked::Safe } else { Marked::No };
            let timeout = request.headers().get(headers::GRPC_TIMEOUT);
            due = timeout.and_then(|value| grpc_timeout(value.as_bytes())).map(|wait| started.after(wait));
        }
        let bounds = Bounds { kept: view.config.rescue.body_bytes, most: view.config.limits.body, pace };
        let asking = Asking::new(request, upgrade, passing, marked, bounds, &core, &in_flight);
        let stream = Stream::new(core.clone(), view.config.timeouts.idle);
        Box::new(Self {
            core,
            stream,
            view,
            service,
            started,
            side,
            counts,
            stratum,
            half,
            affinity,
            dialect,
            due,
            origin,
            asking,
            trace,
            in_flight: Some(in_flight),
        })
    }

    /// Asks the chosen side, and Helios after it where that helps. What was forced is not rescued: who asks
    /// for Kubernetes by name wants to see what Kubernetes does.
    pub(super) async fn run(mut self: Box<Self>) -> Response<AnswerBody> {
        let answered = match self.enter().await {
            Err(cause) => {
                self.service.refuse(&self.core, cause, self.dialect, self.trace.as_deref());
                Err((cause, None))
            }
            Ok(begun) => {
                let mut otherwise = self.otherwise();
                let plan = Plan { side: self.side, counts: self.counts, otherwise, begun, is_hedge: false };
                // An upgraded stream has no twin, and takes its place among the requests along.
                let may_hedge = self.view.config.rescue.hedge && self.asking.upgrade.is_none();
                let asked = if otherwise == Otherwise::AskHelios && may_hedge {
                    let hedged = Box::pin(hedge::ask(self, plan)).await;
                    self = hedged.exchange;
                    otherwise = hedged.otherwise;
                    hedged.answered
                } else {
                    self.ask(plan).await
                };
                let answered = match asked {
                    Ok(head) => Ok(head),
                    // Rare, and large: it gets a place of its own only when it happens.
                    Err(lost) => Box::pin(self.recover(lost, otherwise)).await,
                };
                let told = |cause: &Cause| respond::told(*cause, self.dialect);
                self.count_answer(answered.as_ref().map_or_else(told, |head| head.status));
                answered.map_err(|cause| (cause, Some(self.side)))
            }
        };
        if let Some(in_flight) = &mut self.in_flight {
            in_flight.answered = true;
        }
        match answered {
            Ok(head) => Response::from_parts(head, AnswerBody::of(self)),
            Err((cause, side)) => self.problem(cause, side),
        }
    }

    fn count_answer(&self, status: StatusCode) {
        self.service.tally.borrow_mut().answer(status);
        // What has been counted so far is reported now, and not when a stream ends.
        self.core.note_active(&self.service);
        if let Some(trace) = &self.trace {
            trace.answer(status);
        }
    }

    fn problem(&self, cause: Cause, side: Option<Side>) -> Response<AnswerBody> {
        let service = Some(self.view.config.name.as_str());
        let mut answer = respond::problem(cause, side, service, self.asking.is_head, self.dialect);
        if let Some(passing) = &self.asking.passing {
            passing.sign(answer.headers_mut());
        }
        answer
    }

    /// Asks Helios in place of Kubernetes if it may be asked; else answers with what there is.
    async fn recover(&mut self, lost: Lost, otherwise: Otherwise) -> Result<Parts, Cause> {
        let Lost { cause, mut answer } = lost;
        if self.may_rescue(otherwise, cause) {
            let begun = self.core.now();
            if let Some(due) = self.due {
                self.asking.set_grpc_timeout(Duration::from_micros(due.since(begun).0));
            }
            let (otherwise, counts) = (Otherwise::Fail, Counts::AsTraffic);
            let plan = Plan { side: Side::Helios, counts, otherwise, begun, is_hedge: false };
            match self.ask(plan).await {
                Ok(head) => {
                    self.count_rescue(self.is_well(&head));
                    if let Some(unwanted) = answer {
                        let (response, attempt, lease) = *unwanted;
                        put_away(&self.core, response.into_body(), attempt, lease);
                    }
                    return Ok(head);
                }
                Err(second) => answer = answer.or(second.answer),
            }
        }
        if self.side == Side::Kubernetes && cause.fault() == Fault::Side {
            self.count_rescue(false);
        }
        let Some(answer) = answer else { return Err(cause) };
        let (response, attempt, lease) = *answer;
        Ok(self.answer(response, attempt, lease))
    }

    pub(super) fn affords_rescue(&self) -> bool {
        self.service.budget.borrow_mut().affords(self.view.config.rescue.budget, self.core.recently())
    }

    fn otherwise(&self) -> Otherwise {
        let rescue = &self.view.config.rescue;
        let helps = self.side == Side::Kubernetes && self.counts == Counts::AsEvidence;
        if helps && rescue.enabled && self.view.config.is_on(Side::Helios) {
            self.service.budget.borrow_mut().earn(rescue.budget);
            return Otherwise::AskHelios;
        }
        Otherwise::Fail
    }

    /// Whether asking Helios is safe and worth it, in time, and within the budget.
    fn may_rescue(&self, otherwise: Otherwise, cause: Cause) -> bool {
        let now = self.core.now();
        let helps = otherwise == Otherwise::AskHelios && is_worth_asking_again(cause);
        if !helps || now >= self.deadline() || !self.asking.is_ready() {
            return false;
        }
        let affordable = self.service.budget.borrow_mut().spend(self.view.config.rescue.budget, now);
        if !affordable {
            self.service.tally.borrow_mut().over_budget += 1;
        }
        affordable
    }

    /// One try: an endpoint, a connection, the request, the head of an answer.
    ///
    /// A connection that cannot be made is tried at another endpoint, unless Helios can answer instead. One
    /// that was closed just as it was used again is no failure of the side, as endpoints close idle
    /// connections: the request is sent anew, once and to the same endpoint, where that is safe. One that breaks
    /// off later has failed: to ask again unseen would hide from the judge what it is there to see.
    pub(super) async fn ask(&mut self, mut plan: Plan) -> Result<Parts, Lost> {
        let mut attempt = self.begin(&mut plan).await?;
        let Plan { side, begun, otherwise, .. } = plan;
        if !self.asking.can_be_put_to(self.view.config.sides[side].protocol) {
            attempt.finish(Outcome::Failed(Cause::NoUpgrade));
            return Err(Lost { cause: Cause::NoUpgrade, answer: None });
        }
        let (mut fresh, mut refusals, mut anew) = (Fresh::Any, 0, false);
        let cause = loop {
            let (lease, reused) = match self.connect(plan, &mut attempt, fresh).await {
                Ok(connected) => connected,
                Err(cause) => {
                    refusals += 1;
                    let enough = cause == Cause::NoEndpoint || refusals == MOST_ENDPOINTS;
                    let helios_can = otherwise == Otherwise::AskHelios && self.affords_rescue();
                    if enough || helios_can || self.core.now() >= self.deadline() {
                        break cause;
                    }
                    attempt.blame(cause);
                    fresh = Fresh::Any;
                    continue;
                }
            };
            let mut sent = match self.asking.send(&self.core, &lease, side, &self.view.config.sides[side]) {
                Ok(sent) => pin!(sent),
                Err(cause) => break cause,
            };
            let mut answered = loop {
                let limit = self.limit(plan, self.asking.is_ready(), attempt.endpoint_serial());
                let answered = within(&self.core, limit, sent.as_mut()).await;
                // While the client was sending, no answer was late.
                let is_late = matches!(answered, Err(Expired::Late));
                if !is_late || self.core.now() >= self.limit(plan, false, None).until {
                    break answered;
                }
            };
            let misunderstood = match &mut answered {
                Ok(Ok(response)) => self.understand(&attempt, response, reused).err(),
                _ => None,
            };
            let cause = match answered {
                Ok(Ok(response)) if misunderstood.is_none() => {
                    let failure = self.told(response.status(), response.headers()).failure();
                    attempt.answered(failure);
                    if let Some(cause) = failure.filter(|_| otherwise == Otherwise::AskHelios) {
                        // Held back while Helios is asked.
                        attempt.fail(cause);
                        return Err(Lost { cause, answer: Some(Box::new((response, attempt, lease))) });
                    }
                    return Ok(self.answer(response, attempt, lease));
                }
                Ok(Ok(_)) => misunderstood.unwrap_or(Cause::Protocol),
                Ok(Err(unasked)) => self.asking.explain(unasked),
                Err(Expired::Late) if self.asking.fate().is_some_and(Fate::is_awaited) => Cause::BodyTimeout,
                Err(Expired::Late) => Cause::HeaderTimeout,
                Err(Expired::TakenBack) => Cause::TakenBack,
                Err(Expired::LetOut) => Cause::LetOut,
            };
            let now = self.core.now();
            // It was sent in vain, as far as anybody can tell; or the endpoint says that it has not looked at it.
            let is_as_new = reused && now.since(begun) <= CLOSED_ALREADY || self.asking.is_unseen;
            if cause == Cause::Reset && is_as_new && !anew && self.asking.is_ready() {
                (fresh, anew) = (Fresh::Since(now), true);
                continue;
            }
            break cause;
        };
        // It may be this request that takes long, or this caller that has no time; not so if nobody has had an answer since.
        if cause == Cause::HeaderTimeout && !self.is_overdue() {
            attempt.close_idle_if_silent(begun);
        }
        attempt.finish(Outcome::Failed(cause));
        Err(Lost { cause, answer: None })
    }

    fn understand(
        &mut self,
        attempt: &Try,
        response: &mut Response<EndpointBody>,
        reused: bool,
    ) -> Result<(), Cause> {
        if !reused {
            attempt.heed(response.headers());
        }
        self.asking.understand(response)
    }

    /// Begins a try, when it is its turn. One that gets none is counted, and is evidence for nobody.
    async fn begin(&self, plan: &mut Plan) -> Result<Try, Lost> {
        let turn = match self.enter_side(plan).await {
            Ok(turn) => turn,
            Err(cause) => {
                self.service.tally.borrow_mut().sides[plan.side].failed.count(cause);
                self.core.note_active(&self.service);
                if let Some(trace) = self.trace.as_ref().filter(|_| !plan.is_hedge) {
                    trace.end(Outcome::Failed(cause), None, false);
                }
                return Err(Lost { cause, answer: None });
            }
        };
        let Plan { side, counts, begun, .. } = *plan;
        let is_timed = self.dialect == Dialect::Grpc || !self.asking.is_upload();
        let dealt = TryOf { side, counts, stratum: self.stratum, begun, turn, is_timed, half: self.half };
        // The access log tells of the first try, whichever ends first.
        let trace = self.trace.as_ref().filter(|_| !plan.is_hedge);
        let mut attempt =
            Try::begin(&self.core, &self.service, &self.view, dealt, trace, self.asking.passing.as_ref());
        if plan.is_hedge {
            attempt.if_dropped = Cause::Outrun;
        }
        Ok(attempt)
    }

    async fn connect(&self, plan: Plan, attempt: &mut Try, fresh: Fresh) -> Result<(Lease, bool), Cause> {
        let endpoint = match attempt.endpoint().filter(|_| fresh != Fresh::Any) {
            Some(same) => same,
            None => self.pick(plan.side).ok_or(Cause::NoEndpoint)?,
        };
        attempt.asks(&endpoint);
        let may_reuse = fresh == Fresh::Any && endpoint.announced.is_none();
        let mut reused = if may_reuse { endpoint.pool.take(self.core.recently()) } else { None };
        while !self.asking.is_repeatable() && reused.as_ref().is_some_and(|lease| !lease.is_surely_open()) {
            reused = endpoint.pool.take(self.core.recently());
        }
        let is_reused = reused.is_some();
        let lease = if let Some(lease) = reused {
            lease
        } else {
            let limit = self.connect_limit(plan, &endpoint);
            // Rare, and large.
            let origin = self.origin.as_deref();
            let made = Box::pin(endpoint.pool.make(&self.core, &endpoint, limit, fresh, origin)).await;
            match &made {
                Ok(_) => endpoint.accepted(),
                // A caller that gives no time says nothing about the endpoint.
                Err(cause) if cause.is_no_connection() && !self.is_overdue() => {
                    endpoint.refused(self.core.now());
                }
                Err(_) => {}
            }
            made?
        };
        if let Lease::Http2(stream) = &lease
            && self.asking.needs_connect(self.view.config.sides[plan.side].protocol)
        {
            Box::pin(stream.allows_connect(&self.core, self.connect_limit(plan, &endpoint))).await?;
        }
        Ok((lease, is_reused))
    }

    /// Whether the time is up that the caller of a gRPC method gives.
    fn is_overdue(&self) -> bool {
        self.due.is_some_and(|due| self.core.now() >= due)
    }

    fn connect_limit(&self, plan: Plan, endpoint: &EndpointState) -> Limit {
        let mut limit = self.limit(plan, true, Some(endpoint.serial));
        limit.until = limit.until.min(self.core.now().after(self.view.config.timeouts.connect));
        limit
    }

    /// The endpoint to ask, of those that the latest snapshot names: this request may have waited for long.
    fn pick(&self, side: Side) -> Option<Rc<EndpointState>> {
        let latest = self.core.view();
        let view = latest.get(self.view.id).unwrap_or(&self.view);
        self.service.sides[side].pick(&self.core, view, side, self.affinity)
    }

    /// Makes an endpoint's answer the client's.
    fn answer(&mut self, response: Response<EndpointBody>, attempt: Try, lease: Lease) -> Parts {
        let (mut head, incoming) = response.into_parts();
        head.extensions.clear();
        // Each leg has its own: a client of HTTP/1.0 would not be told that it may go on.
        head.version = Version::HTTP_11;
        if let Some(passing) = &self.asking.passing {
            passing.answer(&mut head.headers);
        }
        if let Some(upgrade) = &mut self.asking.upgrade
            && let Some(agreed) = upgrade.agreed()
        {
            if let Some(trace) = &self.trace {
                trace.upgrade(upgrade.name());
            }
            let mut lifetime = Lifetime::new(self.core.clone());
            lifetime.follow(self.view.config.streams, self.concerned(&attempt));
            let idle = self.view.config.timeouts.stream_idle;
            let place = agreed.takes_connection.then(|| relay::Stay::new(&self.core));
            let taken_along = (place, self.in_flight.take());
            tokio::task::spawn_local(relay::run(agreed, taken_along, Some(attempt), lease, lifetime, idle));
            return head;
        }
        let on_kubernetes = self.concerned(&attempt);
        let told = self.told(head.status, &head.headers);
        // What an endpoint sends where nothing may be sent is not passed on (RFC 9110, section 6.4.1).
        let has_body = !self.asking.is_head && !headers::has_no_content(head.status);
        self.stream.begin(has_body.then_some(incoming), Some(attempt), lease, told);
        self.stream.follow(self.view.config.streams, on_kubernetes);
        head
    }

    /// The service, if a revert of it is about this try: what was forced to Kubernetes is nobody's user.
    fn concerned(&self, attempt: &Try) -> Option<ServiceId> {
        attempt.is_dealt_to(Side::Kubernetes).then_some(self.service.id)
    }

    /// What the head of an answer tells, by the service's own rule.
    fn told(&self, status: StatusCode, headers: &HeaderMap) -> Told {
        Told::by_head(&self.view.config.failures, self.dialect, status, headers)
    }

    /// When Helios is to be asked too: when nearly all of its answers would have been there, and what is tolerated of
    /// Kubernetes on top. `None` while that is not known.
    pub(super) fn hedge_at(&self, plan: Plan) -> Option<Micros> {
        let of = |stratum| self.view.groups.thresholds(stratum).age(Side::Kubernetes, Question::Slow99);
        // Of a route that has just got a stratum of its own, what was known of it among the others will do.
        let age = of(self.stratum).or_else(|| of(Stratum::OTHER))?;
        Some(plan.begun.after(Duration::from_micros(age.0)))
    }

    /// The same request for a second try at the same time, if it changes nothing by being asked.
    pub(super) fn twin(&self) -> Option<Box<Self>> {
        Some(Box::new(Self {
            core: self.core.clone(),
            stream: Stream::new(self.core.clone(), self.view.config.timeouts.idle),
            view: self.view.clone(),
            service: self.service.clone(),
            started: self.started,
            side: self.side,
            counts: self.counts,
            stratum: self.stratum,
            half: self.half,
            affinity: self.affinity,
            dialect: self.dialect,
            due: self.due,
            origin: self.origin.clone(),
            asking: self.asking.twin()?,
            trace: self.trace.clone(),
            in_flight: None,
        }))
    }

    /// Whether this twin may be asked now: all of the request is at hand, and the budget allows it.
    pub(super) fn may_hedge(&mut self, now: Micros) -> bool {
        if now >= self.deadline() || !self.asking.is_all_there() {
            return false;
        }
        if let Some(due) = self.due {
            self.asking.set_grpc_timeout(Duration::from_micros(due.since(now).0));
        }
        self.service.budget.borrow_mut().spend(self.view.config.rescue.budget, now)
    }

    /// Whether an answer is no failure, as far as its head tells.
    pub(super) fn is_well(&self, head: &Parts) -> bool {
        self.told(head.status, &head.headers).failure().is_none()
    }

    /// Helios has answered first.
    pub(super) fn count_hedge(&self) {
        self.service.tally.borrow_mut().hedged += 1;
        if let Some(trace) = &self.trace {
            trace.rescue();
        }
    }

    pub(super) fn count_rescue(&self, rescued: bool) {
        let mut tally = self.service.tally.borrow_mut();
        if rescued {
            tally.rescued += 1;
            if let Some(trace) = &self.trace {
                trace.rescue();
            }
        } else {
            tally.unrescued += 1;
        }
    }

    pub(super) fn deadline(&self) -> Micros {
        let there = self.asking.fate().map_or(self.started, |fate| fate.last().max(self.started));
        let mut deadline = there.after(self.view.config.timeouts.request);
        if let Some(pause) = self.pause() {
            deadline = deadline.max(pause);
        }
        self.due.map_or(deadline, |due| due.min(deadline))
    }

    /// Until when a caller that streams its messages may say nothing: it may have nothing to say for long, and need not
    /// get an answer before it has.
    fn pause(&self) -> Option<Micros> {
        let streams = self.dialect == Dialect::Grpc && self.asking.is_http2();
        let fate = self.asking.fate().filter(|fate| streams && fate.is_awaited())?;
        Some(fate.heard().after(self.view.config.timeouts.stream_idle))
    }

    pub(super) fn limit(&self, plan: Plan, can_ask_again: bool, endpoint: Option<Serial>) -> Limit {
        // An endpoint cannot answer before the request is there.
        let there = self.asking.fate().map_or(plan.begun, |fate| fate.last().max(plan.begun));
        let mut header = there.after(self.view.config.timeouts.header);
        if let Some(pause) = self.pause() {
            header = header.max(pause);
        }
        // Who is changed by being asked is left to end where it began, and so is who may find no rescue.
        let leaves = plan.otherwise == Otherwise::AskHelios
            && can_ask_again
            && self.asking.is_safe
            && self.view.config.rescue.budget >= 1.0;
        let patience = || {
            let slowest = self
                .view
                .groups
                .thresholds(self.stratum)
                .age(Side::Helios, Question::Slow99)
                .unwrap_or_default();
            plan.begun.after(PATIENCE.max(Duration::from_micros(slowest.0)))
        };
        let recall = leaves.then(|| Recall { service: self.service.id, endpoint, from: patience() });
        Limit { until: header.min(self.deadline()), recall }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.core.room.take_back(self.asking.take_headers());
    }
}

/// Reads what is left of an answer that nobody wants, if that is little: its connection can carry the next request then.
fn put_away(core: &Rc<Core>, body: EndpointBody, attempt: Try, lease: Lease) {
    let core = core.clone();
    tokio::task::spawn_local(async move {
        if hear_out(body, core).await {
            attempt.give_back(lease);
        }
    });
}

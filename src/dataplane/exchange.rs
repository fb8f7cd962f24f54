use std::rc::Rc;
use std::time::Duration;

use http::Response;
use http::request::Parts;
use hyper::body::Incoming;

use crate::model::{Cause, Micros, Outcome, Side};
use crate::verdict::Question;

use super::asking::{Asking, Unsent, send};
use super::attempt::{AnswerBody, Counts, Streamed, Try};
use super::core::{Core, Located};
use super::endpoints::{Fresh, Lease};
use super::headers;
use super::rescue::{is_failure, is_worth_asking_again};
use super::respond;
use super::service::Service;
use super::waits::Limit;

/// One request, from the choice of its side to its answer: one side is asked, and then, if that was Kubernetes
/// and it failed, Helios.
pub(super) struct Exchange {
    core: Rc<Core>,
    view: Located,
    service: Rc<Service>,
    started: Micros,
}

/// Whether Helios is asked when Kubernetes fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Otherwise {
    AskHelios,
    Fail,
}

/// An endpoint has answered. Without a try, the try has been counted already.
struct Answered {
    response: Response<Incoming>,
    attempt: Option<Try>,
    lease: Lease,
}

/// A try that failed.
struct Lost {
    cause: Cause,
    /// The request, if it may be asked again.
    again: Option<Asking>,
    /// The answer, if there was one: better than none.
    answer: Option<Answered>,
}

/// Endpoints of one side that are asked for a connection before giving up.
const MOST_ENDPOINTS: u32 = 3;

/// After a revert nobody who can be asked again waits longer than this for Kubernetes, or than Helios' own
/// slowest answers take, if that is longer.
const PATIENCE: Duration = Duration::from_millis(250);

impl Exchange {
    pub(super) fn new(core: Rc<Core>, view: Located, service: Rc<Service>) -> Self {
        let started = core.now();
        Self { core, view, service, started }
    }

    /// Asks `side`, and Helios after it where that helps. What was forced is not rescued: who asks for
    /// Kubernetes by name wants to see what Kubernetes does.
    pub(super) async fn run(
        self,
        side: Side,
        counts: Counts,
        head: Parts,
        body: Incoming,
    ) -> Response<AnswerBody> {
        let otherwise = self.otherwise(side, counts);
        let asking = Asking::new(head, body, self.view.config.rescue.body_bytes);
        let mut lost = match self.ask(side, counts, otherwise, asking).await {
            Ok(answered) => return self.answer(answered),
            Err(lost) => lost,
        };
        if let Some(again) = self.rescuable(otherwise, &mut lost) {
            match self.ask(Side::Helios, Counts::AsTraffic, Otherwise::Fail, again).await {
                Ok(answered) => {
                    self.count_rescue(!is_failure(answered.response.status()));
                    return self.answer(answered);
                }
                Err(second) => lost.answer = lost.answer.or(second.answer),
            }
        }
        if side == Side::Kubernetes {
            self.count_rescue(false);
        }
        match lost.answer {
            Some(answered) => self.answer(answered),
            None => respond::problem(lost.cause, Some(side), Some(self.view.config.name.as_str())),
        }
    }

    fn otherwise(&self, side: Side, counts: Counts) -> Otherwise {
        let rescue = &self.view.config.rescue;
        let helps = side == Side::Kubernetes && counts == Counts::AsEvidence;
        if helps && rescue.enabled && self.view.config.is_on(Side::Helios) {
            self.service.budget.borrow_mut().earn(rescue.budget);
            return Otherwise::AskHelios;
        }
        Otherwise::Fail
    }

    /// The request once more, if asking Helios is safe and worth it, in time, and within the budget.
    fn rescuable(&self, otherwise: Otherwise, lost: &mut Lost) -> Option<Asking> {
        let now = self.core.now();
        if otherwise == Otherwise::Fail || !is_worth_asking_again(lost.cause) || now >= self.deadline() {
            return None;
        }
        let again = lost.again.take()?;
        if self.service.budget.borrow_mut().spend(now) {
            return Some(again);
        }
        self.service.tally.borrow_mut().over_budget += 1;
        None
    }

    /// One try: an endpoint, a connection, the request, the head of an answer.
    ///
    /// A connection that cannot be made is tried at another endpoint, unless Helios can answer instead. One
    /// that was closed just as it was used again is no failure of the side, as endpoints close idle
    /// connections: the request is sent anew, once, where that is safe.
    async fn ask(
        &self,
        side: Side,
        counts: Counts,
        otherwise: Otherwise,
        mut asking: Asking,
    ) -> Result<Answered, Box<Lost>> {
        let mut attempt = Try::begin(&self.core, &self.service, &self.view, side, counts);
        let (mut fresh, mut refusals) = (Fresh::Any, 0);
        loop {
            let (lease, reused) = match self.connect(side, &mut attempt, otherwise, fresh).await {
                Ok(connected) => connected,
                Err(cause) => {
                    refusals += 1;
                    let enough = cause == Cause::NoEndpoint || refusals == MOST_ENDPOINTS;
                    if otherwise == Otherwise::AskHelios || enough || self.core.now() >= self.deadline() {
                        attempt.finish(Outcome::Failed(cause));
                        return Err(Box::new(Lost { cause, again: Some(asking), answer: None }));
                    }
                    attempt.blame(cause);
                    continue;
                }
            };
            let spare = asking.spare();
            let limit = self.limit(&attempt, otherwise, spare.is_some());
            let protocol = self.view.config.sides[side].protocol;
            let (cause, unsent) = match send(&self.core, lease, asking, protocol, limit).await {
                Ok((response, lease)) => {
                    attempt.answered();
                    let answered = Answered { response, attempt: Some(attempt), lease };
                    return Self::judge_status(answered, otherwise, || spare.and_then(Unsent::revive));
                }
                Err(failed) => failed,
            };
            let again = unsent.or_else(|| spare.and_then(Unsent::revive));
            match again {
                Some(again) if cause == Cause::Reset && reused && fresh == Fresh::Any => {
                    (asking, fresh) = (again, Fresh::Only);
                }
                again => {
                    if cause == Cause::HeaderTimeout {
                        attempt.close_idle();
                    }
                    attempt.finish(Outcome::Failed(cause));
                    return Err(Box::new(Lost { cause, again, answer: None }));
                }
            }
        }
    }

    async fn connect(
        &self,
        side: Side,
        attempt: &mut Try,
        otherwise: Otherwise,
        fresh: Fresh,
    ) -> Result<(Lease, bool), Cause> {
        let now = self.core.now();
        let endpoints = &self.view.endpoints[side];
        let protocol = self.view.config.sides[side].protocol;
        let picked = self.service.sides[side].pick(now, endpoints, protocol, |bound| self.core.draw(bound));
        let endpoint = picked.ok_or(Cause::NoEndpoint)?;
        attempt.asks(&endpoint);
        let mut limit = self.limit(attempt, otherwise, true);
        limit.until = limit.until.min(now.after(self.view.config.timeouts.connect));
        let leased = endpoint.pool.lease(&self.core, &endpoint, limit, fresh).await?;
        Ok((leased.lease, leased.reused))
    }

    /// An answer of 500 or more from Kubernetes is held back while Helios is asked.
    fn judge_status(
        mut answered: Answered,
        otherwise: Otherwise,
        again: impl FnOnce() -> Option<Asking>,
    ) -> Result<Answered, Box<Lost>> {
        if otherwise == Otherwise::Fail || !is_failure(answered.response.status()) {
            return Ok(answered);
        }
        let cause = Cause::Status;
        if let Some(attempt) = answered.attempt.take() {
            attempt.finish(Outcome::Failed(cause));
        }
        Err(Box::new(Lost { cause, again: again(), answer: Some(answered) }))
    }

    fn answer(&self, answered: Answered) -> Response<AnswerBody> {
        let Answered { response, attempt, lease } = answered;
        let (mut head, incoming) = response.into_parts();
        headers::answer(&mut head.headers, head.version);
        head.extensions.clear();
        let failed = is_failure(head.status);
        let outcome = if failed { Outcome::Failed(Cause::Status) } else { Outcome::Ok };
        if failed && attempt.as_ref().is_some_and(|attempt| attempt.side() == Side::Kubernetes) {
            self.count_rescue(false);
        }
        let idle = self.view.config.timeouts.idle;
        Response::from_parts(head, Streamed::body(&self.core, incoming, attempt, lease, outcome, idle))
    }

    fn count_rescue(&self, rescued: bool) {
        let mut tally = self.service.tally.borrow_mut();
        if rescued {
            tally.rescued += 1;
        } else {
            tally.unrescued += 1;
        }
    }

    fn deadline(&self) -> Micros {
        self.started.after(self.view.config.timeouts.request)
    }

    fn limit(&self, attempt: &Try, otherwise: Otherwise, can_ask_again: bool) -> Limit {
        let header = self.core.now().after(self.view.config.timeouts.header);
        let leaves = otherwise == Otherwise::AskHelios && can_ask_again;
        let slowest = self.view.thresholds.age(Side::Helios, Question::Slow99).unwrap_or_default();
        let patience = attempt.begun().after(PATIENCE.max(Duration::from_micros(slowest.0)));
        Limit { until: header.min(self.deadline()), if_held: leaves.then_some((self.service.id, patience)) }
    }
}

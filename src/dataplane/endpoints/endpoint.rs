use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::config::{ProxyProtocol, SideConfig};
use crate::model::{Endpoint, Micros, Millis};
use crate::snapshot::Candidate;
use crate::tally::EndpointTally;
use crate::tls::Connector;

use super::super::core::Core;
use super::super::waits::Limit;
use super::balance::{SLOW_START, youth};
use super::pool::{Fresh, Pool};

/// Tells an endpoint's state from every other that there was in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::dataplane) struct Serial(u64);

static LAST_SERIAL: AtomicU64 = AtomicU64::new(0);

/// One endpoint as one worker sees it.
pub(in crate::dataplane) struct EndpointState {
    pub(in crate::dataplane) serial: Serial,
    pub(in crate::dataplane) endpoint: Endpoint,
    pub(in crate::dataplane) pool: Pool,
    /// How it is spoken to over TLS, if it is.
    pub(super) tls: Option<Arc<Connector>>,
    /// How it is told where a connection comes from, if it is: then no connection is shared.
    pub(in crate::dataplane) announced: Option<ProxyProtocol>,
    weight: Cell<u16>,
    /// When it came to the others; `None` if it was there from the beginning, or has had its slow start.
    came: Cell<Option<Millis>>,
    in_flight: Cell<u32>,
    /// Tries that wait for the head of an answer, …
    awaiting: Cell<u32>,
    /// … since when it has answered none of them, …
    awaiting_since: Cell<Micros>,
    /// … and how long a silence is none yet, as the slowest of them says.
    patience: Cell<Micros>,
    /// How it has done since the last report.
    tally: RefCell<EndpointTally>,
    /// How long its answers take, in microseconds; nothing is known yet if it is 0.
    pace: Cell<f32>,
    /// When that was.
    paced: Cell<Micros>,
    /// Connections that failed in a row.
    refusals: Cell<u32>,
    passed_over_until: Cell<Micros>,
    /// When it has answered last.
    answered: Cell<Micros>,
}

/// How much of what was known before an answer is kept.
const PEAK_KEPT: f32 = 0.8;
/// After this, half as much is known of how long answers take, …
const FORGET: Duration = Duration::from_secs(10);
/// … and when so little is left of it, nothing.
const FORGOTTEN: f32 = 0.02;
/// One answer counts for at most so many times what was known: a single long one is no slow endpoint.
const OUTLIER: f32 = 4.0;

/// How long an endpoint is passed over after its first refusal; twice as long after each further one …
const PASS_OVER: Duration = Duration::from_secs(1);
/// … up to this. Long enough to cost next to nothing, short enough to find out that it is back.
const PASS_OVER_MOST: Duration = Duration::from_secs(15);

impl EndpointState {
    pub(super) fn new(candidate: &Candidate, side: &SideConfig) -> Self {
        Self {
            serial: Serial(LAST_SERIAL.fetch_add(1, Relaxed)),
            // Told of in the access log: workers counting on one path would be fighting over a cache line.
            endpoint: candidate.endpoint.own(),
            pool: Pool::new(side),
            tls: side.tls.clone(),
            announced: side.proxy_protocol,
            weight: Cell::new(candidate.weight),
            came: Cell::new(candidate.since),
            in_flight: Cell::new(0),
            awaiting: Cell::new(0),
            awaiting_since: Cell::new(Micros(0)),
            patience: Cell::new(Micros(0)),
            tally: RefCell::new(EndpointTally::new(candidate.endpoint.clone())),
            pace: Cell::new(0.0),
            paced: Cell::new(Micros(0)),
            refusals: Cell::new(0),
            passed_over_until: Cell::new(Micros(0)),
            answered: Cell::new(Micros(0)),
        }
    }

    /// Tries in flight.
    pub(super) fn load(&self) -> u32 {
        self.in_flight.get()
    }

    pub(super) fn weight(&self) -> u16 {
        self.weight.get()
    }

    /// Its share has changed.
    pub(super) fn weighs(&self, weight: u16) {
        self.weight.set(weight);
    }

    /// How much of its share it gets: little at first, all of it after a slow start.
    pub(super) fn youth(&self, now: Micros) -> f64 {
        let Some(came) = self.came.get() else { return 1.0 };
        let age = Duration::from_micros(now.0.saturating_sub(came.0 * 1_000));
        if age >= SLOW_START {
            self.came.set(None);
        }
        youth(age)
    }

    /// How long its answers take, as far as that is known; what is long ago counts less and less.
    pub(super) fn pace(&self, now: Micros) -> Option<f32> {
        let pace = self.pace.get();
        let remembered = self.remembered(now);
        (pace > 0.0 && remembered > FORGOTTEN).then_some(pace * remembered)
    }

    /// An answer took so long: a fifth of what is known is the last one, and what is long ago is forgotten.
    pub(in crate::dataplane) fn took(&self, time: Micros, now: Micros) {
        let (took, before) = ((time.0 as f32).max(1.0), self.pace.get());
        self.tally.borrow_mut().took(took);
        let remembered = self.remembered(now);
        self.paced.set(now);
        let known = before * remembered;
        let took = if known > 0.0 { took.min(known * OUTLIER) } else { took };
        self.pace.set(if before <= 0.0 { took } else { took + (known - took) * PEAK_KEPT }.max(0.0));
    }

    /// A try has ended well.
    pub(in crate::dataplane) fn ended_well(&self) {
        self.tally.borrow_mut().ended_well();
    }

    /// A try has failed by its fault.
    pub(in crate::dataplane) fn failed(&self) {
        self.tally.borrow_mut().failed();
    }

    /// How it has done since the last time, if it was asked or is silent.
    pub(super) fn report(&self, now: Micros) -> Option<EndpointTally> {
        let mut tally = self.tally.borrow_mut();
        if self.awaiting.get() > 0 && now.since(self.awaiting_since.get()) >= self.patience.get() {
            tally.silent = self.awaiting.get();
        }
        if tally.is_empty() {
            return None;
        }
        let new = EndpointTally::new(tally.endpoint.clone());
        Some(std::mem::replace(&mut tally, new))
    }

    /// What is left of what was known a while ago.
    fn remembered(&self, now: Micros) -> f32 {
        let age = now.since(self.paced.get()).0 as f32;
        (-age / FORGET.as_micros() as f32).exp2()
    }

    /// Makes connections before they are needed, so that there are so many for who comes.
    pub(super) async fn warm(self: &Rc<Self>, core: &Rc<Core>, wanted: usize, patience: Duration) {
        let is_shared = self.pool.is_shared();
        let there =
            || if is_shared { self.pool.open() } else { self.pool.open() + self.in_flight.get() as usize };
        let wanted = if is_shared { wanted.min(1) } else { wanted };
        while there() < wanted {
            let limit = Limit { until: core.now().after(patience), recall: None };
            match self.pool.make(core, self, limit, Fresh::Any, None).await {
                Ok(lease) => self.pool.give_back(lease, core.now()),
                Err(cause) => {
                    if cause.is_no_connection() {
                        self.refused(core.now());
                    }
                    return;
                }
            }
        }
    }

    /// A try begins here.
    pub(in crate::dataplane) fn enter(&self) {
        self.in_flight.set(self.in_flight.get() + 1);
    }

    /// A try ends here.
    pub(in crate::dataplane) fn leave(&self) {
        self.in_flight.set(self.in_flight.get().saturating_sub(1));
    }

    /// A try waits for an answer from now on. That none comes for so long is strange.
    pub(in crate::dataplane) fn await_answer(&self, now: Micros, patience: Micros) {
        let waiting = self.awaiting.get();
        if waiting == 0 {
            self.awaiting_since.set(now);
            self.patience.set(patience);
        }
        self.patience.set(self.patience.get().max(patience));
        self.awaiting.set(waiting + 1);
    }

    /// A try that waited for an answer has one, or waits no longer.
    pub(in crate::dataplane) fn await_no_more(&self) {
        self.awaiting.set(self.awaiting.get().saturating_sub(1));
    }

    /// A connection could not be made: the endpoint is passed over for a while, longer each time.
    pub(in crate::dataplane) fn refused(&self, now: Micros) {
        // Several connections that fail in one moment are one refusal.
        if self.passed_over_until.get() <= now {
            self.refusals.set((self.refusals.get() + 1).min(8));
        }
        let again = self.refusals.get().saturating_sub(1);
        self.passed_over_until.set(now.after((PASS_OVER * (1 << again)).min(PASS_OVER_MOST)));
    }

    /// Whether the last connection could not be made.
    pub(super) fn is_refusing(&self) -> bool {
        self.refusals.get() > 0
    }

    /// A connection was made.
    pub(in crate::dataplane) fn accepted(&self) {
        self.refusals.set(0);
        self.passed_over_until.set(Micros(0));
    }

    /// It has answered a request, well or not.
    pub(in crate::dataplane) fn answered(&self, now: Micros) {
        self.answered.set(now);
        self.awaiting_since.set(now);
    }

    /// Whether it has answered nobody since then.
    pub(in crate::dataplane) fn is_silent_since(&self, then: Micros) -> bool {
        self.answered.get() < then
    }

    /// Until when it is passed over; in the past if it is not.
    pub(super) fn passed_over_until(&self) -> Micros {
        self.passed_over_until.get()
    }
}

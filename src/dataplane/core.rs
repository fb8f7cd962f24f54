use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::model::{Cause, Micros};
use crate::snapshot::{Bell, ServiceId, ServiceView, Snapshot, Subscription};
use crate::tally::{Causes, Report};
use crate::telemetry::AccessLog;
use crate::verdict::TICK_MS;

use super::drain::Drain;
use super::endpoints::Serial;
use super::room::Room;
use super::service::Service;
use super::waits::{Expired, Recall, Waits};

/// What is read at once; of an upgraded stream also the most that waits for an end that does not read.
const SCRATCH: usize = 32 << 10;

/// What a worker owns. One thread has it, so nothing in it is locked.
pub(super) struct Core {
    pub(super) index: usize,
    pub(super) clock: Clock,
    pub(super) waits: Waits,
    /// Clients' connections that wait for something.
    pub(super) connections: Waits,
    pub(super) drain: Drain,
    /// Requests that have no whole answer yet, …
    pub(super) in_flight: Cell<usize>,
    /// … of which there may be so many.
    pub(super) most_in_flight: usize,
    pub(super) reports: mpsc::Sender<Report>,
    pub(super) accepts_paused: Cell<u64>,
    /// Tries that go on without a client, because another has answered first.
    pub(super) outrun: Cell<u32>,
    /// Clients with whom TLS could not be agreed on.
    pub(super) handshakes_failed: Cell<u64>,
    /// Absent if nobody wants to read of every request.
    pub(super) access_log: Option<AccessLog>,
    /// Where what comes is read to: one for all, so that who is quiet takes no room.
    pub(super) scratch: RefCell<Box<[u8]>>,
    pub(super) room: Room,
    recently: Cell<Micros>,
    /// Seconds since 1970, in words.
    date: RefCell<(u64, String)>,
    subscription: RefCell<Subscription>,
    view: RefCell<Rc<View>>,
    services: RefCell<Vec<Option<Rc<Service>>>>,
    active: RefCell<Vec<Rc<Service>>>,
    /// Endpoints that were let out lately, and when.
    let_out: RefCell<HashMap<Serial, Micros>>,
    refused: Cell<Causes>,
    rng: RefCell<fastrand::Rng>,
    /// For what must not change whom requests are dealt to.
    coin: RefCell<fastrand::Rng>,
    /// When what was counted was last told.
    pub(super) told_at: Cell<Micros>,
    /// A request has ended since, and it is time to tell.
    pub(super) tells_now: Cell<bool>,
}

/// This worker's handle on one snapshot. A request that needs the snapshot over an `.await` clones this `Rc`:
/// all workers counting on one shared `Arc` would be fighting over a cache line.
pub(super) struct View {
    snapshot: Arc<Snapshot>,
}

/// One service in one view.
#[derive(Clone)]
pub(super) struct Located {
    view: Rc<View>,
    slot: usize,
}

/// How often requests' limits are looked at while one passes: it is met to within this.
const BEAT: Duration = Duration::from_millis(25);
/// The same of clients' connections.
const SECOND: Duration = Duration::from_secs(1);
/// What was counted is told no more often than once in this.
pub(super) const TICK: Micros = Micros(TICK_MS * 1_000);

/// Who waits for an endpoint that was let out is called in for so long: nobody waits for longer who can be.
const RECALLED_FOR: Micros = Micros(120_000_000);

impl Core {
    pub(super) fn new(
        index: usize,
        clock: Clock,
        subscription: Subscription,
        reports: mpsc::Sender<Report>,
        access_log: Option<AccessLog>,
        most_in_flight: usize,
    ) -> Self {
        Self {
            index,
            clock,
            waits: Waits::new(BEAT),
            connections: Waits::new(SECOND),
            drain: Drain::default(),
            in_flight: Cell::new(0),
            most_in_flight,
            reports,
            accepts_paused: Cell::new(0),
            outrun: Cell::new(0),
            handshakes_failed: Cell::new(0),
            access_log,
            scratch: RefCell::new(vec![0; SCRATCH].into()),
            room: Room::default(),
            recently: Cell::new(clock.micros()),
            date: RefCell::default(),
            subscription: RefCell::new(subscription),
            view: RefCell::new(Rc::new(View { snapshot: Arc::default() })),
            services: RefCell::default(),
            active: RefCell::default(),
            let_out: RefCell::default(),
            refused: Cell::default(),
            rng: RefCell::new(fastrand::Rng::new()),
            coin: RefCell::new(fastrand::Rng::new()),
            told_at: Cell::new(Micros(0)),
            tells_now: Cell::new(false),
        }
    }

    /// Writes the time as HTTP does.
    pub(super) fn write_date(&self, out: &mut Vec<u8>) {
        self.with_date(|date| out.extend_from_slice(date));
    }

    /// The time as HTTP writes it. It is put into words once a second.
    pub(super) fn with_date(&self, write: impl FnOnce(&[u8])) {
        let wall = self.clock.wall();
        let mut date = self.date.borrow_mut();
        if date.0 != wall.0 / 1_000 {
            *date = (wall.0 / 1_000, wall.http_date());
        }
        write(date.1.as_bytes());
    }

    pub(super) fn now(&self) -> Micros {
        let now = self.clock.micros();
        self.recently.set(now);
        now
    }

    /// When the time was last read: not long ago on a worker that has anything to do, and free.
    pub(super) fn recently(&self) -> Micros {
        self.recently.get()
    }

    /// The latest view. Where nothing has changed this costs one load of a shared pointer.
    pub(super) fn view(&self) -> Rc<View> {
        let mut subscription = self.subscription.borrow_mut();
        let latest = subscription.latest();
        let mut view = self.view.borrow_mut();
        if !Arc::ptr_eq(latest, &view.snapshot) {
            let snapshot = latest.clone();
            subscription.confirm(snapshot.generation);
            *view = Rc::new(View { snapshot });
        }
        view.clone()
    }

    /// What control rings when there is something new.
    pub(super) fn bell(&self) -> Bell {
        self.subscription.borrow().bell()
    }

    /// This worker's own part of a service, made at its first request.
    pub(super) fn service(&self, view: &ServiceView) -> Rc<Service> {
        let slot = view.id.slot as usize;
        let mut services = self.services.borrow_mut();
        if let Some(Some(service)) = services.get(slot)
            && service.id == view.id
        {
            return service.clone();
        }
        if services.len() <= slot {
            services.resize_with(slot + 1, || None);
        }
        let service = Rc::new(Service::new(view));
        services[slot] = Some(service.clone());
        service
    }

    /// Draws an even number below `bound`.
    pub(super) fn draw(&self, bound: u32) -> u32 {
        self.rng.borrow_mut().u32(..bound)
    }

    /// Tosses a fair coin: whether it shows heads.
    pub(super) fn toss(&self) -> bool {
        self.coin.borrow_mut().bool()
    }

    /// Draws any number.
    pub(super) fn random(&self) -> u128 {
        self.rng.borrow_mut().u128(..)
    }

    /// Notes that a service has something to report.
    pub(super) fn note_active(&self, service: &Rc<Service>) {
        if !service.active.replace(true) {
            self.active.borrow_mut().push(service.clone());
            self.keep_beating();
        }
    }

    /// Notes that connections are not accepted for now.
    pub(super) fn pause_accepts(&self) {
        self.accepts_paused.set(self.accepts_paused.get() + 1);
        self.keep_beating();
    }

    /// Counts a request that belongs to no service, or a connection that comes to none.
    pub(super) fn refuse(&self, cause: Cause) {
        let mut refused = self.refused.get();
        refused.count(cause);
        self.refused.set(refused);
        self.keep_beating();
    }

    pub(super) fn take_refused(&self) -> Causes {
        self.refused.take()
    }

    pub(super) fn has_refused(&self) -> bool {
        self.refused.get() != Causes::default()
    }

    /// The services that have something to report.
    pub(super) fn active(&self) -> &RefCell<Vec<Rc<Service>>> {
        &self.active
    }

    /// Goes by what is new for the services that it has: whom they ask, and whom no more.
    pub(super) fn adopt(self: &Rc<Self>, view: &View) {
        let services: Vec<_> = self.services.borrow().iter().flatten().cloned().collect();
        for service in services {
            if let Some(view) = view.shared(service.id) {
                service.adopt(self, view);
            }
        }
    }

    /// Notes that endpoints were let out.
    pub(super) fn let_out(&self, endpoints: &[Serial]) {
        let now = self.recently();
        self.let_out.borrow_mut().extend(endpoints.iter().map(|serial| (*serial, now)));
    }

    /// Why who waits so is to wait no longer, if it is.
    pub(super) fn recalled(&self, view: &View, recall: Recall) -> Option<Expired> {
        if view.get(recall.service).is_some_and(|service| service.held) {
            return Some(Expired::TakenBack);
        }
        let let_out = self.let_out.borrow();
        recall.endpoint.filter(|endpoint| let_out.contains_key(endpoint)).map(|_| Expired::LetOut)
    }

    /// Lets go of what services that are no longer configured had here, and of connections that have been
    /// idle for too long.
    pub(super) fn tidy(&self) {
        let view = self.view();
        let now = self.now();
        self.let_out.borrow_mut().retain(|_, at| now.since(*at) < RECALLED_FOR);
        for place in self.services.borrow_mut().iter_mut() {
            match place {
                Some(service) if view.get(service.id).is_some() => service.tidy(now),
                Some(_) | None => *place = None,
            }
        }
    }

    /// Makes sure that the beat goes on: there is something to tell.
    pub(super) fn keep_beating(&self) {
        self.waits.look_by(Micros(self.recently().0 + 2 * TICK.0));
    }

    /// A request has ended. It is told of at once if nothing was told of in this tick yet: the worker is awake, and need not
    /// wake for it again.
    pub(super) fn has_ended(&self) {
        if tick_of(self.recently()) > tick_of(self.told_at.get()) {
            self.tells_now.set(true);
            self.waits.look_now();
        }
    }
}

/// The tick that a moment is in. Those of all threads begin together.
pub(super) fn tick_of(moment: Micros) -> u64 {
    moment.0 / TICK.0
}

impl View {
    /// The slot of the service that answers this host and path on this listener.
    pub(super) fn find(self: &Rc<Self>, listener: usize, host: Option<&str>, path: &str) -> Option<Located> {
        let slot = self.snapshot.routes.find(listener, host, path)? as usize;
        let there = self.snapshot.services.get(slot).is_some_and(Option::is_some);
        there.then(|| Located { view: self.clone(), slot })
    }

    /// The service, if it still is the one that this slot was given to.
    pub(super) fn get(&self, id: ServiceId) -> Option<&ServiceView> {
        self.shared(id).map(|view| &**view)
    }

    fn shared(&self, id: ServiceId) -> Option<&Arc<ServiceView>> {
        self.snapshot.services.get(id.slot as usize)?.as_ref().filter(|view| view.id == id)
    }
}

impl Located {
    /// The generation of the snapshot that it is in.
    pub(super) fn generation(&self) -> u64 {
        self.view.snapshot.generation
    }
}

impl std::ops::Deref for Located {
    type Target = ServiceView;

    fn deref(&self) -> &ServiceView {
        match &self.view.snapshot.services[self.slot] {
            Some(service) => service,
            None => unreachable!("a located service is in its view"),
        }
    }
}

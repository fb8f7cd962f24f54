use std::cell::{Cell, RefCell};
use std::cmp::Ordering;
use std::rc::Rc;
use std::sync::Arc;

use crate::model::{Cause, Dialect, Micros, Outcome, PerSide, Route, Side, Weight};
use crate::snapshot::{ServiceId, ServiceView};
use crate::splitter::{Choice, Dealer, Half, Halves, Point, choose};
use crate::tally::{IS_COUNTED, ServiceReport, ServiceTally};
use crate::verdict::{Ballot, Block, Stratum, Thresholds};

use super::calibration::{Calibration, Labelled};
use super::core::Core;
use super::endpoints::Endpoints;
use super::rescue::Budget;
use super::respond;
use super::routes::RouteCounts;
use super::rules::Rules;
use super::trace::Trace;

/// A worker's own part of one service.
pub(super) struct Service {
    pub(super) id: ServiceId,
    /// This worker's own copy: others count its users elsewhere.
    pub(super) name: Arc<str>,
    pub(super) sides: PerSide<Endpoints>,
    pub(super) ballot: RefCell<Ballot>,
    /// While Helios is being compared with itself.
    calibration: RefCell<Option<Calibration>>,
    pub(super) tally: RefCell<ServiceTally>,
    pub(super) budget: RefCell<Budget>,
    /// Requests of routes that have no stratum of their own.
    routes: RefCell<RouteCounts>,
    /// Whether it stands among the services that have something to report.
    pub(super) active: Cell<bool>,
    dealer: RefCell<Dealer>,
    /// The view that was taken over last.
    adopted: RefCell<Option<Arc<ServiceView>>>,
    /// The weight when that was.
    weight: Cell<Weight>,
    /// What it changes on the way, copied when it is first needed.
    rules: RefCell<Option<Rc<Rules>>>,
}

impl Service {
    pub(super) fn new(view: &ServiceView) -> Self {
        Self {
            id: view.id,
            name: view.config.name.as_str().into(),
            sides: PerSide::from_fn(|_| Endpoints::default()),
            ballot: RefCell::default(),
            calibration: RefCell::default(),
            tally: RefCell::default(),
            budget: RefCell::new(Budget::new()),
            routes: RefCell::default(),
            active: Cell::new(false),
            dealer: RefCell::new(Dealer::new(view.plan.weight)),
            adopted: RefCell::default(),
            weight: Cell::new(view.plan.weight),
            rules: RefCell::default(),
        }
    }

    /// The side of the next request.
    pub(super) fn choose(
        &self,
        view: &ServiceView,
        forced: Option<Side>,
        user: Option<Point>,
        draw: impl FnOnce(u32) -> u32,
    ) -> Choice {
        choose(&view.plan, forced, user, &mut self.dealer.borrow_mut(), draw)
    }

    /// The group in which a request of this route is compared.
    pub(super) fn stratum(&self, view: &ServiceView, route: Route<'_>) -> Stratum {
        if !IS_COUNTED {
            return Stratum::OTHER;
        }
        let key = route.key();
        view.groups.of(key.0).unwrap_or_else(|| {
            self.routes.borrow_mut().count(key, route);
            Stratum::OTHER
        })
    }

    /// Counts a request that no side is asked for this cause.
    pub(super) fn refuse(
        self: &Rc<Self>,
        core: &Core,
        cause: Cause,
        dialect: Dialect,
        trace: Option<&Trace>,
    ) {
        let status = respond::told(cause, dialect);
        if let Some(trace) = trace {
            trace.answer(status);
            trace.end(Outcome::Failed(cause), None, false);
        }
        {
            let mut tally = self.tally.borrow_mut();
            tally.refused.count(cause);
            tally.answer(status);
        }
        core.note_active(self);
    }

    /// What it changes on the way, if anything.
    pub(super) fn rules(&self, view: &ServiceView) -> Option<Rc<Rules>> {
        view.config.changes.as_ref()?;
        let mut rules = self.rules.borrow_mut();
        if !rules.as_ref().is_some_and(|rules| rules.is_of(&view.config)) {
            *rules = Rules::of(&view.config);
        }
        rules.clone()
    }

    /// What was counted since the last report, if anything.
    pub(super) fn report(&self, now: Micros) -> Option<ServiceReport> {
        let mut block = Block::default();
        self.ballot.borrow_mut().collect(now, &mut block);
        let calibration = self.calibration.borrow().as_ref().map(|calibration| calibration.report(now));
        let mut tally = self.tally.borrow_mut();
        if block.is_empty()
            && tally.is_empty()
            && calibration.as_ref().is_none_or(|report| report.block.is_empty())
        {
            return None;
        }
        let calibration = calibration.map(Box::new);
        tally.endpoints = PerSide::from_fn(|side| self.sides[side].report(now));
        let routes = self.routes.borrow_mut().take();
        Some(ServiceReport { id: self.id, block, tally: std::mem::take(&mut *tally), routes, calibration })
    }

    /// A request of Helios has begun that is of one half. One whose calibration is no more, or not yet, that of this worker
    /// has no place in it.
    pub(super) fn label(
        &self,
        halves: Halves,
        half: Half,
        stratum: Stratum,
        begun: Micros,
        thresholds: &Thresholds,
    ) -> Option<Labelled> {
        let mut calibration = self.calibration.borrow_mut();
        let calibration = calibration.get_or_insert_with(|| Calibration::new(halves));
        calibration.is_of(halves).then(|| calibration.enter(half, stratum, begun, thresholds))
    }

    /// The worker stood still for so long.
    pub(super) fn abstain(&self, stood_still: Micros) {
        self.ballot.borrow_mut().abstain(stood_still);
        if let Some(calibration) = &*self.calibration.borrow() {
            calibration.abstain(stood_still);
        }
    }

    /// Goes by the endpoints of this view.
    pub(super) fn adopt(&self, core: &Rc<Core>, view: &Arc<ServiceView>) {
        // Most of what is published is of other services.
        if self.adopted.borrow().as_ref().is_some_and(|adopted| Arc::ptr_eq(adopted, view)) {
            return;
        }
        self.adopted.replace(Some(view.clone()));
        self.calibration
            .borrow_mut()
            .take_if(|calibration| !view.calibrating.is_some_and(|halves| calibration.is_of(halves)));
        for side in Side::ALL {
            self.sides[side].adopt(core, view, side);
        }
        let (weight, before) = (view.plan.weight, self.weight.replace(view.plan.weight));
        let (more, share) = match weight.cmp(&before) {
            Ordering::Equal => return,
            Ordering::Greater => (Side::Kubernetes, weight.percent() / 100.0),
            Ordering::Less => (Side::Helios, 1.0 - weight.percent() / 100.0),
        };
        let in_flight: u32 = self.sides.iter().map(|(_, side)| side.in_flight()).sum();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a count")]
        let wanted = (f64::from(in_flight) * share).ceil() as usize;
        self.sides[more].warm(core, view, more, wanted);
    }

    /// Whether nothing has happened since the last report, and nobody waits to vote.
    pub(super) fn is_quiet(&self) -> bool {
        self.ballot.borrow().is_idle()
            && self.tally.borrow().is_empty()
            && self.calibration.borrow().as_ref().is_none_or(Calibration::is_idle)
    }

    /// Closes connections that have been idle for too long.
    pub(super) fn tidy(&self, now: Micros) {
        for side in Side::ALL {
            self.sides[side].tidy(now);
        }
    }
}

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use pin_project_lite::pin_project;
use slab::Slab;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::model::Micros;
use crate::snapshot::ServiceId;

use super::core::Core;
use super::endpoints::Serial;

/// Who waits for a peer, and until when.
///
/// A timer for each request would cost more than the waiting: so requests stand in a slab, and the worker's
/// beat looks through it when the next limit passes. A limit is met to within one beat, and never early.
#[derive(Debug)]
pub(super) struct Waits {
    entries: RefCell<Slab<Entry>>,
    /// What ends them early, as far as something does: connections, of which there are many, have none.
    recalls: RefCell<Vec<Option<Recall>>>,
    /// How closely limits are met: it is looked no more often than this.
    beat: Duration,
    /// When it is looked next, …
    next: Cell<Micros>,
    /// … and rung when that is too late.
    sooner: Notify,
}

/// Nothing is looked at before somebody rings.
const NEVER: Micros = Micros(u64::MAX);

/// What ended a rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Roused {
    ByTime,
    ByBell,
}

/// How long to wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    pub(super) until: Micros,
    /// Set where the request can be asked again elsewhere: who is taken back need not wait so long.
    pub(super) recall: Option<Recall>,
}

/// What ends a wait early.
#[derive(Clone, Copy, Debug)]
pub(super) struct Recall {
    /// That this service is taken back, …
    pub(super) service: ServiceId,
    /// … or that this endpoint is let out, …
    pub(super) endpoint: Option<Serial>,
    /// … but not before this.
    pub(super) from: Micros,
}

/// The wait is over, and what was waited for has not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expired {
    /// The limit has passed.
    Late,
    /// The service was taken back meanwhile, …
    TakenBack,
    /// … or the endpoint let out.
    LetOut,
}

#[derive(Debug)]
struct Entry {
    until: Micros,
    waker: Waker,
    expired: Option<Expired>,
}

/// One place in the slab, given up when dropped.
pub(super) struct Place {
    core: Rc<Core>,
    key: Option<usize>,
    among: Among,
}

/// How closely a limit is to be met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Among {
    /// To within a beat: somebody waits for it.
    Requests,
    /// To within a second: there may be thousands, and none is in a hurry.
    Connections,
}

pin_project! {
    /// A future within a limit. (A struct, and not an async function, which would keep the future twice.)
    pub(super) struct Within<F> {
        place: Place,
        limit: Limit,
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for Within<F> {
    type Output = Result<F::Output, Expired>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        match this.future.poll(cx) {
            Poll::Ready(value) => Poll::Ready(Ok(value)),
            Poll::Pending => match this.place.poll(cx, *this.limit) {
                Some(expired) => Poll::Ready(Err(expired)),
                None => Poll::Pending,
            },
        }
    }
}

/// Waits for a future within a limit.
pub(super) fn within<F: Future>(core: &Rc<Core>, limit: Limit, future: F) -> Within<F> {
    Within { place: Place::new(core.clone()), limit, future }
}

impl Limit {
    /// When it is next to be looked at. Who is taken back later is looked at when that happens.
    fn next(self, now: Micros) -> Micros {
        let from = self.recall.map(|recall| recall.from).filter(|from| *from > now);
        from.map_or(self.until, |from| from.min(self.until))
    }
}

impl Waits {
    /// Nobody waits yet. Limits are to be met to within a beat.
    pub(super) fn new(beat: Duration) -> Self {
        Self {
            entries: RefCell::default(),
            recalls: RefCell::default(),
            beat,
            next: Cell::new(NEVER),
            sooner: Notify::new(),
        }
    }

    /// Ends the waits that are over; `recalled` tells whether a service was taken back, or an endpoint let out. Tells when
    /// the next one may be.
    pub(super) fn expire(&self, now: Micros, recalled: impl Fn(Recall) -> Option<Expired>) -> Option<Micros> {
        let mut next = None;
        let recalls = self.recalls.borrow();
        for (key, entry) in self.entries.borrow_mut().iter_mut() {
            if entry.expired.is_some() {
                continue;
            }
            let limit = Limit { until: entry.until, recall: recalls.get(key).copied().flatten() };
            let called_in = limit.recall.filter(|recall| now >= recall.from);
            entry.expired = match called_in.and_then(&recalled) {
                _ if now >= limit.until => Some(Expired::Late),
                Some(expired) => Some(expired),
                None => {
                    let at = limit.next(now);
                    next = Some(next.map_or(at, |next: Micros| next.min(at)));
                    continue;
                }
            };
            entry.waker.wake_by_ref();
        }
        next
    }

    /// Takes a place.
    fn enter(&self, entries: &mut Slab<Entry>, limit: Limit, waker: &Waker) -> usize {
        let key = entries.insert(Entry { until: limit.until, waker: waker.clone(), expired: None });
        self.note_recall(key, limit.recall);
        key
    }

    fn note_recall(&self, key: usize, recall: Option<Recall>) {
        let mut recalls = self.recalls.borrow_mut();
        if recalls.len() <= key && recall.is_some() {
            recalls.resize(key + 1, None);
        }
        if let Some(noted) = recalls.get_mut(key) {
            *noted = recall;
        }
    }

    /// Lets whoever looks rest until then, or until somebody rings; without a time, until somebody does.
    pub(super) async fn rest(&self, now: Micros, until: Option<Micros>) -> Roused {
        let until = until.map(|until| until.max(now.after(self.beat)));
        self.next.set(until.unwrap_or(NEVER));
        let rung = self.sooner.notified();
        let Some(until) = until else {
            rung.await;
            return Roused::ByBell;
        };
        let rung = timeout(Duration::from_micros(until.since(now).0), rung).await;
        if rung.is_ok() { Roused::ByBell } else { Roused::ByTime }
    }

    /// Has it looked within a beat of then.
    pub(super) fn look_by(&self, at: Micros) {
        if at.after(self.beat) < self.next.get() {
            self.ring(at);
        }
    }

    /// Has it looked at once.
    pub(super) fn look_now(&self) {
        if self.next.get() > Micros(0) {
            self.ring(Micros(0));
        }
    }

    fn ring(&self, next: Micros) {
        self.next.set(next);
        self.sooner.notify_one();
    }

    /// Lets everybody look again: the worker drains, or closes.
    pub(super) fn wake_all(&self) {
        for (_, entry) in self.entries.borrow().iter() {
            entry.waker.wake_by_ref();
        }
    }
}

impl Place {
    pub(super) fn new(core: Rc<Core>) -> Self {
        Self { core, key: None, among: Among::Requests }
    }

    /// A place for a whole connection, whose limits are met to within a second.
    pub(super) fn of_connection(core: Rc<Core>) -> Self {
        Self { core, key: None, among: Among::Connections }
    }

    fn waits(&self) -> &Waits {
        match self.among {
            Among::Requests => &self.core.waits,
            Among::Connections => &self.core.connections,
        }
    }

    pub(super) fn core(&self) -> &Rc<Core> {
        &self.core
    }

    /// Tells whether the wait is over; if not, this task is woken when it is.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, limit: Limit) -> Option<Expired> {
        let expired = self.enter(cx, limit);
        if expired.is_none() {
            let waits = self.waits();
            waits.look_by(limit.next(self.core.recently()));
        }
        expired
    }

    fn enter(&mut self, cx: &mut Context<'_>, limit: Limit) -> Option<Expired> {
        let waits = self.waits();
        let mut entries = waits.entries.borrow_mut();
        if let Some(key) = self.key
            && let Some(entry) = entries.get_mut(key)
        {
            if entry.expired.is_none() {
                entry.until = limit.until;
                if !entry.waker.will_wake(cx.waker()) {
                    entry.waker.clone_from(cx.waker());
                }
                waits.note_recall(key, limit.recall);
            }
            return entry.expired;
        }
        let key = waits.enter(&mut entries, limit, cx.waker());
        drop(entries);
        self.key = Some(key);
        None
    }

    /// Leaves the place; a later poll takes a new one.
    pub(super) fn leave(&mut self) {
        if let Some(key) = self.key.take() {
            self.waits().entries.borrow_mut().try_remove(key);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEAT: Duration = Duration::from_millis(25);

    fn with(limits: &[Limit]) -> Waits {
        let waits = Waits::new(BEAT);
        for limit in limits {
            waits.enter(&mut waits.entries.borrow_mut(), *limit, Waker::noop());
        }
        waits
    }

    fn recall(until: u64, from: u64) -> Limit {
        let service = ServiceId { slot: 0, serial: 1 };
        let recall = Some(Recall { service, endpoint: None, from: Micros(from) });
        Limit { until: Micros(until), recall }
    }

    #[test]
    fn the_next_look_is_when_a_limit_passes_or_somebody_can_be_taken_back() {
        let waits = with(&[Limit { until: Micros(90), recall: None }, recall(500, 20), recall(400, 200)]);
        assert_eq!(waits.expire(Micros(0), |_| None), Some(Micros(20)));
        // Who can be taken back is looked at when it happens, and needs no look before its limit.
        assert_eq!(waits.expire(Micros(50), |_| None), Some(Micros(90)));
        assert_eq!(waits.expire(Micros(90), |_| None), Some(Micros(200)));
        assert_eq!(waits.expire(Micros(91), |_| Some(Expired::TakenBack)), Some(Micros(200)));
        assert_eq!(waits.expire(Micros(400), |_| None), None, "all are over");
    }

    #[test]
    fn whoever_takes_a_place_anew_is_not_called_in_as_the_one_before() {
        let waits = with(&[recall(500, 20)]);
        waits.entries.borrow_mut().remove(0);
        let later = Limit { until: Micros(900), recall: None };
        assert_eq!(waits.enter(&mut waits.entries.borrow_mut(), later, Waker::noop()), 0, "the same place");
        assert_eq!(waits.expire(Micros(50), |_| Some(Expired::TakenBack)), Some(Micros(900)));
    }

    #[test]
    fn whoever_rests_is_rung_for_what_is_sooner_by_more_than_a_beat() {
        let waits = with(&[]);
        for (next, at, rung) in [
            (NEVER, 7_000_000, Some(7_000_000)),
            (Micros(1_000_000), 980_000, None),
            (Micros(1_000_000), 2_000_000, None),
            (Micros(1_000_000), 900_000, Some(900_000)),
        ] {
            waits.next.set(next);
            waits.look_by(Micros(at));
            assert_eq!(waits.next.get(), rung.map_or(next, Micros), "{at}");
        }
        waits.look_now();
        assert_eq!(waits.next.get(), Micros(0));
    }
}

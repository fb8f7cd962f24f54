use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use pin_project_lite::pin_project;
use slab::Slab;

use crate::model::Micros;
use crate::snapshot::ServiceId;

use super::core::Core;
use super::endpoints::Serial;

/// Who waits for a peer, and until when.
///
/// A timer for each request would cost more than the waiting: so requests stand in a slab, and the worker's
/// beat looks through it. A limit is met to within one beat, and never early.
#[derive(Debug, Default)]
pub(super) struct Waits {
    entries: RefCell<Slab<Entry>>,
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
    limit: Limit,
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

impl Waits {
    /// Ends the waits that are over; `recalled` tells whether a service was taken back, or an endpoint let out.
    pub(super) fn expire(&self, now: Micros, recalled: impl Fn(Recall) -> Option<Expired>) {
        for (_, entry) in self.entries.borrow_mut().iter_mut() {
            if entry.expired.is_some() {
                continue;
            }
            let called_in = entry.limit.recall.filter(|recall| now >= recall.from);
            entry.expired = match called_in.and_then(&recalled) {
                _ if now >= entry.limit.until => Some(Expired::Late),
                Some(expired) => Some(expired),
                None => continue,
            };
            entry.waker.wake_by_ref();
        }
    }

    /// Lets everybody look again: the worker drains, or closes.
    pub(super) fn wake_all(&self) {
        for (_, entry) in self.entries.borrow().iter() {
            entry.waker.wake_by_ref();
        }
    }

    /// Whether nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.borrow().is_empty()
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
        let mut entries = self.waits().entries.borrow_mut();
        match self.key.and_then(|key| entries.get_mut(key)) {
            Some(entry) if entry.expired.is_some() => return entry.expired,
            Some(entry) => {
                entry.limit = limit;
                if !entry.waker.will_wake(cx.waker()) {
                    entry.waker.clone_from(cx.waker());
                }
            }
            None => {
                let key = entries.insert(Entry { limit, waker: cx.waker().clone(), expired: None });
                drop(entries);
                self.key = Some(key);
                match self.among {
                    Among::Requests => self.core.keep_beating(),
                    Among::Connections => self.core.connected.notify_one(),
                }
            }
        }
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

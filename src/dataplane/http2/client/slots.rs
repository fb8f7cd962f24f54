use std::mem;
use std::sync::atomic::{AtomicBool, Ordering::AcqRel, Ordering::Release};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Wake, Waker};

use super::answering::Answering;

/// The requests of one connection, each called by itself. (A task for each would cost its place in memory and its turn.)
pub(super) struct Slots<F> {
    places: Vec<Slot<F>>,
    free: Vec<usize>,
    calls: Arc<Calls>,
    /// Those that were called in this turn.
    turn: Vec<usize>,
}

/// A place for one request at a time.
pub(super) struct Slot<F> {
    pub(super) answering: Answering<F>,
    caller: Arc<Caller>,
    waker: Waker,
}

/// Who has been called. (A waker may be anybody's, and so it is locked; nobody ever waits.)
#[derive(Default)]
struct Calls(Mutex<Called>);

#[derive(Default)]
struct Called {
    slots: Vec<usize>,
    /// Whoever drives the connection, …
    driver: Option<Waker>,
    /// … who is at it.
    is_driving: bool,
}

struct Caller {
    slot: usize,
    is_called: AtomicBool,
    calls: Arc<Calls>,
}

/// So many places are kept while nothing is asked.
const KEPT: usize = 8;

impl<F> Slots<F> {
    pub(super) fn new() -> Self {
        Self { places: Vec::new(), free: Vec::new(), calls: Arc::default(), turn: Vec::new() }
    }

    /// A free place, which is called at once.
    pub(super) fn take(&mut self) -> &mut Answering<F> {
        let place = self.free.pop().unwrap_or_else(|| {
            let slot = self.places.len();
            let caller =
                Arc::new(Caller { slot, is_called: AtomicBool::new(false), calls: self.calls.clone() });
            let (answering, waker) = (Answering::default(), Waker::from(caller.clone()));
            self.places.push(Slot { answering, caller, waker });
            slot
        });
        let slot = &mut self.places[place];
        slot.waker.wake_by_ref();
        &mut slot.answering
    }

    /// Whoever drives the connection begins to: nobody need call it.
    pub(super) fn attend(&self, cx: &Context<'_>) {
        let mut called = self.calls.lock();
        called.is_driving = true;
        if !called.driver.as_ref().is_some_and(|driver| driver.will_wake(cx.waker())) {
            called.driver = Some(cx.waker().clone());
        }
    }

    /// Whether somebody has been called meanwhile; if not, whoever drives the connection waits.
    pub(super) fn are_called(&self) -> bool {
        let mut called = self.calls.lock();
        called.is_driving = !called.slots.is_empty();
        called.is_driving
    }

    /// Whoever drives the connection waits, and is called again if there is something to do.
    pub(super) fn rest(&self) {
        self.calls.lock().is_driving = false;
    }

    /// How many places are taken.
    pub(super) fn taken(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Gives each that was called its turn. Those that say so are free again.
    pub(super) fn turn(&mut self, mut poll: impl FnMut(&mut Answering<F>, &mut Context<'_>) -> Turn) {
        mem::swap(&mut self.turn, &mut self.calls.lock().slots);
        for place in self.turn.drain(..) {
            let Some(slot) = self.places.get_mut(place) else { continue };
            slot.caller.is_called.store(false, Release);
            if slot.answering.is_free() {
                continue;
            }
            let mut cx = Context::from_waker(&slot.waker);
            if poll(&mut slot.answering, &mut cx) == Turn::Over {
                slot.answering.free();
                self.free.push(place);
            }
        }
        if self.places.len() > KEPT && self.free.len() == self.places.len() {
            (self.places, self.free) = (Vec::new(), Vec::new());
        }
    }
}

/// What became of a request in its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Waits,
    Over,
}

impl Calls {
    fn lock(&self) -> MutexGuard<'_, Called> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Caller {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.is_called.swap(true, AcqRel) {
            return;
        }
        let mut called = self.calls.lock();
        called.slots.push(self.slot);
        if !mem::replace(&mut called.is_driving, true)
            && let Some(driver) = &called.driver
        {
            driver.wake_by_ref();
        }
    }
}

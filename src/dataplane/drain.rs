use std::cell::{Cell, RefCell};
use std::task::Waker;

use slab::Slab;
use tokio::sync::Notify;

/// Counts a worker's connections, and tells each when no more requests are wanted.
#[derive(Debug, Default)]
pub(super) struct Drain {
    draining: Cell<bool>,
    closing: Cell<bool>,
    /// A waker for each connection, kept once: a connection's task never changes.
    connections: RefCell<Slab<Option<Waker>>>,
    /// Rung when a connection ends.
    left: Notify,
    /// Rung when draining begins.
    begun: Notify,
}

/// One connection's place.
pub(super) struct Seat<'a> {
    drain: &'a Drain,
    key: usize,
}

impl Drain {
    /// Takes a place for a connection.
    pub(super) fn sit(&self) -> Seat<'_> {
        Seat { drain: self, key: self.enter() }
    }

    /// Takes a place for what goes on where a connection ends, to be left by its number.
    pub(super) fn enter(&self) -> usize {
        self.connections.borrow_mut().insert(None)
    }

    /// Gives a place up.
    pub(super) fn leave(&self, key: usize) {
        self.connections.borrow_mut().try_remove(key);
        self.left.notify_waiters();
    }

    /// Tells whether the connection with this place is to end; if not, `waker` is woken when it is.
    pub(super) fn calls(&self, key: usize, waker: &Waker) -> bool {
        if self.is_draining() {
            return true;
        }
        if let Some(place) = self.connections.borrow_mut().get_mut(key)
            && place.is_none()
        {
            *place = Some(waker.clone());
        }
        false
    }

    /// Tells every connection to end, idle ones at once and others after their request.
    pub(super) fn begin(&self) {
        self.draining.set(true);
        self.begun.notify_waiters();
        for (_, waker) in self.connections.borrow().iter() {
            if let Some(waker) = waker {
                waker.wake_by_ref();
            }
        }
    }

    pub(super) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// The deadline has come: streams that still go on are to be closed.
    pub(super) fn close(&self) {
        self.closing.set(true);
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.get()
    }

    /// Waits until draining begins.
    pub(super) async fn begun(&self) {
        while !self.is_draining() {
            self.begun.notified().await;
        }
    }

    /// Connections at this moment.
    pub(super) fn connections(&self) -> usize {
        self.connections.borrow().len()
    }

    /// Waits until there are fewer connections than `bound`.
    pub(super) async fn fewer_than(&self, bound: usize) {
        while self.connections() >= bound {
            self.left.notified().await;
        }
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.drain.leave(self.key);
    }
}

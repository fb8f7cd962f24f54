use std::cell::Cell;

use tokio::sync::Notify;

/// Counts a worker's connections, and tells whether more requests are wanted. Connections look at it when they are woken where they
/// wait.
#[derive(Debug, Default)]
pub(super) struct Drain {
    draining: Cell<bool>,
    closing: Cell<bool>,
    connections: Cell<usize>,
    /// Rung when a connection ends.
    left: Notify,
    /// Rung when draining begins.
    begun: Notify,
}

/// One connection's place.
pub(super) struct Seat<'a>(&'a Drain);

impl Drain {
    /// Takes a place for a connection.
    pub(super) fn sit(&self) -> Seat<'_> {
        self.enter();
        Seat(self)
    }

    /// Takes a place for what goes on where a connection ends, to be left once.
    pub(super) fn enter(&self) {
        self.connections.set(self.connections.get() + 1);
    }

    /// Gives a place up.
    pub(super) fn leave(&self) {
        debug_assert!(self.connections.get() > 0, "each is left once");
        self.connections.set(self.connections.get().saturating_sub(1));
        self.left.notify_waiters();
    }

    /// Every connection is to end, idle ones at once and others after their request. Whoever says so wakes them, too.
    pub(super) fn begin(&self) {
        self.draining.set(true);
        self.begun.notify_waiters();
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
        self.connections.get()
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
        self.0.leave();
    }
}

use std::cell::{Cell, RefCell};
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout;

/// The settings come soon and hardly ever change: they are looked at in each of the first turns, and then now and again.
const OFTEN: u32 = 32;
/// Streams that are opened before the settings have come.
pub(super) const UNKNOWN_STREAMS: usize = 1;
/// How often it is asked for them.
const ASKED: u32 = 50;
/// How long after asking it is asked again. Settings come with the first packet of a new connection.
const ASK_AGAIN: Duration = Duration::from_millis(2);

/// What an endpoint's settings allow, as far as somebody wants to know: hyper tells only who drives the
/// connection, and not when it changes.
#[derive(Debug, Default)]
pub(super) struct Settings {
    connect: Cell<bool>,
    /// Streams that may be open at once, and how often that was looked at.
    streams: Cell<usize>,
    looks: Cell<u32>,
    wanted: Cell<bool>,
    changed: Notify,
    /// The connection's task, to be asked.
    driver: RefCell<Option<Waker>>,
}

impl Settings {
    /// The connection was driven on.
    pub(super) fn learn(
        &self,
        cx: &Context<'_>,
        allows_connect: impl FnOnce() -> bool,
        most_streams: impl FnOnce() -> usize,
    ) {
        let looks = self.looks.get();
        self.looks.set(looks.wrapping_add(1));
        if looks < OFTEN || looks.is_multiple_of(OFTEN) {
            self.streams.set(most_streams());
            if self.streams.get() > UNKNOWN_STREAMS {
                self.changed.notify_waiters();
            }
        }
        if self.wanted.get() && !self.connect.get() && allows_connect() {
            self.connect.set(true);
            self.changed.notify_waiters();
        }
        let mut driver = self.driver.borrow_mut();
        if driver.is_none() {
            // A connection's task never changes.
            *driver = Some(cx.waker().clone());
        }
    }

    /// How many streams the endpoint allows at once. One that allows none for the moment is asked one by one.
    pub(super) fn most_streams(&self) -> usize {
        self.streams.get().max(UNKNOWN_STREAMS)
    }

    /// Waits until it is known how many streams the endpoint allows, but not for long.
    pub(super) async fn most_streams_known(&self) {
        for _ in 0..ASKED {
            if self.streams.get() > UNKNOWN_STREAMS {
                return;
            }
            let changed = self.changed.notified();
            if let Some(driver) = &*self.driver.borrow() {
                driver.wake_by_ref();
            }
            let _ = timeout(ASK_AGAIN, changed).await;
        }
    }

    /// Waits until extended CONNECT is allowed, perhaps for ever.
    pub(super) async fn allow_connect(&self) {
        while !self.connect.get() {
            let changed = self.changed.notified();
            self.wanted.set(true);
            if let Some(driver) = &*self.driver.borrow() {
                driver.wake_by_ref();
            }
            // Who drives it is not woken when settings come: only asking again tells.
            let _ = timeout(ASK_AGAIN, changed).await;
        }
    }
}

use std::cell::{Cell, RefCell};
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout;

/// How long after asking it is asked again. Settings come with the first packet of a new connection.
const ASK_AGAIN: Duration = Duration::from_millis(2);

/// What an endpoint's settings allow, as far as somebody wants to know: hyper tells only who drives the
/// connection, and not when it changes.
#[derive(Debug, Default)]
pub(super) struct Settings {
    connect: Cell<bool>,
    wanted: Cell<bool>,
    changed: Notify,
    /// The connection's task, to be asked.
    driver: RefCell<Option<Waker>>,
}

impl Settings {
    /// The connection was driven on.
    pub(super) fn learn(&self, cx: &Context<'_>, allows_connect: impl FnOnce() -> bool) {
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

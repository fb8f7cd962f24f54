use std::rc::Rc;

use tokio::sync::watch;
use tokio::time::sleep;

use crate::clock::Clock;

use super::super::event::Now;
use super::desk::Desk;
use super::keys;
use super::send::send;

/// Sends what one webhook is to be told, one message after the other, until it is told to stop. A message under way is finished.
pub(super) async fn run(clock: Clock, desk: Rc<Desk>, source: Rc<str>, mut stop: watch::Receiver<bool>) {
    let mut configured = desk.config.subscribe();
    while !*stop.borrow() {
        if configured.has_changed().unwrap_or(false) {
            desk.begin_anew();
        }
        let config = configured.borrow_and_update().clone();
        let Some(message) = desk.begin() else {
            tokio::select! {
                () = desk.bell.notified() => continue,
                _ = stop.wait_for(|stop| *stop) => return,
            }
        };
        let files = keys::files(&config).await;
        let sent = send(&config, &message, &source, clock.wall()).await;
        let is_of_keys = sent.is_of_keys();
        let now = Now { mono: clock.millis(), wall: clock.wall() };
        let Some(pause) = desk.end(&message, sent, now, fastrand::f64()) else { continue };
        // What could not be written before may be by now.
        desk.keep();
        tokio::select! {
            () = sleep(pause) => {}
            () = keys::change(&config, files), if is_of_keys => desk.begin_anew(),
            // It cannot end: the desk has the other end.
            _ = configured.changed() => configured.mark_changed(),
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

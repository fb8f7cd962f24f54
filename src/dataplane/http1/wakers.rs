use std::task::Waker;

/// Calls whoever waits, if anybody does.
pub(super) fn wake(waits: Option<Waker>) {
    if let Some(waits) = waits {
        waits.wake();
    }
}

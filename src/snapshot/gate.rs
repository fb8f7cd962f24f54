use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::{Rate, ServiceConfig, ServiceLimits};
use crate::model::{Micros, PerSide};

/// What bounds a service's requests over all workers. It is the one thing on the path of a request that workers
/// share and write to, and only services that have such a bound have it.
#[derive(Debug)]
pub(crate) struct Gates {
    limits: ServiceLimits,
    by_side: PerSide<Option<u32>>,
    /// Requests in flight.
    pub(crate) service: Option<Gate>,
    /// Tries in flight on a side.
    pub(crate) sides: PerSide<Option<Gate>>,
    /// Requests a second.
    pub(crate) quota: Option<Quota>,
}

/// So many may be in flight at once; others wait for their turn, in the order in which they came.
#[derive(Debug)]
pub(crate) struct Gate {
    turns: Arc<Semaphore>,
    waiting: AtomicU32,
    queue: u32,
}

/// One of those in flight.
pub(crate) type Turn = OwnedSemaphorePermit;

/// As many wait as may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QueueFull;

/// So many may be in flight at once, and nobody waits. Control changes the number as it sees fit.
#[derive(Debug)]
pub(crate) struct Room {
    taken: AtomicU32,
    most: AtomicU32,
    refused: AtomicU64,
}

/// One of those in flight.
#[derive(Debug)]
pub(crate) struct Seat(Arc<Room>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Relaxed);
    }
}

impl Room {
    pub(crate) fn new(most: f64) -> Self {
        let room = Self { taken: AtomicU32::new(0), most: AtomicU32::new(0), refused: AtomicU64::new(0) };
        room.bound(most);
        room
    }

    /// Lets so many in from now on. Who is in stays.
    pub(crate) fn bound(&self, most: f64) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a cast of floats saturates"
        )]
        self.most.store(most as u32, Relaxed);
    }

    /// Enters, if there is a seat.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<Seat> {
        if self.taken.fetch_add(1, Relaxed) < self.most.load(Relaxed) {
            return Some(Seat(self.clone()));
        }
        self.taken.fetch_sub(1, Relaxed);
        self.refused.fetch_add(1, Relaxed);
        None
    }

    /// How many found none.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }
}

/// So many may come in a time: the generic cell rate algorithm (ITU-T I.371), which is a leaky bucket in one number.
#[derive(Debug)]
pub(crate) struct Quota {
    /// Nanoseconds from one to the next, over a longer time.
    interval: u64,
    /// Nanoseconds by which one may be early: a burst's worth.
    tolerance: u64,
    /// When the next would be neither early nor late.
    due: AtomicU64,
}

/// Counts who waits, for as long as it does.
struct Waiting<'a>(&'a AtomicU32);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Gates {
    /// The gates that a configuration asks for: those that are there, if they are such, with who has come in by them.
    /// `None` if it asks for none.
    pub(crate) fn of(config: &ServiceConfig, there: Option<&Arc<Self>>) -> Option<Arc<Self>> {
        let (limits, by_side) = (config.limits, config.sides.as_ref().map(|side| side.in_flight));
        if limits.in_flight.is_none() && limits.rate.is_none() && by_side == PerSide::default() {
            return None;
        }
        if let Some(there) = there.filter(|there| there.limits == limits && there.by_side == by_side) {
            return Some(there.clone());
        }
        let gate = |most: Option<u32>| most.map(|most| Gate::new(most, limits.queue));
        let (service, sides) = (gate(limits.in_flight), by_side.map(gate));
        Some(Arc::new(Self { limits, by_side, service, sides, quota: limits.rate.map(Quota::new) }))
    }
}

impl Gate {
    fn new(most: u32, queue: u32) -> Self {
        Self { turns: Arc::new(Semaphore::new(most as usize)), waiting: AtomicU32::new(0), queue }
    }

    /// Enters, if there is room.
    pub(crate) fn enter(&self) -> Option<Turn> {
        self.turns.clone().try_acquire_owned().ok()
    }

    /// Waits until there is room. Whoever drops this gives up its place in the queue.
    pub(crate) async fn wait(&self) -> Result<Turn, QueueFull> {
        if self.waiting.fetch_add(1, Relaxed) >= self.queue {
            self.waiting.fetch_sub(1, Relaxed);
            return Err(QueueFull);
        }
        let _waiting = Waiting(&self.waiting);
        // It is never closed.
        self.turns.clone().acquire_owned().await.map_err(|_| QueueFull)
    }
}

impl Quota {
    fn new(rate: Rate) -> Self {
        let interval = (1_000_000_000 / u64::from(rate.per_second)).max(1);
        Self { interval, tolerance: interval * u64::from(rate.burst), due: AtomicU64::new(0) }
    }

    /// Takes one out of it; if there is none, tells how soon there will be.
    pub(crate) fn take(&self, now: Micros) -> Result<(), Duration> {
        let now = now.0.saturating_mul(1_000);
        let mut due = self.due.load(Relaxed);
        loop {
            let next = due.max(now) + self.interval;
            let early = next - now;
            if early > self.tolerance {
                return Err(Duration::from_nanos(early - self.tolerance));
            }
            match self.due.compare_exchange_weak(due, next, Relaxed, Relaxed) {
                Ok(_) => return Ok(()),
                Err(other) => due = other,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(quota: &Quota, at_us: impl Iterator<Item = u64>) -> usize {
        at_us.filter(|at| quota.take(Micros(*at)).is_ok()).count()
    }

    #[test]
    fn a_quota_is_kept_over_time_and_a_burst_after_a_pause() {
        let quota = Quota::new(Rate { per_second: 100, burst: 10 });
        assert_eq!(taken(&quota, std::iter::repeat_n(0, 50)), 10, "at once");
        // 1,000 a second are asked for in ten seconds: one every ten milliseconds is let through.
        assert_eq!(taken(&quota, (1..=10_000).map(|ms| ms * 1_000)), 1_000);
        assert_eq!(taken(&quota, std::iter::repeat_n(60_000_000, 50)), 10, "after a pause, and not more");
        let wait = quota.take(Micros(60_000_000)).unwrap_err();
        assert_eq!(wait, Duration::from_millis(10));
        assert_eq!(quota.take(Micros(60_009_999)).unwrap_err(), Duration::from_micros(1));
        assert_eq!(quota.take(Micros(60_010_000)), Ok(()));
    }

    #[test]
    fn a_quota_is_one_for_all_threads() {
        let quota = Quota::new(Rate { per_second: 1, burst: 1_000 });
        let sum: usize = std::thread::scope(|scope| {
            let threads = [(); 4].map(|()| scope.spawn(|| taken(&quota, std::iter::repeat_n(5, 1_000))));
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(sum, 1_000);
    }

    fn is_pending(waits: &mut (impl Future + Unpin)) -> bool {
        std::pin::Pin::new(waits)
            .poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
            .is_pending()
    }

    #[tokio::test]
    async fn who_gives_up_waiting_leaves_the_queue_and_turns_go_by_order() {
        let gate = Gate::new(1, 2);
        let first = gate.enter().unwrap();
        assert!(gate.enter().is_none());
        let mut second = Box::pin(gate.wait());
        let mut third = Box::pin(gate.wait());
        assert!(is_pending(&mut second) && is_pending(&mut third));
        assert_eq!(gate.wait().await.map(|_| ()), Err(QueueFull));
        drop(second);
        let mut fourth = Box::pin(gate.wait());
        assert!(is_pending(&mut fourth), "there is room in the queue again");
        drop(first);
        assert!(gate.enter().is_none(), "who came later must not get in before");
        assert!(is_pending(&mut fourth));
        drop(third.await.unwrap());
        drop(fourth.await.unwrap());
        assert!(gate.enter().is_some());
    }
}

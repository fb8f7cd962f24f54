use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::ErrorKind;
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::net::unix::pipe::Receiver;
use tokio::sync::Notify;

use super::{Generated, Quantiles};

/// When requests are due, and what came of them.
pub(super) struct Schedule {
    due: RefCell<VecDeque<Instant>>,
    more: Notify,
    /// Nothing more will be due.
    is_over: Cell<bool>,
    /// Without a rate: requests that are still to be sent.
    left: Cell<Option<u64>>,
    latency: RefCell<Histogram<u64>>,
    late: RefCell<Histogram<u64>>,
    failed: Cell<u64>,
    first_failure: RefCell<Option<String>>,
}

/// The longest latency that is told apart from longer ones: a minute, in nanoseconds.
const LONGEST_NS: u64 = 60_000_000_000;
/// The kernel may let a timer be late by so much for the sake of others; its own default is 50 µs.
const SLACK_NS: u64 = 1;

impl Schedule {
    pub(super) fn new(requests: Option<u64>) -> Self {
        Self {
            due: RefCell::default(),
            more: Notify::new(),
            is_over: Cell::new(false),
            left: Cell::new(requests),
            latency: RefCell::new(histogram()),
            late: RefCell::new(histogram()),
            failed: Cell::new(0),
            first_failure: RefCell::default(),
        }
    }

    /// Makes requests due, `rate` a second for so many seconds. The timer is the kernel's: tokio's are whole
    /// milliseconds, in which several requests would become due at once.
    pub(super) async fn run(&self, rate: f64, seconds: f64) -> std::io::Result<()> {
        if let Some(slack) = NonZeroU64::new(SLACK_NS) {
            rustix::thread::set_current_timer_slack(Some(slack))?;
        }
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK)?;
        let period = Duration::from_secs_f64(1.0 / rate);
        let whole_s = i64::try_from(period.as_secs()).unwrap_or(i64::MAX);
        let each = Timespec { tv_sec: whole_s, tv_nsec: i64::from(period.subsec_nanos()).max(1) };
        let due_at = Itimerspec { it_interval: each, it_value: each };
        timerfd_settime(&timer, TimerfdTimerFlags::empty(), &due_at)?;
        // Not a pipe, but read as one: tokio takes other descriptors in unsafe code only.
        let (start, timer) = (Instant::now(), Receiver::from_owned_fd_unchecked(timer)?);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "requests of one run")]
        let all = (rate * seconds) as u32;
        let mut made = 0;
        while made < all {
            timer.readable().await?;
            let mut count = [0; 8];
            match timer.try_read(&mut count) {
                Ok(_) => {
                    let expired = u32::try_from(u64::from_ne_bytes(count)).unwrap_or(u32::MAX);
                    for _ in 0..expired.min(all - made) {
                        made += 1;
                        self.due.borrow_mut().push_back(start + period * made);
                        self.more.notify_one();
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        self.is_over.set(true);
        self.more.notify_waiters();
        Ok(())
    }

    /// Waits for the next request, and tells when it was due.
    pub(super) async fn next(&self) -> Option<Instant> {
        if let Some(left) = self.left.get() {
            self.left.set(Some(left.saturating_sub(1)));
            return (left > 0).then(Instant::now);
        }
        loop {
            // Before looking: what becomes due in between is not missed.
            let more = self.more.notified();
            if let Some(due) = self.due.borrow_mut().pop_front() {
                return Some(due);
            }
            if self.is_over.get() {
                return None;
            }
            more.await;
        }
    }

    pub(super) fn answered(&self, due: Instant, sent: Instant) {
        let ns = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.latency.borrow_mut().saturating_record(ns(due.elapsed()));
        self.late.borrow_mut().saturating_record(ns(sent.saturating_duration_since(due)));
    }

    pub(super) fn failed(&self, error: &anyhow::Error) {
        self.failed.set(self.failed.get() + 1);
        self.first_failure.borrow_mut().get_or_insert_with(|| format!("{error:#}"));
    }

    /// So many requests got no answer, and more were never sent.
    pub(super) fn give_up(&self, waiting: u64) {
        let never_sent = self.due.borrow().len() as u64;
        self.failed.set(self.failed.get() + waiting + never_sent);
        self.first_failure.borrow_mut().get_or_insert_with(|| "some got no answer".to_owned());
    }

    pub(super) fn told(&self, took: Duration) -> Generated {
        let latency = self.latency.borrow();
        Generated {
            answered: latency.len(),
            // Where every worker has given up, the rest was never asked.
            failed: self.failed.get() + self.due.borrow().len() as u64 + self.left.get().unwrap_or(0),
            first_failure: self.first_failure.borrow().clone(),
            seconds: took.as_secs_f64(),
            latency: quantiles(&latency),
            late: quantiles(&self.late.borrow()),
        }
    }
}

/// Latencies to within a thousandth.
fn histogram() -> Histogram<u64> {
    match Histogram::new_with_bounds(1, LONGEST_NS, 3) {
        Ok(histogram) => histogram,
        Err(_) => unreachable!("the bounds are in order"),
    }
}

fn quantiles(of: &Histogram<u64>) -> Quantiles {
    let us = |ns: u64| ns as f64 / 1e3;
    let at = |share| us(of.value_at_quantile(share));
    Quantiles { p50: at(0.5), p99: at(0.99), p999: at(0.999), most: us(of.max()) }
}

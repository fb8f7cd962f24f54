use std::collections::VecDeque;

use crate::model::{Micros, Millis, UnixMillis};
use crate::verdict::Latency;

use super::event::Now;

/// What a side can take: the most that it has served well in the last week.
///
/// Pure. It looks at ten seconds at a time. They went well if next to nothing failed, and half of the answers came in about the
/// time that they usually take: a side that is slower than usual is at its end.
#[derive(Debug, Default)]
pub(super) struct Capacity {
    window: Window,
    /// The best of each hour, the oldest first.
    best: VecDeque<Served>,
    /// The median time to answer, as a logarithm of microseconds.
    usual: Option<f64>,
}

#[derive(Debug, Default)]
struct Window {
    since: Option<Millis>,
    ok: u64,
    failed: u64,
    latencies: Vec<Latency>,
}

/// What a side has served.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Served {
    pub(super) at: UnixMillis,
    pub(super) per_second: f64,
    /// How many endpoints it had.
    pub(super) endpoints: usize,
}

/// Whether Helios can take everything back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Fit {
    /// Requests a second that it would get.
    pub(super) needed: f64,
    /// Requests a second that it can take.
    pub(super) able: f64,
    /// When it has served so many; `None` if people have said so.
    pub(super) at: Option<UnixMillis>,
}

const WINDOW: Millis = Millis(10_000);
const HOUR: u64 = 3_600_000;
/// Before this it is not known well enough what a side can take.
const KNOWN_AFTER: u64 = HOUR;
/// A side that has done so much can do a bit more.
const MARGIN: f64 = 1.25;
/// How long it is remembered.
const REMEMBERED: u64 = 7 * 24 * HOUR;
/// The share that may fail of what was served well.
const FAILING: f64 = 0.01;
/// How many times as long as usual half of the answers may take.
const SLOWER: f64 = 1.5;
/// Answers by which it is known how long they usually take.
const ANSWERS: usize = 20;
/// Latencies that a window keeps.
const MOST_LATENCIES: usize = 4_096;
/// How much of what is usual is the last window's, if that went well, …
const LEARNS: f64 = 0.1;
/// … and if it did not: what lasts becomes usual.
const YIELDS: f64 = 0.01;

impl Capacity {
    /// Adds what a worker counted.
    pub(super) fn count(&mut self, ok: u64, failed: u64, latencies: impl Iterator<Item = Latency>) {
        self.window.ok += ok;
        self.window.failed += failed;
        let room = MOST_LATENCIES - self.window.latencies.len();
        self.window.latencies.extend(latencies.take(room));
    }

    /// Time passes: tells whether it has served more than ever in this hour.
    pub(super) fn tick(&mut self, now: Now, endpoints: usize) -> bool {
        let Some(since) = self.window.since else {
            self.window.since = Some(now.mono);
            return false;
        };
        let passed = now.mono.since(since);
        if passed < WINDOW {
            return false;
        }
        let Window { ok, failed, mut latencies, .. } = std::mem::take(&mut self.window);
        self.window.since = Some(now.mono);
        let median = (latencies.len() >= ANSWERS).then(|| {
            let middle = latencies.len() / 2;
            (latencies.select_nth_unstable(middle).1.longest().0.max(1) as f64).ln()
        });
        let is_slow =
            matches!((median, self.usual), (Some(median), Some(usual)) if median > usual + SLOWER.ln());
        let well = !is_slow && failed as f64 <= FAILING * (ok + failed) as f64;
        if let Some(median) = median {
            let usual = self.usual.unwrap_or(median);
            self.usual = Some(usual + (median - usual) * if well { LEARNS } else { YIELDS });
        }
        // What was gathered over a pause says little about a second.
        if !well || ok == 0 || passed > Millis(2 * WINDOW.0) {
            return false;
        }
        self.note(Served { at: now.wall, per_second: ok as f64 / passed.seconds(), endpoints })
    }

    /// Goes by what was known before; tells whether that is more than what is known of its hour.
    pub(super) fn note(&mut self, served: Served) -> bool {
        let hour = served.at.0 / HOUR;
        self.best.retain(|best| best.at.0 + REMEMBERED > served.at.0);
        match self.best.iter_mut().find(|best| best.at.0 / HOUR == hour) {
            Some(best) if best.per_second >= served.per_second => false,
            Some(best) => {
                // Not every single request more is worth writing down.
                let much = served.per_second > 1.05 * best.per_second;
                *best = served;
                much
            }
            None => {
                self.best.push_back(served);
                true
            }
        }
    }

    /// What is remembered, for the next process.
    pub(super) fn served(&self) -> impl Iterator<Item = &Served> {
        self.best.iter()
    }

    /// What it can take with so many endpoints: fewer than there were can take less. `None` while too little is known.
    pub(super) fn able(&self, now: UnixMillis, endpoints: usize) -> Option<Served> {
        if self.best.front().is_none_or(|first| first.at.0 + KNOWN_AFTER > now.0) {
            return None;
        }
        let scaled = |served: &Served| {
            let share = (endpoints as f64 / served.endpoints.max(1) as f64).min(1.0);
            Served { per_second: served.per_second * share, ..*served }
        };
        let lately = self.best.iter().filter(|best| best.at.0 + REMEMBERED > now.0).map(scaled);
        lately.max_by(|one, other| one.per_second.total_cmp(&other.per_second))
    }

    /// How long half of its answers usually take at most.
    pub(super) fn usual(&self) -> Option<Micros> {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a latency, rounded")]
        self.usual.map(|usual| Micros(usual.exp() as u64))
    }
}

impl Fit {
    pub(super) fn fits(&self) -> bool {
        let margin = if self.at.is_some() { MARGIN } else { 1.0 };
        self.needed <= self.able * margin
    }
}

impl std::fmt::Display for Fit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { needed, able, .. } = self;
        match self.at {
            Some(_) => write!(f, "Helios has served {able:.0}/s at most in the last week")?,
            None => write!(f, "Helios can serve {able:.0}/s by its capacity")?,
        }
        write!(f, "; all traffic is {needed:.0}/s")
    }
}

/// Tells once when it changes whether everything fits, and has stayed so.
#[derive(Debug, Default)]
pub(super) struct FitWatch {
    fits: Option<bool>,
    since: Option<Millis>,
}

/// How long it must stay so.
const STAYS: Millis = Millis(30_000);

impl FitWatch {
    /// What there is to tell, if anything.
    pub(super) fn tick(&mut self, now: Millis, fit: Option<Fit>) -> Option<Fit> {
        let fit = fit?;
        if self.fits.unwrap_or(true) == fit.fits() {
            self.since = None;
            return None;
        }
        let since = *self.since.get_or_insert(now);
        (now.since(since) >= STAYS).then(|| {
            (self.fits, self.since) = (Some(fit.fits()), None);
            fit
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now(second: u64) -> Now {
        Now { mono: Millis(second * 1_000), wall: UnixMillis(1_000 * HOUR + second * 1_000) }
    }

    /// Serves so many a second in a time each, of which some fail, for so many seconds.
    fn serve(capacity: &mut Capacity, from: u64, seconds: u64, (per_second, failed, ms): (u64, u64, u64)) {
        for second in from..from + seconds {
            for _ in 0..10 {
                let latencies = (0..per_second / 10).map(|_| Latency::of(Micros(ms * 1_000)));
                capacity.count((per_second - failed) / 10, failed / 10, latencies);
            }
            capacity.tick(now(second + 1), 4);
        }
    }

    fn able(capacity: &Capacity, second: u64, endpoints: usize) -> f64 {
        capacity
            .able(now(second + KNOWN_AFTER / 1_000).wall, endpoints)
            .map_or(0.0, |served| served.per_second.round())
    }

    #[test]
    fn the_most_that_was_served_well_is_what_it_can_take() {
        let mut capacity = Capacity::default();
        capacity.tick(now(0), 4);
        serve(&mut capacity, 0, 60, (500, 0, 20));
        serve(&mut capacity, 60, 60, (200, 0, 20));
        assert_eq!(capacity.able(now(120).wall, 4), None, "that is too short to say");
        assert!((able(&capacity, 120, 4) - 500.0).abs() < 1e-9);
        assert!((able(&capacity, 120, 2) - 250.0).abs() < 1e-9, "half of the endpoints are gone");
        assert!((able(&capacity, 120, 8) - 500.0).abs() < 1e-9, "what more could do nobody has seen");
        assert!(capacity.usual().unwrap().0.abs_diff(20_000) < 400);
    }

    #[test]
    fn what_failed_or_was_slow_was_not_served_well() {
        let mut capacity = Capacity::default();
        capacity.tick(now(0), 4);
        serve(&mut capacity, 0, 60, (500, 0, 20));
        serve(&mut capacity, 60, 60, (900, 90, 20));
        serve(&mut capacity, 120, 60, (800, 0, 60));
        assert!((able(&capacity, 180, 4) - 500.0).abs() < 1e-9);
        assert!(capacity.usual().unwrap().0 < 24_000, "an overload is not what is usual");
    }

    #[test]
    fn after_a_week_it_is_forgotten_and_a_restart_does_not_forget() {
        let mut capacity = Capacity::default();
        capacity.tick(now(0), 4);
        serve(&mut capacity, 0, 20, (500, 0, 20));
        let mut next = Capacity::default();
        for served in capacity.served() {
            next.note(*served);
        }
        let week = REMEMBERED / 1_000;
        assert!((able(&next, week - 3_700, 4) - 500.0).abs() < 1e-9);
        assert!(able(&next, week + 60, 4).abs() < 1e-9);
    }
}

use std::sync::Arc;

use crate::model::{Micros, Millis};
use crate::snapshot::Room;
use crate::verdict::Latency;

/// Keeps Helios from collapsing under all that a revert sends it.
///
/// It bounds the tries in flight there, and follows its answers: by Little's law (J. D. C. Little, 1961) a side that answers
/// X a second in a time of W has X · W in flight. What is more only waits, so the bound is what Helios answers, times how long it
/// usually takes, and some more. It is lowered at once when answers take longer, and raised bit by bit while they do not. What
/// finds no place is refused at once. Pure.
#[derive(Debug, Default)]
pub(super) struct Shedder {
    bound: Option<Bound>,
    window: Window,
}

#[derive(Debug)]
struct Bound {
    room: Arc<Room>,
    most: f64,
    /// How many had been refused when that was looked at last.
    refused: u64,
    /// Since when it is counted how many are refused, and how many answered.
    counted_since: Millis,
    refused_then: u64,
    answered: u64,
}

#[derive(Debug, Default)]
struct Window {
    since: Millis,
    answered: u64,
    latencies: Vec<Latency>,
}

/// What it goes by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Usually {
    /// Half of Helios' answers usually come in this time.
    pub(super) median: Micros,
    /// How many endpoints it has: each can have one try in flight at least.
    pub(super) endpoints: usize,
}

/// How often the bound is looked at.
const EVERY: Millis = Millis(500);
/// Answers that must be there to go by them.
const ANSWERS: usize = 10;
/// Answers that take so many times as long as usual mean that Helios has too much.
const TOO_MUCH: f64 = 3.0;
/// The same while it is bounded.
const SLOW: f64 = 1.5;
/// The bound, in times of what is in flight where nobody waits.
const HEADROOM: f64 = 1.25;
/// By how much it is raised.
const RAISE: f64 = 1.1;
/// By how much it is lowered at most.
const LOWER: f64 = 0.8;
/// When in so long next to nobody was refused …
const OVER: Millis = Millis(60_000);
/// … of so many that were answered, there is no bound any more.
const NEXT_TO_NOBODY: f64 = 0.001;
/// Latencies that are kept between two looks.
const MOST_LATENCIES: usize = 2_048;

impl Shedder {
    /// Adds what a worker counted on Helios.
    pub(super) fn count(&mut self, answered: u64, latencies: impl Iterator<Item = Latency>) {
        self.window.answered += answered;
        let room = MOST_LATENCIES - self.window.latencies.len();
        self.window.latencies.extend(latencies.take(room));
    }

    /// What bounds the tries in flight, if anything does.
    pub(super) fn room(&self) -> Option<&Arc<Room>> {
        self.bound.as_ref().map(|bound| &bound.room)
    }

    /// Everything goes to Helios now, and it is known to take no more than `able` a second: does not wait until it is slow.
    pub(super) fn expect(&mut self, now: Millis, usually: Usually, able: f64) {
        if self.bound.is_none() {
            self.begin(now, usually, able);
        }
    }

    /// Time passes: tells whether workers are to go by another room, or by none. A bound begins only while `may_begin`.
    pub(super) fn tick(&mut self, now: Millis, usually: Option<Usually>, may_begin: bool) -> bool {
        let passed = now.since(self.window.since);
        if passed < EVERY {
            return false;
        }
        let Window { answered, mut latencies, .. } =
            std::mem::replace(&mut self.window, Window { since: now, ..Window::default() });
        let Some(usually) = usually else { return false };
        let per_second = answered as f64 / passed.seconds();
        let times = (latencies.len() >= ANSWERS).then(|| {
            let middle = latencies.len() / 2;
            latencies.select_nth_unstable(middle).1.longest().0 as f64 / usually.median.0.max(1) as f64
        });
        let Some(bound) = &mut self.bound else {
            let begins = may_begin && times.is_some_and(|times| times > TOO_MUCH);
            if begins {
                self.begin(now, usually, per_second);
            }
            return begins;
        };
        let refused = bound.room.refused();
        let is_full = std::mem::replace(&mut bound.refused, refused) != refused;
        bound.answered += answered;
        match times {
            // While nobody is refused it is not the bound that makes them wait, and what is answered says what is asked.
            Some(times) if times > SLOW && is_full => {
                let fitting = usually.fitting(per_second).max(bound.most * LOWER);
                bound.most = bound.most.min(fitting).max(usually.least());
            }
            Some(_) if is_full => bound.most = (bound.most * RAISE).max(bound.most + 1.0),
            _ => {}
        }
        bound.room.bound(bound.most);
        if now.since(bound.counted_since) < OVER {
            return false;
        }
        let over = (refused - bound.refused_then) as f64 <= bound.answered as f64 * NEXT_TO_NOBODY;
        (bound.counted_since, bound.refused_then, bound.answered) = (now, refused, 0);
        if over {
            self.bound = None;
        }
        over
    }

    fn begin(&mut self, now: Millis, usually: Usually, per_second: f64) {
        let most = usually.fitting(per_second).max(usually.least());
        let room = Arc::new(Room::new(most));
        self.bound = Some(Bound { room, most, refused: 0, counted_since: now, refused_then: 0, answered: 0 });
    }
}

impl Usually {
    /// How many are in flight where so many are answered in a second, and hardly anybody waits.
    fn fitting(self, per_second: f64) -> f64 {
        per_second * self.median.0 as f64 / 1e6 * HEADROOM
    }

    fn least(self) -> f64 {
        self.endpoints.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVERS: usize = 5;
    const USUAL: u64 = 20_000;

    /// A side of five servers that take 20 ms, asked by chance at a rate, in virtual time. Tells of each second how many were
    /// answered, their median latency in milliseconds, and how many were refused.
    struct Play {
        rng: fastrand::Rng,
        shedder: Shedder,
        now: u64,
        free_at: Vec<u64>,
        in_flight: Vec<(u64, u64, Option<crate::snapshot::Seat>)>,
        next_arrival: u64,
    }

    fn micros(seconds: f64) -> u64 {
        u64::try_from(std::time::Duration::from_secs_f64(seconds).as_micros()).unwrap()
    }

    impl Play {
        fn new(seed: u64) -> Self {
            let rng = fastrand::Rng::with_seed(seed);
            Self {
                rng,
                shedder: Shedder::default(),
                now: 0,
                free_at: vec![0; SERVERS],
                in_flight: Vec::new(),
                next_arrival: 0,
            }
        }

        fn second(&mut self, rate: f64) -> (usize, u64, u64) {
            let (mut times, mut refused) = (Vec::new(), 0);
            for _ in 0..10 {
                let end = self.now + 100_000;
                while self.next_arrival < end {
                    let at = self.next_arrival;
                    self.next_arrival += 1 + micros(-(1.0 - self.rng.f64()).ln() / rate);
                    // Those that have ended make room.
                    times.extend(self.leave(at));
                    let room = self.shedder.room().cloned();
                    let seat = room.as_ref().and_then(Room::enter);
                    if room.is_some() && seat.is_none() {
                        refused += 1;
                        continue;
                    }
                    let server = self.free_at.iter_mut().min().unwrap();
                    let takes = USUAL * (70 + self.rng.u64(..60)) / 100;
                    *server = at.max(*server) + takes;
                    self.in_flight.push((at, *server, seat));
                }
                times.extend(self.leave(end));
                self.now = end;
                let usually = Usually { median: Micros(USUAL), endpoints: SERVERS };
                self.shedder.tick(Millis(self.now / 1_000), Some(usually), true);
            }
            times.sort_unstable();
            (times.len(), times.get(times.len() / 2).copied().unwrap_or(0) / 1_000, refused)
        }

        fn leave(&mut self, until: u64) -> Vec<u64> {
            let ended: Vec<_> = self.in_flight.extract_if(.., |(_, end, _)| *end <= until).collect();
            let times: Vec<u64> = ended.iter().map(|(at, end, _)| end - at).collect();
            self.shedder.count(times.len() as u64, times.iter().map(|time| Latency::of(Micros(*time))));
            times
        }
    }

    #[test]
    fn of_four_times_too_much_what_fits_is_answered_about_as_fast_as_usual() {
        for seed in 0..5 {
            let mut play = Play::new(seed);
            let (answered, median, refused) = play.second(100.0);
            assert!(answered > 60 && median < 30 && refused == 0, "{answered} {median} {refused}");
            for _ in 0..5 {
                play.second(1_000.0);
            }
            for _ in 0..30 {
                let (answered, median, refused) = play.second(1_000.0);
                assert!(answered >= 212, "{answered} of 250");
                assert!(median <= 40, "{median} ms");
                assert!(refused > 600, "{refused}");
            }
        }
    }

    #[test]
    fn what_is_known_beforehand_is_not_learned_by_waiting() {
        let mut play = Play::new(3);
        play.second(100.0);
        play.shedder.expect(Millis(1_000), Usually { median: Micros(USUAL), endpoints: SERVERS }, 250.0);
        for _ in 0..20 {
            let (answered, median, _) = play.second(1_000.0);
            assert!(answered >= 212 && median <= 40, "{answered} {median}");
        }
    }

    #[test]
    fn when_all_fits_again_there_is_no_bound_any_more() {
        let mut play = Play::new(4);
        for _ in 0..10 {
            play.second(1_000.0);
        }
        assert!(play.shedder.room().is_some());
        for _ in 0..200 {
            play.second(150.0);
        }
        assert!(play.shedder.room().is_none());
        let (_, _, refused) = play.second(150.0);
        assert_eq!(refused, 0);
    }

    #[test]
    fn a_busy_side_that_is_as_fast_as_usual_is_left_alone() {
        let mut play = Play::new(5);
        for _ in 0..120 {
            let (_, _, refused) = play.second(200.0);
            assert_eq!(refused, 0);
        }
        assert!(play.shedder.room().is_none());
    }
}

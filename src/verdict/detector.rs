use crate::model::Millis;

use super::block::{Counts, Votes};

/// Chances that one shared event has to open the gates of one question: a start of an episode within it, of any bet, is
/// a chance of e to the minus of the gate. Bets open together or not at all, and few episodes come near the promise, so
/// there are fewer than this in events of every kind that was tried (a test counts them).
pub(super) const CHANCES: f64 = 3.0;

/// No gate is lower than this, in nats: a promise of less than an hour is for trying things out.
const LOWEST_GATE: f64 = 3.0;

/// The evidence against *right now* that the detectors of a question need which has this share of the promise, in
/// nats. A shared event, however violent, that starts an episode opens its gate with a chance of at most e to the minus
/// of this; how many it starts is reckoned with, and measured, not proven. The chances of all questions add up to those
/// of one, so a shared event each day does not break the promise, as it would with the same gate for every promise and
/// every number of routes.
pub fn gate(promise_s: f64, weight: f64) -> f64 {
    const DAY_S: f64 = 86_400.0;
    (promise_s / DAY_S * CHANCES / weight).ln().max(LOWEST_GATE)
}

/// Distinct bad ticks that a finding needs at high traffic: one second and a bit, which is how long a restart
/// of one endpoint lasts. Acting on less would be acting on restarts. (The head start saves two.)
const TICKS_TO_SURE: f64 = 13.0;

/// What a tick has beyond its cap is kept for the next ticks while at least this share of the requests that it
/// came from still hang. Less than all, because some may have ended without taking back what the others say.
const STILL_HANGING: f64 = 0.5;

/// A bet is credited with bad votes as fast as this many times what it says that there are, so that it still
/// counts when the truth lies between it and the next one, …
const CREDIT_RATE: f64 = 2.5;
/// … and beyond that with the bursts that it can explain: a vote, and so many standard deviations of a second.
const CREDIT_SIGMAS: f64 = 3.0;

/// A detector's evidence is kept below this many times the promise, so that a long shared event is forgotten
/// quickly once it is over.
const CEILING: f64 = 100.0;

/// One bet's evidence on one question: a Shiryaev–Roberts e-detector and its gate.
#[derive(Clone, Debug)]
pub(super) struct Detector {
    /// Evidence against history, in seconds: every second is a possible start of trouble.
    seconds: f64,
    /// The same from starts since something was withheld, which is none of theirs.
    late_seconds: f64,
    withheld: Evidence,
    /// Evidence against history since the episode began, in nats: at zero or below the episode is over.
    run: f64,
    /// Bad votes that the bet may still be credited with.
    credit: f64,
    /// Evidence that the episode may still bring, in nats.
    room: f64,
    /// Evidence against right now since the episode began, in nats.
    pub(super) gate: f64,
    pub(super) episode: Episode,
    /// What evidence was divided by in the last tick.
    pub(super) damping: f64,
}

/// Evidence in nats.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Evidence {
    pub(super) history: f64,
    pub(super) right_now: f64,
}

/// Whether what a tick's evidence came from is still so: the requests that failed because they hang, hang on.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Persistence {
    /// The most bad votes or hanging requests that withheld evidence came from.
    behind: u32,
}

/// When a detector's evidence began to grow, and what had been counted by then.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Episode {
    pub(super) since: Millis,
    pub(super) counted: Counts,
}

/// A tick, as all detectors of a question see it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tick {
    /// The nats by which the room for evidence grows, …
    pub(super) earned: f64,
    /// … up to so many, …
    pub(super) depth: f64,
    /// … of which so many may be used at once.
    pub(super) most: f64,
    /// The time in which Kubernetes may have become worse unseen, in seconds.
    pub(super) head_start_s: f64,
    /// The episode that begins here if the last is over.
    pub(super) fresh: Episode,
}

/// What one detector of a question may use of the promise.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    /// The share of the promise: all detectors of a service together have one.
    pub(super) weight: f64,
    /// The most that one tick may add, in nats.
    pub(super) cap: f64,
    /// The evidence against right now that is needed, in nats.
    pub(super) gate: f64,
    ceiling: f64,
}

impl Share {
    /// Of `count` detectors that share this.
    pub(super) fn of_each(count: usize, weight: f64, promise_s: f64, tick_s: f64) -> Self {
        let gate = gate(promise_s, weight);
        let weight = weight / count as f64;
        Self {
            weight,
            cap: (promise_s / (tick_s * weight / 2.0)).ln() / TICKS_TO_SURE,
            gate,
            ceiling: CEILING * promise_s / weight,
        }
    }
}

impl Tick {
    /// The same for a bet that must gain more slowly.
    pub(super) fn slowed(&self, share: f64) -> Self {
        Self { earned: share * self.earned, depth: share * self.depth, most: share * self.most, ..*self }
    }

    /// The room for evidence, grown by what this tick earns.
    fn grown(&self, room: f64) -> f64 {
        (room + self.earned).min(self.depth.max(room))
    }
}

impl Detector {
    pub(super) fn new() -> Self {
        Self {
            seconds: 0.0,
            late_seconds: 0.0,
            withheld: Evidence::default(),
            run: 0.0,
            credit: 1.0,
            room: 0.0,
            gate: 0.0,
            episode: Episode::default(),
            damping: 1.0,
        }
    }

    /// Takes in a tick's evidence, of which only so much counts now as there is room for. The rest is withheld
    /// if `persists`, and counts in the next ticks; else it is lost.
    ///
    /// Withholding only delays what a start of trouble has earned, and gives it to no later start, so the sum
    /// over starts stays a supermartingale.
    pub(super) fn update(&mut self, evidence: Evidence, persists: bool, tick: &Tick, share: &Share) {
        if self.run <= 0.0 {
            self.gate = 0.0;
            self.room = 0.0;
            self.withheld.right_now = 0.0;
            self.episode = tick.fresh;
        }
        let before = if persists { self.withheld } else { Evidence::default() };
        self.room = tick.grown(self.room);
        let room = self.room.min(tick.most);
        let (history, history_left) = grant(evidence.history + before.history, room);
        let (right_now, right_now_left) = grant(evidence.right_now + before.right_now, tick.most);
        self.room -= history.max(0.0);
        self.gate = self.gate.max(0.0) + right_now;
        self.run = self.run.max(0.0) + history;
        if before.history > 0.0 {
            let late = (self.late_seconds + tick.head_start_s) * evidence.history.min(room).exp();
            self.late_seconds = late.min(share.ceiling);
        } else {
            self.seconds += std::mem::take(&mut self.late_seconds) + tick.head_start_s;
        }
        self.seconds = (self.seconds * history.exp()).min(share.ceiling);
        self.withheld = if persists {
            Evidence { history: history_left, right_now: right_now_left }
        } else {
            Evidence::default()
        };
    }

    /// The bad votes that the bet is credited with (Huber's clipped likelihood ratio, 1965, over time), if it says
    /// that this share of votes is bad, and if there are `pace` votes a second. Otherwise the burst of one restart
    /// fills a small bet, which then loses it so slowly that a few restarts in some minutes add up to a finding.
    /// Crediting less is always valid.
    pub(super) fn credit(&mut self, votes: Votes, rate: f64, pace: f64) -> f64 {
        let cast = f64::from(votes.cast);
        let expected = cast * rate;
        self.credit += CREDIT_RATE * expected;
        if votes.bad == 0 {
            return 0.0; // how deep the credit may be is asked when it is used
        }
        let depth = 1.0 + CREDIT_SIGMAS * (pace.max(cast) * rate * (1.0 - rate)).sqrt();
        let available = self.credit.min(depth).max(expected);
        let granted = f64::from(votes.bad).min(available);
        self.credit = available - granted;
        granted
    }

    /// Whether its episode goes on if a tick brings this much against history.
    pub(super) fn would_run(&self, history: f64, persists: bool, tick: &Tick) -> bool {
        let saved = if self.run <= 0.0 { 0.0 } else { self.room };
        let room = tick.grown(saved).min(tick.most);
        let before = if persists { self.withheld.history } else { 0.0 };
        self.run.max(0.0) + (history + before).min(room) > 0.0
    }

    /// Multiplies the evidence.
    pub(super) fn scale(&mut self, factor: f64) {
        self.seconds *= factor;
        self.late_seconds *= factor;
    }

    /// Evidence against history, in seconds.
    pub(super) fn seconds(&self) -> f64 {
        self.seconds + self.late_seconds
    }

    /// Whether there is something to release.
    pub(super) fn withholds(&self) -> bool {
        self.withheld.history > 0.0 || self.withheld.right_now > 0.0
    }

    /// Whether what is seen cannot well be a shared event.
    pub(super) fn is_open(&self, share: &Share) -> bool {
        self.gate >= share.gate
    }
}

impl Persistence {
    /// Whether the requests behind this tick's bad votes, and behind what was withheld before it, still hang.
    pub(super) fn observe(&mut self, bad: u32, hanging: u32) -> bool {
        self.behind = self.behind.max(bad).max(hanging);
        let persists = hanging > 0 && f64::from(hanging) >= STILL_HANGING * f64::from(self.behind);
        if !persists {
            self.behind = 0;
        }
        persists
    }
}

/// What counts now, and what is left.
fn grant(nats: f64, room: f64) -> (f64, f64) {
    let granted = nats.min(room);
    (granted, (nats - granted).max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tick(head_start_s: f64) -> Tick {
        Tick { earned: 1.0, depth: 1.0, most: 1.0, head_start_s, fresh: Episode::default() }
    }

    fn share() -> Share {
        Share { weight: 1.0, cap: 1.0, gate: 7.0, ceiling: f64::MAX }
    }

    #[test]
    fn what_is_withheld_counts_later_while_requests_hang_and_is_never_more_than_was_earned() {
        let mut detector = Detector::new();
        detector.update(Evidence { history: 3.5, right_now: 2.5 }, true, &tick(1.0), &share());
        assert!(detector.withholds());
        for _ in 0..10 {
            detector.update(Evidence::default(), true, &tick(0.0), &share());
        }
        assert!(!detector.withholds());
        assert!((detector.seconds() - 3.5_f64.exp()).abs() < 1e-9, "{detector:?}");
        assert!((detector.gate - 2.5).abs() < 1e-9, "{detector:?}");
    }

    #[test]
    fn evidence_stays_finite_however_long_requests_hang() {
        let mut detector = Detector::new();
        let share = Share { ceiling: 1e9, ..share() };
        for _ in 0..2_000 {
            detector.update(Evidence { history: 5.0, right_now: 0.0 }, true, &tick(0.1), &share);
        }
        assert!(detector.seconds().is_finite() && detector.seconds() <= 2e9, "{detector:?}");
        detector.update(Evidence { history: -800.0, right_now: 0.0 }, true, &tick(0.1), &share);
        detector.update(Evidence { history: -800.0, right_now: 0.0 }, false, &tick(0.1), &share);
        assert!(detector.seconds() < 1.0, "good votes outweigh it at once: {detector:?}");
    }

    #[test]
    fn what_is_withheld_is_lost_when_the_requests_have_ended() {
        let mut detector = Detector::new();
        detector.update(Evidence { history: 9.0, right_now: 9.0 }, true, &tick(1.0), &share());
        detector.update(Evidence { history: 0.0, right_now: 0.0 }, false, &tick(0.0), &share());
        assert!(!detector.withholds());
        assert!((detector.gate - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_later_start_gets_nothing_of_what_was_withheld() {
        let mut detector = Detector::new();
        detector.update(Evidence { history: 2.0, right_now: 0.0 }, true, &tick(1.0), &share());
        detector.update(Evidence { history: 0.0, right_now: 0.0 }, true, &tick(5.0), &share());
        assert!((detector.seconds() - (2.0_f64.exp() + 5.0)).abs() < 1e-9, "{detector:?}");
    }

    #[test]
    fn failures_that_do_not_hang_withhold_nothing() {
        let mut persistence = Persistence::default();
        assert!(!persistence.observe(25, 0));
        assert!(!persistence.observe(25, 1), "one that hangs does not speak for 25 that failed");
        assert!(persistence.observe(20, 20));
        assert!(persistence.observe(0, 10), "half of them still hang");
        assert!(!persistence.observe(0, 9));
    }
}

use crate::model::Millis;

use super::block::Counts;

/// Evidence against *right now* that a detector needs, in nats: e⁻⁷, about one in a thousand, is the chance
/// that a shared event, however violent, opens the gate.
pub const GATE: f64 = 7.0;

/// Distinct bad ticks that a finding needs at high traffic: one second and a bit, which is how long a restart
/// of one endpoint lasts. Acting on less would be acting on restarts.
const TICKS_TO_SURE: f64 = 12.0;

/// A detector's evidence is kept below this many times the promise, so that a long shared event is forgotten
/// quickly once it is over.
const CEILING: f64 = 100.0;

/// One bet's evidence on one question: a Shiryaev–Roberts e-detector and its gate.
#[derive(Clone, Debug)]
pub(super) struct Detector {
    /// Evidence against history, in seconds: every second is a possible start of trouble.
    pub(super) seconds: f64,
    /// Evidence against history since the episode began, in nats: at zero or below the episode is over.
    run: f64,
    /// Evidence against right now since the episode began, in nats.
    pub(super) gate: f64,
    pub(super) episode: Episode,
}

/// When a detector's evidence began to grow, and what had been counted by then.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Episode {
    pub(super) since: Millis,
    pub(super) counted: Counts,
}

/// What one detector of a question may use of the promise.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    /// The share of the promise: all detectors of a service together have one.
    pub(super) weight: f64,
    /// The most that one tick may add, in nats.
    pub(super) cap: f64,
    ceiling: f64,
}

impl Share {
    pub(super) fn new(weight: f64, promise_s: f64, tick_s: f64) -> Self {
        Self {
            weight,
            cap: (promise_s / (tick_s * weight / 2.0)).ln() / TICKS_TO_SURE,
            ceiling: CEILING * promise_s / weight,
        }
    }
}

impl Detector {
    pub(super) fn new() -> Self {
        Self { seconds: 0.0, run: 0.0, gate: 0.0, episode: Episode::default() }
    }

    /// Takes in a tick's evidence in nats, `history` and `right_now`, both already capped; `head_start_s` is
    /// the time in which Kubernetes may have become worse unseen. `fresh` begins a new episode if the last is
    /// over.
    pub(super) fn update(
        &mut self,
        history: f64,
        right_now: f64,
        head_start_s: f64,
        share: &Share,
        fresh: Episode,
    ) {
        if self.run <= 0.0 {
            self.gate = 0.0;
            self.episode = fresh;
        }
        self.gate = self.gate.max(0.0) + right_now;
        self.run = self.run.max(0.0) + history;
        self.seconds = ((self.seconds + head_start_s) * history.exp()).min(share.ceiling);
    }

    /// Whether what is seen cannot well be a shared event.
    pub(super) fn is_open(&self) -> bool {
        self.gate >= GATE
    }
}

use crate::model::{Millis, PerSide};

/// For so long after Kubernetes' first request its latency casts no votes: caches and pools are cold.
/// Failures and stalls vote from the first request.
const GRACE: Millis = Millis(60_000);

/// After so long without a request Kubernetes is cold again …
const COLD_AFTER: Millis = Millis(600_000);
/// … unless such silence is usual: this many times its usual gap.
const COLD_GAPS: f64 = 20.0;

/// Since when Kubernetes has been asked.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Presence {
    first: Option<Millis>,
    last: Option<Millis>,
    usual_gap_ms: f64,
    /// Requests since Helios was last asked.
    pub(super) alone: u64,
}

impl Presence {
    /// Of a side that has been asked for long.
    pub(super) fn warm(now: Millis) -> Self {
        Self { first: Some(Millis(now.0.saturating_sub(GRACE.0))), ..Self::default() }
    }

    /// Notes that Kubernetes is asked, and tells whether it had been silent for so long that it starts anew.
    pub(super) fn arrives(&mut self, now: Millis) -> bool {
        let gap = self.last.map(|last| now.since(last));
        let anew = gap.is_some_and(|gap| gap >= COLD_AFTER && gap.0 as f64 >= COLD_GAPS * self.usual_gap_ms);
        if let Some(gap) = gap
            && !anew
        {
            // A mean over some thirty gaps.
            self.usual_gap_ms += (gap.0 as f64 - self.usual_gap_ms) / 30.0;
        }
        if anew || self.first.is_none() {
            self.first = Some(now);
        }
        self.last = Some(now);
        anew
    }

    pub(super) fn note_alone(&mut self, asked: PerSide<u32>) {
        self.alone = if asked.helios > 0 { 0 } else { self.alone + u64::from(asked.kubernetes) };
    }

    pub(super) fn is_cold(&self, now: Millis) -> bool {
        self.first.is_none_or(|first| now.since(first) < GRACE)
    }

    pub(super) fn watched(&self, now: Millis) -> Millis {
        self.first.map_or(Millis(0), |first| now.since(first))
    }
}

/// Requests a second over about the last minute.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rate {
    since: Option<Millis>,
    last: Option<Millis>,
    amount: f64,
}

const RATE_HALF_LIFE_S: f64 = 60.0;

impl Rate {
    pub(super) fn observe(&mut self, now: Millis, elapsed_s: f64, count: u32) {
        self.since.get_or_insert(now);
        self.amount = self.amount * (-elapsed_s / RATE_HALF_LIFE_S).exp2() + f64::from(count);
        if count > 0 {
            self.last = Some(now);
        }
    }

    pub(super) fn per_second(&self, now: Millis) -> f64 {
        let Some(since) = self.since else { return 0.0 };
        let seen_s = now.since(since).seconds().max(1.0);
        let whole = RATE_HALF_LIFE_S / std::f64::consts::LN_2 * (1.0 - (-seen_s / RATE_HALF_LIFE_S).exp2());
        self.amount / whole
    }

    pub(super) fn silence(&self, now: Millis) -> Millis {
        match (self.last, self.since) {
            (Some(at), _) | (None, Some(at)) => now.since(at),
            (None, None) => Millis(0),
        }
    }
}

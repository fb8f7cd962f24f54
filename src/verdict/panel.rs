use crate::model::{Millis, PerSide};

use super::TICK_MS;
use super::ages::{AgeBets, Ages};
use super::bets::{Bets, LADDER};
use super::block::{Counts, Votes};
use super::detector::{Detector, Episode, Evidence, Persistence, Share, Tick};
use super::reference::MUTE;

/// The detectors of one question in one stratum, or in the whole service: one for each bet.
#[derive(Clone, Debug)]
pub(super) struct Panel {
    share: Share,
    detectors: [Detector; LADDER.len()],
    persistence: Persistence,
    counted: Counts,
    kubernetes_voted: Option<Millis>,
    /// Kubernetes' votes a second.
    pace: f64,
    /// As in the last tick that was judged.
    pub(super) measure: Measure,
    evidence_s: f64,
    ungated_s: f64,
}

/// What evidence is measured against.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measure {
    /// The largest share of bad votes that is tolerated from Kubernetes.
    pub(super) bound: f64,
    /// Helios' noise, by which evidence is divided.
    pub(super) noise: f64,
    /// Kubernetes' unrest, by which evidence for small shares of bad votes is divided at least.
    pub(super) unrest: f64,
}

/// What a tick brings to a panel.
#[derive(Clone, Copy, Debug)]
pub(super) struct News {
    pub(super) now: Millis,
    pub(super) votes: PerSide<Votes>,
    /// Requests on Kubernetes that have voted bad, and go on being so.
    pub(super) hanging: u32,
    /// The share of its cap that a tick may bring: less than one while little is known of Helios.
    pub(super) haste: f64,
}

/// The bets of a tick, and what they are held against.
#[derive(Clone, Copy, Debug)]
pub(super) enum Played<'a> {
    Votes(&'a Bets, Votes),
    Ages(&'a AgeBets, Ages),
    /// Nothing can be said: Helios is down too.
    Nothing,
}

impl Default for Measure {
    fn default() -> Self {
        Self { bound: 0.0, noise: 1.0, unrest: 1.0 }
    }
}

impl<'a> Played<'a> {
    pub(super) fn of(bets: &'a Bets, votes: Votes) -> Self {
        if bets.bound() >= MUTE { Self::Nothing } else { Self::Votes(bets, votes) }
    }

    /// A bet's evidence against history, with full credit.
    fn history(&self, bet: usize) -> f64 {
        match self {
            Played::Votes(bets, votes) => bets.history(bet, votes.cast, f64::from(votes.bad)),
            Played::Ages(bets, ages) => bets.history(bet, ages),
            Played::Nothing => 0.0,
        }
    }
}

impl News {
    pub(super) fn is_silent(&self) -> bool {
        self.votes.helios.cast + self.votes.kubernetes.cast == 0
    }
}

/// Silence counts as a possible start of trouble for at most this long.
const LONGEST_HEAD_START_S: f64 = 60.0;
/// Where Kubernetes votes more rarely than each tick, one of its ticks may count for as much as this many.
const MOST_ROOM: f64 = 4.0;
/// Ticks' worth of evidence that an episode may have saved. Failures come in some ticks and not in others: without
/// this, what a tick lacks is missing for good, while what it has too much is lost.
const SAVED: f64 = 3.0;
/// The same where Kubernetes votes rarely.
const SAVED_IF_RARE: f64 = 8.0;
/// A bet that says that fewer than these fail gains more slowly while Kubernetes is restless: restarts of one endpoint
/// after the other look like a share of failures, and never like an outage.
const PARTIAL: f64 = 0.3;
/// Over how long Kubernetes' votes a second are averaged.
const PACE_S: f64 = 10.0;

pub(super) const TICK_S: f64 = TICK_MS as f64 / 1_000.0;

impl Panel {
    /// A panel that may use up `weight` of the promise.
    pub(super) fn new(weight: f64, promise_s: f64) -> Self {
        Self {
            share: Self::share_of(weight, promise_s),
            detectors: std::array::from_fn(|_| Detector::new()),
            persistence: Persistence::default(),
            counted: Counts::default(),
            kubernetes_voted: None,
            pace: 0.0,
            measure: Measure::default(),
            evidence_s: 0.0,
            ungated_s: 0.0,
        }
    }

    /// Takes in one tick. If a block has closed, `right_now` gives a bet's evidence from it; it is asked only for
    /// bets whose episode goes on, because the others forget it at once.
    pub(super) fn weigh(
        &mut self,
        news: News,
        measure: Measure,
        played: &Played<'_>,
        right_now: Option<impl Fn(usize) -> f64 + Copy>,
    ) {
        let fresh = Episode { since: news.now, counted: self.counted };
        self.counted += news.votes;
        let kubernetes = news.votes.kubernetes;
        let persists = self.persistence.observe(kubernetes.bad, news.hanging);
        if kubernetes.cast == 0 && right_now.is_none() && !self.withholds() {
            return; // nothing that any detector would learn from
        }
        self.measure = measure;
        let pace = self.pace;
        let tick = self.tick(news, fresh);
        let partial = tick.slowed(1.0 / measure.unrest);
        for (bet, detector) in self.detectors.iter_mut().enumerate() {
            let is_partial = matches!(played, Played::Votes(bets, _) if bets.rate(bet) < PARTIAL);
            let (tick, noise) = if is_partial {
                (&partial, measure.noise.max(measure.unrest))
            } else {
                (&tick, measure.noise)
            };
            let history = if kubernetes.cast == 0 {
                0.0
            } else if let Played::Votes(bets, votes) = played {
                let bad = detector.credit(*votes, bets.rate(bet), pace);
                bets.history(bet, votes.cast, bad) / noise
            } else {
                played.history(bet) / noise
            };
            let goes_on = detector.would_run(history, persists, tick);
            let right_now = right_now.filter(|_| goes_on).map_or(0.0, |of| of(bet) * measure.noise / noise);
            detector.update(Evidence { history, right_now }, persists, tick, &self.share);
        }
        self.sum();
    }

    /// What a tick may bring.
    fn tick(&mut self, news: News, fresh: Episode) -> Tick {
        let cap = self.share.cap * news.haste;
        let kubernetes = news.votes.kubernetes;
        if kubernetes.cast == 0 {
            // What was withheld may count. What was saved stays: time without votes is reckoned with the next vote.
            return Tick { earned: cap, depth: cap, most: cap, head_start_s: 0.0, fresh };
        }
        let last = self.kubernetes_voted.replace(news.now);
        let silence_s = last.map_or(TICK_S, |at| news.now.since(at).seconds()).max(TICK_S);
        // Between one tick and the most that count for one.
        let rarity = (1.0 / (self.pace * TICK_S).max(1e-9)).clamp(1.0, MOST_ROOM);
        let rare = (rarity - 1.0) / (MOST_ROOM - 1.0);
        let per_second = f64::from(kubernetes.cast) / silence_s;
        self.pace += (per_second - self.pace) * (1.0 - (-silence_s / PACE_S).exp());
        Tick {
            earned: cap * silence_s / TICK_S,
            depth: cap * (SAVED + (SAVED_IF_RARE - SAVED) * rare),
            // Silence before it makes a tick count for more, and never the ticks right behind it: one client that tries
            // again and again is one failure. What was saved is for traffic in which ticks follow each other anyway.
            most: cap * (silence_s / TICK_S).clamp(1.0, MOST_ROOM).max(SAVED * (1.0 - rare)),
            head_start_s: silence_s.min(LONGEST_HEAD_START_S),
            fresh,
        }
    }

    /// Whether something is withheld that a tick without votes may still release.
    pub(super) fn withholds(&self) -> bool {
        self.detectors.iter().any(Detector::withholds)
    }

    /// Forgets all evidence.
    pub(super) fn clear(&mut self) {
        self.detectors = std::array::from_fn(|_| Detector::new());
        self.persistence = Persistence::default();
        self.kubernetes_voted = None;
        self.sum();
    }

    /// Takes another share of the promise from here on. What the evidence says in all stays as it was: no
    /// change of shares brings a finding.
    pub(super) fn reshare(&mut self, weight: f64, promise_s: f64) {
        let share = Self::share_of(weight, promise_s);
        let rise = share.weight / self.share.weight;
        if rise > 1.0 {
            for detector in &mut self.detectors {
                detector.scale(1.0 / rise);
            }
        }
        self.share = share;
        self.sum();
    }

    /// The evidence of all bets whose gate is open, in seconds.
    pub(super) fn evidence_s(&self) -> f64 {
        self.evidence_s
    }

    /// The same, whether or not the gates are open.
    pub(super) fn ungated_s(&self) -> f64 {
        self.ungated_s
    }

    fn sum(&mut self) {
        (self.evidence_s, self.ungated_s) = (0.0, 0.0);
        for detector in &self.detectors {
            let seconds = detector.seconds() * self.share.weight;
            self.ungated_s += seconds;
            if detector.is_open(&self.share) {
                self.evidence_s += seconds;
            }
        }
    }

    /// The strongest bet with an open gate; without one, the strongest.
    pub(super) fn lead(&self) -> &Detector {
        let strength = |d: &Detector| (d.is_open(&self.share), d.seconds());
        self.detectors
            .iter()
            .reduce(|best, d| if strength(d) > strength(best) { d } else { best })
            .unwrap_or(&self.detectors[0])
    }

    /// What both sides have voted since this episode began.
    pub(super) fn counts_since(&self, episode: &Episode) -> Counts {
        self.counted - episode.counted
    }

    /// What one detector may use of the promise.
    pub(super) fn share(&self) -> Share {
        self.share
    }

    fn share_of(weight: f64, promise_s: f64) -> Share {
        Share::of_each(LADDER.len(), weight, promise_s, TICK_S)
    }
}

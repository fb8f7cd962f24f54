use std::time::Duration;

use crate::model::{Millis, PerSide};

use super::TICK_MS;
use super::bets::{Bets, LADDER};
use super::block::{Counts, Votes};
use super::detector::{Detector, Episode, Evidence, Persistence, Share, Tick};
use super::noise::Noise;
use super::question::Question;
use super::reference::{MUTE, Reference};
use super::rule::{Rule, Tolerance};

/// One question about one service: what Helios is like, and the evidence that Kubernetes is worse.
#[derive(Clone, Debug)]
pub(super) struct Inquiry {
    pub(super) question: Question,
    tolerated: Tolerance,
    share: Share,
    reference: Reference,
    noise: Noise,
    open: Option<Open>,
    detectors: [Detector; LADDER.len()],
    persistence: Persistence,
    counted: Counts,
    kubernetes_voted: Option<Millis>,
}

/// A block that waits until both sides have voted. Rates are those from before its first vote, and when it
/// closes depends only on which side requests went to: neither may look at outcomes.
#[derive(Clone, Copy, Debug)]
struct Open {
    since: Millis,
    votes: PerSide<Votes>,
    bets: Bets,
    expected: f64,
    noise: f64,
}

/// Why the judge says that Kubernetes is worse: numbers that a person can check by hand.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Finding {
    /// The question that was answered.
    pub question: Question,
    /// When it was seen.
    pub at: Millis,
    /// When the evidence began to grow.
    pub since: Millis,
    /// What both sides have voted since then.
    pub counts: Counts,
    /// The share of bad votes that would have been tolerated from Kubernetes.
    pub bound: f64,
    /// The evidence, in seconds; worse is what reaches `promise_s`.
    pub evidence_s: f64,
    /// The promise: one false revert in so many seconds.
    pub promise_s: f64,
    /// Evidence that it is not a shared event, in nats; [`GATE`](super::GATE) is needed.
    pub gate: f64,
    /// How much more than independent votes Helios' own votes vary; all evidence is divided by this.
    pub noise: f64,
}

/// Silence counts as a possible start of trouble for at most this long.
const LONGEST_HEAD_START_S: f64 = 60.0;
/// A tick after a longer silence may count for as much as this many.
const MOST_ROOM: f64 = 4.0;
/// A block with votes of Helios alone is emptied when it has so many …
const LONELY_VOTES: u32 = 10;
/// … and is so old.
const LONELY_AGE: Millis = Millis(5_000);

const TICK_S: f64 = TICK_MS as f64 / 1_000.0;

impl Inquiry {
    pub(super) fn new(question: Question, rule: &Rule) -> Self {
        Self {
            question,
            tolerated: question.tolerance(rule),
            share: Share::new(question.weight() / LADDER.len() as f64, rule.promise_s(), TICK_S),
            reference: Reference::new(question),
            noise: Noise::default(),
            open: None,
            detectors: std::array::from_fn(|_| Detector::new()),
            persistence: Persistence::default(),
            counted: Counts::default(),
            kubernetes_voted: None,
        }
    }

    /// Takes in the votes of one tick, `elapsed_s` after the one before; `hanging` requests on Kubernetes have
    /// voted bad, and go on being so.
    pub(super) fn observe(&mut self, now: Millis, elapsed_s: f64, votes: PerSide<Votes>, hanging: u32) {
        self.reference.fade(elapsed_s);
        let before = self.counted;
        self.counted += votes;
        let persists = self.persistence.observe(votes.kubernetes.bad, hanging);
        let releases = persists && self.detectors.iter().any(Detector::withholds);
        if votes.helios.cast + votes.kubernetes.cast > 0 || releases {
            self.weigh(now, votes, persists, Episode { since: now, counted: before });
        }
        self.noise.learn(now, votes.helios, self.reference.expected());
        self.reference.learn(votes.helios);
        if votes.kubernetes.cast > 0 {
            self.kubernetes_voted = Some(now);
        }
    }

    /// Forgets all evidence, and keeps what was learned about Helios.
    pub(super) fn clear(&mut self) {
        self.open = None;
        self.detectors = std::array::from_fn(|_| Detector::new());
        self.persistence = Persistence::default();
        self.kubernetes_voted = None;
    }

    /// Takes a changed rule from here on.
    pub(super) fn adopt(&mut self, rule: &Rule) {
        let fresh = Self::new(self.question, rule);
        (self.tolerated, self.share) = (fresh.tolerated, fresh.share);
    }

    /// The evidence of all bets whose gate is open, in seconds.
    pub(super) fn evidence_s(&self) -> f64 {
        self.detectors.iter().filter(|d| d.is_open()).map(Detector::seconds).sum::<f64>() * self.share.weight
    }

    /// The same, whether or not the gates are open.
    pub(super) fn ungated_s(&self) -> f64 {
        self.detectors.iter().map(Detector::seconds).sum::<f64>() * self.share.weight
    }

    /// What the strongest bet with an open gate has to say; without one, what the strongest has.
    pub(super) fn finding(&self, now: Millis, evidence_s: f64, promise_s: f64) -> Finding {
        let strength = |d: &Detector| (d.is_open(), d.seconds());
        let lead = self
            .detectors
            .iter()
            .reduce(|best, d| if strength(d) > strength(best) { d } else { best })
            .unwrap_or(&self.detectors[0]);
        Finding {
            question: self.question,
            at: now,
            since: lead.episode.since,
            counts: self.counted - lead.episode.counted,
            bound: self.reference.bound(self.tolerated),
            evidence_s,
            promise_s,
            gate: lead.gate,
            noise: self.noise.factor(),
        }
    }

    /// Helios' share of bad votes, the bound for Kubernetes', and Helios' noise.
    pub(super) fn reference(&self) -> (f64, f64, f64) {
        (self.reference.expected(), self.reference.bound(self.tolerated), self.noise.factor())
    }

    /// How large Kubernetes' share of bad votes may be.
    pub(super) fn tolerated(&self) -> Tolerance {
        self.tolerated
    }

    /// What one detector may use of the promise.
    pub(super) fn share(&self) -> Share {
        self.share
    }

    fn weigh(&mut self, now: Millis, votes: PerSide<Votes>, persists: bool, fresh: Episode) {
        let noise = self.noise.factor();
        let bets = Bets::against(self.reference.bound(self.tolerated));
        let mute = bets.bound() >= MUTE;
        let closed = self.fill(now, votes, bets, noise);
        let releases = persists && self.detectors.iter().any(Detector::withholds);
        if closed.is_none() && votes.kubernetes.cast == 0 && !releases {
            return;
        }
        let silence_s = self.kubernetes_voted.map_or(TICK_S, |at| now.since(at).seconds());
        let tick = match votes.kubernetes.cast {
            0 => Tick { room: self.share.cap, head_start_s: 0.0, fresh },
            _ => Tick {
                room: self.share.cap * (silence_s / TICK_S).clamp(1.0, MOST_ROOM),
                head_start_s: silence_s.min(LONGEST_HEAD_START_S),
                fresh,
            },
        };
        for (bet, detector) in self.detectors.iter_mut().enumerate() {
            let history = if mute { 0.0 } else { bets.history(bet, votes.kubernetes) / noise };
            let right_now = closed.map_or(0.0, |block| block.evidence(bet, self.tolerated));
            detector.update(Evidence { history, right_now }, persists, &tick, &self.share);
        }
    }

    /// Adds the tick's votes to the open block, and hands it out when both sides have voted.
    fn fill(&mut self, now: Millis, votes: PerSide<Votes>, bets: Bets, noise: f64) -> Option<Open> {
        let expected = self.reference.expected();
        let open =
            self.open.get_or_insert(Open { since: now, votes: PerSide::default(), bets, expected, noise });
        open.votes.helios += votes.helios;
        open.votes.kubernetes += votes.kubernetes;
        let (helios, kubernetes) = (open.votes.helios, open.votes.kubernetes);
        let both = helios.cast > 0 && kubernetes.cast > 0;
        let lonely =
            kubernetes.cast == 0 && helios.cast >= LONELY_VOTES && now.since(open.since) >= LONELY_AGE;
        if !both && !lonely {
            return None;
        }
        self.reference.learn_base(helios);
        self.open.take().filter(|_| both)
    }
}

impl Open {
    fn evidence(&self, bet: usize, tolerated: Tolerance) -> f64 {
        if self.bets.bound() >= MUTE {
            return 0.0;
        }
        self.bets.right_now(bet, self.votes, self.expected, tolerated) / self.noise
    }
}

impl Finding {
    /// How long the evidence took to grow.
    pub fn took(&self) -> Duration {
        Duration::from_millis(self.at.since(self.since).0)
    }
}

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
    /// The largest share of bad votes that was tolerated from Kubernetes in the last tick that was judged.
    pub(super) bound: f64,
    evidence_s: f64,
    ungated_s: f64,
}

/// What evidence is measured against.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measure {
    /// The largest share of bad votes that is tolerated from Kubernetes.
    pub(super) bound: f64,
    pub(super) damping: Damping,
}

/// What evidence is divided by. It is read before the votes that the evidence comes from, those of a block before
/// its first one: who divides by what these votes say divides their good luck by less than their bad.
#[derive(Clone, Copy, Debug)]
pub(super) struct Damping {
    /// Helios' noise.
    pub(super) noise: f64,
    /// Kubernetes' unrest: bets on small shares of bad votes are divided by this at least.
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

impl Damping {
    /// By Helios' noise alone.
    pub(super) fn of_noise(noise: f64) -> Self {
        Self { noise, unrest: 1.0 }
    }

    /// That of a bet, which may be one on a small share of bad votes.
    pub(super) fn of(self, is_partial: bool) -> f64 {
        if is_partial { self.noise.max(self.unrest) } else { self.noise }
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
            bound: 0.0,
            evidence_s: 0.0,
            ungated_s: 0.0,
        }
    }

    /// Takes in one tick. If a block has closed, `right_now` gives a bet's evidence from it, divided by the block's
    /// damping; it is told whether the bet is one on a small share. It is asked only for bets whose episode goes on,
    /// because the others forget it at once.
    pub(super) fn weigh(
        &mut self,
        news: News,
        measure: Measure,
        played: &Played<'_>,
        right_now: Option<impl Fn(usize, bool) -> f64 + Copy>,
    ) {
        let fresh = Episode { since: news.now, counted: self.counted };
        self.counted += news.votes;
        let kubernetes = news.votes.kubernetes;
        let persists = self.persistence.observe(kubernetes.bad, news.hanging);
        if kubernetes.cast == 0 && right_now.is_none() && !self.withholds() {
            return; // nothing that any detector would learn from
        }
        self.bound = measure.bound;
        let (damping, pace) = (measure.damping, self.pace);
        let tick = self.tick(news, fresh);
        let slowed = tick.slowed(1.0 / damping.unrest);
        for (bet, detector) in self.detectors.iter_mut().enumerate() {
            let is_partial = matches!(played, Played::Votes(bets, _) if bets.rate(bet) < PARTIAL);
            let tick = if is_partial { &slowed } else { &tick };
            detector.damping = damping.of(is_partial);
            let history = if kubernetes.cast == 0 {
                0.0
            } else if let Played::Votes(bets, votes) = played {
                let bad = detector.credit(*votes, bets.rate(bet), pace);
                bets.history(bet, votes.cast, bad) / detector.damping
            } else {
                played.history(bet) / detector.damping
            };
            let goes_on = detector.would_run(history, persists, tick);
            let right_now = right_now.filter(|_| goes_on).map_or(0.0, |of| of(bet, is_partial));
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

    /// The highest gate of a detector that has so many seconds of evidence.
    #[cfg(test)]
    pub(super) fn highest_gate(&self, seconds: f64) -> f64 {
        self.detectors.iter().filter(|of| of.seconds() >= seconds).fold(0.0, |most, of| most.max(of.gate))
    }

    fn share_of(weight: f64, promise_s: f64) -> Share {
        Share::of_each(LADDER.len(), weight, promise_s, TICK_S)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A panel, and votes of Kubernetes that it is shown.
    #[derive(Clone, Debug)]
    struct Shown {
        panel: Panel,
        bets: Bets,
        damping: Damping,
        hang: bool,
        now: Millis,
    }

    /// An hour between two false findings: so low that caps and ceilings are met within a few ticks.
    const PROMISE_S: f64 = 3_600.0;

    impl Shown {
        fn new(bound: f64, damping: Damping, hang: bool) -> Self {
            Self {
                panel: Panel::new(0.5, PROMISE_S),
                bets: Bets::against(bound),
                damping,
                hang,
                now: Millis(0),
            }
        }

        fn tick(&mut self, after_ms: u64, kubernetes: Votes) {
            self.now = Millis(self.now.0 + after_ms);
            let votes = PerSide { helios: Votes::default(), kubernetes };
            let hanging = if self.hang { kubernetes.bad } else { 0 };
            let news = News { now: self.now, votes, hanging, haste: 1.0 };
            let measure = Measure { bound: self.bets.bound(), damping: self.damping };
            let played = Played::of(&self.bets, kubernetes);
            self.panel.weigh(news, measure, &played, None::<fn(usize, bool) -> f64>);
        }
    }

    const DAMPINGS: [Damping; 2] = [Damping { noise: 1.0, unrest: 1.0 }, Damping { noise: 1.3, unrest: 1.9 }];

    /// Follows every result of some ticks at the tolerated rate, and adds up what evidence is left on average.
    fn mean_evidence(shown: &Shown, ticks: &[(u64, u32)], rate: f64, chance: f64, means: &mut [f64]) {
        let Some(((after_ms, cast), later)) = ticks.split_first() else {
            for (mean, detector) in means.iter_mut().zip(&shown.panel.detectors) {
                *mean += chance * detector.seconds();
            }
            return;
        };
        let mut chance = chance * (1.0 - rate).powi(cast.cast_signed());
        for bad in 0..=*cast {
            let mut next = shown.clone();
            next.tick(*after_ms, Votes { cast: *cast, bad });
            mean_evidence(&next, later, rate, chance, means);
            chance *= rate / (1.0 - rate) * f64::from(cast - bad) / f64::from(bad + 1);
        }
    }

    /// What the promise rests on, with all that is done to evidence: credit, room, caps, damping, what is withheld.
    #[test]
    fn evidence_never_grows_faster_than_time_on_average() {
        let courses: [&[(u64, u32)]; 4] = [
            &[(100, 3), (100, 3), (100, 3), (100, 3), (100, 3), (100, 3)],
            &[(100, 12), (100, 12), (100, 12)],
            &[(100, 1), (700, 2), (100, 1), (2_500, 2), (100, 0), (100, 4)],
            &[(100, 0), (5_000, 1), (100, 1), (90_000, 1), (100, 3), (100, 1)],
        ];
        let mut worst: f64 = 0.0;
        for ticks in courses {
            // The first vote has a tick behind it, and silence counts for a minute at most.
            let mut voted = None;
            let mut at = 0;
            let mut elapsed_s = 0.0;
            for (after_ms, cast) in ticks {
                at += after_ms;
                if *cast > 0 {
                    let since_ms = voted.replace(at).map_or(100, |voted| at - voted);
                    elapsed_s += (since_ms as f64 / 1_000.0).min(LONGEST_HEAD_START_S);
                }
            }
            for (bound, damping, hang) in [0.001, 0.05, 0.4]
                .into_iter()
                .flat_map(|bound| DAMPINGS.map(|damping| (bound, damping)))
                .flat_map(|(bound, damping)| [(bound, damping, false), (bound, damping, true)])
            {
                let mut means = [0.0; LADDER.len()];
                mean_evidence(&Shown::new(bound, damping, hang), ticks, bound, 1.0, &mut means);
                worst = means.into_iter().map(|mean| mean / elapsed_s).fold(worst, f64::max);
            }
        }
        assert!(worst <= 1.0 + 1e-9, "{worst}");
        assert!(worst > 0.99, "{worst}");
    }

    #[test]
    fn a_bad_vote_more_never_lowers_evidence_in_its_tick_whatever_there_was() {
        let mut rng = fastrand::Rng::with_seed(5);
        for round in 0..300_u32 {
            let bound = [0.001, 0.02, 0.3][round as usize % 3];
            let mut shown = Shown::new(bound, DAMPINGS[round as usize % 2], round % 5 == 0);
            for _ in 0..rng.u32(0..40) {
                let cast = rng.u32(0..30);
                let most = if rng.bool() { cast } else { cast.min(1) };
                shown.tick(100 * rng.u64(1..4), Votes { cast, bad: rng.u32(0..=most) });
            }
            let cast = rng.u32(1..30);
            let mut before: Option<Panel> = None;
            for bad in 0..=cast {
                let mut next = shown.clone();
                next.tick(100, Votes { cast, bad });
                if let Some(before) = before.replace(next.panel.clone()) {
                    for (less, more) in before.detectors.iter().zip(&next.panel.detectors) {
                        assert!(
                            more.seconds() >= less.seconds() * (1.0 - 1e-12),
                            "{bad} of {cast}: {shown:?}"
                        );
                    }
                }
            }
        }
    }
}

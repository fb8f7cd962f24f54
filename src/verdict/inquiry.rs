use crate::model::{Millis, PerSide};

use super::bets::{Bets, LADDER, Rungs};
use super::block::Votes;
use super::noise::Noise;
use super::panel::{Damping, Measure, News, Panel, Played};
use super::question::Question;
use super::reference::{Estimate, MUTE, Reference};
use super::rule::{Rule, Tolerance};
use super::unrest::Unrest;

/// One question in one stratum: what Helios is like, and the evidence that Kubernetes is worse.
#[derive(Clone, Debug)]
pub(super) struct Inquiry {
    question: Question,
    tolerated: Tolerance,
    pub(super) reference: Reference,
    pub(super) noise: Noise,
    unrest: Unrest,
    open: Option<Open>,
    /// The block that has closed in this tick.
    closed: Option<Open>,
    /// Helios' votes of a block that has ended in this tick.
    ended: Votes,
    /// Helios' share of bad votes before this tick.
    pub(super) estimate: Estimate,
    bets: Bets,
    pub(super) panel: Panel,
}

/// What a stratum must know of the whole service.
#[derive(Clone, Copy, Debug)]
pub(super) struct OfWhole {
    /// Helios' share of bad votes.
    pub(super) rate: f64,
    pub(super) damping: Damping,
}

/// Whether a stratum is the only one: then the whole service says all that it could say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alone {
    Yes,
    No,
}

/// A block that waits until both sides have voted. Rates are those from before its first vote, and when it
/// closes depends only on which side requests went to: neither may look at outcomes.
#[derive(Clone, Copy, Debug)]
struct Open {
    since: Millis,
    votes: PerSide<Votes>,
    rungs: Rungs,
    expected: f64,
    damping: Damping,
    /// The same of the whole service, to whose evidence the block adds.
    of_whole: Damping,
}

/// A block with votes of Helios alone is emptied when it has so many …
pub(super) const LONELY_VOTES: u32 = 10;
/// … and is so old.
pub(super) const LONELY_AGE: Millis = Millis(5_000);

impl Inquiry {
    /// A question whose panel may use up `weight` of the promise.
    pub(super) fn new(question: Question, rule: &Rule, weight: f64) -> Self {
        Self {
            question,
            tolerated: question.tolerance(rule),
            reference: Reference::new(question),
            noise: Noise::default(),
            unrest: Unrest::default(),
            open: None,
            closed: None,
            ended: Votes::default(),
            estimate: Estimate::default(),
            bets: Bets::against(MUTE),
            panel: Panel::new(weight, rule.promise_s()),
        }
    }

    /// Takes in the votes of one tick.
    pub(super) fn observe(&mut self, news: News, of_whole: OfWhole, alone: Alone) {
        self.closed = None;
        if news.is_silent() && !(news.hanging > 0 && self.panel.withholds()) {
            return;
        }
        self.reference.fade(news.now);
        self.estimate = self.reference.estimate(of_whole.rate);
        self.bets = self.bets.moved_to(self.estimate.bound(self.tolerated));
        let damping = Damping { noise: self.noise.factor(), unrest: self.unrest.factor() };
        self.closed = self.fill(news, damping, of_whole.damping);
        if alone == Alone::No {
            let played = Played::of(&self.bets, news.votes.kubernetes);
            let tolerated = self.tolerated;
            let measure = Measure { bound: self.bets.bound(), damping };
            let right_now = self.closed.as_ref().map(|block| {
                move |bet, is_partial| block.evidence(bet, tolerated) / block.damping.of(is_partial)
            });
            self.panel.weigh(news, measure, &played, right_now);
        }
        self.unrest.learn(news.now, news.votes.kubernetes);
    }

    /// Learns from Helios' votes of a tick, after it has been judged.
    pub(super) fn learn(&mut self, now: Millis, votes: Votes) {
        if votes.cast > 0 {
            self.noise.learn(now, votes, f64::from(votes.cast) * self.reference.expected());
            self.reference.learn(votes);
        }
        self.reference.learn_base(std::mem::take(&mut self.ended));
    }

    /// Whether a block has closed in this tick.
    pub(super) fn has_closed(&self) -> bool {
        self.closed.is_some()
    }

    /// What the block that has closed in this tick adds to the evidence against right now of the whole service.
    pub(super) fn right_now_of_whole(&self, bet: usize, is_partial: bool) -> f64 {
        let of = |block: &Open| block.evidence(bet, self.tolerated) / block.of_whole.of(is_partial);
        self.closed.as_ref().map_or(0.0, of)
    }

    /// Forgets all evidence, and keeps what was learned about Helios.
    pub(super) fn clear(&mut self) {
        self.open = None;
        self.closed = None;
        self.panel.clear();
    }

    /// Forgets what Kubernetes was like: it begins anew.
    pub(super) fn rearm(&mut self) {
        self.unrest = Unrest::default();
    }

    /// Takes a changed rule from here on.
    pub(super) fn adopt(&mut self, rule: &Rule, weight: f64) {
        self.tolerated = self.question.tolerance(rule);
        self.bets = Bets::against(MUTE);
        self.panel.reshare(weight, rule.promise_s());
    }

    /// Adds the tick's votes to the open block, and hands it out when both sides have voted.
    fn fill(&mut self, news: News, damping: Damping, of_whole: Damping) -> Option<Open> {
        let News { now, votes, .. } = news;
        let open = self.open.get_or_insert_with(|| Open {
            since: now,
            votes: PerSide::default(),
            rungs: *self.bets.rungs(),
            expected: self.reference.expected(),
            damping,
            of_whole,
        });
        open.votes.helios += votes.helios;
        open.votes.kubernetes += votes.kubernetes;
        let (helios, kubernetes) = (open.votes.helios, open.votes.kubernetes);
        let both = helios.cast > 0 && kubernetes.cast > 0;
        let lonely =
            kubernetes.cast == 0 && helios.cast >= LONELY_VOTES && now.since(open.since) >= LONELY_AGE;
        if !both && !lonely {
            return None;
        }
        self.ended = helios;
        self.open.take().filter(|_| both)
    }
}

impl Open {
    /// In nats, before noise.
    fn evidence(&self, bet: usize, tolerated: Tolerance) -> f64 {
        debug_assert!(bet < LADDER.len());
        if self.rungs.bound() >= MUTE {
            return 0.0;
        }
        self.rungs.right_now(bet, self.votes, self.expected, tolerated)
    }
}

use std::time::Duration;

use crate::model::{Millis, PerSide};
use crate::verdict::{Block, Judge, PerQuestion, Rule};

use super::poisson;

/// A judge of Helios against itself, and what it has found: every finding is a false one.
pub(super) struct Trial {
    judge: Judge,
    found: PerQuestion<u32>,
    /// The most evidence that there was, and the most with what the gate held back; from 0 to 1, on the scale on which it
    /// grows evenly.
    pub(super) most: (f64, f64),
}

/// Findings are held to be too many for the promise if so many or more come by chance this rarely.
const RARE: f64 = 0.01;

impl Trial {
    /// Begins with what the service's judge knows of Helios.
    pub(super) fn new(now: Millis, judge: &Judge, promise: Duration) -> Self {
        let rule = Rule { false_revert_every: promise, ..*judge.rule() };
        Self { judge: judge.against_itself(now, rule), found: PerQuestion::default(), most: (0.0, 0.0) }
    }

    /// Takes in a tick's votes. What is found is counted, and the judge begins anew, as after a revert that was undone at
    /// once.
    pub(super) fn observe(&mut self, now: Millis, block: &Block) {
        if let Some(finding) = self.judge.observe(now, block) {
            self.found[finding.question] += 1;
            self.most = (1.0, 1.0);
            self.judge.clear();
        } else {
            let (open, all) = self.judge.evidence();
            self.most = (self.most.0.max(open), self.most.1.max(all));
        }
    }

    /// The judge, to have it forget strata.
    pub(super) fn judge_mut(&mut self) -> &mut Judge {
        &mut self.judge
    }

    pub(super) fn promise(&self) -> Duration {
        self.judge.rule().false_revert_every
    }

    pub(super) fn found(&self) -> u32 {
        self.found.0.iter().sum()
    }

    pub(super) fn found_by(&self) -> &PerQuestion<u32> {
        &self.found
    }

    /// The most findings that the promise allows in this time, on average. The evidence is a supermartingale but for the
    /// passing of time, and each finding sets it back by a whole promise: so this is a bound, whatever the traffic.
    pub(super) fn expected(&self, ran: Duration) -> f64 {
        ran.as_secs_f64() / self.promise().as_secs_f64()
    }

    /// The chance of as many findings as there were, or more, if they came one by one and just as often as is promised.
    /// Each takes a while to grow, so they come more evenly than that, and this errs toward keeping the promise.
    pub(super) fn chance(&self, ran: Duration) -> f64 {
        poisson::at_least(self.found(), self.expected(ran))
    }

    /// Whether there were more findings than chance explains.
    pub(super) fn is_broken(&self, ran: Duration) -> bool {
        self.chance(ran) < RARE
    }

    /// How long it would take to be found that all requests of one half fail; `None` if it never would.
    pub(super) fn outage_seen_in(&self, asked: PerSide<f64>) -> Option<Duration> {
        self.judge.seen_in_at(asked, 1.0)
    }
}

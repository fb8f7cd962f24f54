use std::time::Duration;

use crate::model::Millis;

use super::block::{Counts, Stratum};
use super::question::Question;

/// Why the judge says that Kubernetes is worse: numbers that a person can check by hand.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Finding {
    /// The question that was answered.
    pub question: Question,
    /// The stratum that it was answered for; `None` if it was the whole service.
    pub stratum: Option<Stratum>,
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
    /// Evidence that it is not a shared event, in nats; [`gate_needed`](Finding::gate_needed) is needed.
    pub gate: f64,
    /// The [`gate`](super::gate) of the question.
    pub gate_needed: f64,
    /// What the evidence was divided by: how much more than independent votes Helios' own vary, or Kubernetes' own,
    /// whichever is more, where a small share of bad votes tells.
    pub noise: f64,
}

/// What the evidence was at one moment, in seconds; worse is what reaches the promise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moment {
    /// When.
    pub at: Millis,
    /// The evidence whose gate is open.
    pub evidence_s: f64,
    /// All evidence against history. If this reaches the promise alone, Helios is degraded too.
    pub ungated_s: f64,
}

/// What one question has to say, whether or not that is enough.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weighed {
    /// As if it were a finding; its evidence is that of this question alone.
    pub finding: Finding,
    /// The same evidence, whether or not it may be a shared event.
    pub ungated_s: f64,
}

impl Finding {
    /// How long the evidence took to grow.
    pub fn took(&self) -> Duration {
        Duration::from_millis(self.at.since(self.since).0)
    }
}

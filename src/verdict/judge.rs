use std::time::Duration;

use crate::model::{Millis, PerSide, Side};

use super::block::{Block, Votes};
use super::inquiry::{Finding, Inquiry};
use super::question::{PerQuestion, Question};
use super::rule::Rule;
use super::sensitivity;

/// Judges one service: takes in a block of votes each tick, and says when Kubernetes is worse.
#[derive(Clone, Debug)]
pub struct Judge {
    rule: Rule,
    inquiries: PerQuestion<Inquiry>,
    at: Option<Millis>,
    kubernetes: Presence,
    asked: PerSide<Rate>,
}

/// The judge's word on Kubernetes against Helios.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// It is worse, by more than is tolerated.
    Worse(Finding),
    /// Had it failed 5 % more, that would have been seen by now.
    NotWorse,
    /// Had it failed 5 % more, that might not have been seen yet.
    TooLittleEvidence,
    /// Nothing to compare with: Helios gets no requests.
    Blind,
}

/// What the judge has to say while it holds still.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Standing {
    /// The judge's word.
    pub verdict: Verdict,
    /// How long failures of 5 % would take to be seen at the present rates; `None` if they never would.
    pub seen_in: Option<Duration>,
    /// The evidence, 0 to 1, on the scale on which it grows evenly: ln(evidence) / ln(promise).
    pub evidence: f64,
    /// The question with the most evidence.
    pub leading: Question,
    /// Enough evidence against history, but none against right now: Helios is degraded too.
    pub shared: bool,
}

/// For so long after Kubernetes' first request its latency casts no votes: caches and pools are cold.
/// Failures and stalls vote from the first request.
const GRACE: Millis = Millis(60_000);

/// After so long without a request Kubernetes is cold again …
const COLD_AFTER: Millis = Millis(600_000);
/// … unless such silence is usual: this many times its usual gap.
const COLD_GAPS: f64 = 20.0;

/// The failures that "not worse" would have noticed.
const TELLING_FAILURES: f64 = 0.05;

/// Helios is gone from sight when it was not asked for this long …
const BLIND_AFTER: Millis = Millis(60_000);
/// … while Kubernetes was asked this often.
const BLIND_REQUESTS: u64 = 200;

impl Judge {
    /// A judge that has seen nothing.
    pub fn new(rule: Rule) -> Self {
        Self {
            rule,
            inquiries: PerQuestion::from_fn(|question| Inquiry::new(question, &rule)),
            at: None,
            kubernetes: Presence::default(),
            asked: PerSide::default(),
        }
    }

    /// Takes in what was counted since the last call, and says so if Kubernetes is worse. Blocks come in the
    /// order of their time; empty ones may be left out.
    pub fn observe(&mut self, now: Millis, block: &Block) -> Option<Finding> {
        let elapsed_s = self.at.map_or(0.0, |at| now.since(at).seconds());
        self.at = Some(now);
        for (side, rate) in
            [(Side::Helios, &mut self.asked.helios), (Side::Kubernetes, &mut self.asked.kubernetes)]
        {
            rate.observe(now, elapsed_s, block.asked[side]);
        }
        if block.asked.kubernetes > 0 && self.kubernetes.arrives(now) {
            self.clear();
        }
        self.kubernetes.note_alone(block.asked);
        let cold = self.kubernetes.is_cold(now);
        for question in Question::ALL {
            let kubernetes = block.votes.kubernetes[question];
            let abstains = cold && Question::LATENCY.contains(&question);
            let votes = PerSide {
                helios: block.votes.helios[question],
                kubernetes: if abstains { Votes::default() } else { kubernetes },
            };
            let hanging = if question == Question::Stall { block.hanging.kubernetes } else { 0 };
            self.inquiries[question].observe(now, elapsed_s, votes, hanging);
        }
        self.worse(now)
    }

    /// Forgets all evidence, as after a revert, and keeps what was learned about Helios.
    pub fn clear(&mut self) {
        for inquiry in &mut self.inquiries.0 {
            inquiry.clear();
        }
    }

    /// Begins anew with Kubernetes, as after a release: no evidence, and grace from its next request.
    pub fn rearm(&mut self) {
        self.clear();
        self.kubernetes = Presence::default();
        self.asked.kubernetes = Rate::default();
    }

    /// Takes a changed rule from here on; evidence and history stay.
    pub fn adopt(&mut self, rule: Rule) {
        self.rule = rule;
        for inquiry in &mut self.inquiries.0 {
            inquiry.adopt(&rule);
        }
    }

    /// The rule in force.
    pub fn rule(&self) -> &Rule {
        &self.rule
    }

    /// What there is to say at this moment.
    pub fn standing(&self, now: Millis) -> Standing {
        let promise_s = self.rule.promise_s();
        let total: f64 = self.inquiries.0.iter().map(Inquiry::evidence_s).sum();
        let ungated: f64 = self.inquiries.0.iter().map(Inquiry::ungated_s).sum();
        let leading = Question::ALL
            .into_iter()
            .max_by(|a, b| self.inquiries[*a].ungated_s().total_cmp(&self.inquiries[*b].ungated_s()))
            .unwrap_or(Question::Failure);
        let seen_in = self.seen_in(now, TELLING_FAILURES);
        Standing {
            verdict: self.verdict(now, seen_in),
            seen_in,
            evidence: (total.max(ungated).max(1.0).ln() / promise_s.ln()).clamp(0.0, 1.0),
            leading,
            shared: ungated >= promise_s && total < promise_s,
        }
    }

    /// How long it would take, at the present rates of requests, until Kubernetes failing this share of its
    /// requests would be found worse; an estimate. `None` if it never would.
    pub fn seen_in(&self, now: Millis, failures: f64) -> Option<Duration> {
        let inquiry = &self.inquiries[Question::Failure];
        let rates = self.asked.as_ref().map(|rate| rate.per_second(now));
        sensitivity::seen_in(inquiry, rates, failures, self.rule.promise_s())
    }

    fn verdict(&self, now: Millis, seen_in: Option<Duration>) -> Verdict {
        if let Some(finding) = self.worse(now) {
            return Verdict::Worse(finding);
        }
        let watched = self.kubernetes.watched(now);
        if self.kubernetes.alone >= BLIND_REQUESTS && self.asked.helios.silence(now) > BLIND_AFTER {
            return Verdict::Blind;
        }
        match seen_in {
            Some(needed) if Duration::from_millis(watched.0) >= needed => Verdict::NotWorse,
            Some(_) | None => Verdict::TooLittleEvidence,
        }
    }

    fn worse(&self, now: Millis) -> Option<Finding> {
        let promise_s = self.rule.promise_s();
        let total: f64 = self.inquiries.0.iter().map(Inquiry::evidence_s).sum();
        (total >= promise_s).then(|| {
            let lead = Question::ALL
                .into_iter()
                .max_by(|a, b| self.inquiries[*a].evidence_s().total_cmp(&self.inquiries[*b].evidence_s()))
                .unwrap_or(Question::Failure);
            self.inquiries[lead].finding(now, total, promise_s)
        })
    }
}

/// Since when Kubernetes has been asked.
#[derive(Clone, Copy, Debug, Default)]
struct Presence {
    first: Option<Millis>,
    last: Option<Millis>,
    usual_gap_ms: f64,
    /// Requests since Helios was last asked.
    alone: u64,
}

impl Presence {
    /// Notes that Kubernetes is asked, and tells whether it had been silent for so long that it starts anew.
    fn arrives(&mut self, now: Millis) -> bool {
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

    fn note_alone(&mut self, asked: PerSide<u32>) {
        self.alone = if asked.helios > 0 { 0 } else { self.alone + u64::from(asked.kubernetes) };
    }

    fn is_cold(&self, now: Millis) -> bool {
        self.first.is_none_or(|first| now.since(first) < GRACE)
    }

    fn watched(&self, now: Millis) -> Millis {
        self.first.map_or(Millis(0), |first| now.since(first))
    }
}

/// Requests a second over about the last minute.
#[derive(Clone, Copy, Debug, Default)]
struct Rate {
    since: Option<Millis>,
    last: Option<Millis>,
    amount: f64,
}

const RATE_HALF_LIFE_S: f64 = 60.0;

impl Rate {
    fn observe(&mut self, now: Millis, elapsed_s: f64, count: u32) {
        self.since.get_or_insert(now);
        self.amount = self.amount * (-elapsed_s / RATE_HALF_LIFE_S).exp2() + f64::from(count);
        if count > 0 {
            self.last = Some(now);
        }
    }

    fn per_second(&self, now: Millis) -> f64 {
        let Some(since) = self.since else { return 0.0 };
        let seen_s = now.since(since).seconds().max(1.0);
        let whole = RATE_HALF_LIFE_S / std::f64::consts::LN_2 * (1.0 - (-seen_s / RATE_HALF_LIFE_S).exp2());
        self.amount / whole
    }

    fn silence(&self, now: Millis) -> Millis {
        match (self.last, self.since) {
            (Some(at), _) | (None, Some(at)) => now.since(at),
            (None, None) => Millis(0),
        }
    }
}

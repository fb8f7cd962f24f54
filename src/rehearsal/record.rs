use serde::Serialize;

use crate::model::{Micros, PerSide};
use crate::verdict::{Rule, Verdict};

use super::hearing::{Decision, Summary, Word};

/// A decision as programs read it: one line of JSON. Times are seconds of the trace, shares 0 to 1.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DecisionRecord {
    /// When it was taken.
    pub at_s: f64,
    /// The same in UTC, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// `revert` or `advise`.
    pub decision: &'static str,
    /// What Kubernetes is worse at: `failure`, `stall`, `slow50`, `slower`, `slow99`, `far` or `farther`.
    pub question: &'static str,
    /// On which route; null if on the whole service.
    pub route: Option<String>,
    /// When the evidence began to grow.
    pub since_s: f64,
    /// What both sides voted since then.
    pub counts: PerSideRecord<CountsRecord>,
    /// The shares of bad votes among them; null where there were none.
    pub rates: PerSideRecord<Option<f64>>,
    /// The share that would have been tolerated from Kubernetes.
    pub tolerated: f64,
    /// The evidence; a decision takes as much as is promised.
    pub evidence_s: f64,
    /// The promise: one false revert in so many seconds.
    pub promise_s: f64,
    /// Evidence that it is not a shared event.
    pub gate_nats: f64,
    /// What a decision takes of that.
    pub gate_needed_nats: f64,
    /// How much more than independent votes Helios' own votes vary.
    pub noise: f64,
}

/// One thing for each side.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PerSideRecord<T> {
    /// Helios'.
    pub helios: T,
    /// Kubernetes'.
    pub kubernetes: T,
}

/// Votes on one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct CountsRecord {
    /// Votes cast.
    pub votes: u64,
    /// Bad ones among them.
    pub bad: u64,
}

/// The last line: the trace in a few words.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SummaryRecord {
    /// Always true: what tells this line from decisions.
    pub summary: bool,
    /// Rows of the trace.
    pub rows: u64,
    /// Lines that are no evidence, and were passed over; only for logs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped: Option<u64>,
    /// Lines that cannot be read, and were passed over; only for logs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<u64>,
    /// When the first row came; null without rows.
    pub from_s: Option<f64>,
    /// When the last row came.
    pub to_s: Option<f64>,
    /// When second 0 was, in UTC, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub began: Option<String>,
    /// Decisions that were taken.
    pub decisions: u64,
    /// Up to when the trace was judged; null if it was not.
    pub judged_to_s: Option<f64>,
    /// The judge's word at that moment: `worse`, `not worse`, `too little evidence`, `blind`, or `off`.
    pub verdict: &'static str,
    /// How long failures of 5 % would take to be seen at the rates of that moment; null if they never would.
    pub seen_in_s: Option<f64>,
    /// The question with the most evidence; null if there is none.
    pub leading: Option<&'static str>,
    /// The route that it is about; null if it is the whole service.
    pub route: Option<String>,
    /// The evidence: 0 is none, 1 reverts.
    pub evidence: f64,
    /// There is evidence, but Helios is degraded too.
    pub shared: bool,
    /// The promise: one false revert in so many seconds.
    pub promise_s: f64,
}

impl From<&Decision> for DecisionRecord {
    fn from(decision: &Decision) -> Self {
        let Decision { word, finding, route } = decision;
        let counts = &finding.counts;
        let of_side =
            PerSide::from_fn(|side| CountsRecord { votes: counts.cast[side], bad: counts.bad[side] });
        let rates = of_side
            .as_ref()
            .map(|CountsRecord { votes, bad }| (*votes > 0).then(|| rounded(*bad as f64 / *votes as f64)));
        Self {
            at_s: finding.at.seconds(),
            time: None,
            decision: match word {
                Word::Revert => "revert",
                Word::Advise => "advise",
            },
            question: finding.question.as_str(),
            route: route.clone(),
            since_s: finding.since.seconds(),
            counts: of_side.into(),
            rates: rates.into(),
            tolerated: rounded(finding.bound),
            evidence_s: rounded(finding.evidence_s),
            promise_s: rounded(finding.promise_s),
            gate_nats: rounded(finding.gate),
            gate_needed_nats: rounded(finding.gate_needed),
            noise: rounded(finding.noise),
        }
    }
}

impl SummaryRecord {
    /// The record of a trace that was judged by this rule.
    pub fn new(summary: &Summary, rule: &Rule) -> Self {
        let standing = summary.judged.as_ref().map(|(_, standing)| standing);
        let leading = standing.filter(|standing| standing.evidence > 0.0);
        let seconds = |time: Micros| time.0 as f64 / 1e6;
        Self {
            summary: true,
            rows: summary.rows,
            skipped: None,
            unreadable: None,
            from_s: summary.span.map(|(from, _)| seconds(from)),
            to_s: summary.span.map(|(_, to)| seconds(to)),
            began: None,
            decisions: summary.decisions,
            judged_to_s: summary.span.and(summary.judged).map(|(at, _)| at.seconds()),
            verdict: standing.map_or("off", |standing| in_words(&standing.verdict)),
            seen_in_s: standing
                .and_then(|standing| standing.seen_in)
                .map(|seen_in| rounded(seen_in.as_secs_f64())),
            leading: leading.map(|standing| standing.leading.as_str()),
            route: summary.route.clone().filter(|_| leading.is_some()),
            evidence: standing.map_or(0.0, |standing| rounded(standing.evidence)),
            shared: standing.is_some_and(|standing| standing.shared),
            promise_s: rounded(rule.promise_s()),
        }
    }
}

impl<T> From<PerSide<T>> for PerSideRecord<T> {
    fn from(PerSide { helios, kubernetes }: PerSide<T>) -> Self {
        Self { helios, kubernetes }
    }
}

/// The verdict's word.
fn in_words(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Worse(_) => "worse",
        Verdict::NotWorse => "not worse",
        Verdict::TooLittleEvidence => "too little evidence",
        Verdict::Blind => "blind",
    }
}

/// A number to six significant digits: what follows is neither known nor the same with every mathematics library.
/// What is beyond all numbers is the largest, because JSON has no word for it.
fn rounded(number: f64) -> f64 {
    let number = number.clamp(f64::MIN, f64::MAX);
    format!("{number:.5e}").parse().unwrap_or(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_told_to_six_digits() {
        for (number, told) in [
            (0.0, "0.0"),
            (0.000_123_456_789, "0.000123457"),
            (31_536_000.0, "31536000.0"),
            (2.0 / 3.0, "0.666667"),
            (f64::INFINITY, "1.79769e+308"),
        ] {
            assert_eq!(serde_json::to_string(&rounded(number)).unwrap(), told);
        }
    }
}

//! What must be reached, and whether it is.

use serde::Serialize;

use crate::peers::Peer;
use crate::statistics::Spread;

use super::{Figure, Outcome};

/// One row of what must be reached.
pub(crate) struct Bound {
    pub(crate) title: &'static str,
    pub(crate) scenario: &'static str,
    pub(crate) figure: Figure,
    pub(crate) of: Of,
}

/// What is bounded.
pub(crate) enum Of {
    /// Switchback's figure over each peer's: HAProxy's, nginx', Envoy's and the floor's.
    Ratios([Option<f64>; 4]),
    /// Switchback's own figure: at most.
    AtMost(f64),
    /// At least.
    AtLeast(f64),
}

/// A bound, and what was found.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Judged {
    pub(crate) title: &'static str,
    pub(crate) scenario: &'static str,
    /// Beside whom; nobody's for Switchback's own figures.
    pub(crate) beside: Option<Peer>,
    pub(crate) bound: f64,
    pub(crate) figure: Figure,
    pub(crate) found: Option<Spread>,
    pub(crate) mark: Mark,
}

/// What a bound has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Mark {
    Met,
    Missed,
    NotMeasured,
}

/// The columns of ratios.
pub(super) const BESIDE: [Peer; 4] = [Peer::Haproxy, Peer::Nginx, Peer::Envoy, Peer::Relay];
/// Who is judged.
pub(super) const JUDGED: &str = "switchback";

const fn ratios(
    title: &'static str,
    scenario: &'static str,
    figure: Figure,
    bounds: [Option<f64>; 4],
) -> Bound {
    Bound { title, scenario, figure, of: Of::Ratios(bounds) }
}

const fn own(title: &'static str, scenario: &'static str, figure: Figure, of: Of) -> Bound {
    Bound { title, scenario, figure, of }
}

use Figure::{Added, Cpu, Memory, P99, PerConnection, Reload, Share, Slowest, Start, Times};
use Of::{AtLeast, AtMost};

pub(super) const BOUNDS: [Bound; 18] = [
    ratios("HTTP/1.1, 64 connections", "h1-64", Cpu, [Some(0.95), Some(0.85), Some(0.30), Some(1.25)]),
    ratios("HTTP/1.1, 512 connections", "h1-512", Cpu, [Some(1.00), Some(1.00), Some(0.35), None]),
    ratios("TLS 1.3, HTTP/1.1", "tls-h1", Cpu, [Some(0.75), Some(0.85), Some(0.40), None]),
    ratios("TLS, HTTP/2", "tls-h2", Cpu, [Some(0.75), Some(0.80), Some(0.35), None]),
    ratios("gRPC unary", "grpc", Cpu, [Some(1.00), Some(1.00), Some(0.50), None]),
    ratios("new connection each request", "connect", Cpu, [Some(1.05), Some(1.05), Some(0.60), None]),
    ratios("the same over TLS", "connect-tls", Cpu, [Some(1.05), Some(1.05), Some(0.60), None]),
    ratios("1 MiB answers", "answers-1m", Cpu, [Some(1.10), Some(1.10), Some(0.80), None]),
    ratios("p99 at half the slowest peer's rate", "h1-64", P99, [Some(1.0), Some(1.0), Some(0.7), None]),
    ratios("memory per idle connection", "idle-10000", PerConnection, [Some(1.0), None, Some(0.4), None]),
    own("judge, tallies and metrics, of the instructions", "judge-cost", Added, AtMost(3.0)),
    own("sidecar at 10 requests/s: memory", "sidecar", Memory, AtMost(12.0)),
    own("sidecar at 10 requests/s: CPU", "sidecar", Share, AtMost(0.2)),
    own("5,000 services: start", "services-5000", Start, AtMost(2.0)),
    own("5,000 services: reload", "services-5000", Reload, AtMost(1.0)),
    own("5,000 services: slowest request meanwhile", "services-5000", Slowest, AtMost(5.0)),
    own("5,000 services: a tick of the judge", "judge-cost", Figure::Tick, AtMost(5.0)),
    own("two workers on two cores", "workers-2", Times, AtLeast(1.7)),
];

/// Every bound, beside what was found.
pub(crate) fn judge(outcomes: &[Outcome]) -> Vec<Judged> {
    let mut judged = Vec::new();
    for Bound { title, scenario, figure, of } in BOUNDS {
        let outcome = outcomes.iter().find(|outcome| outcome.scenario == scenario);
        let valid = |who: &str| outcome.filter(|outcome| !outcome.invalid.contains_key(who));
        let mut push = |beside, bound, found: Option<Spread>, is_met: &dyn Fn(f64) -> bool| {
            let mark = match found {
                None => Mark::NotMeasured,
                Some(found) if is_met(found.median) => Mark::Met,
                Some(_) => Mark::Missed,
            };
            judged.push(Judged { title, scenario, beside, bound, figure, found, mark });
        };
        match of {
            Of::Ratios(bounds) => {
                for (peer, bound) in BESIDE.into_iter().zip(bounds) {
                    let Some(bound) = bound else { continue };
                    let both = valid(JUDGED).and_then(|_| valid(peer.name()));
                    let found = both.and_then(|outcome| outcome.ratio(JUDGED, peer.name(), figure));
                    push(Some(peer), bound, found, &|found| found <= bound);
                }
            }
            AtMost(bound) => {
                let found = valid(JUDGED).and_then(|outcome| outcome.spread(JUDGED, figure));
                push(None, bound, found, &|found| found <= bound);
            }
            AtLeast(bound) => {
                let found = valid(JUDGED).and_then(|outcome| outcome.spread(JUDGED, figure));
                push(None, bound, found, &|found| found >= bound);
            }
        }
    }
    judged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(haproxy: f64) -> Outcome {
        let mut outcome = Outcome { scenario: "h1-64", ..Outcome::default() };
        for round in [1.0, 2.0, 3.0] {
            outcome.add("switchback", Cpu, 9.0 * round);
            outcome.add("haproxy", Cpu, haproxy * round);
        }
        outcome
    }

    fn mark(outcomes: &[Outcome], beside: Peer) -> Mark {
        let judged = judge(outcomes);
        judged.iter().find(|judged| judged.scenario == "h1-64" && judged.beside == Some(beside)).unwrap().mark
    }

    #[test]
    fn a_bound_is_met_by_the_median_of_the_rounds_ratios() {
        assert_eq!(mark(&[outcome(10.0)], Peer::Haproxy), Mark::Met);
        assert_eq!(mark(&[outcome(9.0)], Peer::Haproxy), Mark::Missed);
        assert_eq!(mark(&[outcome(10.0)], Peer::Envoy), Mark::NotMeasured);
    }

    #[test]
    fn whose_requests_failed_was_not_measured() {
        let mut outcome = outcome(10.0);
        outcome.invalid.insert("haproxy".to_owned(), "3 requests failed".to_owned());
        assert_eq!(mark(&[outcome], Peer::Haproxy), Mark::NotMeasured);
    }
}

use http::Method;

use crate::model::{Cause, Fault, Micros};

/// Rescues that may be owed at once, so that a service that was quiet can be rescued in a burst.
const MOST_SAVED: f64 = 1_000.0;
/// Rescues a second that are always allowed: a share of next to nothing is nothing.
const FLOOR_PER_SECOND: f64 = 10.0;

/// Whether asking twice does no more than asking once (RFC 9110, section 9.2.2).
pub(super) fn is_idempotent(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE | Method::PUT | Method::DELETE
    )
}

/// Whether a failure on Kubernetes is one that Helios could answer better.
pub(super) fn is_worth_asking_again(cause: Cause) -> bool {
    // One that Kubernetes has no room for has not been sent at all.
    cause.fault() == Fault::Side || cause == Cause::InFlightLimit
}

/// How many rescues one service may still have on one worker: a share of its requests to Kubernetes, and a
/// floor for quiet services.
#[derive(Debug)]
pub(super) struct Budget {
    saved: f64,
    at: Micros,
}

impl Budget {
    pub(super) fn new() -> Self {
        Self { saved: FLOOR_PER_SECOND, at: Micros(0) }
    }

    /// A request goes to Kubernetes; `share` of a rescue is earned.
    pub(super) fn earn(&mut self, share: f64) {
        self.saved = (self.saved + share).min(MOST_SAVED);
    }

    /// Whether a rescue can be had, at this share.
    pub(super) fn affords(&mut self, share: f64, now: Micros) -> bool {
        share >= 1.0 || self.has_one(now)
    }

    /// Takes a rescue out of the budget; tells whether there was one. Who may rescue everything need not save:
    /// any number of requests may hang at once, and be given up at once.
    pub(super) fn spend(&mut self, share: f64, now: Micros) -> bool {
        if share >= 1.0 {
            return true;
        }
        let enough = self.has_one(now);
        if enough {
            self.saved -= 1.0;
        }
        enough
    }

    /// Whether there is one, with what the floor has given by now.
    fn has_one(&mut self, now: Micros) -> bool {
        let seconds = now.since(self.at).0 as f64 / 1e6;
        self.at = self.at.max(now);
        self.saved += (seconds * FLOOR_PER_SECOND).min((FLOOR_PER_SECOND - self.saved).max(0.0));
        self.saved >= 1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_a_full_budget_everything_is_rescued() {
        let mut budget = Budget::new();
        for i in 0..10_000 {
            assert!(budget.spend(1.0, Micros(i)), "request {i}");
        }
    }

    #[test]
    fn a_share_is_kept_and_the_floor_is_there_for_quiet_services() {
        let mut budget = Budget::new();
        let mut rescued = 0;
        for i in 0..10_000_u64 {
            budget.earn(0.2);
            rescued += u32::from(budget.spend(0.2, Micros(i * 100)));
        }
        // 2,000 by share, and what the floor gives in one second.
        assert!((1_990..=2_030).contains(&rescued), "{rescued}");
        let mut quiet = Budget::new();
        let of_a_minute = (0..60_u64).filter(|second| quiet.spend(0.0, Micros(second * 1_000_000))).count();
        assert_eq!(of_a_minute, 60);
        // What the floor has given meanwhile is there before it is spent.
        while quiet.spend(0.0, Micros(60_000_000)) {}
        assert!(!quiet.affords(0.0, Micros(60_000_000)));
        assert!(quiet.affords(0.0, Micros(61_000_000)));
    }

    #[test]
    fn only_idempotent_methods_are() {
        for (method, idempotent) in [
            (Method::GET, true),
            (Method::PUT, true),
            (Method::DELETE, true),
            (Method::POST, false),
            (Method::PATCH, false),
            (Method::CONNECT, false),
        ] {
            assert_eq!(is_idempotent(&method), idempotent, "{method}");
        }
    }
}

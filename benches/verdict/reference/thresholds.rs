//! In the manner of Flagger and of Argo Rollouts' analysis: fixed limits for Kubernetes alone, looked at once a
//! minute over the last minute; so many bad looks are one too many.
//!
//! Flagger, by its documentation's example: success rate at least 99 %, 99 % of the answers within 500 ms, a
//! threshold of 5 failed checks; it acts at the check after the fifth. Argo Rollouts, by its documentation's
//! example: success rate at least 95 %, `failureLimit: 3`, which the fourth failure exceeds. In both, failures
//! add up over one analysis, however many checks succeed in between.

use switchback::model::Side;

use super::{Ended, Reference};

pub(super) struct Thresholds {
    least_success: f64,
    most_p99_ms: f64,
    /// Failed looks that are tolerated.
    limit: u32,
    /// Whether the look after the last failed one is the one that acts.
    acts: Acts,
    failed_looks: u32,
    latencies_ms: Vec<f64>,
    failed: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Acts {
    AtOnce,
    NextTime,
}

impl Thresholds {
    pub(super) fn flagger() -> Self {
        Self::new(0.99, 500.0, 5, Acts::NextTime)
    }

    pub(super) fn argo() -> Self {
        Self::new(0.95, f64::INFINITY, 4, Acts::AtOnce)
    }

    fn new(least_success: f64, most_p99_ms: f64, limit: u32, acts: Acts) -> Self {
        Self { least_success, most_p99_ms, limit, acts, failed_looks: 0, latencies_ms: Vec::new(), failed: 0 }
    }

    fn is_bad(&mut self) -> bool {
        let count = self.latencies_ms.len();
        if count == 0 {
            return false; // no metric, no check
        }
        let success = 1.0 - f64::from(self.failed) / count as f64;
        let rank = (count * 99).div_ceil(100) - 1;
        let p99_ms = *self.latencies_ms.select_nth_unstable_by(rank, f64::total_cmp).1;
        success < self.least_success || p99_ms > self.most_p99_ms
    }
}

impl Reference for Thresholds {
    fn every_s(&self) -> f64 {
        60.0
    }

    fn take(&mut self, ended: &Ended) {
        if ended.side == Side::Kubernetes {
            self.latencies_ms.push(ended.latency_ms);
            self.failed += u32::from(ended.failed);
        }
    }

    fn look(&mut self, _: f64) -> bool {
        if self.acts == Acts::NextTime && self.failed_looks >= self.limit {
            return true;
        }
        self.failed_looks += u32::from(self.is_bad());
        self.latencies_ms.clear();
        self.failed = 0;
        self.acts == Acts::AtOnce && self.failed_looks >= self.limit
    }
}

//! In the manner of M. Lindon, C. Sanden, V. Shirikian, *Rapid regression detection in software deployments
//! through sequential testing* (KDD 2022): tests that may be looked at after every request.
//!
//! If both sides are alike, each failure is Kubernetes' with the chance w, its weight, whatever the rate of
//! failures is. Against that stands a Beta mixture of other chances; their likelihood ratio is a martingale, and
//! passes 1/α with a chance of at most α (Ville). Latencies are tested in the same way, by the requests slower
//! than each of three quantiles of Helios' first answers. A test is begun anew each hour with α = an hour over
//! the promise, so that there is one false alarm in that time; half of α is for failures. There is no tolerance.

use switchback::model::Side;

use super::{Ended, Reference};

const BEGINS_ANEW_S: f64 = 3_600.0;
/// Weight of the mixture's prior in events: it sees ratios of two within some ten of them.
const PRIOR: f64 = 10.0;
/// Helios' answers from which quantiles are taken, and which.
const LEARNED: usize = 2_000;
const QUANTILES: [f64; 3] = [0.5, 0.9, 0.99];

pub(super) struct Sequential {
    weight: f64,
    /// ln 1/α, for failures and for each quantile.
    bars: [f64; 2],
    failures: Mixture,
    slow: [Mixture; QUANTILES.len()],
    learned_ms: Vec<f64>,
    quantiles_ms: Option<[f64; QUANTILES.len()]>,
    begun_s: f64,
    alarmed: bool,
}

/// A Beta mixture's likelihood ratio.
#[derive(Clone, Copy, Default)]
struct Mixture {
    log: f64,
    all: f64,
    kubernetes: f64,
}

impl Sequential {
    pub(super) fn new(weight: f64, promise_s: f64) -> Self {
        let bar = (promise_s / BEGINS_ANEW_S).ln() + 2_f64.ln();
        Self {
            weight,
            bars: [bar, bar + (QUANTILES.len() as f64).ln()],
            failures: Mixture::default(),
            slow: [Mixture::default(); QUANTILES.len()],
            learned_ms: Vec::with_capacity(LEARNED),
            quantiles_ms: None,
            begun_s: 0.0,
            alarmed: false,
        }
    }

    fn learn(&mut self, latency_ms: f64) {
        self.learned_ms.push(latency_ms);
        if self.learned_ms.len() == LEARNED {
            self.learned_ms.sort_by(f64::total_cmp);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the answers")]
            let at = |share: f64| self.learned_ms[(share * LEARNED as f64) as usize];
            self.quantiles_ms = Some(QUANTILES.map(at));
        }
    }
}

impl Reference for Sequential {
    /// It is fed request by request; a look only tells.
    fn every_s(&self) -> f64 {
        0.1
    }

    fn take(&mut self, ended: &Ended) {
        if ended.failed {
            self.failures.take(ended.side, self.weight);
            self.alarmed |= self.failures.says_worse(self.bars[0], self.weight);
        }
        match self.quantiles_ms {
            Some(quantiles_ms) => {
                for (slow, quantile_ms) in self.slow.iter_mut().zip(quantiles_ms) {
                    if ended.latency_ms > quantile_ms {
                        slow.take(ended.side, self.weight);
                        self.alarmed |= slow.says_worse(self.bars[1], self.weight);
                    }
                }
            }
            None if ended.side == Side::Helios => self.learn(ended.latency_ms),
            None => {}
        }
    }

    fn look(&mut self, now_s: f64) -> bool {
        if now_s - self.begun_s >= BEGINS_ANEW_S {
            self.begun_s = now_s;
            self.failures = Mixture::default();
            self.slow = [Mixture::default(); QUANTILES.len()];
        }
        self.alarmed
    }
}

impl Mixture {
    fn take(&mut self, side: Side, weight: f64) {
        let (chance, before) = match side {
            Side::Kubernetes => (weight, self.kubernetes),
            Side::Helios => (1.0 - weight, self.all - self.kubernetes),
        };
        self.log += ((PRIOR * chance + before) / (PRIOR + self.all) / chance).ln();
        self.all += 1.0;
        self.kubernetes += f64::from(u8::from(side == Side::Kubernetes));
    }

    fn says_worse(&self, bar: f64, weight: f64) -> bool {
        self.log >= bar && self.kubernetes > weight * self.all
    }
}

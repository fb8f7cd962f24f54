//! What many write first: each tick a z-test at 99 % of the last minute, on the share of failures and on the mean
//! of the logarithm of latencies. Each look has its chance to be wrong, and there are ten a second.

use std::collections::VecDeque;

use switchback::model::{PerSide, Side};

use super::{Ended, Reference};

const TICKS: usize = 600;
/// One-sided 99 %.
const Z: f64 = 2.326_348;
/// Requests of either side before anything is said.
const NEEDED: f64 = 30.0;

#[derive(Default)]
pub(super) struct EveryTick {
    sums: PerSide<Sums>,
    tick: PerSide<Sums>,
    ticks: VecDeque<PerSide<Sums>>,
}

#[derive(Clone, Copy, Default)]
struct Sums {
    ended: f64,
    failed: f64,
    log: f64,
    log_squared: f64,
}

impl Reference for EveryTick {
    fn every_s(&self) -> f64 {
        0.1
    }

    fn take(&mut self, ended: &Ended) {
        let log = ended.latency_ms.max(0.001).ln();
        self.tick[ended.side].add(
            &Sums { ended: 1.0, failed: f64::from(u8::from(ended.failed)), log, log_squared: log * log },
            1.0,
        );
    }

    fn look(&mut self, _: f64) -> bool {
        let tick = std::mem::take(&mut self.tick);
        let oldest = if self.ticks.len() == TICKS { self.ticks.pop_front() } else { None };
        self.ticks.push_back(tick);
        for side in Side::ALL {
            self.sums[side].add(&tick[side], 1.0);
            if let Some(oldest) = oldest {
                self.sums[side].add(&oldest[side], -1.0);
            }
        }
        let PerSide { helios, kubernetes } = &self.sums;
        if helios.ended < NEEDED || kubernetes.ended < NEEDED {
            return false;
        }
        let pooled = (helios.failed + kubernetes.failed) / (helios.ended + kubernetes.ended);
        let failing = pooled * (1.0 - pooled) * (1.0 / helios.ended + 1.0 / kubernetes.ended);
        let slower = helios.variance_of_mean() + kubernetes.variance_of_mean();
        kubernetes.failed / kubernetes.ended - helios.failed / helios.ended > Z * failing.sqrt()
            || kubernetes.log / kubernetes.ended - helios.log / helios.ended > Z * slower.sqrt()
    }
}

impl Sums {
    fn add(&mut self, other: &Self, times: f64) {
        self.ended += times * other.ended;
        self.failed += times * other.failed;
        self.log += times * other.log;
        self.log_squared += times * other.log_squared;
    }

    fn variance_of_mean(&self) -> f64 {
        let mean = self.log / self.ended;
        (self.log_squared / self.ended - mean * mean).max(0.0) / self.ended
    }
}

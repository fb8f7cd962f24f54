//! In the manner of Kayenta's Netflix judge: each side's share of failures and mean latency, minute by minute
//! over the last ten, are compared by the Mann–Whitney test. A metric is too high if the whole 98 % confidence
//! interval of its shift lies above a quarter of the estimated shift. The score is the share of metrics that are
//! not; below 75, the marginal score, the canary fails. Judged every three minutes.

use std::collections::VecDeque;

use switchback::model::{PerSide, Side};

use super::{Ended, Reference};

/// Minutes that are compared. With ten on either side, nine must be bad.
const MINUTES: i64 = 10;
/// The normal quantile of a two-sided 98 %.
const Z: f64 = 2.326_348;
const TOLERANCE: f64 = 0.25;
const MARGINAL: f64 = 75.0;

#[derive(Default)]
pub(super) struct Kayenta {
    minutes: PerSide<VecDeque<Minute>>,
}

#[derive(Clone, Copy)]
struct Minute {
    number: i64,
    ended: f64,
    failed: f64,
    latency_ms: f64,
}

impl Reference for Kayenta {
    fn every_s(&self) -> f64 {
        180.0
    }

    fn take(&mut self, ended: &Ended) {
        let number = minute(ended.at_s);
        let minutes = &mut self.minutes[ended.side];
        if minutes.back().is_none_or(|last| last.number != number) {
            minutes.push_back(Minute { number, ended: 0.0, failed: 0.0, latency_ms: 0.0 });
        }
        if let Some(last) = minutes.back_mut() {
            last.ended += 1.0;
            last.failed += f64::from(u8::from(ended.failed));
            last.latency_ms += ended.latency_ms;
        }
    }

    fn look(&mut self, now_s: f64) -> bool {
        for side in Side::ALL {
            let from = minute(now_s) - MINUTES;
            self.minutes[side].retain(|minute| minute.number >= from);
        }
        let metrics: [fn(&Minute) -> f64; 2] =
            [|minute| minute.failed / minute.ended, |minute| minute.latency_ms / minute.ended];
        let high = metrics.iter().filter(|metric| self.is_high(**metric)).count();
        100.0 * (1.0 - high as f64 / metrics.len() as f64) < MARGINAL
    }
}

impl Kayenta {
    /// The confidence interval of the shift consists of differences of pairs (Hodges and Lehmann).
    fn is_high(&self, metric: fn(&Minute) -> f64) -> bool {
        let PerSide { helios, kubernetes } = &self.minutes;
        let mut differences: Vec<f64> =
            kubernetes.iter().flat_map(|k| helios.iter().map(move |h| metric(k) - metric(h))).collect();
        differences.sort_by(f64::total_cmp);
        let (n, m) = (helios.len() as f64, kubernetes.len() as f64);
        let outside = (n * m / 2.0 - Z * (n * m * (n + m + 1.0) / 12.0).sqrt()).floor();
        if outside < 1.0 {
            return false; // too few minutes for this confidence
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1 to 50")]
        let low = differences[outside as usize - 1];
        low > TOLERANCE * differences[differences.len() / 2].abs()
    }
}

fn minute(seconds: f64) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "minutes of a trace")]
    return (seconds / 60.0).floor() as i64;
}

use std::time::Duration;

use crate::model::PerSide;

use super::TICK_MS;
use super::bets::{Bets, LADDER, right_now_projection};
use super::detector::GATE;
use super::inquiry::Inquiry;

/// How long it would take until Kubernetes failing `failures` of its requests would be found worse, at these
/// rates of requests a second. `None` if it never would.
///
/// An estimate from mean growth: evidence against history must grow from one second to the detector's share
/// of the promise, evidence against right now to the gate, and neither faster than its caps allow. Chance
/// makes the real time scatter around it.
pub(super) fn seen_in(
    inquiry: &Inquiry,
    asked: PerSide<f64>,
    failures: f64,
    promise_s: f64,
) -> Option<Duration> {
    let (expected, bound, noise) = inquiry.reference();
    let share = inquiry.share();
    let bets = Bets::against(bound);
    let capped = |nats_per_second: f64| nats_per_second.min(share.cap * (1_000.0 / TICK_MS as f64));
    (0..LADDER.len())
        .filter_map(|bet| {
            let history = capped(asked.kubernetes * bets.growth(bet, failures) / noise);
            let right_now = capped(now_growth(&bets, bet, asked, expected, failures, inquiry) / noise);
            (history > 0.0 && right_now > 0.0).then(|| {
                let whole = (promise_s / share.weight * history.max(1e-9)).ln().max(1.0) / history;
                whole.max(GATE / right_now)
            })
        })
        .min_by(f64::total_cmp)
        .map(|seconds| Duration::from_secs_f64(seconds.clamp(0.0, LONGEST_S)))
}

/// Longer than this is as good as never; it also keeps the conversion in range.
const LONGEST_S: f64 = 1e9;

/// Nats a second that a bet gains against right now: blocks of one vote on the rarer side, and as many on
/// the other as arrive meanwhile.
fn now_growth(
    bets: &Bets,
    bet: usize,
    asked: PerSide<f64>,
    expected: f64,
    failures: f64,
    inquiry: &Inquiry,
) -> f64 {
    let blocks = asked.helios.min(asked.kubernetes).min(1_000.0 / TICK_MS as f64);
    let tolerated = inquiry.tolerated();
    let p = expected.min(bets.bound());
    let rate = bets.rate(bet);
    if blocks <= 0.0 || rate <= tolerated.ratio * p + tolerated.delta {
        return 0.0;
    }
    let sizes = asked.map(|rate| rate / blocks);
    let a = right_now_projection(sizes, p, rate, tolerated);
    let b = tolerated.ratio * a + tolerated.delta;
    let gain = |truth: f64, for_it: f64, against: f64| {
        truth * (for_it / against).ln() + (1.0 - truth) * ((1.0 - for_it) / (1.0 - against)).ln()
    };
    blocks * (sizes.helios * gain(expected, p, a) + sizes.kubernetes * gain(failures, rate, b))
}

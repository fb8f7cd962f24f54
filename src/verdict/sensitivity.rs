use std::time::Duration;

use crate::model::PerSide;

use super::TICK_MS;
use super::ages::{AgeBets, Later, right_now_of, shares};
use super::bets::{Bets, LADDER, right_now_projection};
use super::detector::Share;
use super::rule::Tolerance;

/// What a question's detectors go by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) noise: f64,
    pub(super) share: Share,
    pub(super) promise_s: f64,
}

/// Longer than this is as good as never; it also keeps the conversion in range.
const LONGEST_S: f64 = 1e9;

const TICKS_A_SECOND: f64 = 1_000.0 / TICK_MS as f64;

/// How long it would take until Kubernetes voting bad with this share of its votes would be found worse, at these
/// rates of requests a second. `None` if it never would.
///
/// An estimate from mean growth: evidence against history must grow from one second to the detector's share
/// of the promise, evidence against right now to the gate, and neither faster than its caps allow. Chance
/// makes the real time scatter around it.
pub(super) fn shares_seen_in(
    known: &Known,
    bets: &Bets,
    tolerated: Tolerance,
    expected: f64,
    asked: PerSide<f64>,
    bad: f64,
) -> Option<Duration> {
    let p = expected.min(bets.bound());
    let blocks = asked.helios.min(asked.kubernetes).min(TICKS_A_SECOND);
    let sizes = asked.map(|rate| rate / blocks.max(f64::MIN_POSITIVE));
    soonest(known, |bet| {
        let rate = bets.rate(bet);
        if blocks <= 0.0 || rate <= tolerated.ratio * p + tolerated.delta {
            return (0.0, 0.0);
        }
        let a = right_now_projection(sizes, p, rate, tolerated);
        let b = tolerated.ratio * a + tolerated.delta;
        let gain = |truth: f64, for_it: f64, against: f64| {
            truth * (for_it / against).ln() + (1.0 - truth) * ((1.0 - for_it) / (1.0 - against)).ln()
        };
        let of_block = sizes.helios * gain(expected, p, a) + sizes.kubernetes * gain(bad, rate, b);
        (asked.kubernetes * bets.growth(bet, bad), blocks * of_block)
    })
}

/// How long it would take until Kubernetes' ages coming after the cuts with the shares `truth` would be found worse.
pub(super) fn ages_seen_in(
    known: &Known,
    bets: &AgeBets,
    expected: &Later,
    asked: PerSide<f64>,
    truth: &Later,
) -> Option<Duration> {
    let blocks = asked.helios.min(asked.kubernetes).min(TICKS_A_SECOND);
    if blocks <= 0.0 {
        return None;
    }
    let sizes = asked.map(|rate| rate / blocks);
    let counts = PerSide {
        helios: shares(expected).map(|share| share * sizes.helios),
        kubernetes: shares(truth).map(|share| share * sizes.kubernetes),
    };
    soonest(known, |bet| {
        (asked.kubernetes * bets.growth(bet, truth), blocks * right_now_of(bet, &counts, expected))
    })
}

/// The soonest of all bets, each with its evidence a second against history and against right now.
fn soonest(known: &Known, growth: impl Fn(usize) -> (f64, f64)) -> Option<Duration> {
    let capped = |nats: f64| (nats / known.noise).min(known.share.cap * TICKS_A_SECOND);
    (0..LADDER.len())
        .filter_map(|bet| {
            let (history, right_now) = growth(bet);
            let (history, right_now) = (capped(history), capped(right_now));
            (history > 0.0 && right_now > 0.0).then(|| {
                let whole =
                    (known.promise_s / known.share.weight * history.max(1e-9)).ln().max(1.0) / history;
                whole.max(known.share.gate / right_now)
            })
        })
        .min_by(f64::total_cmp)
        .map(|seconds| Duration::from_secs_f64(seconds.clamp(0.0, LONGEST_S)))
}

use std::collections::{HashMap, VecDeque};

use crate::model::{Cause, Endpoint, Fault, Millis, PerSide, Side};
use crate::tally::{Cited, ServiceTally};
use crate::verdict::Recent;

/// What one service did in the last minute, second by second, and how fast it answered lately.
///
/// This is for people: for rates in a status and for the story in a receipt. The judge has its own memory.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    seconds: VecDeque<Second>,
    /// Requests that failed on Kubernetes lately, and when that was known.
    cited: VecDeque<(Millis, Cited)>,
    pub(super) latencies: PerSide<Recent>,
}

/// Seconds that are remembered. Only those with requests take room.
const REMEMBERED: Millis = Millis(60_000);
/// Failed requests that are remembered by their identifiers.
const MOST_CITED: usize = 16;

/// What happened in one second.
#[derive(Debug, Default)]
pub(super) struct Second {
    pub(super) from: Millis,
    pub(super) sums: Sums,
}

/// What happened in some time.
#[derive(Clone, Debug, Default)]
pub(super) struct Sums {
    /// Tries that ended, but for those that the client or Switchback ended.
    pub(super) tries: PerSide<u64>,
    /// Tries that failed by the side's fault.
    pub(super) failed: PerSide<u64>,
    pub(super) rescued: u64,
    pub(super) unrescued: u64,
    pub(super) blamed: HashMap<(Endpoint, Cause), u64>,
}

impl Traffic {
    /// Adds what a worker counted.
    pub(super) fn add(&mut self, now: Millis, tally: &ServiceTally) {
        let from = Millis(now.0 - now.0 % 1_000);
        if self.seconds.back().is_none_or(|last| last.from != from) {
            self.seconds.push_back(Second { from, sums: Sums::default() });
        }
        while self.seconds.front().is_some_and(|first| now.since(first.from) > REMEMBERED) {
            self.seconds.pop_front();
        }
        if let Some(second) = self.seconds.back_mut() {
            second.sums.add(tally);
        }
        self.cited.extend(tally.cited.iter().map(|cited| (now, cited.clone())));
        self.cited.drain(..self.cited.len().saturating_sub(MOST_CITED));
        for side in Side::ALL {
            for (_, latency) in &tally.sides[side].latencies {
                self.latencies[side].add(now, *latency);
            }
        }
    }

    /// The sums of the seconds that lie wholly or partly after `since`, and how much time they cover.
    pub(super) fn since(&self, since: Millis, now: Millis) -> (Sums, f64) {
        let mut sums = Sums::default();
        let recent = self.seconds.iter().rev().take_while(|second| second.from.0 + 1_000 > since.0);
        let mut first = now;
        for second in recent {
            first = second.from;
            sums.merge(&second.sums);
        }
        (sums, now.since(first.max(since)).seconds())
    }

    /// Each second with requests that lies wholly or partly after `since`.
    pub(super) fn seconds(&self, since: Millis) -> impl Iterator<Item = &Second> {
        self.seconds.iter().filter(move |second| second.from.0 + 1_000 > since.0)
    }

    /// The last requests that failed on Kubernetes after `since`, the latest first.
    pub(super) fn cited(&self, since: Millis) -> impl Iterator<Item = &Cited> {
        self.cited.iter().rev().take_while(move |(at, _)| *at >= since).map(|(_, cited)| cited)
    }

    /// Tries a second over the last ten seconds, and the share of them that failed.
    pub(super) fn rates(&self, now: Millis) -> PerSide<(f64, f64)> {
        let from = Millis(now.0.saturating_sub(RATE_WINDOW.0));
        let (sums, _) = self.since(from, now);
        let seconds = RATE_WINDOW.seconds().min(now.seconds().max(1.0));
        PerSide::from_fn(|side| {
            let tries = sums.tries[side] as f64;
            (tries / seconds, if tries > 0.0 { sums.failed[side] as f64 / tries } else { 0.0 })
        })
    }

    /// Requests a second over the last ten seconds: one that was rescued is one.
    pub(super) fn per_second(&self, now: Millis) -> f64 {
        let (sums, _) = self.since(Millis(now.0.saturating_sub(RATE_WINDOW.0)), now);
        let tries = sums.tries.helios + sums.tries.kubernetes;
        tries.saturating_sub(sums.rescued) as f64 / RATE_WINDOW.seconds().min(now.seconds().max(1.0))
    }

    /// The median and 99 % latency of a side's last answers, in milliseconds.
    pub(super) fn p50_p99_ms(&mut self, side: Side, now: Millis) -> Option<(f64, f64)> {
        let recent = &mut self.latencies[side];
        recent.count(now);
        let [p50, p99] = recent.quantiles([0.5, 0.99])?;
        Some((p50.0 as f64 / 1e3, p99.0 as f64 / 1e3))
    }
}

/// Over how long rates are told.
const RATE_WINDOW: Millis = Millis(10_000);

impl Sums {
    fn add(&mut self, tally: &ServiceTally) {
        for side in Side::ALL {
            let of_side = &tally.sides[side];
            let failed: u64 =
                of_side.failed.iter().filter(|(cause, _)| cause.fault() == Fault::Side).map(|(_, n)| n).sum();
            self.failed[side] += failed;
            self.tries[side] += of_side.ok + failed;
        }
        self.rescued += tally.rescued;
        self.unrescued += tally.unrescued;
        for (what, count) in &tally.blamed {
            *self.blamed.entry(what.clone()).or_default() += count;
        }
    }

    fn merge(&mut self, other: &Sums) {
        for side in Side::ALL {
            self.tries[side] += other.tries[side];
            self.failed[side] += other.failed[side];
        }
        self.rescued += other.rescued;
        self.unrescued += other.unrescued;
        for (what, count) in &other.blamed {
            *self.blamed.entry(what.clone()).or_default() += count;
        }
    }
}

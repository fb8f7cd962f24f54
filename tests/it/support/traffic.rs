#![expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "virtual time fits")]

//! Traffic in virtual time: requests with seeded arrivals, outcomes and latencies, fed through the same ballot
//! and judge that serve real traffic.

use std::collections::BTreeMap;

use switchback::model::{Micros, Millis, PerSide, Side, Weight};
use switchback::splitter::Dealer;
use switchback::verdict::{
    Ballot, Block, Finding, Judge, Latency, Recent, Rule, Stratum, TICK_MS, Thresholds, Ticket,
};

/// How one side behaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Behaviour {
    /// The share of requests that fail.
    pub(crate) failures: f64,
    /// The median latency in milliseconds; log-normal with σ = 0.5.
    pub(crate) median_ms: f64,
    /// Never answers.
    pub(crate) hangs: bool,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self { failures: 0.001, median_ms: 20.0, hangs: false }
    }
}

/// One service under a judge, at a constant rate of requests.
pub(crate) struct Traffic {
    rng: fastrand::Rng,
    per_second: f64,
    weight: Weight,
    pub(crate) sides: PerSide<Behaviour>,
    /// Clients, each of which waits for its answer before it asks again.
    pub(crate) clients: usize,
    now: Micros,
    next_tick: Micros,
    ballot: Ballot,
    open: BTreeMap<(Micros, u64), (Ticket, Side, Micros, bool)>,
    requests: u64,
    recent: Recent,
    thresholds: Thresholds,
    dealer: Dealer,
    pub(crate) judge: Judge,
}

impl Traffic {
    pub(crate) fn new(seed: u64, per_second: f64, percent: f64) -> Self {
        let weight = Weight::from_percent(percent).expect("a percentage");
        Self {
            rng: fastrand::Rng::with_seed(seed),
            per_second,
            weight,
            sides: PerSide::default(),
            clients: usize::MAX,
            now: Micros(0),
            next_tick: Micros(TICK_MS * 1_000),
            ballot: Ballot::default(),
            open: BTreeMap::new(),
            requests: 0,
            recent: Recent::default(),
            thresholds: Thresholds::default(),
            dealer: Dealer::new(weight),
            judge: Judge::new(Rule::default()),
        }
    }

    /// Lets this much time pass; ends early with the first finding and the seconds until it.
    pub(crate) fn run(&mut self, seconds: f64) -> Option<(f64, Finding)> {
        let start = self.now;
        let end = Micros(start.0 + (seconds * 1e6) as u64);
        while self.now < end {
            let gap = -(1.0 - self.rng.f64()).ln() / self.per_second;
            let arrival = Micros(self.now.0 + (gap * 1e6) as u64);
            while self.next_tick <= arrival.min(end) {
                if let Some(finding) = self.tick() {
                    return Some(((self.next_tick.0 - start.0) as f64 / 1e6, finding));
                }
                self.next_tick = Micros(self.next_tick.0 + TICK_MS * 1_000);
            }
            self.now = arrival;
            if self.open.len() < self.clients {
                self.ask(arrival);
            }
        }
        None
    }

    fn ask(&mut self, now: Micros) {
        let rng = &mut self.rng;
        let side = self.dealer.deal(self.weight, |n| rng.u32(..n));
        let Behaviour { failures, median_ms, hangs } = self.sides[side];
        let failed = self.rng.f64() < failures;
        let normal =
            (-2.0 * (1.0 - self.rng.f64()).ln()).sqrt() * (std::f64::consts::TAU * self.rng.f64()).cos();
        let latency_us = (median_ms * 1e3 * (0.5 * normal).exp()) as u64;
        let end = if hangs { Micros(u64::MAX) } else { Micros(now.0 + latency_us) };
        let ticket = self.ballot.enter(Stratum::OTHER, side, now, &self.thresholds);
        self.requests += 1;
        self.open.insert((end, self.requests), (ticket, side, now, failed));
    }

    fn tick(&mut self) -> Option<Finding> {
        let now = self.next_tick;
        while let Some(first) = self.open.first_entry().filter(|entry| entry.key().0 <= now) {
            let ((end, _), (ticket, side, started, failed)) = first.remove_entry();
            self.ballot.finish(ticket, end, failed);
            if side == Side::Helios {
                self.recent.add(end.millis(), Latency::of(end.since(started)));
            }
        }
        let millis = now.millis();
        if millis.0.is_multiple_of(5_000) {
            self.thresholds = Thresholds::learned(&mut self.recent, self.judge.rule().slower, millis);
        }
        let mut block = Block::default();
        self.ballot.collect(now, &mut block);
        self.judge.observe(millis, &block)
    }

    /// Lets the clock jump, as when a machine was asleep: nothing happens meanwhile.
    pub(crate) fn sleep(&mut self, seconds: u64) {
        self.now = Micros(self.now.0 + seconds * 1_000_000);
        self.next_tick = Micros(self.next_tick.0 + seconds * 1_000_000);
    }

    pub(crate) fn set_weight(&mut self, percent: f64) {
        self.weight = Weight::from_percent(percent).expect("a percentage");
        self.dealer = Dealer::new(self.weight);
    }

    pub(crate) fn now(&self) -> Millis {
        self.now.millis()
    }
}

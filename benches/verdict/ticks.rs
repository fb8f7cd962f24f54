//! What a tick costs. The clock is read here and nowhere else, and nothing of this is written to the results.

use std::fmt::Write as _;

use switchback::clock::Clock;
use switchback::model::{Millis, PerSide};
use switchback::verdict::{Block, Judge, Rule, Stratum};

use crate::statistics::median;
use crate::traffic::{Route, Service, Traffic};
use crate::weather::Whims;

/// Services of the fleet that is ticked at once.
const FLEET: usize = 5_000;
/// Its ticks that are measured, …
const FLEET_TICKS: u64 = 100;
/// … after so many in which judges get to know their services.
const FLEET_WARM: u64 = 1_200;

/// Measures, and tells.
pub(crate) fn report() -> String {
    let mut text = String::new();
    let mut line = |name: &str, per_second: f64, routes: usize, bound: &str| {
        let ns = observe_ns(service(per_second, routes));
        let _ = writeln!(text, "{name:58} {ns:9.0} ns an observation{bound}");
    };
    line("quiet: 1 request a second, one stratum", 1.0, 0, " (bound 2,000)");
    line("quiet: 10 requests a second, one stratum", 10.0, 0, " (bound 2,000)");
    line("200 requests a second, 5 routes", 200.0, 5, "");
    line("1,000 requests a second, one stratum", 1_000.0, 0, "");
    line("1,000 requests a second, 32 routes", 1_000.0, 32, " (bound 100,000)");
    line("10,000 requests a second, 32 routes", 10_000.0, 32, " (bound 100,000)");
    for per_second in [0.2, 1.0] {
        let (ms, worst) = fleet_ms(per_second);
        let name = format!("{FLEET} services of {per_second} requests a second, in one tick");
        let _ = writeln!(text, "{name:58} {ms:9.2} ms, the slowest tick {worst:.2} ms (bound 5)");
    }
    text
}

fn service(per_second: f64, routes: usize) -> Service {
    let places = if routes == 0 { 0..1 } else { 1..routes + 1 };
    let route = |stratum| Route {
        stratum,
        share: PerSide { helios: 1.0, kubernetes: 1.0 },
        failing: PerSide { helios: 0.001, kubernetes: 0.001 },
        median_ms: 30.0,
        spread: 0.5,
        slower: 1.0,
    };
    Service {
        per_second,
        weight: 0.5,
        routes: places.filter_map(Stratum::at).map(route).collect(),
        swing: 0.0,
    }
}

fn traffic(service: Service, seed: u64) -> Traffic {
    Traffic::new(service, Whims::none(), u64::MAX / 2, fastrand::Rng::with_seed(seed))
}

/// The mean over ticks with requests, in a judge that has known the service for ten minutes.
fn observe_ns(service: Service) -> f64 {
    let mut traffic = traffic(service, 1);
    let mut judge = Judge::new(Rule::default());
    let mut block = Block::default();
    while traffic.ticks() < 6_000 {
        if let Some(now) = traffic.next(&mut block) {
            judge.observe(now, &block);
        }
    }
    let clock = Clock::start();
    let mut rounds = Vec::new();
    for _ in 0..40 {
        let blocks: Vec<(Millis, Block)> =
            (0..100).filter_map(|_| traffic.next(&mut block).map(|now| (now, block.clone()))).collect();
        let before = clock.micros();
        for (now, block) in &blocks {
            std::hint::black_box(judge.observe(*now, block));
        }
        rounds.push(clock.micros().since(before).0 as f64 * 1e3 / blocks.len() as f64);
    }
    rounds.iter().sum::<f64>() / rounds.len() as f64
}

/// The median and the slowest tick of a fleet. Services without requests in a tick are passed over, as they are
/// in a running process.
fn fleet_ms(per_second: f64) -> (f64, f64) {
    struct Member {
        traffic: Traffic,
        judge: Judge,
        block: Block,
        due: Option<Millis>,
    }
    let mut fleet: Vec<Member> = (0..FLEET)
        .map(|seed| {
            let mut traffic = traffic(service(per_second, 0), seed as u64);
            let mut block = Block::default();
            let due = traffic.next(&mut block);
            Member { traffic, judge: Judge::new(Rule::default()), block, due }
        })
        .collect();
    let clock = Clock::start();
    let mut took = Vec::new();
    for tick in 1..=FLEET_WARM + FLEET_TICKS {
        let now = Millis(tick * switchback::verdict::TICK_MS);
        let before = clock.micros();
        for member in fleet.iter_mut().filter(|member| member.due == Some(now)) {
            std::hint::black_box(member.judge.observe(now, &member.block));
        }
        if tick > FLEET_WARM {
            took.push(clock.micros().since(before).0 as f64 / 1e3);
        }
        for member in fleet.iter_mut().filter(|member| member.due == Some(now)) {
            member.due = member.traffic.next(&mut member.block);
        }
    }
    (median(&took), took.iter().fold(0.0, |most, ms| ms.max(most)))
}

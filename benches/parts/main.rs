//! What single parts cost, by the clock: those that each request passes, and those whose cost grows with the number of services.
//! What a whole request takes is counted by `benches/instructions/run`, and what the judge takes at which traffic told by
//! `cargo bench --bench verdict -- --ticks`.
//!
//! ```text
//! cargo bench --bench parts                    all of it, within a minute
//! cargo bench --bench parts -- routes          what has `routes` in its name
//! ```

mod services;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use switchback::config;
use switchback::model::{Dialect, Micros, Millis, Route, ServiceName, Side, Weight};
use switchback::parts::{Buckets, Counting, Following, Router};
use switchback::splitter::{Dealer, Plan, Point, choose};
use switchback::verdict::{Ballot, Block, Judge, Latency, Recent, Rule, Stratum, TICK_MS, Thresholds};

use services::{Folder, MANY};

/// Requests of one service that a worker counts in a tick.
const OF_A_TICK: u64 = 500;
/// Ticks in which judges get to know their services.
const WARM: u64 = 600;

fn main() {
    divan::main();
}

fn weight(percent: f64) -> Weight {
    Weight::from_percent(percent).expect("it lies between 0 and 100")
}

/// Deals a request to a side.
#[divan::bench]
fn choose_by_weight(bencher: Bencher<'_, '_>) {
    let plan = Plan { weight: weight(30.0), ..Plan::default() };
    let (mut dealer, mut rng) = (Dealer::new(plan.weight), fastrand::Rng::with_seed(1));
    bencher.bench_local(|| choose(black_box(&plan), None, None, &mut dealer, |below| rng.u32(..below)));
}

/// The same for a user who stays on a side: the user's place is computed from a key.
#[divan::bench]
fn choose_by_user(bencher: Bencher<'_, '_>) {
    let plan = Plan { weight: weight(30.0), ..Plan::default() };
    let (mut dealer, service) = (Dealer::new(plan.weight), ServiceName::parse("playlist").expect("a name"));
    bencher.bench_local(|| {
        let user = Point::of(&service, black_box(b"0123456789abcdef"));
        choose(black_box(&plan), None, Some(user), &mut dealer, |_| 0)
    });
}

/// Finds one of 5,000 services.
#[divan::bench]
fn routes_of_5000_services(bencher: Bencher<'_, '_>) {
    let router = Router::new(&Folder::of(MANY).load());
    let hosts: Vec<String> = (0..MANY).map(|place| format!("service-{place}.test")).collect();
    let mut next = hosts.iter().cycle();
    bencher.bench_local(|| router.find(next.next().expect("it goes round"), black_box("/v1/items/17")));
}

/// The number of a route, by which requests are grouped for the judge.
#[divan::bench]
fn number_of_a_route(bencher: Bencher<'_, '_>) {
    bencher.bench_local(|| Route::new(Dialect::Http, "GET", black_box("/v1/users/4711/items/17")).key());
}

/// Counts a request, and reports once a tick.
#[divan::bench]
fn tally(bencher: Bencher<'_, '_>) {
    let mut counting = Counting::default();
    bencher.counter(ItemsCount::new(OF_A_TICK)).bench_local(|| {
        for place in 0..OF_A_TICK {
            counting.count(side(place), Micros(1_000 + place));
        }
        counting.report()
    });
}

/// Lets a request vote, and collects votes once a tick.
#[divan::bench]
fn ballot(bencher: Bencher<'_, '_>) {
    let (mut ballot, mut block, mut tick) = (Ballot::default(), Block::default(), 0);
    bencher.counter(ItemsCount::new(OF_A_TICK)).bench_local(|| {
        tick += 1;
        vote(&mut ballot, tick, OF_A_TICK, &mut block);
        block.is_empty()
    });
}

/// One tick of the judge over 5,000 services of 20 requests a second each.
#[divan::bench(sample_count = 50, sample_size = 1)]
fn judge_ticks_over_5000_services(bencher: Bencher<'_, '_>) {
    let (mut ballot, mut block, mut tick) = (Ballot::default(), Block::default(), 0);
    let mut known = Judge::new(Rule::default());
    while tick < WARM {
        tick += 1;
        vote(&mut ballot, tick, 2, &mut block);
        known.observe(Millis(tick * TICK_MS), &block);
    }
    let mut judges = vec![known; MANY];
    bencher.counter(ItemsCount::new(MANY)).bench_local(|| {
        tick += 1;
        vote(&mut ballot, tick, 2, &mut block);
        judges.iter_mut().filter_map(|judge| judge.observe(Millis(tick * TICK_MS), &block)).count()
    });
}

/// Sorts what a worker saw in a tick into the histogram of the metrics.
#[divan::bench]
fn histogram_merges_a_report(bencher: Bencher<'_, '_>) {
    let (buckets, latencies) = (Buckets::new(), latencies());
    bencher.counter(ItemsCount::new(latencies.len())).bench_local(|| buckets.merge(black_box(&latencies)));
}

/// Merges what is remembered of four groups of requests, and finds three quantiles.
#[divan::bench]
fn quantiles_of_four_groups(bencher: Bencher<'_, '_>) {
    let mut recent = Recent::default();
    for latency in latencies() {
        recent.add(Millis(0), latency);
    }
    let groups = vec![recent; 4];
    bencher.bench_local(|| Recent::quantiles_of(black_box(&groups), [0.5, 0.9, 0.99]));
}

/// What a request pays to see the latest snapshot.
#[divan::bench]
fn snapshot_is_looked_at(bencher: Bencher<'_, '_>) {
    let mut following = Following::new(&Folder::of(MANY).load());
    following.flip(0, weight(1.0));
    bencher.bench_local(|| following.look());
}

/// One of 5,000 services gets another weight, and a worker sees it.
#[divan::bench]
fn snapshot_of_5000_services_is_swapped(bencher: Bencher<'_, '_>) {
    let mut following = Following::new(&Folder::of(MANY).load());
    let mut percents = [10.0, 20.0].into_iter().cycle();
    bencher.bench_local(|| {
        following.flip(4_321, weight(percents.next().expect("it goes round")));
        following.look()
    });
}

/// Reads and checks the files of so many services of 20 endpoints.
#[divan::bench(args = [100, MANY], sample_count = 10, sample_size = 1)]
fn configuration_is_loaded(bencher: Bencher<'_, '_>, services: usize) {
    let folder = Folder::of(services);
    bencher.counter(ItemsCount::new(services)).bench_local(|| config::load(folder.path()).map_err(drop));
}

fn side(place: u64) -> Side {
    if place.is_multiple_of(2) { Side::Helios } else { Side::Kubernetes }
}

/// So many requests come, are answered, and vote; what was cast in this tick is collected.
fn vote(ballot: &mut Ballot, tick: u64, requests: u64, block: &mut Block) {
    let (begun, thresholds) = (tick * TICK_MS * 1_000, Thresholds::default());
    for place in 0..requests {
        let mut ticket = ballot.enter(Stratum::OTHER, side(place), Micros(begun + place), &thresholds);
        let now = Micros(begun + place + 5_000);
        ballot.answer(&mut ticket, now, false);
        ballot.finish(ticket, now, false);
    }
    block.clear();
    ballot.collect(Micros(begun + TICK_MS * 1_000), block);
}

/// Those of a tick, about 30 ms.
fn latencies() -> Vec<Latency> {
    let mut rng = fastrand::Rng::with_seed(1);
    (0..OF_A_TICK).map(|_| Latency::of(Micros(rng.u64(10_000..90_000)))).collect()
}

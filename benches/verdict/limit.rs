//! The limit: how soon anybody could have known.
//!
//! An omniscient CUSUM. It knows, without having to learn anything, how Kubernetes answers after the change,
//! it starts at zero in the moment of the change, and it has the same mean time to a false alarm as the judge.
//! Among all that do, Page's CUSUM of exact likelihood ratios has the least worst delay (G. Moustakides,
//! *Optimal stopping times for detecting changes in distributions*, 1986).
//!
//! **It tolerates what the judge tolerates.** Its ratio is that of Kubernetes' law after the change, f1, to the
//! nearest tolerated law, f0: the one that minimises KL(f1‖f0) among those whose share of failures is at most
//! 1.2 times Helios' + 0.05 %, and whose successful answers come no later, in distribution, than Helios' would
//! if each took max(1.15 times, 2 ms more). Both hold on each route by itself. For shares the nearest law is at
//! the bound. For latencies it is found exactly: f0/f1 is the slope of the least concave majorant of Helios'
//! delayed distribution function against Kubernetes' (the maximum-likelihood estimate under stochastic order,
//! H. Brunk et al., 1966; T. Robertson, F. Wright, R. Dykstra, *Order Restricted Statistical Inference*, 1988).
//! How long failures take is tolerated, whatever it is. Of an endpoint that differs from others the limit knows
//! the mixture, but not which request went there.
//!
//! **It sees what can be seen.** A request that has not been answered counts by the ratio of the two chances of
//! still waiting at its age; so hangs are seen long before any timeout.
//!
//! **Its threshold** b comes from E∞T = E∞N / P∞(S ≥ b), where S is the sum of log ratios, begun at 0, when it
//! first leaves (0, b), and N is how many requests that takes (E. Page, 1954; D. Siegmund, *Sequential Analysis*, 1985, chapter II). The
//! chance is far too small to be counted under f0, but it is E1[e^−S; S ≥ b] exactly (Wald's likelihood
//! identity), which is counted under f1: importance sampling, with the overshoot in it.
//!
//! Requests that come by a Poisson process turn T from requests to seconds. Where a law changes while it is
//! worse, b is that of the law in the middle of a first delay, found with Lorden's bound E∞T ≥ e^b. Random
//! troubles are not in the limit's laws: amid trouble it is too good to be true, and the table says so.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::Arc;

use switchback::model::Side;
use switchback::rehearsal::{Answers, Request, Scenario, Simulation, Truth};

use crate::statistics::median;
use crate::workers::{Stop, on_all_cores};

/// Shares of failures that are tolerated: so many times Helios', and so many more.
const RATIO: f64 = 1.2;
const DELTA: f64 = 0.0005;
/// Latencies that are tolerated: so many times Helios', or so many milliseconds more.
const TIMES: f64 = 1.15;
const MORE_MS: f64 = 2.0;

/// Latencies are told apart by cells of 0.4 %, from 50 µs to 100 s.
const FIRST_MS: f64 = 0.05;
const CELL: f64 = 1.004;
const CELLS: usize = 3_633;

/// No single request says more than this, in nats; it is more than any threshold.
const MOST: f64 = 40.0;

/// The CUSUM's parameters for one scenario.
#[derive(Clone, Debug)]
pub(crate) struct Limit {
    /// The threshold, in nats.
    pub(crate) threshold: f64,
    /// Mean log ratio of a request on Kubernetes after the change, in nats.
    pub(crate) information: f64,
    /// Requests a second on Kubernetes.
    pub(crate) per_second: f64,
}

/// Log ratios at one time.
struct Ratios {
    laws: Vec<[Answers; 2]>,
    routes: Vec<OfRoute>,
}

/// Log ratios of requests for one route.
struct OfRoute {
    share: f64,
    failed: f64,
    failing: f64,
    /// Of a success, by cell, with the chance of it under f1.
    succeeded: Vec<(f64, f64)>,
    /// Of having no answer yet, at the end of each cell.
    waiting: Vec<f64>,
}

/// Every limit, with what it follows from.
pub(crate) fn report(scenarios: &[Scenario], seeds: &[u64], promise_s: f64, stop: &Stop) -> String {
    let rows = on_all_cores(scenarios.len(), stop, |place| {
        let scenario = &scenarios[place];
        let limit = Limit::of(scenario, promise_s)?;
        let delays: Vec<f64> =
            seeds.iter().map(|seed| limit.delay_s(scenario, *seed).unwrap_or(f64::INFINITY)).collect();
        let Limit { threshold, information, per_second } = limit;
        let nats_a_second = information * per_second;
        let troubled = if scenario.is_troubled() { "  without its troubles" } else { "" };
        Some(format!(
            "{:26} {:9.3} s   threshold {threshold:5.2} nats   {information:8.5} a request   {nats_a_second:9.4} a \
             second   ratio {:8.3} s{troubled}",
            scenario.name,
            median(&delays),
            threshold / nats_a_second,
        ))
    });
    let mut text = String::new();
    for row in rows.into_iter().flatten().flatten() {
        let _ = writeln!(text, "{row}");
    }
    text
}

impl Limit {
    /// The limit where Kubernetes becomes worse, if any request says so.
    pub(crate) fn of(scenario: &Scenario, promise_s: f64) -> Option<Self> {
        let Truth::Worse { from_s } = scenario.truth else { return None };
        let per_second = scenario.mean_per_second() * scenario.weight;
        let alone = |at_s: f64| {
            let draws = Draws::new(&Ratios::at(scenario, at_s));
            (draws.information > 0.0).then(|| Self {
                threshold: draws.threshold(promise_s * per_second),
                information: draws.information,
                per_second,
            })
        };
        if Ratios::at(scenario, from_s).laws == Ratios::at(scenario, scenario.lasts_s - 1.0).laws
            || Draws::new(&Ratios::at(scenario, from_s)).information > 1.0
        {
            return alone(from_s);
        }
        let first = Self { threshold: (promise_s * per_second).ln(), information: 0.0, per_second };
        let middle_s = first.delay_s(scenario, 1)? / 2.0;
        alone(from_s + middle_s)
    }

    /// Seconds from the change to the alarm on one trace.
    pub(crate) fn delay_s(&self, scenario: &Scenario, seed: u64) -> Option<f64> {
        let Truth::Worse { from_s } = scenario.truth else { return None };
        let mut cusum = Cusum { from_s, now_s: from_s, sum: 0.0, tail: VecDeque::new() };
        let mut ratios = Arc::new(Ratios::at(scenario, from_s));
        for request in Simulation::new(scenario.clone(), seed) {
            let start_s = seconds(request.start.0);
            if start_s < from_s || request.side != Side::Kubernetes {
                continue;
            }
            if let Some(at_s) = cusum.pass(start_s, self.threshold) {
                return Some(at_s - from_s);
            }
            ratios = Ratios::renewed(ratios, scenario, start_s.floor());
            cusum.tail.push_back(Asked { request, ratios: Arc::clone(&ratios) });
        }
        cusum.pass(scenario.lasts_s, self.threshold).map(|at_s| at_s - from_s)
    }
}

/// The sum over requests in the order of their arrival, from the best start on.
struct Cusum {
    from_s: f64,
    now_s: f64,
    /// Over those before the tail.
    sum: f64,
    /// From the oldest that still waits on.
    tail: VecDeque<Asked>,
}

struct Asked {
    request: Request,
    ratios: Arc<Ratios>,
}

impl Cusum {
    /// Lets time pass; says when the threshold was reached.
    fn pass(&mut self, until_s: f64, threshold: f64) -> Option<f64> {
        loop {
            // A millisecond, or half a percent.
            let next_s = self.now_s + ((self.now_s - self.from_s) / 200.0).max(0.001);
            if next_s > until_s {
                return None;
            }
            self.now_s = next_s;
            while let Some(oldest) = self.tail.pop_front_if(|asked| asked.is_over(next_s)) {
                self.sum = self.sum.max(0.0) + oldest.ratio(next_s);
            }
            let all = self.tail.iter().fold(self.sum, |sum, asked| sum.max(0.0) + asked.ratio(next_s));
            if all >= threshold {
                return Some(next_s);
            }
        }
    }
}

impl Asked {
    fn is_over(&self, now_s: f64) -> bool {
        let Request { start, latency, .. } = self.request;
        latency.is_some_and(|latency| seconds(start.0 + latency.0) <= now_s)
    }

    fn ratio(&self, now_s: f64) -> f64 {
        let route = &self.ratios.routes[self.request.route as usize];
        match self.request.latency {
            Some(_) if self.is_over(now_s) && self.request.failed => route.failed,
            Some(latency) if self.is_over(now_s) => route.succeeded[cell(latency.0 as f64 / 1e3)].1,
            _ => route.waiting[cell((now_s - seconds(self.request.start.0)) * 1e3)],
        }
    }
}

impl Ratios {
    fn at(scenario: &Scenario, at_s: f64) -> Self {
        let laws = Self::laws(scenario, at_s);
        let shares = scenario.routes(Side::Kubernetes);
        let routes = laws.iter().zip(shares).map(|([h, k], share)| OfRoute::new(h, k, share)).collect();
        Self { laws, routes }
    }

    /// The same if the laws are the same.
    fn renewed(last: Arc<Self>, scenario: &Scenario, at_s: f64) -> Arc<Self> {
        if last.laws == Self::laws(scenario, at_s) { last } else { Arc::new(Self::at(scenario, at_s)) }
    }

    fn laws(scenario: &Scenario, at_s: f64) -> Vec<[Answers; 2]> {
        let routes = 0..scenario.routes(Side::Kubernetes).len();
        routes.map(|route| Side::ALL.map(|side| scenario.answers(side, route, at_s))).collect()
    }
}

impl OfRoute {
    fn new(helios: &Answers, kubernetes: &Answers, share: f64) -> Self {
        let failing = kubernetes.failing();
        let tolerated = failing.min(RATIO * helios.failing() + DELTA);
        let ends: Vec<f64> = (0..CELLS).map(end_ms).collect();
        // Distribution functions of successful answers: Kubernetes', and Helios' as late as is tolerated.
        let here = |ms: f64| kubernetes.succeeded_within(ms) / (1.0 - failing).max(f64::MIN_POSITIVE);
        let there = |ms: f64| helios.succeeded_within(ms) / (1.0 - helios.failing());
        let points: Vec<(f64, f64)> =
            ends.iter().map(|ms| (here(*ms), there((ms / TIMES).min(ms - MORE_MS).max(1e-9)))).collect();
        let (nearest, slopes) = majorant(&points);
        let success = ((1.0 - failing) / (1.0 - tolerated)).max(1e-300).ln();
        let mut before = 0.0;
        let succeeded = points.iter().zip(slopes).map(|((within, _), slope)| {
            let mass = (1.0 - failing) * (within - std::mem::replace(&mut before, *within));
            (mass, (success - slope.max(1e-300).ln()).min(MOST))
        });
        let succeeded = succeeded.collect();
        let waiting = ends.iter().zip(nearest).map(|(ms, within)| {
            let failed = kubernetes.failed_within(*ms);
            let here = 1.0 - kubernetes.succeeded_within(*ms) - failed;
            let there = 1.0 - (1.0 - tolerated) * within - failed * tolerated / failing.max(1e-300);
            (here.max(1e-15) / there.max(1e-15)).ln().min(MOST)
        });
        let waiting = waiting.collect();
        let failed = if failing > 0.0 { (failing / tolerated).ln() } else { 0.0 };
        Self { share, failed, failing, succeeded, waiting }
    }
}

/// The least concave majorant of points that rise to the right, from (0, 0) on: its height at each point, and
/// its slope before it.
fn majorant(points: &[(f64, f64)]) -> (Vec<f64>, Vec<f64>) {
    let mut corners: Vec<(f64, f64)> = vec![(0.0, 0.0)];
    for point in points.iter().chain(&[(1.0, 1.0)]) {
        while let [.., a, b] = corners[..]
            && (b.1 - a.1) * (point.0 - a.0) <= (point.1 - a.1) * (b.0 - a.0)
        {
            corners.pop();
        }
        corners.push(*point);
    }
    let mut corner = 1;
    let mut heights = Vec::with_capacity(points.len());
    let mut slopes = Vec::with_capacity(points.len());
    for (x, y) in points {
        while corner + 1 < corners.len() && corners[corner].0 < *x {
            corner += 1;
        }
        let (a, b) = (corners[corner - 1], corners[corner]);
        let slope = if b.0 > a.0 { (b.1 - a.1) / (b.0 - a.0) } else { 1.0 };
        // Where Kubernetes has no successes at all, Helios' delayed ones are as late as they may be.
        heights.push((a.1 + slope * (x - a.0)).max(*y).min(1.0));
        slopes.push(slope);
    }
    (heights, slopes)
}

/// Draws log ratios of requests.
struct Draws {
    information: f64,
    /// Log ratios, each with the chance of it or of one before it, under f1 and under f0.
    worse: Vec<(f64, f64)>,
    tolerated: Vec<(f64, f64)>,
}

/// Sums that begin to rise: the threshold is then known to a few hundredths of a nat.
const CLIMBS: usize = 20_000;
/// Requests to draw at most.
const REQUESTS: u32 = 30_000_000;

impl Draws {
    fn new(ratios: &Ratios) -> Self {
        let mut atoms: Vec<(f64, f64)> = Vec::new();
        for route in &ratios.routes {
            atoms.push((route.share * route.failing, route.failed));
            atoms.extend(route.succeeded.iter().map(|(mass, ratio)| (route.share * mass, *ratio)));
        }
        atoms.retain(|(mass, _)| *mass > 0.0);
        // Equal ones together: where the nearest law is proportional, there are thousands.
        atoms.sort_by(|a, b| b.1.total_cmp(&a.1));
        atoms.dedup_by(|b, a| {
            let same = a.1 - b.1 < 1e-12;
            a.0 += if same { b.0 } else { 0.0 };
            same
        });
        let cumulated = |chance: &dyn Fn(f64, f64) -> f64| {
            let mut sum = 0.0;
            let mut add = |(mass, ratio): &(f64, f64)| {
                sum += chance(*mass, *ratio);
                (sum, *ratio)
            };
            atoms.iter().map(&mut add).collect()
        };
        Self {
            information: atoms.iter().map(|(mass, ratio)| mass * ratio).sum(),
            worse: cumulated(&|mass, _| mass),
            tolerated: cumulated(&|mass, ratio| mass * (-ratio).exp()),
        }
    }

    /// The lowest threshold with this mean number of requests to a false alarm.
    fn threshold(&self, requests: f64) -> f64 {
        let mut rng = fastrand::Rng::with_seed(54);
        let most = requests.ln() + 1.0;
        let cycle = self.cycle_length(&mut rng, most);
        let (climbs, cycles) = self.climbs(&mut rng, most);
        let requests_to_alarm = |b: f64| {
            let chance: f64 = climbs.iter().map(|climb| climb.chance(b)).sum::<f64>() / f64::from(cycles);
            cycle / chance
        };
        let (mut low, mut high) = (0.0, most);
        while high - low > 1e-4 {
            let b = f64::midpoint(low, high);
            *if requests_to_alarm(b) < requests { &mut low } else { &mut high } = b;
        }
        high
    }

    /// E∞N.
    fn cycle_length(&self, rng: &mut fastrand::Rng, b: f64) -> f64 {
        let (mut cycles, mut drawn) = (0_u32, 0_u32);
        while cycles < 1_000_000 && drawn < REQUESTS {
            let mut sum = 0.0;
            loop {
                drawn += 1;
                sum += draw(&self.tolerated, rng);
                if sum <= 0.0 || sum >= b {
                    break;
                }
            }
            cycles += 1;
        }
        f64::from(drawn) / f64::from(cycles)
    }

    /// Sums under f1 that rise past `most` before they fall to 0, and of how many.
    fn climbs(&self, rng: &mut fastrand::Rng, most: f64) -> (Vec<Climb>, u32) {
        let (mut climbs, mut cycles, mut drawn) = (Vec::new(), 0, 0);
        while climbs.len() < CLIMBS && drawn < REQUESTS {
            let mut sum = 0.0;
            let mut records = Vec::new();
            loop {
                drawn += 1;
                sum += draw(&self.worse, rng);
                if sum > records.last().copied().unwrap_or(0.0) {
                    records.push(sum);
                }
                if sum <= 0.0 || sum >= most {
                    break;
                }
            }
            // Some that rose high have fallen again: they count for the thresholds that they passed.
            climbs.push(Climb { records });
            climbs.pop_if(|climb| climb.records.is_empty());
            cycles += 1;
        }
        (climbs, cycles)
    }
}

/// A sum's highest values, each higher than all before.
struct Climb {
    records: Vec<f64>,
}

impl Climb {
    /// Its part of the chance of an alarm under f0, if this is the threshold: e to the minus of the value that
    /// first reached it.
    fn chance(&self, b: f64) -> f64 {
        let at = self.records.partition_point(|record| *record < b);
        self.records.get(at).map_or(0.0, |record| (-record).exp())
    }
}

/// What f1 never does has a log ratio of minus infinity.
fn draw(cumulated: &[(f64, f64)], rng: &mut fastrand::Rng) -> f64 {
    let place = rng.f64();
    let at = cumulated.partition_point(|(sum, _)| *sum <= place);
    cumulated.get(at).map_or(f64::NEG_INFINITY, |(_, ratio)| *ratio)
}

fn end_ms(cell: usize) -> f64 {
    FIRST_MS * ((cell as f64) * CELL.ln()).exp()
}

/// The cell in which a latency ends.
fn cell(ms: f64) -> usize {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the cells")]
    return ((ms / FIRST_MS).ln() / CELL.ln()).ceil().clamp(0.0, (CELLS - 1) as f64) as usize;
}

fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

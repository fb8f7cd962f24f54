//! The judge in rehearsal: every kind of story, played by seed through the code that also watches a service.

use std::time::Duration;

use switchback::model::{Micros, Millis, PerSide, Side};
use switchback::rehearsal::{Replay, Request, Routes, Scenario, Simulation, Truth, scenarios};
use switchback::verdict::{Block, Finding, Judge, Question, Rule, Stratum, Verdict, Votes};

fn monthly() -> Rule {
    Rule { false_revert_every: Duration::from_hours(30 * 24), ..Rule::default() }
}

/// Plays requests until something is found.
fn play(requests: impl Iterator<Item = Request>, routes: &Routes, rule: Rule) -> (Replay, Option<Finding>) {
    let mut replay = Replay::new(rule);
    let mut found = None;
    let mut note = |_: &_, finding: Finding| {
        found = Some(finding);
        false
    };
    for request in requests {
        if !replay.take(&request, routes, &mut note) {
            return (replay, found);
        }
    }
    replay.end(routes, &mut note);
    (replay, found)
}

fn rehearse(scenario: &Scenario, seed: u64) -> (Replay, Option<Finding>) {
    let simulation = Simulation::new(scenario.clone(), seed);
    let routes = simulation.routes().clone();
    play(simulation, &routes, monthly())
}

/// Scenarios with so many requests are left to the benchmark.
const MOST_REQUESTS: f64 = 400_000.0;

fn short(truth: fn(&Truth) -> bool) -> Vec<Scenario> {
    let is_short = |scenario: &Scenario| scenario.per_second * scenario.lasts_s <= MOST_REQUESTS;
    scenarios().into_iter().filter(|scenario| truth(&scenario.truth) && is_short(scenario)).collect()
}

#[test]
fn every_degradation_is_found_and_not_before_it_begins() {
    let worse = short(|truth| matches!(truth, Truth::Worse { .. }));
    assert!(worse.len() >= 25, "{}", worse.len());
    for scenario in worse {
        let Truth::Worse { from_s } = scenario.truth else { continue };
        let (_, found) = rehearse(&scenario, 100);
        let at_s = found.unwrap_or_else(|| panic!("{} was not found", scenario.name)).at.seconds();
        assert!(at_s >= from_s, "{} was found at {at_s} s, before it began", scenario.name);
    }
}

#[test]
fn what_must_be_held_is_held() {
    let held = short(|truth| *truth == Truth::Hold);
    assert!(held.len() >= 15, "{}", held.len());
    for scenario in held {
        let (_, found) = rehearse(&scenario, 102);
        assert_eq!(found, None, "{}", scenario.name);
    }
}

fn named(name: &str) -> Scenario {
    scenarios().into_iter().find(|scenario| scenario.name == name).expect("a scenario of this name")
}

/// Of the promise in the guide: with a promise of ten minutes and Kubernetes exactly at the border of what is
/// tolerated, ten hours may bring sixty reverts.
#[test]
fn the_promise_holds_at_the_border_of_what_is_tolerated() {
    let rule = Rule { false_revert_every: Duration::from_mins(10), ..Rule::default() };
    let mut scenario = named("border");
    (scenario.per_second, scenario.lasts_s) = (100.0, 36_000.0);
    let simulation = Simulation::new(scenario, 7);
    let routes = simulation.routes().clone();
    let mut replay = Replay::new(rule);
    let mut reverts = 0;
    for request in simulation {
        let mut again = false;
        replay.take(&request, &routes, &mut |_, _| {
            again = true;
            true
        });
        if again {
            reverts += 1;
            replay.watch_mut().judge_mut().clear();
        }
    }
    assert!(reverts <= 60, "{reverts}");
}

#[test]
fn zero_failures_on_helios_against_few_on_kubernetes_are_no_reason() {
    // Kayenta compares with zero, and finds any failure infinitely many times worse.
    let mut routes = Routes::default();
    let route = routes.number("GET /");
    let requests = (0..40_000_u64).map(|i| Request {
        start: Micros(i * 5_000),
        side: if i % 2 == 0 { Side::Helios } else { Side::Kubernetes },
        failed: i % 5_001 == 5_000,
        latency: Some(Micros(20_000 + i * 7_919 % 10_000)),
        route,
    });
    let (_, found) = play(requests, &routes, monthly());
    assert_eq!(found, None);
}

#[test]
fn answers_that_scatter_more_about_the_same_median_are_seen() {
    // Kayenta's rank test compares where two samples lie, and not how far they scatter.
    let (_, found) = rehearse(&named("spread"), 103);
    let question = found.expect("found").question;
    assert!([Question::Slow99, Question::Far, Question::Farther].contains(&question), "{question:?}");
}

#[test]
fn a_side_that_refuses_at_once_is_not_a_fast_one() {
    let (_, found) = rehearse(&named("helios-refuses"), 104);
    assert_eq!(found, None);
}

#[test]
fn without_helios_the_judge_is_blind_and_says_so() {
    let mut scenario = named("errors-5");
    (scenario.weight, scenario.lasts_s) = (1.0, 300.0);
    let simulation = Simulation::new(scenario, 105);
    let routes = simulation.routes().clone();
    let (replay, found) = play(simulation, &routes, monthly());
    assert_eq!(found, None);
    assert_eq!(replay.standing().verdict, Verdict::Blind);
}

#[test]
fn a_service_that_slept_for_a_month_is_not_reverted_by_its_first_failures() {
    let mut routes = Routes::default();
    let route = routes.number("GET /");
    let month = 30 * 86_400 * 1_000_000_u64;
    let request = |at: u64, i: u64, failed: bool| Request {
        start: Micros(at + i * 50_000),
        side: if i.is_multiple_of(2) { Side::Helios } else { Side::Kubernetes },
        failed,
        latency: Some(Micros(20_000)),
        route,
    };
    let before = (0..20_000).map(|i| request(0, i, false));
    // Three failures among the first requests after the sleep, and then none.
    let after = (0..2_000).map(|i| request(month, i, i == 1 || i == 41 || i == 81));
    let (_, found) = play(before.chain(after), &routes, monthly());
    assert_eq!(found, None);
}

fn block(helios: (u32, u32), kubernetes: (u32, u32)) -> Block {
    let mut block = Block::default();
    let part = block.part(Stratum::OTHER);
    part.asked = PerSide { helios: helios.0, kubernetes: kubernetes.0 };
    part.votes.helios[Question::Failure] = Votes { cast: helios.0, bad: helios.1 };
    part.votes.kubernetes[Question::Failure] = Votes { cast: kubernetes.0, bad: kubernetes.1 };
    block
}

/// A canary of few requests, and one client that tries again ten times a second while an endpoint restarts.
#[test]
fn a_burst_of_retries_on_a_quiet_canary_is_no_finding() {
    for every in [5, 10, 20, 100] {
        let mut judge = Judge::new(monthly());
        let mut now = Millis(0);
        for tick in 0..36_000 {
            now = Millis(now.0 + 100);
            let kubernetes = u32::from(tick % every == 0);
            assert!(judge.observe(now, &block((20, 0), (kubernetes, 0))).is_none());
        }
        for retry in 1..=5 {
            now = Millis(now.0 + 100);
            assert!(judge.observe(now, &block((20, 0), (1, 1))).is_none(), "{every}: after {retry} retries");
        }
    }
}

#[test]
fn one_more_bad_vote_speaks_against_its_side_and_never_for_it() {
    for seed in 0..40 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut judge = Judge::new(monthly());
        let mut now = Millis(0);
        let mut draw = |most: u32, share: f64| (0..most).map(|_| u32::from(rng.f64() < share)).sum::<u32>();
        for _ in 0..2_000 {
            now = Millis(now.0 + 100);
            judge.observe(now, &block((10, draw(10, 0.002)), (10, draw(10, 0.004))));
        }
        now = Millis(now.0 + 100);
        let (helios, kubernetes) = (draw(9, 0.1), draw(9, 0.1));
        let evidence = |helios: u32, kubernetes: u32| {
            let mut judge = judge.clone();
            judge.observe(now, &block((10, helios), (10, kubernetes)));
            judge.standing(now).evidence
        };
        let base = evidence(helios, kubernetes);
        assert!(evidence(helios, kubernetes + 1) >= base, "seed {seed}");
        assert!(evidence(helios + 1, kubernetes) <= base, "seed {seed}");
    }
}

#[test]
fn the_same_seed_gives_the_same_requests_and_the_same_finding() {
    let scenario = named("errors-5");
    let (first, second) = (rehearse(&scenario, 106).1, rehearse(&scenario, 106).1);
    assert!(first.is_some());
    assert_eq!(first, second);
    let requests = |seed| Simulation::new(scenario.clone(), seed).take(1_000).collect::<Vec<_>>();
    assert_eq!(requests(106), requests(106));
    assert_ne!(requests(106), requests(107));
}

#[test]
fn a_route_of_its_own_is_named_in_the_finding() {
    let mut scenario = named("route-20");
    scenario.lasts_s += 600.0;
    let names: Vec<Option<String>> = (108..112)
        .map(|seed| {
            let (replay, found) = rehearse(&scenario, seed);
            let stratum = found.expect("found").stratum?;
            replay.watch().strata().name(stratum).map(str::to_owned)
        })
        .collect();
    assert!(names.iter().flatten().any(|name| name == "GET /v1/reports/*"), "{names:?}");
}

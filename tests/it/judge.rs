//! The judge over whole stories in virtual time: what it must see, how soon, and what it must never do.

use crate::support::traffic::{Behaviour, Traffic};
use switchback::model::PerSide;
use switchback::verdict::{Question, Verdict};

/// Seconds from the change until the finding, the median over seeds; every seed must find it.
fn delay(per_second: f64, percent: f64, worse: Behaviour, question: Question) -> f64 {
    let mut delays: Vec<f64> = (0..9)
        .map(|seed| {
            let mut traffic = Traffic::new(seed, per_second, percent);
            assert!(traffic.run(120.0).is_none(), "seed {seed}: reverted before anything was wrong");
            traffic.sides.kubernetes = worse;
            let (delay, finding) = traffic.run(600.0).unwrap_or_else(|| panic!("seed {seed}: not seen"));
            assert_eq!(finding.question, question, "seed {seed}: {finding:?}");
            delay
        })
        .collect();
    delays.sort_by(f64::total_cmp);
    delays[delays.len() / 2]
}

fn check(name: &str, delay: f64, most: f64) {
    assert!(delay <= most, "{name}: {delay:.1} s, at most {most} s");
}

#[test]
fn an_outage_is_seen_within_two_seconds() {
    let outage = Behaviour { failures: 1.0, median_ms: 0.5, ..Behaviour::default() };
    check("200/s", delay(200.0, 50.0, outage, Question::Failure), 1.2);
    check("500/s", delay(500.0, 50.0, outage, Question::Failure), 1.2);
    check("20/s", delay(20.0, 50.0, outage, Question::Failure), 2.0);
}

#[test]
fn answers_of_500_are_seen_within_three_seconds() {
    let failing = Behaviour { failures: 1.0, ..Behaviour::default() };
    check("500/s", delay(500.0, 50.0, failing, Question::Failure), 1.2);
    let half = Behaviour { failures: 0.5, ..Behaviour::default() };
    check("half of them", delay(500.0, 50.0, half, Question::Failure), 1.5);
    let some = Behaviour { failures: 0.1, ..Behaviour::default() };
    check("a tenth of them", delay(200.0, 50.0, some, Question::Failure), 2.5);
}

#[test]
fn a_hanging_side_is_seen_after_one_threshold_and_not_after_a_timeout() {
    let hanging = Behaviour { hangs: true, ..Behaviour::default() };
    let seen = delay_of_any(500.0, hanging);
    check("500/s", seen, 1.5);
}

#[test]
fn a_hanging_side_is_seen_also_in_its_first_minute() {
    for seed in 0..9 {
        let mut traffic = Traffic::new(seed, 500.0, 50.0);
        assert!(traffic.run(10.0).is_none());
        traffic.sides.kubernetes.hangs = true;
        let (delay, finding) = traffic.run(60.0).expect("seen");
        assert_eq!(finding.question, Question::Stall, "latency casts no votes in the first minute");
        assert!(delay <= 3.0, "seed {seed}: {delay}");
    }
}

/// Once all wait for an answer that does not come, nobody asks any more, and no further vote is cast.
#[test]
fn a_hang_that_leaves_no_client_free_to_ask_is_seen() {
    for (seed, settled_s) in (0..9).flat_map(|seed| [(seed, 10.0), (seed, 120.0)]) {
        let mut traffic = Traffic::new(seed, 500.0, 50.0);
        traffic.clients = 40;
        assert!(traffic.run(settled_s).is_none());
        traffic.sides.kubernetes.hangs = true;
        let (delay, finding) = traffic.run(60.0).expect("seen");
        assert_eq!(finding.question, Question::Stall, "{finding:?}");
        assert!(delay <= 3.0, "seed {seed}: {delay}");
    }
}

#[test]
fn slower_answers_are_seen() {
    let slower = Behaviour { median_ms: 40.0, ..Behaviour::default() };
    let seen = delay_of_any(200.0, slower);
    check("twice as slow", seen, 3.0);
    let slightly = Behaviour { median_ms: 26.0, ..Behaviour::default() };
    let seen = delay_of_any(200.0, slightly);
    check("1.3 times as slow", seen, 16.0);
}

/// As [`delay`], whatever the question is that sees it first.
fn delay_of_any(per_second: f64, worse: Behaviour) -> f64 {
    let mut delays: Vec<f64> = (0..9)
        .map(|seed| {
            let mut traffic = Traffic::new(seed, per_second, 50.0);
            assert!(traffic.run(120.0).is_none(), "seed {seed}: reverted before anything was wrong");
            traffic.sides.kubernetes = worse;
            traffic.run(600.0).unwrap_or_else(|| panic!("seed {seed}: not seen")).0
        })
        .collect();
    delays.sort_by(f64::total_cmp);
    delays[delays.len() / 2]
}

/// A shared database breaks both sides alike: going back to Helios would help nobody.
#[test]
fn both_sides_failing_alike_is_no_reason_to_revert() {
    for seed in 0..100 {
        let mut traffic = Traffic::new(seed, 100.0, 50.0);
        assert!(traffic.run(60.0).is_none(), "seed {seed}");
        let failing = Behaviour { failures: 0.1, ..Behaviour::default() };
        traffic.sides = PerSide { helios: failing, kubernetes: failing };
        assert!(traffic.run(60.0).is_none(), "seed {seed}: reverted though both sides fail alike");
    }
}

#[test]
fn both_sides_failing_alike_from_the_start_is_no_reason_to_revert() {
    for seed in 0..100 {
        let mut traffic = Traffic::new(seed, 100.0, 50.0);
        let failing = Behaviour { failures: 0.1, ..Behaviour::default() };
        traffic.sides = PerSide { helios: failing, kubernetes: failing };
        assert!(traffic.run(60.0).is_none(), "seed {seed}: reverted though both sides fail alike");
    }
}

#[test]
fn both_sides_down_is_no_reason_to_revert() {
    for seed in 0..20 {
        let mut traffic = Traffic::new(seed, 100.0, 50.0);
        assert!(traffic.run(60.0).is_none());
        let down = Behaviour { failures: 1.0, ..Behaviour::default() };
        traffic.sides = PerSide { helios: down, kubernetes: down };
        assert!(traffic.run(120.0).is_none(), "seed {seed}");
    }
}

#[test]
fn a_worse_helios_is_no_reason_to_revert_to_it() {
    for seed in 0..20 {
        let mut traffic = Traffic::new(seed, 100.0, 50.0);
        traffic.sides.helios = Behaviour { failures: 0.3, median_ms: 200.0, hangs: false };
        traffic.sides.kubernetes = Behaviour { failures: 0.05, ..Behaviour::default() };
        assert!(traffic.run(300.0).is_none(), "seed {seed}");
    }
}

#[test]
fn two_equal_sides_stay_as_they_are() {
    for seed in 0..5 {
        let mut traffic = Traffic::new(seed, 100.0, 25.0);
        assert!(traffic.run(3_600.0).is_none(), "seed {seed}");
    }
}

/// spinnaker/kayenta#426: no errors on the baseline against a few on the canary must not pass.
#[test]
fn a_few_failures_against_none_are_seen() {
    let mut traffic = Traffic::new(1, 200.0, 50.0);
    traffic.sides.helios.failures = 0.0;
    assert!(traffic.run(120.0).is_none());
    traffic.sides.kubernetes.failures = 0.02;
    let (delay, finding) = traffic.run(60.0).expect("seen");
    assert_eq!(finding.counts.bad.helios, 0);
    assert!(delay < 30.0, "{delay}");
}

/// fluxcd/flagger#1035 and #1011: silence is neither failure nor success.
#[test]
fn silence_is_too_little_evidence() {
    let mut traffic = Traffic::new(1, 0.05, 50.0);
    assert!(traffic.run(600.0).is_none());
    let standing = traffic.judge.standing(traffic.now());
    assert_eq!(standing.verdict, Verdict::TooLittleEvidence);
    let seen_in = standing.seen_in.expect("it would be seen some day");
    assert!(seen_in.as_secs() > 600, "{seen_in:?}");
}

/// kortix-ai/suna#3403: one transient failure at near-zero traffic must not abort anything.
#[test]
fn one_failure_of_a_quiet_service_is_not_enough() {
    for seed in 0..50 {
        let mut traffic = Traffic::new(seed, 0.2, 50.0);
        traffic.sides = PerSide::from_fn(|_| Behaviour { failures: 0.0, ..Behaviour::default() });
        assert!(traffic.run(1_800.0).is_none());
        traffic.sides.kubernetes.failures = 1.0;
        assert!(traffic.run(5.0).is_none(), "seed {seed}: reverted for one or two failures");
    }
}

#[test]
fn enough_good_traffic_is_not_worse_and_without_helios_the_judge_is_blind() {
    let mut traffic = Traffic::new(1, 100.0, 50.0);
    assert!(traffic.run(120.0).is_none());
    assert_eq!(traffic.judge.standing(traffic.now()).verdict, Verdict::NotWorse);
    let mut alone = Traffic::new(1, 100.0, 100.0);
    alone.sides.kubernetes.failures = 0.5;
    assert!(alone.run(300.0).is_none(), "nothing to compare with");
    assert_eq!(alone.judge.standing(alone.now()).verdict, Verdict::Blind);
}

/// The estimate that people are given is near the truth.
#[test]
fn how_long_failures_take_to_be_seen_is_told_rightly() {
    for per_second in [10.0, 50.0, 200.0] {
        let failing = Behaviour { failures: 0.05, ..Behaviour::default() };
        let seen = delay(per_second, 50.0, failing, Question::Failure);
        let mut traffic = Traffic::new(99, per_second, 50.0);
        assert!(traffic.run(120.0).is_none());
        let told = traffic.judge.standing(traffic.now()).seen_in.expect("seen").as_secs_f64();
        assert!(
            (told / 2.5..told * 2.5).contains(&seen),
            "{per_second}/s: told {told:.1} s, took {seen:.1} s"
        );
    }
}

#[test]
fn after_a_release_there_is_no_evidence_and_grace_for_latency_but_none_for_failures() {
    for seed in 0..9 {
        let mut traffic = Traffic::new(seed, 200.0, 50.0);
        assert!(traffic.run(120.0).is_none());
        traffic.sides.kubernetes = Behaviour { failures: 0.2, ..Behaviour::default() };
        traffic.run(60.0).expect("found");
        traffic.judge.rearm();
        traffic.sides.kubernetes = Behaviour { median_ms: 40.0, ..Behaviour::default() };
        assert!(traffic.run(59.0).is_none(), "seed {seed}: caches and pools are cold after a release");
        traffic.run(10.0).expect("found when the grace is over");
        traffic.judge.rearm();
        traffic.sides.kubernetes = Behaviour { failures: 0.2, ..Behaviour::default() };
        let (delay, _) = traffic.run(60.0).expect("found");
        assert!(delay <= 5.0, "seed {seed}: {delay}: failures have no grace");
    }
}

#[test]
fn a_changed_weight_brings_neither_grace_nor_a_finding() {
    for seed in 0..9 {
        let mut traffic = Traffic::new(seed, 200.0, 5.0);
        assert!(traffic.run(120.0).is_none());
        for percent in [50.0, 10.0, 90.0, 40.0] {
            traffic.set_weight(percent);
            assert!(traffic.run(20.0).is_none(), "seed {seed}: {percent} %");
        }
        traffic.sides.kubernetes.median_ms = 40.0;
        let (delay, _) = traffic.run(60.0).expect("found");
        assert!(delay <= 5.0, "seed {seed}: {delay}");
    }
}

#[test]
fn a_clock_that_jumps_is_no_finding_and_hides_none() {
    for seed in 0..9 {
        let mut traffic = Traffic::new(seed, 200.0, 50.0);
        assert!(traffic.run(120.0).is_none());
        traffic.sleep(3_600);
        assert!(traffic.run(70.0).is_none(), "seed {seed}");
        traffic.sides.kubernetes.failures = 0.5;
        let (delay, _) = traffic.run(60.0).expect("found");
        assert!(delay <= 3.0, "seed {seed}: {delay}");
    }
}

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use crate::model::{Endpoint, Millis};
use crate::snapshot::Candidate;
use crate::tally::EndpointTally;

/// Which endpoints of a side are let out for a while, because they do much worse than the side's others.
///
/// An endpoint is compared with the others at the same time, so a side that is bad as a whole loses nobody: that is the judge's
/// question. What an ejected endpoint has done wrong stays in the side's evidence. Pure.
#[derive(Debug, Default)]
pub(super) struct Ejector {
    records: HashMap<Endpoint, Record>,
}

/// What one endpoint did lately.
#[derive(Clone, Debug)]
struct Record {
    /// Answers and failures; old ones count less and less.
    sums: Sums,
    at: Millis,
    /// Failures since it last answered well.
    in_a_row: u64,
    /// How often it has been ejected.
    times: u32,
    until: Option<Millis>,
    /// When it was let in again.
    back: Option<Millis>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    ok: f64,
    failed: f64,
    /// Times to answer, as logarithms to base 2.
    timed: f64,
    logs: f64,
    squares: f64,
}

/// Why an endpoint is let out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Reason {
    /// So many failures, one after the other.
    InARow(u64),
    /// This share of its requests fails, and this one of the others'.
    Fails(f64, f64),
    /// It takes so many times as long as the others.
    Slow(f64),
}

/// What counts by half after so long.
const HALF_LIFE: Millis = Millis(5_000);
/// So many failures one after the other are enough.
const IN_A_ROW: u64 = 5;
/// How sure it must be, in nats, that an endpoint fails more than the others. It is asked ten times a second of each of
/// perhaps a thousand endpoints: e⁻²⁵ keeps that below one mistake in a month.
const SURE: f64 = 25.0;
/// How much more must fail for it to matter.
const MATTERS: f64 = 0.05;
/// How many times as long must be taken for it to matter, …
const SLOWER: f64 = 3.0;
/// … in how many answers at least, …
const ANSWERS: f64 = 10.0;
/// … and how many standard errors away that must be.
const STANDARD_ERRORS: f64 = 7.0;
/// Of those that fail this much themselves, nobody is worse.
const ALL_FAIL: f64 = 0.5;
/// How long the first ejection lasts, each further one twice as long …
const FIRST: Duration = Duration::from_secs(10);
/// … up to this.
const LONGEST: Duration = Duration::from_mins(5);

impl Sums {
    fn fade(&mut self, by: Millis) {
        let left = (-(by.0 as f64) / HALF_LIFE.0 as f64).exp2();
        for sum in [&mut self.ok, &mut self.failed, &mut self.timed, &mut self.logs, &mut self.squares] {
            *sum *= left;
        }
    }

    fn minus(self, other: Self) -> Self {
        let left = |all: f64, one: f64| (all - one).max(0.0);
        Self {
            ok: left(self.ok, other.ok),
            failed: left(self.failed, other.failed),
            timed: left(self.timed, other.timed),
            logs: self.logs - other.logs,
            squares: left(self.squares, other.squares),
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            ok: self.ok + other.ok,
            failed: self.failed + other.failed,
            timed: self.timed + other.timed,
            logs: self.logs + other.logs,
            squares: self.squares + other.squares,
        }
    }

    fn tries(self) -> f64 {
        self.ok + self.failed
    }

    fn failing(self) -> f64 {
        self.failed / self.tries().max(1e-9)
    }
}

impl Ejector {
    /// Adds what a worker counted.
    pub(super) fn add(&mut self, now: Millis, counted: &[EndpointTally]) {
        for EndpointTally { endpoint, ok, failed, timed, logs, squares } in counted {
            let record = self.record(endpoint, now);
            record.sums.fade(now.since(record.at));
            record.at = now;
            let new = Sums {
                ok: f64::from(*ok),
                failed: f64::from(*failed),
                timed: f64::from(*timed),
                logs: f64::from(*logs),
                squares: f64::from(*squares),
            };
            record.sums = record.sums.plus(new);
            record.in_a_row = if *ok > 0 { 0 } else { record.in_a_row + u64::from(*failed) };
        }
    }

    /// Looks who is to be let out, of those that are there, and who may come in again. At most `most` of 100 are out. Tells who
    /// has been let out, and whether anybody has been let in.
    pub(super) fn look(
        &mut self,
        now: Millis,
        there: &[Candidate],
        most: u8,
    ) -> (Vec<(Endpoint, Reason)>, bool) {
        let is_there: HashSet<&Endpoint> = there.iter().map(|candidate| &candidate.endpoint).collect();
        self.records.retain(|endpoint, _| is_there.contains(endpoint));
        let mut came_back = false;
        for record in self.records.values_mut() {
            record.sums.fade(now.since(record.at));
            record.at = now;
            if record.until.is_some_and(|until| until <= now) {
                (record.until, record.back) = (None, Some(now));
                (record.sums, record.in_a_row) = (Sums::default(), 0);
                came_back = true;
            }
            record.forgive(now);
        }
        let (all, mut out) = self.count();
        let room = there.len() * usize::from(most) / 100;
        let mut ejected = Vec::new();
        let mut suspects: Vec<(&Endpoint, &mut Record, Reason)> = self
            .records
            .iter_mut()
            .filter(|(_, record)| record.until.is_none())
            .filter_map(|(endpoint, record)| {
                let reason = reason(record, all.minus(record.sums))?;
                Some((endpoint, record, reason))
            })
            .collect();
        // The worst first, where there is not room for all.
        suspects.sort_by(|(a, one, _), (b, other, _)| {
            let worse = other.sums.failing().total_cmp(&one.sums.failing());
            worse.then_with(|| a.cmp(b))
        });
        for (endpoint, record, reason) in suspects {
            if out >= room {
                break;
            }
            out += 1;
            record.eject(now);
            ejected.push((endpoint.clone(), reason));
        }
        (ejected, came_back)
    }

    /// Whether an endpoint is let out.
    pub(super) fn is_out(&self, endpoint: &Endpoint) -> bool {
        self.records.get(endpoint).is_some_and(|record| record.until.is_some())
    }

    /// When an endpoint was let in again, if it had been out.
    pub(super) fn back(&self, endpoint: &Endpoint) -> Option<Millis> {
        self.records.get(endpoint).and_then(|record| record.back)
    }

    /// How many are out.
    pub(super) fn out(&self) -> usize {
        self.count().1
    }

    /// Whether anything may change by itself.
    pub(super) fn is_quiet(&self) -> bool {
        self.records.is_empty()
    }

    fn count(&self) -> (Sums, usize) {
        let inside = self.records.values().filter(|record| record.until.is_none());
        let all = inside.fold(Sums::default(), |sum, record| sum.plus(record.sums));
        (all, self.records.values().filter(|record| record.until.is_some()).count())
    }

    fn record(&mut self, endpoint: &Endpoint, now: Millis) -> &mut Record {
        self.records.entry(endpoint.clone()).or_insert_with(|| Record {
            sums: Sums::default(),
            at: now,
            in_a_row: 0,
            times: 0,
            until: None,
            back: None,
        })
    }
}

impl Record {
    fn eject(&mut self, now: Millis) {
        let lasts = (FIRST * (1 << self.times.min(8))).min(LONGEST);
        self.times += 1;
        self.until = Some(Millis(now.0 + u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX / 2)));
    }

    /// Who has been well for as long as the longest ejection begins anew.
    fn forgive(&mut self, now: Millis) {
        let well = |back: Millis| u128::from(now.since(back).0) >= LONGEST.as_millis();
        if self.until.is_none() && self.back.is_some_and(well) {
            (self.times, self.back) = (0, None);
        }
    }
}

/// Why an endpoint is to be let out, if it is.
fn reason(record: &Record, others: Sums) -> Option<Reason> {
    let own = record.sums;
    if others.tries() < 1.0 || others.failing() > ALL_FAIL {
        return None;
    }
    if record.in_a_row >= IN_A_ROW {
        return Some(Reason::InARow(record.in_a_row));
    }
    if own.failing() > others.failing() + MATTERS && certainty(own, others) > SURE {
        return Some(Reason::Fails(own.failing(), others.failing()));
    }
    slower(own, others).map(Reason::Slow)
}

/// By how many nats one rate for both explains what was seen worse than one for each (a likelihood ratio).
fn certainty(own: Sums, others: Sums) -> f64 {
    let all = own.plus(others);
    fit(own, own.failing()) + fit(others, others.failing())
        - fit(own, all.failing())
        - fit(others, all.failing())
}

fn fit(sums: Sums, rate: f64) -> f64 {
    let times = |count: f64, rate: f64| if count > 0.0 { count * rate.max(1e-12).ln() } else { 0.0 };
    times(sums.failed, rate) + times(sums.ok, 1.0 - rate)
}

/// How many times as long an endpoint takes, if that is sure and matters.
fn slower(own: Sums, others: Sums) -> Option<f64> {
    if own.timed < ANSWERS || others.timed < ANSWERS {
        return None;
    }
    let (mean, usual) = (own.logs / own.timed, others.logs / others.timed);
    let variance = |sums: Sums, mean: f64| (sums.squares / sums.timed - mean * mean).max(0.01);
    let error = (variance(own, mean) / own.timed + variance(others, usual) / others.timed).sqrt();
    let longer = mean - usual;
    (longer > SLOWER.log2() && longer > STANDARD_ERRORS * error).then(|| longer.exp2())
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Reason::InARow(count) => write!(f, "{count} failures in a row"),
            Reason::Fails(own, others) => {
                write!(
                    f,
                    "{:.0}% of its requests fail, and {:.1}% of the others'",
                    own * 100.0,
                    others * 100.0
                )
            }
            Reason::Slow(times) => write!(f, "it takes {times:.1} times as long as the others"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Address;

    const MOST: u8 = 50;

    fn endpoint(number: u8) -> Endpoint {
        Endpoint::at(Address::Tcp(([10, 0, 0, number], 80).into()))
    }

    fn candidates(count: u8) -> Vec<Candidate> {
        (0..count).map(|number| Candidate { endpoint: endpoint(number), weight: 1, since: None }).collect()
    }

    /// Requests a second over endpoints that each fail with a probability, and take a time: plays so many seconds, and tells who
    /// was let out first, when, and why.
    fn play(rate: u64, endpoints: &[(f64, f32)], seconds: u64, seed: u64) -> Vec<(u8, Millis, Reason)> {
        let mut rng = fastrand::Rng::with_seed(seed);
        let (mut ejector, there) = (Ejector::default(), candidates(u8::try_from(endpoints.len()).unwrap()));
        let mut out = Vec::new();
        for tick in 0..seconds * 10 {
            let now = Millis(tick * 100);
            let mut counted = Vec::new();
            for (number, (fails, micros)) in (0..).zip(endpoints) {
                let endpoint = endpoint(number);
                if ejector.is_out(&endpoint) {
                    continue;
                }
                let mut tally = EndpointTally::new(endpoint);
                // So many tenths of a request, each of which comes one time in ten.
                let tenths = rate / endpoints.len() as u64;
                for _ in (0..tenths).filter(|_| rng.u8(..10) == 0).collect::<Vec<_>>() {
                    if rng.f64() < *fails {
                        tally.failed();
                    } else {
                        let normal = (0..12).map(|_| rng.f32()).sum::<f32>() - 6.0;
                        tally.ended_well();
                        tally.took(micros * (0.7 * normal).exp());
                    }
                }
                counted.push(tally);
            }
            ejector.add(now, &counted);
            for (endpoint, reason) in ejector.look(now, &there, MOST).0 {
                let number = there.iter().position(|candidate| candidate.endpoint == endpoint).unwrap();
                out.push((u8::try_from(number).unwrap(), now, reason));
            }
        }
        out
    }

    const WELL: (f64, f32) = (0.001, 20_000.0);

    fn ten(odd: (f64, f32)) -> [(f64, f32); 10] {
        let mut endpoints = [WELL; 10];
        endpoints[3] = odd;
        endpoints
    }

    #[test]
    fn who_fails_or_slows_tenfold_is_let_out_within_two_seconds() {
        for (odd, rate) in [((1.0, 20_000.0), 100), ((0.5, 20_000.0), 500), ((0.001, 200_000.0), 500)] {
            for seed in 0..20 {
                let out = play(rate, &ten(odd), 10, seed);
                let (number, at, _) = out.first().copied().expect("it is let out");
                assert_eq!(number, 3);
                assert!(at < Millis(2_000), "{odd:?} at {rate}/s: {at:?}");
            }
        }
    }

    #[test]
    fn nobody_is_let_out_who_is_as_the_others_are() {
        for fails in [0.0, 0.001, 0.02, 0.05] {
            for seed in 0..5 {
                let out = play(1_000, &[(fails, 20_000.0); 10], 300, seed);
                assert!(out.is_empty(), "{fails}: {out:?}");
            }
        }
    }

    #[test]
    fn a_side_that_is_bad_as_a_whole_loses_nobody() {
        assert!(play(1_000, &[(1.0, 20_000.0); 4], 60, 1).is_empty());
        assert!(play(1_000, &[(0.0, 900_000.0); 4], 60, 1).is_empty());
    }

    #[test]
    fn no_more_than_the_share_that_is_allowed_is_out() {
        let bad = (1.0, 20_000.0);
        let out = play(1_000, &[bad, bad, WELL, WELL, WELL, WELL], 5, 1);
        assert_eq!(out.len(), 2);
        let mut ejector = Ejector::default();
        let there = candidates(3);
        let mut failing = EndpointTally::new(endpoint(0));
        (0..10).for_each(|_| failing.failed());
        let mut well = EndpointTally::new(endpoint(1));
        (0..10).for_each(|_| well.ended_well());
        ejector.add(Millis(0), &[failing, well]);
        assert!(ejector.look(Millis(0), &there, 10).0.is_empty(), "none of three is a tenth");
        assert_eq!(ejector.look(Millis(0), &there, 34).0.len(), 1);
    }

    #[test]
    fn who_comes_back_and_fails_again_is_out_for_longer_each_time() {
        let out = play(500, &ten((1.0, 20_000.0)), 400, 3);
        let gaps: Vec<u64> = out.windows(2).map(|pair| (pair[1].1.0 - pair[0].1.0) / 1_000).collect();
        assert!(gaps.is_sorted() && gaps[0] >= 10, "{gaps:?}");
        assert!(gaps.iter().zip([10, 20, 40, 80, 160]).all(|(gap, least)| *gap >= least), "{gaps:?}");
    }

    #[test]
    fn who_has_left_is_forgotten() {
        let (mut ejector, there) = (Ejector::default(), candidates(3));
        let mut failing = EndpointTally::new(endpoint(0));
        (0..10).for_each(|_| failing.failed());
        let mut well = EndpointTally::new(endpoint(1));
        well.ended_well();
        ejector.add(Millis(0), &[failing, well]);
        assert_eq!(ejector.look(Millis(0), &there, MOST).0.len(), 1);
        assert_eq!(ejector.out(), 1);
        ejector.look(Millis(100), &there[1..], MOST);
        assert_eq!(ejector.out(), 0);
    }
}

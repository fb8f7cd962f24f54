use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::model::Millis;
use crate::tally::EndpointTally;

/// Which endpoints of a side, or which of its clusters, are let out for a while, because they do much worse than the side's
/// others.
///
/// Each is compared with the others at the same time, so a side that is bad as a whole loses nobody: that is the judge's
/// question. What who is out has done wrong stays in the side's evidence. Pure.
#[derive(Debug)]
pub(super) struct Ejector<K> {
    standard: Standard,
    records: BTreeMap<K, Record>,
    /// What all of them together did since the beginning; nothing of it is forgotten.
    all: Tries,
}

/// How many tries ended well, and how many failed.
#[derive(Clone, Copy, Debug, Default)]
struct Tries {
    ok: f64,
    failed: f64,
}

/// How much worse is much worse, and for how long one is let out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standard {
    /// So many failures one after the other are looked at, if any number is.
    in_a_row: f64,
    /// How sure it must be, in nats, that one fails more than the others.
    sure: f64,
    /// How much more must fail for it to matter.
    matters: f64,
    /// How many times as long must be taken for it to matter, …
    slower: f64,
    /// … and how many standard errors away that must be.
    sure_slower: f64,
    /// How long the first ejection lasts, each further one twice as long …
    first: Duration,
    /// … up to this.
    longest: Duration,
}

/// What one did lately.
#[derive(Clone, Debug)]
struct Record {
    /// Answers and failures; old ones count less and less.
    sums: Sums,
    at: Millis,
    /// Failures since it last answered well, …
    in_a_row: f64,
    /// … and what all had done when they began.
    row_began: Tries,
    /// Tries that wait for it in vain at this moment.
    silent: f64,
    /// How often it has been ejected.
    times: u32,
    until: Option<Millis>,
    /// When it was let in again.
    back: Option<Millis>,
}

/// What was counted in a while.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sums {
    ok: f64,
    failed: f64,
    /// Times to answer, as logarithms to base 2.
    timed: f64,
    logs: f64,
    squares: f64,
}

/// Why one is let out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Reason {
    /// So many failures, one after the other.
    InARow(f64),
    /// This share of its requests fails, and this one of the others'.
    Fails(f64, f64),
    /// It takes so many times as long as the others.
    Slow(f64),
}

impl Standard {
    /// For endpoints. It is asked ten times a second of each of perhaps a thousand: e⁻²⁵ keeps that below one mistake in a
    /// month.
    pub(super) const ENDPOINTS: Self = Self {
        in_a_row: 5.0,
        sure: 25.0,
        matters: 0.05,
        slower: 3.0,
        sure_slower: 7.0,
        first: Duration::from_secs(10),
        longest: Duration::from_mins(5),
    };
    /// For clusters, by themselves: what is bad may as well be a route that happened to be asked there.
    pub(super) const CLUSTERS: Self = Self {
        in_a_row: f64::INFINITY,
        first: Duration::from_mins(2),
        longest: Duration::from_hours(1),
        ..Self::ENDPOINTS
    };
    /// For clusters of a side that was found to be worse than Helios: something is wrong, and it is asked where.
    pub(super) const ACCUSED: Self =
        Self { sure: 5.0, matters: 0.005, slower: 1.15, sure_slower: 3.0, ..Self::CLUSTERS };
}

/// Failures in a row that are more surprising than this, in nats, are no chance.
const SURPRISING: f64 = 20.0;
/// What counts by half after so long.
const HALF_LIFE: Millis = Millis(5_000);
/// Of those who answer slower, so many answers must be known.
const ANSWERS: f64 = 10.0;
/// Of those that fail this much themselves, nobody is worse.
const ALL_FAIL: f64 = 0.5;

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

    pub(super) fn plus(self, other: Self) -> Self {
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

impl From<&EndpointTally> for Sums {
    fn from(tally: &EndpointTally) -> Self {
        Self {
            ok: f64::from(tally.ok),
            failed: f64::from(tally.failed),
            timed: f64::from(tally.timed),
            logs: f64::from(tally.logs),
            squares: f64::from(tally.squares),
        }
    }
}

impl<K: Clone + Ord> Ejector<K> {
    pub(super) const fn new(standard: Standard) -> Self {
        Self { standard, records: BTreeMap::new(), all: Tries { ok: 0.0, failed: 0.0 } }
    }

    /// Adds what a worker counted of one.
    pub(super) fn add(&mut self, now: Millis, key: &K, new: Sums) {
        let all = self.all;
        self.all = Tries { ok: all.ok + new.ok, failed: all.failed + new.failed };
        let record = self.record(key, now);
        if record.in_a_row <= 0.0 {
            record.row_began = all;
        }
        record.sums.fade(now.since(record.at));
        record.at = now;
        record.sums = record.sums.plus(new);
        record.in_a_row = if new.ok > 0.0 { 0.0 } else { record.in_a_row + new.failed };
    }

    /// So many tries wait in vain at this moment; of those that are not named here, none.
    pub(super) fn hear_silence(&mut self, now: Millis, silent: &BTreeMap<K, u32>) {
        for record in self.records.values_mut() {
            record.silent = 0.0;
        }
        for (key, count) in silent {
            self.record(key, now).silent = f64::from(*count);
        }
    }

    /// Looks who is to be let out, of those that are there, and who may come in again. At most `room` are out. Tells who has
    /// been let out, and whether anybody has been let in.
    pub(super) fn look(
        &mut self,
        now: Millis,
        there: &BTreeSet<&K>,
        room: usize,
    ) -> (Vec<(K, Reason)>, bool) {
        self.records.retain(|key, _| there.contains(key));
        let mut came_back = false;
        for record in self.records.values_mut() {
            record.sums.fade(now.since(record.at));
            record.at = now;
            if record.until.is_some_and(|until| until <= now) {
                (record.until, record.back) = (None, Some(now));
                (record.sums, record.in_a_row) = (Sums::default(), 0.0);
                came_back = true;
            }
            record.forgive(now, self.standard.longest);
        }
        came_back |= self.make_room(now, room);
        (self.judge(now, self.standard, room), came_back)
    }

    /// Others have left, or fewer may be out: who would come back first comes back now. Tells whether somebody does.
    fn make_room(&mut self, now: Millis, room: usize) -> bool {
        let mut out: Vec<&mut Record> =
            self.records.values_mut().filter(|record| record.until.is_some()).collect();
        let too_many = out.len().saturating_sub(room);
        out.sort_by_key(|record| record.until);
        for record in out.into_iter().take(too_many) {
            (record.until, record.back) = (None, Some(now));
            (record.sums, record.in_a_row) = (Sums::default(), 0.0);
        }
        too_many > 0
    }

    /// Lets out who is worse than the others by this standard.
    pub(super) fn judge(&mut self, now: Millis, standard: Standard, room: usize) -> Vec<(K, Reason)> {
        let (all, mut out) = self.count();
        let ever = self.all;
        let mut suspects: Vec<(&K, &mut Record, Reason)> = self
            .records
            .iter_mut()
            .filter(|(_, record)| record.until.is_none())
            .filter_map(|(key, record)| {
                let reason = reason(record, all.minus(record.seen()), ever, standard)?;
                Some((key, record, reason))
            })
            .collect();
        // The worst first, where there is not room for all.
        suspects.sort_by(|(a, one, _), (b, other, _)| {
            let worse = other.seen().failing().total_cmp(&one.seen().failing());
            worse.then_with(|| a.cmp(b))
        });
        let mut ejected = Vec::new();
        for (key, record, reason) in suspects {
            if out >= room {
                break;
            }
            out += 1;
            record.eject(now, standard);
            ejected.push((key.clone(), reason));
        }
        ejected
    }

    /// Whether one is let out.
    pub(super) fn is_out(&self, key: &K) -> bool {
        self.until(key).is_some()
    }

    /// Until when one is let out, if it is.
    pub(super) fn until(&self, key: &K) -> Option<Millis> {
        self.records.get(key).and_then(|record| record.until)
    }

    /// When one was let in again, if it had been out.
    pub(super) fn back(&self, key: &K) -> Option<Millis> {
        self.records.get(key).and_then(|record| record.back)
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
        let all = inside.fold(Sums::default(), |sum, record| sum.plus(record.seen()));
        (all, self.records.values().filter(|record| record.until.is_some()).count())
    }

    fn record(&mut self, key: &K, now: Millis) -> &mut Record {
        self.records.entry(key.clone()).or_insert_with(|| Record {
            sums: Sums::default(),
            at: now,
            in_a_row: 0.0,
            row_began: Tries::default(),
            silent: 0.0,
            times: 0,
            until: None,
            back: None,
        })
    }
}

impl Record {
    /// How surprising its failures in a row are, in nats, if it were as the others have been since they began: what was before
    /// says nothing of a side that has begun to fail as a whole.
    fn surprise(&self, ever: Tries) -> f64 {
        let ok = ever.ok - self.row_began.ok;
        let failed = (ever.failed - self.row_began.failed - self.in_a_row).max(0.0);
        -self.in_a_row * ((failed + 0.5) / (ok + failed + 1.0)).ln()
    }

    /// What it did, and what it does not do at this moment.
    fn seen(&self) -> Sums {
        Sums { failed: self.sums.failed + self.silent, ..self.sums }
    }

    fn eject(&mut self, now: Millis, standard: Standard) {
        let lasts = (standard.first * (1 << self.times.min(8))).min(standard.longest);
        self.times += 1;
        self.until = Some(Millis(now.0 + u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX / 2)));
    }

    /// Who has been well for as long as the longest ejection begins anew.
    fn forgive(&mut self, now: Millis, longest: Duration) {
        let well = |back: Millis| u128::from(now.since(back).0) >= longest.as_millis();
        if self.until.is_none() && self.back.is_some_and(well) {
            (self.times, self.back) = (0, None);
        }
    }
}

/// Why one is to be let out, if it is.
fn reason(record: &Record, others: Sums, ever: Tries, standard: Standard) -> Option<Reason> {
    let own = record.seen();
    if others.tries() < 1.0 || others.failing() > ALL_FAIL {
        return None;
    }
    if record.in_a_row >= standard.in_a_row && record.surprise(ever) > SURPRISING {
        return Some(Reason::InARow(record.in_a_row));
    }
    if own.failing() > others.failing() + standard.matters && certainty(own, others) > standard.sure {
        return Some(Reason::Fails(own.failing(), others.failing()));
    }
    slower(own, others, standard).map(Reason::Slow)
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

/// How many times as long one takes, if that is sure and matters.
fn slower(own: Sums, others: Sums, standard: Standard) -> Option<f64> {
    if own.timed < ANSWERS || others.timed < ANSWERS {
        return None;
    }
    let (mean, usual) = (own.logs / own.timed, others.logs / others.timed);
    let variance = |sums: Sums, mean: f64| (sums.squares / sums.timed - mean * mean).max(0.01);
    let error = (variance(own, mean) / own.timed + variance(others, usual) / others.timed).sqrt();
    let longer = mean - usual;
    (longer > standard.slower.log2() && longer > standard.sure_slower * error).then(|| longer.exp2())
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Reason::InARow(count) => write!(f, "{count:.0} failures in a row"),
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
    use crate::model::{Address, Endpoint};

    fn endpoint(number: u8) -> Endpoint {
        Endpoint::at(Address::Tcp(([10, 0, 0, number], 80).into()))
    }

    fn endpoints(count: u8) -> Vec<Endpoint> {
        (0..count).map(endpoint).collect()
    }

    fn ejector() -> Ejector<Endpoint> {
        Ejector::new(Standard::ENDPOINTS)
    }

    fn counted(ok: u32, failed: u32) -> Sums {
        Sums { ok: f64::from(ok), failed: f64::from(failed), ..Sums::default() }
    }

    /// Requests a second over endpoints that each fail with a probability, and take a time: plays so many seconds, and tells who
    /// was let out first, when, and why.
    fn play(rate: u64, endpoints: &[(f64, f32)], seconds: u64, seed: u64) -> Vec<(u8, Millis, Reason)> {
        let mut rng = fastrand::Rng::with_seed(seed);
        let (mut ejector, there) = (ejector(), self::endpoints(u8::try_from(endpoints.len()).unwrap()));
        let there: BTreeSet<&Endpoint> = there.iter().collect();
        let mut out = Vec::new();
        for tick in 0..seconds * 10 {
            let now = Millis(tick * 100);
            for (number, (fails, micros)) in (0..).zip(endpoints) {
                let endpoint = endpoint(number);
                if ejector.is_out(&endpoint) {
                    continue;
                }
                let mut tally = EndpointTally::new(endpoint.clone());
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
                ejector.add(now, &endpoint, Sums::from(&tally));
            }
            for (endpoint, reason) in ejector.look(now, &there, there.len() / 2).0 {
                let number = there.iter().position(|known| **known == endpoint).unwrap();
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

    /// What was well until a moment ago must not make it look as if only some had begun to fail.
    #[test]
    fn a_side_that_was_well_and_fails_as_a_whole_for_a_moment_loses_nobody() {
        for (count, rate) in [(10_u8, 500_u32), (100, 2_000), (4, 100), (2, 50)] {
            let (mut ejector, there) = (ejector(), endpoints(count));
            let there: BTreeSet<&Endpoint> = there.iter().collect();
            let mut rng = fastrand::Rng::with_seed(u64::from(count));
            for tick in 0..700_u64 {
                let fails = (600..650).contains(&tick);
                let mut counts = vec![(0, 0); usize::from(count)];
                for _ in 0..rate / 10 {
                    let (ok, failed) = &mut counts[rng.usize(..usize::from(count))];
                    *(if fails { failed } else { ok }) += 1;
                }
                for (number, (ok, failed)) in (0..).zip(counts) {
                    ejector.add(Millis(tick * 100), &endpoint(number), counted(ok, failed));
                }
                let (out, _) = ejector.look(Millis(tick * 100), &there, there.len() / 2);
                assert!(out.is_empty(), "{count} at {rate}/s, tick {tick}: {out:?}");
            }
        }
    }

    /// A shard, a route or a caller: five failures in a row are common then, and everywhere.
    #[test]
    fn a_side_that_fails_in_part_loses_nobody() {
        for (fails, rate) in [(0.05, 10), (0.1, 10), (0.3, 2), (0.3, 10), (0.45, 10)] {
            let (mut ejector, there) = (ejector(), endpoints(10));
            let there: BTreeSet<&Endpoint> = there.iter().collect();
            let mut rng = fastrand::Rng::with_seed(rate);
            for tick in 0..18_000_u64 {
                for _ in 0..rate {
                    let failed = u32::from(rng.f64() < fails);
                    let number = rng.u8(..10);
                    ejector.add(Millis(tick * 100), &endpoint(number), counted(1 - failed, failed));
                }
                let (out, _) = ejector.look(Millis(tick * 100), &there, 5);
                assert!(out.is_empty(), "{fails} at {rate}0/s, tick {tick}: {out:?}");
            }
        }
    }

    #[test]
    fn when_others_leave_or_fewer_may_be_out_somebody_comes_back() {
        let (mut ejector, there) = (ejector(), endpoints(4));
        for number in 0..2 {
            ejector.add(Millis(0), &endpoint(number), counted(0, 20));
        }
        for number in 2..4 {
            ejector.add(Millis(0), &endpoint(number), counted(50, 0));
        }
        assert_eq!(ejector.look(Millis(0), &there.iter().collect(), 2).0.len(), 2);
        let (_, came_back) = ejector.look(Millis(100), &there[..3].iter().collect(), 1);
        assert!(came_back);
        assert_eq!(ejector.out(), 1);
        assert!(ejector.look(Millis(200), &there[..3].iter().collect(), 0).1);
        assert_eq!(ejector.out(), 0);
    }

    #[test]
    fn no_more_than_the_share_that_is_allowed_is_out() {
        let bad = (1.0, 20_000.0);
        let out = play(1_000, &[bad, bad, WELL, WELL, WELL, WELL], 5, 1);
        assert_eq!(out.len(), 2);
        let (mut ejector, there) = (ejector(), endpoints(3));
        let there: BTreeSet<&Endpoint> = there.iter().collect();
        ejector.add(Millis(0), &endpoint(0), counted(0, 10));
        ejector.add(Millis(0), &endpoint(1), counted(10, 0));
        assert!(ejector.look(Millis(0), &there, 0).0.is_empty(), "none of three is a tenth");
        assert_eq!(ejector.look(Millis(0), &there, 1).0.len(), 1);
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
        let (mut ejector, there) = (ejector(), endpoints(3));
        ejector.add(Millis(0), &endpoint(0), counted(0, 10));
        ejector.add(Millis(0), &endpoint(1), counted(20, 0));
        assert_eq!(ejector.look(Millis(0), &there.iter().collect(), 1).0.len(), 1);
        assert_eq!(ejector.out(), 1);
        ejector.look(Millis(100), &there[1..].iter().collect(), 1);
        assert_eq!(ejector.out(), 0);
    }

    #[test]
    fn which_cluster_is_at_fault_is_seen_from_little_once_the_side_is_accused() {
        let clusters = |sums: &[Sums]| {
            let mut ejector = Ejector::new(Standard::CLUSTERS);
            for (number, sums) in sums.iter().enumerate() {
                ejector.add(Millis(0), &number, *sums);
            }
            let there = [0, 1];
            assert!(
                ejector.look(Millis(0), &there.iter().collect(), 1).0.is_empty(),
                "nobody has accused them"
            );
            ejector.judge(Millis(0), Standard::ACCUSED, 1)
        };
        assert_eq!(clusters(&[counted(40, 0), counted(32, 8)]).first().map(|(number, _)| *number), Some(1));
        assert!(clusters(&[counted(36, 4), counted(34, 6)]).is_empty(), "both are bad: the side is");
        assert!(clusters(&[counted(0, 9), counted(0, 9)]).is_empty());
    }
}

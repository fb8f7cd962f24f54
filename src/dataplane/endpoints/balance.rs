use std::rc::Rc;
use std::time::Duration;

use crate::model::{Micros, Millis};

use super::{EndpointState, Group};

/// Draws before giving up on finding two endpoints to choose from. Where three in four are passed over, so many draws miss the
/// rest once in ten picks, and the list is searched.
const DRAWS: usize = 8;

/// Places of a ring that are looked at.
const LOOKS: usize = 64;
/// An endpoint of a ring may have so many times its share in flight, …
const MORE: f64 = 1.5;
/// … and so many at least.
const FEW: u32 = 8;

/// How finely shares are told apart.
const FINE: u32 = 1 << 16;

/// An endpoint that has just come gets its whole share only after this: what it has to load it loads meanwhile.
pub(super) const SLOW_START: Duration = Duration::from_secs(10);
/// The share that it begins with.
const FIRST_SHARE: f64 = 0.1;

/// Answers that take so many times as long count as slower. Less is noise where a worker sees few answers of each endpoint,
/// and following it would spread load unevenly.
const SLOWER: f32 = 2.0;

/// The endpoint for a try: the cluster is drawn first, by its share, and then one of its endpoints. Where nobody in the
/// cluster that was drawn takes connections, another one is asked.
pub(super) fn pick(
    groups: &[Group],
    now: Micros,
    mut draw: impl FnMut(u32) -> u32,
) -> Option<&Rc<EndpointState>> {
    let [first, others @ ..] = groups else { return None };
    if others.is_empty() {
        return pick_of(first, now, &mut draw);
    }
    let picked = pick_of(draw_group(groups, now, &mut draw)?, now, &mut draw);
    if picked.is_some_and(|picked| picked.passed_over_until() <= now) {
        return picked;
    }
    let elsewhere = groups.iter().filter_map(|group| search(&group.list, now, draw(FINE) as usize));
    elsewhere.min_by_key(|endpoint| endpoint.passed_over_until().max(now))
}

/// The first that can be asked of those that a ring names, in its order. One that has much more in flight than its share is left to
/// its others, and the next is asked (V. Mirrokni et al., *Consistent Hashing with Bounded Loads*, 2018): a key that everybody
/// asks for must not bring down the endpoint that has it.
pub(super) fn nearest(
    groups: &[Group],
    ring: impl Iterator<Item = usize>,
    count: usize,
    now: Micros,
) -> Option<&Rc<EndpointState>> {
    let counted = std::cell::OnceCell::new();
    let share = || {
        let in_flight: u32 =
            groups.iter().flat_map(|group| &group.list).map(|endpoint| endpoint.load()).sum();
        f64::from(in_flight) / count.max(1) as f64
    };
    let at = |mut place: usize| {
        groups.iter().find_map(|group| {
            let found = group.list.get(place);
            place = place.wrapping_sub(group.list.len());
            found
        })
    };
    let can = |endpoint: &&Rc<EndpointState>| {
        endpoint.passed_over_until() <= now
            && (endpoint.load() < FEW || f64::from(endpoint.load()) < MORE * counted.get_or_init(share))
    };
    // One comes again and again: so many looks see nearly all.
    ring.take(LOOKS).filter_map(at).find(can)
}

/// A cluster by its share. One that has just come back gets little at first.
fn draw_group<'a>(groups: &'a [Group], now: Micros, draw: &mut impl FnMut(u32) -> u32) -> Option<&'a Group> {
    let share = |group: &Group| {
        let since = |since: Millis| Duration::from_micros(now.0.saturating_sub(since.0 * 1_000));
        f64::from(group.cluster.weight) * group.cluster.since.map_or(1.0, |at| youth(since(at)))
    };
    let all: f64 = groups.iter().map(share).sum();
    let mut left = all * f64::from(draw(FINE)) / f64::from(FINE);
    let drawn = groups.iter().find(|group| {
        left -= share(group);
        left < 0.0
    });
    drawn.or(groups.last())
}

/// Power of two choices (M. Mitzenmacher, *The power of two choices in randomized load balancing*, 2001): of two drawn at
/// random, by their shares, the one that would be done sooner: with fewer requests in flight, or that answers much faster.
/// Whoever looks best is asked at most twice as often as by its share, so workers do not herd.
fn pick_of<'a>(
    Group { list, heaviest, .. }: &'a Group,
    now: Micros,
    draw: &mut impl FnMut(u32) -> u32,
) -> Option<&'a Rc<EndpointState>> {
    let count = u32::try_from(list.len()).unwrap_or(u32::MAX);
    if count <= 1 {
        return list.first();
    }
    let mut found: Option<&Rc<EndpointState>> = None;
    for _ in 0..DRAWS {
        let Some(drawn) = list.get(draw(count) as usize) else { continue };
        if drawn.passed_over_until() > now || !is_its_turn(drawn, *heaviest, now, draw) {
            continue;
        }
        match found {
            None => found = Some(drawn),
            Some(first) if Rc::ptr_eq(first, drawn) => {}
            Some(first) => return Some(if is_sooner(drawn, first, now) { drawn } else { first }),
        }
    }
    found.or_else(|| search(list, now, draw(count) as usize))
}

/// Whether an endpoint that was drawn is taken: as often as its share asks, beside the largest one.
fn is_its_turn(drawn: &EndpointState, heaviest: u16, now: Micros, draw: &mut impl FnMut(u32) -> u32) -> bool {
    let youth = drawn.youth(now);
    if drawn.weight() >= heaviest && youth >= 1.0 {
        return true;
    }
    let share = youth * f64::from(drawn.weight()) / f64::from(heaviest);
    is_drawn(share, draw)
}

/// Yes, as often as the share asks.
fn is_drawn(share: f64, draw: &mut impl FnMut(u32) -> u32) -> bool {
    f64::from(draw(FINE)) < share * f64::from(FINE)
}

/// Whether `one` would be done sooner than `other`.
fn is_sooner(one: &EndpointState, other: &EndpointState, now: Micros) -> bool {
    // Among the idle the draw has seen to their shares.
    if one.load() == 0 && other.load() == 0 && one.weight() != other.weight() {
        return false;
    }
    let after = |endpoint: &EndpointState| (endpoint.load() + 1) as f32 / f32::from(endpoint.weight());
    let (first, second) = (after(one), after(other));
    match (one.pace(now), other.pace(now)) {
        (Some(own), Some(its)) if own > its * SLOWER || its > own * SLOWER => first * own < second * its,
        _ => first < second,
    }
}

/// How much of its share an endpoint gets that came so long ago.
pub(super) fn youth(age: Duration) -> f64 {
    let grown = age.as_secs_f64() / SLOW_START.as_secs_f64();
    FIRST_SHARE + (1.0 - FIRST_SHARE) * grown.min(1.0)
}

/// The first from a random place on that is not passed over; if all are, the one whose time is up first.
fn search(list: &[Rc<EndpointState>], now: Micros, start: usize) -> Option<&Rc<EndpointState>> {
    let turned = list.iter().cycle().skip(start).take(list.len());
    turned.min_by_key(|endpoint| endpoint.passed_over_until().max(now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SideConfig;
    use crate::model::{Address, Endpoint};
    use crate::snapshot::{Candidate, Cluster};

    fn candidate(number: u16) -> Candidate {
        let [high, low] = number.to_be_bytes();
        let endpoint = Endpoint::at(Address::Tcp(([10, 0, high, low], 80).into()));
        Candidate { endpoint, weight: 1, since: None, cluster: Cluster::default() }
    }

    fn made(candidates: impl IntoIterator<Item = Candidate>) -> Vec<Rc<EndpointState>> {
        let side = SideConfig::default();
        candidates.into_iter().map(|candidate| Rc::new(EndpointState::new(&candidate, &side))).collect()
    }

    fn endpoints(count: u16) -> Vec<Rc<EndpointState>> {
        made((0..count).map(candidate))
    }

    fn pick(
        list: &[Rc<EndpointState>],
        heaviest: u16,
        now: Micros,
        draw: impl FnMut(u32) -> u32,
    ) -> Option<Rc<EndpointState>> {
        super::pick(&[group(Cluster::default(), list, heaviest)], now, draw).cloned()
    }

    fn group(cluster: Cluster, list: &[Rc<EndpointState>], heaviest: u16) -> Group {
        Group { cluster, list: list.to_vec(), heaviest }
    }

    /// How often each is picked, of so many picks at one moment with nothing in flight.
    fn shares(list: &[Rc<EndpointState>], heaviest: u16, now: Micros, picks: usize) -> Vec<f64> {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut counts = vec![0_usize; list.len()];
        for _ in 0..picks {
            let picked = pick(list, heaviest, now, |n| rng.u32(..n)).unwrap();
            counts[list.iter().position(|endpoint| Rc::ptr_eq(endpoint, &picked)).unwrap()] += 1;
        }
        counts.into_iter().map(|count| count as f64 / picks as f64).collect()
    }

    #[test]
    fn the_busier_of_two_is_not_asked() {
        let (list, mut rng) = (endpoints(2), fastrand::Rng::with_seed(1));
        list[0].enter();
        let mut to_the_idle = 0;
        for _ in 0..1_000 {
            let picked = pick(&list, 1, Micros(0), |n| rng.u32(..n)).unwrap();
            to_the_idle += u32::from(Rc::ptr_eq(&picked, &list[1]));
        }
        // Eight draws see both endpoints 127 times in 128; else it is the one that was drawn.
        assert!(to_the_idle > 980, "{to_the_idle}");
    }

    #[test]
    fn load_spreads_evenly() {
        let (list, mut rng) = (endpoints(10), fastrand::Rng::with_seed(2));
        for _ in 0..1_000 {
            pick(&list, 1, Micros(0), |n| rng.u32(..n)).unwrap().enter();
        }
        for endpoint in &list {
            assert!((90..=110).contains(&endpoint.load()), "{}", endpoint.load());
        }
    }

    #[test]
    fn who_refuses_is_passed_over_for_a_while_and_longer_each_time() {
        let (list, mut rng) = (endpoints(3), fastrand::Rng::with_seed(3));
        let mut asked = |now| {
            (0..200).any(|_| Rc::ptr_eq(&pick(&list, 1, Micros(now), |n| rng.u32(..n)).unwrap(), &list[0]))
        };
        list[0].refused(Micros(0));
        assert!(!asked(999_999));
        assert!(asked(1_000_000));
        list[0].refused(Micros(1_000_000));
        assert!(!asked(2_900_000));
        assert!(asked(3_000_000));
        list[0].accepted();
        assert!(asked(3_000_000));
    }

    #[test]
    fn where_all_refuse_one_is_asked_all_the_same() {
        let (list, mut rng) = (endpoints(3), fastrand::Rng::with_seed(4));
        for (i, endpoint) in list.iter().enumerate() {
            endpoint.refused(Micros(1_000 * (3 - i as u64)));
        }
        let picked = pick(&list, 1, Micros(5_000), |n| rng.u32(..n)).unwrap();
        assert!(Rc::ptr_eq(&picked, &list[2]), "the one whose time is up first");
        assert!(pick(&[], 1, Micros(0), |_| 0).is_none());
    }

    #[test]
    fn shares_are_as_weights_say() {
        let list =
            made([(0, 1), (1, 2), (2, 5)].map(|(number, weight)| Candidate { weight, ..candidate(number) }));
        let shares = shares(&list, 5, Micros(0), 40_000);
        // Of two that are drawn by weight and are equally busy, the first is asked: so shares are those of the draw.
        for (share, expected) in shares.iter().zip([1.0 / 8.0, 2.0 / 8.0, 5.0 / 8.0]) {
            assert!((share - expected).abs() < 0.03, "{shares:?}");
        }
    }

    #[test]
    fn clusters_get_their_shares_however_many_endpoints_they_have_and_who_is_back_begins_with_little() {
        let now = Micros(60_000_000);
        let lists = [endpoints(1), endpoints(9)];
        let shares = |since: Option<Millis>| {
            let clusters = [(0, 3, since), (1, 1, None)];
            let groups: Vec<Group> = clusters
                .into_iter()
                .zip(&lists)
                .map(|((place, weight, since), list)| group(Cluster { place, weight, since }, list, 1))
                .collect();
            let mut rng = fastrand::Rng::with_seed(5);
            let picks = (0..20_000).map(|_| super::pick(&groups, now, |n| rng.u32(..n)).unwrap().clone());
            picks.filter(|picked| Rc::ptr_eq(picked, &lists[0][0])).count() as f64 / 20_000.0
        };
        assert!((shares(None) - 0.75).abs() < 0.02);
        // A tenth of its share at first: 0.3 of 1.3.
        assert!((shares(Some(Millis(60_000))) - 0.3 / 1.3).abs() < 0.02, "{}", shares(Some(Millis(60_000))));
        lists[0][0].refused(now);
        assert!(shares(None) < 1e-9, "nobody there takes connections");
        for endpoint in &lists[1] {
            endpoint.refused(now);
            endpoint.refused(now);
        }
        assert!((shares(None) - 1.0).abs() < 1e-9, "the one whose time is up first");
    }

    #[test]
    fn shares_are_as_weights_say_under_load_too() {
        let list =
            made([(0, 3), (1, 1), (2, 1)].map(|(number, weight)| Candidate { weight, ..candidate(number) }));
        let mut rng = fastrand::Rng::with_seed(9);
        let mut there: std::collections::VecDeque<Rc<EndpointState>> = std::collections::VecDeque::new();
        let mut first = 0;
        for _ in 0..20_000 {
            let picked = pick(&list, 3, Micros(0), |n| rng.u32(..n)).unwrap();
            picked.enter();
            first += u32::from(Rc::ptr_eq(&picked, &list[0]));
            there.push_back(picked);
            if there.len() > 100 {
                there.pop_front().unwrap().leave();
            }
        }
        let share = f64::from(first) / 20_000.0;
        assert!((0.55..0.65).contains(&share), "{share}");
    }

    #[test]
    fn one_long_answer_does_not_make_an_endpoint_slow() {
        let list = endpoints(10);
        for second in 0..20 {
            for endpoint in &list {
                endpoint.took(Micros(20_000), Micros(second * 1_000_000));
            }
        }
        list[4].took(Micros(30_000_000), Micros(20_000_000));
        let shares = shares(&list, 1, Micros(21_000_000), 20_000);
        assert!(shares[4] > 0.05, "{shares:?}");
    }

    #[test]
    fn who_has_just_come_gets_little_at_first_and_its_share_in_the_end() {
        let mut candidates: Vec<Candidate> = (0..10).map(candidate).collect();
        candidates[3].since = Some(Millis(60_000));
        let list = made(candidates);
        let share = |second: u64| shares(&list, 1, Micros(second * 1_000_000), 20_000)[3];
        assert!(share(60) < 0.02, "{}", share(60));
        assert!((0.03..0.08).contains(&share(65)), "{}", share(65));
        assert!((0.08..0.12).contains(&share(70)), "{}", share(70));
    }

    #[test]
    fn who_answers_much_slower_is_asked_less_and_is_forgiven_in_time() {
        let list = endpoints(10);
        for (number, endpoint) in list.iter().enumerate() {
            // A spread of half as much again is noise.
            let micros = if number == 4 { 100_000 } else { 10_000 + 500 * number as u64 };
            endpoint.took(Micros(micros), Micros(0));
        }
        let early = shares(&list, 1, Micros(1), 20_000);
        assert!(early[4] < 0.02, "{early:?}");
        for (number, share) in early.iter().enumerate().filter(|(number, _)| *number != 4) {
            assert!((0.09..0.14).contains(share), "{number}: {early:?}");
        }
        for endpoint in list.iter().filter(|endpoint| !Rc::ptr_eq(endpoint, &list[4])) {
            endpoint.took(Micros(10_000), Micros(600_000_000));
        }
        let late = shares(&list, 1, Micros(600_000_000), 20_000);
        assert!(late[4] > 0.08, "it is asked again, and may have mended: {late:?}");
    }

    /// Eight workers with views of their own, a thousand endpoints, answers of very different lengths.
    #[test]
    fn load_of_many_workers_spreads_within_1_3_of_even_and_a_new_endpoint_is_not_herded_to() {
        const WORKERS: usize = 8;
        const ENDPOINTS: u16 = 1_000;
        const NEW: usize = 500;
        let mut candidates: Vec<Candidate> = (0..ENDPOINTS).map(candidate).collect();
        candidates[NEW].since = Some(Millis(20_000));
        let workers: Vec<_> = (0..WORKERS).map(|_| made(candidates.clone())).collect();
        let mut rng = fastrand::Rng::with_seed(11);
        let mut counts = vec![0_u32; usize::from(ENDPOINTS)];
        let mut in_first_seconds = vec![0_u32; usize::from(ENDPOINTS)];
        // Ends of requests, by the ten milliseconds in which they come: (worker, endpoint, how long).
        let mut ends: Vec<Vec<(usize, usize, u64)>> = vec![Vec::new(); 4_000];
        for step in 0..4_000_usize {
            let now = Micros(step as u64 * 10_000);
            for (worker, place, micros) in std::mem::take(&mut ends[step]) {
                workers[worker][place].leave();
                workers[worker][place].took(Micros(micros), now);
            }
            // 20,000 requests a second in all.
            for _ in 0..200 {
                let worker = rng.usize(..WORKERS);
                let list = &workers[worker];
                let picked = pick(list, 1, now, |n| rng.u32(..n)).unwrap();
                picked.enter();
                let place = list.iter().position(|endpoint| Rc::ptr_eq(endpoint, &picked)).unwrap();
                // Log-normal, with a median of 20 ms and a long tail.
                let normal = (0..12).map(|_| rng.f64()).sum::<f64>() - 6.0;
                let time = Duration::from_secs_f64(0.02 * (0.8 * normal).exp());
                let steps = usize::try_from(time.as_millis() / 10).unwrap();
                let end = (step + 1 + steps).min(3_999);
                ends[end].push((worker, place, u64::try_from(time.as_micros()).unwrap()));
                if step >= 1_000 {
                    counts[place] += 1;
                }
                if (2_000..3_000).contains(&step) {
                    in_first_seconds[place] += 1;
                }
            }
        }
        let even = 20_000.0 * 30.0 / f64::from(ENDPOINTS);
        for (place, count) in counts.iter().enumerate().filter(|(place, _)| *place != NEW) {
            let share = f64::from(*count) / even;
            assert!((1.0 / 1.3..1.3).contains(&share), "endpoint {place} has {share:.2} of its share");
        }
        let share = f64::from(in_first_seconds[NEW]) / (20_000.0 * 10.0 / f64::from(ENDPOINTS));
        assert!(share < 2.0, "a new endpoint has {share:.2} of its share in its first ten seconds");
    }
}

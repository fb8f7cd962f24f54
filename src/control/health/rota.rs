use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use siphasher::sip::SipHasher13;

use crate::config::CheckConfig;
use crate::model::{Address, Endpoint, Millis, Side};
use crate::snapshot::ServiceId;
use crate::tls::Connector;

use super::pulse::Pulse;
use super::{Checks, Found, Opinion};

/// Checks under way at once, in the whole process: each has a descriptor and some tens of kilobytes. Past this, they wait for
/// one another, in the order in which their turns came.
pub(super) const AT_ONCE: usize = 256;
/// How much sooner or later a check may come, as a share of its pause: processes that start together are not to ask together
/// for ever.
const JITTER: f64 = 0.1;
/// Within this an endpoint that is new is asked for the first time, however long its pause is: requests go there already.
const SOON: Duration = Duration::from_secs(5);

/// Whose turn it is. Pure: it is given the time, what was found, and chance.
#[derive(Default)]
pub(super) struct Rota {
    sides: HashMap<Key, Group>,
    members: HashMap<Serial, Member>,
    /// Who is not being asked, by when their turn comes. Whose turn has come, and finds no room, stays at the front.
    turns: BTreeSet<(Millis, Serial)>,
    under_way: usize,
    last: Serial,
}

/// An endpoint of a side, for as long as it is checked in one way. Never used twice: what is found of one that has left finds
/// nobody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Serial(u64);

/// A check that is to be made.
#[derive(Clone, Debug)]
pub(super) struct Errand {
    pub(super) serial: Serial,
    pub(super) address: Address,
    pub(super) config: Arc<CheckConfig>,
    pub(super) tls: Option<Arc<Connector>>,
}

type Key = (ServiceId, Side);

struct Group {
    checks: Checks,
    members: HashMap<Endpoint, Serial>,
}

struct Member {
    of: Key,
    endpoint: Endpoint,
    pulse: Pulse,
    turn: Turn,
}

#[derive(Clone, Copy, Debug)]
enum Turn {
    Comes(Millis),
    UnderWay { since: Millis },
}

impl Rota {
    /// Takes over who is to be checked. Gives those whose checks under way are of no more use.
    pub(super) fn follow(&mut self, wanted: &[Checks], now: Millis) -> Vec<Serial> {
        let mut dropped = Vec::new();
        let keys: HashSet<Key> = wanted.iter().map(key).collect();
        let ended: Vec<Key> = self.sides.keys().filter(|key| !keys.contains(*key)).copied().collect();
        for key in ended {
            self.end(key, &mut dropped);
        }
        for checks in wanted {
            let key = key(checks);
            match self.sides.get(&key) {
                Some(group) if group.checks.is_same(checks) => continue,
                // What was found when something else was asked says nothing now.
                Some(group) if !group.checks.asks_like(checks) => self.end(key, &mut dropped),
                Some(_) | None => {}
            }
            self.renew(key, checks, now, &mut dropped);
        }
        dropped
    }

    /// The checks whose turn it is, as far as there is room; they are under way from now on.
    pub(super) fn begin(&mut self, now: Millis) -> Vec<Errand> {
        let mut errands = Vec::new();
        while self.under_way < AT_ONCE
            && let Some((_, serial)) = self.turns.first().copied().filter(|(turn, _)| *turn <= now)
        {
            self.turns.pop_first();
            let Some(member) = self.members.get_mut(&serial) else { continue };
            let Some(group) = self.sides.get(&member.of) else { continue };
            member.turn = Turn::UnderWay { since: now };
            self.under_way += 1;
            errands.push(Errand {
                serial,
                address: member.endpoint.address.clone(),
                config: group.checks.config.clone(),
                tls: group.checks.tls.clone(),
            });
        }
        errands
    }

    /// When the next turn comes; `None` if there is nobody, or no room until a check ends.
    pub(super) fn next(&self) -> Option<Millis> {
        let (turn, _) = self.turns.first().filter(|_| self.under_way < AT_ONCE)?;
        Some(*turn)
    }

    /// Notes the end of a check, and what it has found if it has found anything. `draw` is chance, from 0 to 1. Gives what is
    /// news.
    pub(super) fn end_check(
        &mut self,
        serial: Serial,
        found: Option<Found>,
        now: Millis,
        draw: f64,
    ) -> Option<Opinion> {
        let member = self.members.get_mut(&serial)?;
        let group = self.sides.get(&member.of)?;
        let Turn::UnderWay { since } = member.turn else { return None };
        self.under_way -= 1;
        let config = &group.checks.config;
        let turn = after(since, config.every.mul_f64(1.0 - JITTER + 2.0 * JITTER * draw)).max(now);
        member.turn = Turn::Comes(turn);
        self.turns.insert((turn, serial));
        let found = found?;
        let before = member.pulse;
        member.pulse = before.after(&found, config.rise, config.fall);
        let (service, side) = member.of;
        // What changes it is what was found last.
        member.pulse.differs(before).then(|| Opinion {
            service,
            side,
            endpoint: member.endpoint.clone(),
            well: found,
        })
    }

    /// Takes over a side's endpoints. Those that were there keep their turns, and what is known of them.
    fn renew(&mut self, key: Key, checks: &Checks, now: Millis, dropped: &mut Vec<Serial>) {
        let mut before = self.sides.remove(&key).map(|group| group.members).unwrap_or_default();
        let mut members = HashMap::with_capacity(checks.endpoints.len());
        for endpoint in checks.endpoints.iter() {
            if !members.contains_key(endpoint) {
                let known = before.remove(endpoint);
                let serial = known.unwrap_or_else(|| self.enter(key, endpoint, &checks.config, now));
                members.insert(endpoint.clone(), serial);
            }
        }
        self.sides.insert(key, Group { checks: checks.clone(), members });
        for serial in before.into_values() {
            self.leave(serial, dropped);
        }
    }

    fn enter(&mut self, of: Key, endpoint: &Endpoint, config: &CheckConfig, now: Millis) -> Serial {
        self.last.0 += 1;
        let serial = self.last;
        let turn = after(now, config.every.min(SOON).mul_f64(phase(&endpoint.address)));
        self.turns.insert((turn, serial));
        let member =
            Member { of, endpoint: endpoint.clone(), pulse: Pulse::default(), turn: Turn::Comes(turn) };
        self.members.insert(serial, member);
        serial
    }

    fn end(&mut self, key: Key, dropped: &mut Vec<Serial>) {
        for serial in self.sides.remove(&key).into_iter().flat_map(|group| group.members.into_values()) {
            self.leave(serial, dropped);
        }
    }

    fn leave(&mut self, serial: Serial, dropped: &mut Vec<Serial>) {
        match self.members.remove(&serial).map(|member| member.turn) {
            Some(Turn::Comes(turn)) => _ = self.turns.remove(&(turn, serial)),
            Some(Turn::UnderWay { .. }) => {
                self.under_way -= 1;
                dropped.push(serial);
            }
            None => {}
        }
    }
}

impl Checks {
    /// Whether it is the very same, down to the TLS that is kept in step with its files.
    fn is_same(&self, other: &Self) -> bool {
        let tls = match (&self.tls, &other.tls) {
            (Some(ours), Some(theirs)) => Arc::ptr_eq(ours, theirs),
            (ours, theirs) => ours.is_none() && theirs.is_none(),
        };
        tls && Arc::ptr_eq(&self.config, &other.config) && Arc::ptr_eq(&self.endpoints, &other.endpoints)
    }

    /// Whether the same is asked in the same way.
    fn asks_like(&self, other: &Self) -> bool {
        self.config == other.config && self.tls == other.tls
    }
}

fn key(checks: &Checks) -> Key {
    (checks.service, checks.side)
}

fn after(moment: Millis, pause: Duration) -> Millis {
    Millis(moment.0.saturating_add(u64::try_from(pause.as_millis()).unwrap_or(u64::MAX)))
}

/// Where in its pause an endpoint is asked, from 0 to 1: a thousand of them that come at once are not asked at once.
fn phase(address: &Address) -> f64 {
    let mut hasher = SipHasher13::new();
    address.hash(&mut hasher);
    hasher.finish() as f64 / u64::MAX as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{CheckKind, Protocol};
    use fastrand::Rng;
    use std::net::SocketAddr;

    const EVERY: u64 = 5_000;

    fn config() -> CheckConfig {
        CheckConfig {
            kind: CheckKind::Tcp,
            host: None,
            protocol: Protocol::Http1,
            proxy_protocol: None,
            port: None,
            every: Duration::from_millis(EVERY),
            timeout: Duration::from_secs(1),
            rise: 2,
            fall: 3,
        }
    }

    fn endpoints(numbers: impl Iterator<Item = u16>) -> Arc<[Endpoint]> {
        let at = |number| Endpoint::at(SocketAddr::from(([10, 0, 0, 1], number)).into());
        numbers.map(at).collect()
    }

    fn checks(slot: u32, numbers: impl Iterator<Item = u16>) -> Checks {
        Checks {
            service: ServiceId { slot, serial: 1 },
            side: Side::Kubernetes,
            config: Arc::new(config()),
            tls: None,
            endpoints: endpoints(numbers),
        }
    }

    /// A rota in virtual time, in which each check takes as long as it is said.
    struct World {
        rota: Rota,
        now: Millis,
        rng: Rng,
        ending: BTreeSet<(Millis, Serial)>,
        /// Who was asked, and when.
        asked: Vec<(Millis, Address)>,
        most: usize,
        told: Vec<Opinion>,
    }

    impl World {
        fn of(wanted: &[Checks]) -> Self {
            let mut world = Self {
                rota: Rota::default(),
                now: Millis(1_000),
                rng: Rng::with_seed(7),
                ending: BTreeSet::new(),
                asked: Vec::new(),
                most: 0,
                told: Vec::new(),
            };
            assert!(world.rota.follow(wanted, world.now).is_empty());
            world
        }

        fn run(&mut self, for_ms: u64, takes_ms: u64, found: impl Fn(Millis) -> Option<Found>) {
            let until = Millis(self.now.0 + for_ms);
            loop {
                while let Some((_, serial)) = self.ending.first().copied().filter(|(end, _)| *end <= self.now)
                {
                    self.ending.pop_first();
                    let draw = self.rng.f64();
                    self.told.extend(self.rota.end_check(serial, found(self.now), self.now, draw));
                }
                for errand in self.rota.begin(self.now) {
                    self.asked.push((self.now, errand.address));
                    self.ending.insert((Millis(self.now.0 + takes_ms), errand.serial));
                }
                self.most = self.most.max(self.ending.len());
                let next = self.rota.next().into_iter().chain(self.ending.first().map(|(end, _)| *end)).min();
                match next {
                    Some(next) if next <= until => self.now = next.max(self.now),
                    Some(_) | None => break,
                }
            }
            self.now = until;
        }
    }

    const WELL: fn(Millis) -> Option<Found> = |_| Some(Ok(()));

    #[test]
    fn a_thousand_endpoints_are_not_asked_at_one_moment_and_each_at_its_pace() {
        let mut world = World::of(&[checks(0, 0..1_000)]);
        world.run(10 * EVERY, 10, WELL);
        for start in (0..10 * EVERY).step_by(100) {
            let slice = Millis(1_000 + start)..Millis(1_000 + start + 100);
            let asked = world.asked.iter().filter(|(at, _)| slice.contains(at)).count();
            assert!((3..60).contains(&asked), "{asked} of 20 within 100 ms from {start}");
        }
        let mut by_endpoint: HashMap<&Address, Vec<u64>> = HashMap::new();
        for (at, address) in &world.asked {
            by_endpoint.entry(address).or_default().push(at.0);
        }
        assert_eq!(by_endpoint.len(), 1_000);
        let mut pauses: Vec<u64> = Vec::new();
        for asked in by_endpoint.values() {
            assert!(asked[0] <= 1_000 + EVERY, "within its first pause");
            pauses.extend(asked.windows(2).map(|pair| pair[1] - pair[0]));
        }
        let (shortest, longest) = (*pauses.iter().min().unwrap(), *pauses.iter().max().unwrap());
        assert!(shortest >= 4_500 && longest <= 5_500, "{shortest} to {longest}");
        assert!(longest - shortest > 900, "they vary: {shortest} to {longest}");
    }

    #[test]
    fn a_long_pause_does_not_keep_an_endpoint_from_being_asked_soon() {
        let mut slow = checks(0, 0..100);
        slow.config = Arc::new(CheckConfig { every: Duration::from_mins(5), ..config() });
        let mut world = World::of(&[slow]);
        world.run(5_000, 10, WELL);
        assert_eq!(world.asked.len(), 100);
        world.run(200_000, 10, WELL);
        assert_eq!(world.asked.len(), 100);
    }

    #[test]
    fn checks_that_find_no_room_wait_in_order() {
        let mut world = World::of(&[checks(0, 0..2_000)]);
        // 2,000 checks in 5 s that take 3 s each would be 1,200 at once.
        world.run(3 * EVERY, 3_000, WELL);
        assert_eq!(world.most, AT_ONCE);
        let mut world = World::of(&[checks(0, 0..1_000)]);
        world.run(0, 0, WELL);
        world.asked.clear();
        let turns: Vec<_> = world.rota.turns.iter().map(|(_, serial)| *serial).collect();
        world.now = Millis(100_000);
        let first: Vec<_> = world.rota.begin(world.now).into_iter().map(|errand| errand.serial).collect();
        assert_eq!(first, turns[..AT_ONCE]);
        assert_eq!(world.rota.next(), None, "there is no room");
        world.rota.end_check(first[9], Some(Ok(())), world.now, 0.5);
        let next: Vec<_> = world.rota.begin(world.now).into_iter().map(|errand| errand.serial).collect();
        assert_eq!(next, turns[AT_ONCE..=AT_ONCE]);
    }

    #[test]
    fn a_check_that_takes_as_long_as_its_pause_is_followed_by_the_next_at_once() {
        let mut world = World::of(&[checks(0, 0..1)]);
        world.run(EVERY, 2 * EVERY, WELL);
        world.run(20 * EVERY, 2 * EVERY, WELL);
        assert!(world.asked.windows(2).all(|pair| pair[1].0.0 - pair[0].0.0 == 2 * EVERY), "one at a time");
    }

    #[test]
    fn what_changes_is_told_and_the_first_of_each() {
        let mut world = World::of(&[checks(0, 0..3)]);
        world.run(10 * EVERY, 1, WELL);
        assert_eq!(world.told.len(), 3);
        assert!(world.told.iter().all(|opinion| opinion.well == Ok(())));
        world.told.clear();
        let asked = world.asked.len();
        let bad = |_| Some(Err("no connection: refused".into()));
        while world.told.len() < 3 {
            world.run(100, 1, bad);
        }
        assert!(world.asked.len() - asked >= 9, "three times each");
        assert_eq!(world.told[0].well, Err("no connection: refused".into()));
        world.told.clear();
        world.asked.clear();
        world.run(20 * EVERY, 1, bad);
        assert!(world.told.is_empty(), "it is no news");
        assert!((54..=66).contains(&world.asked.len()), "who is ill is asked at the same pace");
        world.run(4 * EVERY, 1, WELL);
        assert_eq!(world.told.iter().filter(|opinion| opinion.well == Ok(())).count(), 3);
    }

    #[test]
    fn a_check_that_found_nothing_is_made_again_and_changes_nothing() {
        let mut world = World::of(&[checks(0, 0..1)]);
        world.run(10 * EVERY, 1, |_| None);
        assert!(world.told.is_empty() && world.asked.len() >= 9);
        world.run(2 * EVERY, 1, WELL);
        assert_eq!(world.told.len(), 1, "the first that found something");
    }

    #[test]
    fn who_leaves_leaves_room_and_what_is_found_later_finds_nobody() {
        let mut world = World::of(&[checks(0, 0..3), checks(1, 0..3)]);
        world.now = Millis(100_000);
        let errands = world.rota.begin(world.now);
        assert_eq!(errands.len(), 6);
        let mut dropped = world.rota.follow(&[checks(0, 1..4)], world.now);
        dropped.sort();
        assert_eq!(dropped.len(), 4, "one of the first service, three of the other");
        assert_eq!(world.rota.under_way, 2);
        for serial in dropped {
            assert_eq!(world.rota.end_check(serial, Some(Ok(())), world.now, 0.5), None);
        }
        assert_eq!(world.rota.under_way, 2);
        assert!(world.rota.follow(&[], world.now).len() == 2 && world.rota.under_way == 0);
        assert!(world.rota.members.is_empty() && world.rota.turns.is_empty() && world.rota.sides.is_empty());
    }

    #[test]
    fn who_stays_keeps_what_is_known_and_who_comes_back_is_new() {
        let mut world = World::of(&[checks(0, 0..2)]);
        world.run(2 * EVERY, 1, WELL);
        assert_eq!(world.told.len(), 2);
        assert!(world.rota.follow(&[checks(0, 0..3)], world.now).is_empty(), "equal, and new in memory");
        world.run(2 * EVERY, 1, WELL);
        assert_eq!(world.told.len(), 3, "only who is new is told of");
        world.rota.follow(&[checks(0, 1..3)], world.now);
        world.rota.follow(&[checks(0, 0..3)], world.now);
        world.run(2 * EVERY, 1, WELL);
        assert_eq!(world.told.len(), 4);
        let mut again = checks(0, 0..3);
        again.endpoints = again
            .endpoints
            .iter()
            .cloned()
            .map(|endpoint| Endpoint { instance: Some("another pod".into()), ..endpoint })
            .collect();
        world.rota.follow(&[again], world.now);
        world.run(2 * EVERY, 1, WELL);
        assert_eq!(world.told.len(), 7, "another who has its address is another");
    }

    #[test]
    fn when_something_else_is_asked_what_was_found_is_forgotten() {
        let mut world = World::of(&[checks(0, 0..1)]);
        world.run(2 * EVERY, 1, WELL);
        let mut other = checks(0, 0..1);
        other.config = Arc::new(CheckConfig { port: Some(8_081), ..config() });
        world.rota.follow(&[other], world.now);
        world.run(2 * EVERY, 1, |_| Some(Err("no connection: refused".into())));
        assert_eq!(world.told.len(), 2);
        assert_eq!(world.told[1].well, Err("no connection: refused".into()), "by one check alone");
    }

    #[test]
    fn an_endpoint_that_is_listed_twice_is_asked_once() {
        let mut world = World::of(&[checks(0, [1, 2, 1].into_iter())]);
        world.run(5_000, 1, WELL);
        assert_eq!(world.told.len(), 2);
    }
}

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::config::Source;
use crate::model::{Address, Endpoint, Millis};
use crate::snapshot::{Candidate, Cluster};

use super::discovery::{Sighting, SourceId, Standing};

/// The endpoints of a side that workers go by, and how far their source is believed.
///
/// A source that fails takes nothing away. One that suddenly knows less than half of what was there in the last minute is not
/// believed before it has stood by that for a while, and one that knows nothing for much longer: a platform's bookkeeping
/// breaks more often than all endpoints of a service vanish. An endpoint that is kept against its source's word goes at once
/// when it refuses connections: then the two agree.
///
/// Pure: what was seen, when, and who refused, come from outside.
#[derive(Debug)]
pub(super) struct Roster {
    id: SourceId,
    source: Source,
    members: BTreeMap<Endpoint, Member>,
    /// What the source said last, if it has said anything.
    word: Option<Word>,
    trouble: Option<Trouble>,
    /// Since when the source knows much less than there was, and is not believed.
    doubted: Option<Millis>,
    /// How many took requests, over the last minute.
    counts: VecDeque<(Millis, usize)>,
    /// The members are what another source had said: this one's first word replaces them.
    borrowed: bool,
    offered: Arc<[Candidate]>,
}

#[derive(Clone, Debug)]
struct Member {
    sighting: Sighting,
    /// It took requests when the platform lost sight of it, and has not refused since.
    trusted: bool,
    /// The source does not vouch for it any more, and is not believed yet.
    kept: bool,
}

#[derive(Debug)]
struct Word {
    at: Millis,
    seen: Vec<Sighting>,
    /// Addresses that others have now.
    strangers: BTreeSet<Address>,
}

/// A source that cannot say anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) since: Millis,
    pub(super) why: Arc<str>,
}

/// What became of a look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    /// Workers are to go by others.
    pub(super) offered: bool,
    /// The source has begun to fail, or has ceased to.
    pub(super) trouble: bool,
    /// It has begun to be doubted.
    pub(super) doubted: bool,
}

/// Over how long a shrinking set is compared with what was there.
const LOOK_BACK: Millis = Millis(60_000);
/// How long a source must stand by less than half before it is believed.
const CONFIRM: Millis = Millis(10_000);
/// The same for nothing at all. What was kept for longer might be another's address by then.
const CONFIRM_NOTHING: Millis = Millis(15 * 60_000);

impl Roster {
    pub(super) fn new(id: SourceId, source: Source, now: Millis) -> Self {
        let mut roster = Self {
            id,
            source,
            members: BTreeMap::new(),
            word: None,
            trouble: None,
            doubted: None,
            counts: VecDeque::new(),
            borrowed: false,
            offered: Arc::default(),
        };
        if roster.source.is_fixed() {
            roster.look(now, Ok(Vec::new()));
        } else {
            // Those that stand beside names need not wait for name servers.
            let fixed = roster.source.fixed().iter().cloned().map(Sighting::live);
            let member = |sighting| Member { sighting, trusted: true, kept: false };
            roster.members = fixed.map(|sighting| (sighting.endpoint.clone(), member(sighting))).collect();
            roster.offer(now);
        }
        roster
    }

    /// Goes by what the process before has kept, until the source has spoken.
    pub(super) fn remember(&mut self, kept: impl IntoIterator<Item = Sighting>) {
        if self.word.is_some() {
            return;
        }
        for sighting in kept {
            let member = Member { trusted: true, kept: true, sighting };
            self.members.insert(member.sighting.endpoint.clone(), member);
        }
        self.offer(Millis::default());
    }

    /// Goes by what another source has said, until this one has spoken.
    pub(super) fn borrow(&mut self, other: &Self) {
        if self.word.is_none() {
            self.remember(other.members.values().map(|member| member.sighting.clone()));
            self.borrowed = true;
        }
    }

    /// Takes in what the source says.
    pub(super) fn look(&mut self, now: Millis, seen: Result<Vec<Sighting>, Arc<str>>) -> Change {
        let seen = match seen {
            Ok(seen) => seen,
            Err(why) => {
                let since = self.trouble.as_ref().map(|trouble| trouble.since);
                self.trouble = Some(Trouble { since: since.unwrap_or(now), why });
                return Change { trouble: since.is_none(), ..Change::default() };
            }
        };
        let trouble = self.trouble.take().is_some();
        let fixed = self.source.fixed().iter().cloned().map(Sighting::live);
        let (strangers, seen): (Vec<_>, Vec<_>) =
            fixed.chain(seen).partition(|seen| seen.standing == Standing::Gone);
        let strangers = strangers.into_iter().map(|stranger| stranger.endpoint.address).collect();
        let seen = best_of_each(seen.into_iter());
        let usable = seen.iter().filter(|seen| self.is_usable(seen)).count();
        let replaces = self.borrowed && usable > 0;
        self.borrowed &= !replaces;
        let (was_doubted, most) = (self.doubted.is_some(), self.most(now));
        self.doubted = if usable * 2 < most && !replaces { self.doubted.or(Some(now)) } else { None };
        self.word = Some(Word { at: now, seen, strangers });
        let offered = self.settle(now);
        Change { offered, trouble, doubted: self.doubted.is_some() && !was_doubted }
    }

    /// Time passes: tells whether workers are to go by others.
    pub(super) fn tick(&mut self, now: Millis) -> bool {
        self.doubted.is_some() && self.settle(now)
    }

    /// An endpoint refuses connections. If its source does not vouch for it, it goes; tells whether workers are to go by others.
    pub(super) fn refused(&mut self, endpoint: &Endpoint, now: Millis) -> bool {
        if self.word.is_none() {
            return false;
        }
        let Some(member) = self.members.get_mut(endpoint) else { return false };
        if member.kept {
            self.members.remove(endpoint);
            return self.offer(now);
        }
        let lost_sight = member.sighting.standing == Standing::Unknown;
        lost_sight && std::mem::take(&mut member.trusted) && self.offer(now)
    }

    pub(super) fn id(&self) -> SourceId {
        self.id
    }

    pub(super) fn source(&self) -> &Source {
        &self.source
    }

    /// Whom workers are to ask.
    pub(super) fn offered(&self) -> &Arc<[Candidate]> {
        &self.offered
    }

    /// What is to be kept for the next process.
    pub(super) fn members(&self) -> impl Iterator<Item = &Sighting> {
        self.members.values().map(|member| &member.sighting)
    }

    /// Whether there is something to go by: the source has spoken, or what was kept is there.
    pub(super) fn is_known(&self) -> bool {
        self.word.is_some() || !self.members.is_empty()
    }

    /// When the source has spoken last.
    pub(super) fn spoke(&self) -> Option<Millis> {
        self.word.as_ref().map(|word| word.at)
    }

    /// Since when, and why, the source says nothing.
    pub(super) fn trouble(&self) -> Option<&Trouble> {
        self.trouble.as_ref()
    }

    /// Since when the source is not believed.
    pub(super) fn doubted(&self) -> Option<Millis> {
        self.doubted
    }

    /// How many endpoints stand how, and how many are kept against their source's word.
    pub(super) fn counts(&self) -> (BTreeMap<Standing, usize>, usize) {
        let mut counts = BTreeMap::new();
        for member in self.members.values() {
            *counts.entry(member.sighting.standing).or_default() += 1;
        }
        (counts, self.members.values().filter(|member| member.kept).count())
    }

    /// Whether requests are meant for it. Who was usable when the platform lost sight of it still is.
    fn is_usable(&self, seen: &Sighting) -> bool {
        seen.standing.is_usable()
            || seen.standing == Standing::Unknown
                && self.members.get(&seen.endpoint).is_some_and(Member::is_usable)
    }

    /// The most that took requests lately.
    fn most(&mut self, now: Millis) -> usize {
        while self.counts.front().is_some_and(|(at, _)| now.since(*at) > LOOK_BACK) {
            self.counts.pop_front();
        }
        let present = self.members.values().filter(|member| member.is_usable()).count();
        self.counts.iter().map(|(_, count)| *count).max().unwrap_or(0).max(present)
    }

    /// Goes by the source's word, as far as it is believed; tells whether workers are to go by others.
    fn settle(&mut self, now: Millis) -> bool {
        let Some(word) = self.word.take() else { return false };
        let usable = word.seen.iter().filter(|seen| self.is_usable(seen)).count();
        let patience = if usable == 0 { CONFIRM_NOTHING } else { CONFIRM };
        // Who is asked now and again must have said it again; who tells of every change stands by what it has told.
        let repeated = |since: Millis| self.source.tells_changes() || word.at > since;
        let stands_by_it =
            |since: Millis| self.trouble.is_none() && now.since(since) >= patience && repeated(since);
        if self.doubted.is_some_and(stands_by_it) {
            self.doubted = None;
            self.counts.clear();
        }
        let mut before = std::mem::take(&mut self.members);
        for seen in &word.seen {
            let known = before.remove(&seen.endpoint);
            let was_usable = known.as_ref().is_some_and(Member::is_usable);
            let member = match known {
                Some(known)
                    if self.doubted.is_some()
                        && was_usable
                        && !seen.standing.is_usable()
                        && seen.standing != Standing::Unknown =>
                {
                    Member { kept: true, ..known }
                }
                _ => Member { sighting: seen.clone(), trusted: was_usable, kept: false },
            };
            self.members.insert(seen.endpoint.clone(), member);
        }
        if self.doubted.is_some() {
            // Whoever has the address of another is in its place.
            let is_taken = |endpoint: &Endpoint| {
                word.strangers.contains(&endpoint.address)
                    || word.seen.iter().any(|seen| seen.endpoint.address == endpoint.address)
            };
            let usable =
                before.into_iter().filter(|(endpoint, member)| member.is_usable() && !is_taken(endpoint));
            self.members.extend(usable.map(|(endpoint, member)| (endpoint, Member { kept: true, ..member })));
        }
        self.word = Some(word);
        let count = self.members.values().filter(|member| member.is_usable()).count();
        if self.counts.back().is_none_or(|(_, last)| *last != count) {
            self.counts.push_back((now, count));
        }
        self.offer(now)
    }

    /// Chooses whom workers are to ask; tells whether that is somebody else.
    fn offer(&mut self, now: Millis) -> bool {
        let best = self.members.values().filter_map(Member::rank).min();
        let chosen: Vec<&Sighting> = self
            .members
            .values()
            .filter(|member| best.is_some() && member.rank() == best)
            .map(|member| &member.sighting)
            .collect();
        // All or nothing, as kube-proxy has it: a hint counts only where everybody has one, and somebody is meant for us.
        let hinted = chosen.iter().all(|seen| seen.for_us.is_some())
            && chosen.iter().any(|seen| seen.for_us == Some(true));
        // Both lists are in order.
        let mut before = self.offered.iter().peekable();
        let came = (!self.offered.is_empty()).then_some(now);
        let offered = chosen.into_iter().filter(|seen| !hinted || seen.for_us == Some(true)).map(|seen| {
            while before.next_if(|known| known.endpoint < seen.endpoint).is_some() {}
            let known = before.next_if(|known| known.endpoint == seen.endpoint);
            let since = known.map_or(came, |known| known.since);
            Candidate {
                endpoint: seen.endpoint.clone(),
                weight: seen.weight.max(1),
                since,
                cluster: Cluster::default(),
            }
        });
        let offered: Vec<Candidate> = offered.collect();
        let differs = *self.offered != *offered;
        if differs {
            self.offered = offered.into();
        }
        differs
    }
}

impl Member {
    fn is_usable(&self) -> bool {
        self.rank() == Some(0)
    }

    /// In which order endpoints are asked: those of a rank only if there is nobody of a lower one.
    fn rank(&self) -> Option<u8> {
        match self.sighting.standing {
            Standing::Live | Standing::Suspect => Some(0),
            Standing::Unknown if self.trusted => Some(0),
            Standing::Unknown => Some(1),
            Standing::Draining => Some(2),
            Standing::NotReady | Standing::Gone => None,
        }
    }
}

/// Every endpoint once, as the best of what is said of it; of two at one address the better one. A platform moves endpoints
/// from one list to another, and an address from one instance to the next.
fn best_of_each(seen: impl Iterator<Item = Sighting>) -> Vec<Sighting> {
    let mut best: BTreeMap<_, Sighting> = BTreeMap::new();
    for sighting in seen {
        match best.get(&sighting.endpoint.address) {
            Some(known) if known.standing <= sighting.standing => {}
            Some(_) | None => {
                best.insert(sighting.endpoint.address.clone(), sighting);
            }
        }
    }
    best.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000;

    fn endpoint(number: u8) -> Endpoint {
        Endpoint::at(Address::Tcp(([10, 0, 0, number], 80).into()))
    }

    fn seen(numbers: impl IntoIterator<Item = u8>, standing: Standing) -> Vec<Sighting> {
        numbers.into_iter().map(|number| Sighting { standing, ..Sighting::live(endpoint(number)) }).collect()
    }

    fn live(numbers: impl IntoIterator<Item = u8>) -> Vec<Sighting> {
        seen(numbers, Standing::Live)
    }

    fn roster() -> Roster {
        Roster::new(SourceId(1), Source::Srv("_a._http.test".into()), Millis(0))
    }

    fn with(numbers: impl IntoIterator<Item = u8>) -> Roster {
        let mut roster = roster();
        roster.look(Millis(0), Ok(live(numbers)));
        roster
    }

    fn offered(roster: &Roster) -> Vec<u8> {
        let number = |candidate: &Candidate| match candidate.endpoint.address.tcp().unwrap().ip() {
            std::net::IpAddr::V4(address) => address.octets()[3],
            std::net::IpAddr::V6(_) => 0,
        };
        roster.offered().iter().map(number).collect()
    }

    fn at(seconds: u64) -> Millis {
        Millis(seconds * SECOND)
    }

    #[test]
    fn a_source_that_fails_takes_nothing_away_and_its_age_is_known() {
        let mut roster = with(1..=4);
        let change = roster.look(at(5), Err("503".into()));
        assert_eq!(change, Change { trouble: true, ..Change::default() });
        for second in 6..600 {
            assert_eq!(roster.look(at(second), Err("503".into())), Change::default());
        }
        assert_eq!(offered(&roster), [1, 2, 3, 4]);
        assert_eq!((roster.spoke(), roster.trouble().unwrap().since), (Some(at(0)), at(5)));
        // Back, with half of them replaced.
        let change = roster.look(at(600), Ok(live([3, 4, 5, 6])));
        assert_eq!(change, Change { offered: true, trouble: true, doubted: false });
        assert_eq!(offered(&roster), [3, 4, 5, 6]);
        assert_eq!(roster.trouble(), None);
    }

    #[test]
    fn who_comes_and_goes_in_small_numbers_is_believed_at_once() {
        let mut roster = with(1..=4);
        assert!(roster.look(at(1), Ok(live([1, 2, 3]))).offered);
        assert_eq!(offered(&roster), [1, 2, 3]);
        assert!(roster.look(at(2), Ok(live(1..=9))).offered);
        assert_eq!(offered(&roster).len(), 9);
        assert!(!roster.look(at(3), Ok(live(1..=9))).offered);
    }

    #[test]
    fn less_than_half_is_believed_only_when_the_source_stands_by_it() {
        let mut roster = with(1..=5);
        assert!(roster.look(at(1), Ok(live([1, 2]))).doubted);
        assert!(!roster.tick(at(60)), "it must say so again");
        let mut roster = with(1..=5);
        assert!(roster.look(at(1), Ok(live([1, 2]))).doubted);
        assert_eq!(offered(&roster), [1, 2, 3, 4, 5]);
        assert!(!roster.look(at(6), Ok(live([1, 2]))).doubted, "told once");
        assert!(!roster.tick(at(10)));
        assert!(roster.tick(at(11)));
        assert_eq!((offered(&roster), roster.doubted()), (vec![1, 2], None));
        assert!(!roster.look(at(12), Ok(live([1, 2]))).offered, "and it stays believed");
        assert_eq!(roster.doubted(), None);
    }

    #[test]
    fn nobody_is_kept_where_somebody_else_is_now() {
        let mut roster = with(1..=3);
        let gone = |number| Sighting { standing: Standing::Gone, ..Sighting::live(endpoint(number)) };
        assert!(roster.look(at(1), Ok(vec![gone(2)])).offered);
        assert_eq!(offered(&roster), [1, 3], "the others are kept until it is sure");
        assert_eq!(roster.counts().0, BTreeMap::from([(Standing::Live, 2)]), "a stranger is no endpoint");
    }

    #[test]
    fn a_slip_of_one_look_is_no_change() {
        let mut roster = with(1..=5);
        roster.look(at(1), Ok(live([1])));
        assert!(!roster.look(at(6), Ok(live(1..=5))).offered);
        assert_eq!(roster.doubted(), None);
        assert!(!roster.tick(at(60)));
        assert_eq!(offered(&roster).len(), 5);
    }

    #[test]
    fn what_shrinks_little_by_little_within_a_minute_is_doubted_too() {
        let mut roster = with(1..=10);
        assert!(roster.look(at(10), Ok(live(1..=7))).offered);
        assert!(roster.look(at(20), Ok(live(1..=5))).offered);
        assert!(roster.look(at(30), Ok(live(1..=3))).doubted);
        assert_eq!(offered(&roster).len(), 5);
        let mut slow = with(1..=10);
        for (second, count) in [(0, 10), (61, 7), (122, 5), (183, 3), (244, 2), (305, 1)] {
            assert!(!slow.look(at(second), Ok(live(1..=count))).doubted, "{count}");
        }
        assert_eq!(offered(&slow), [1]);
    }

    #[test]
    fn nothing_at_all_is_hardly_believed() {
        let mut roster = with(1..=3);
        roster.look(at(1), Ok(Vec::new()));
        roster.look(at(890), Ok(Vec::new()));
        assert!(!roster.tick(at(900)));
        assert_eq!(offered(&roster).len(), 3);
        assert!(roster.tick(at(901)));
        assert!(offered(&roster).is_empty());
    }

    #[test]
    fn while_the_source_fails_it_does_not_stand_by_its_word() {
        let mut roster = with(1..=5);
        roster.look(at(1), Ok(live([1])));
        roster.look(at(2), Err("reset".into()));
        assert!(!roster.tick(at(60)));
        assert!(roster.look(at(61), Ok(live([1]))).offered, "it says so again");
    }

    #[test]
    fn who_is_kept_and_refuses_goes_at_once_and_nobody_else_does() {
        let mut roster = with(1..=5);
        assert!(!roster.refused(&endpoint(1), at(2)), "the source vouches for it");
        roster.look(at(1), Ok(live([1])));
        assert!(roster.refused(&endpoint(4), at(2)));
        assert!(!roster.refused(&endpoint(4), at(2)));
        assert!(!roster.refused(&endpoint(1), at(2)));
        assert_eq!(offered(&roster), [1, 2, 3, 5]);
        for number in [2, 3, 5] {
            roster.refused(&endpoint(number), at(2));
        }
        assert_eq!(offered(&roster), [1]);
    }

    #[test]
    fn who_was_lost_sight_of_is_asked_until_it_refuses() {
        let mut roster = with(1..=4);
        let mut half_down = live([1, 2]);
        half_down.extend(seen([3, 4], Standing::Unknown));
        assert_eq!(roster.look(at(1), Ok(half_down.clone())), Change::default());
        assert!(roster.refused(&endpoint(3), at(2)));
        assert_eq!(offered(&roster), [1, 2, 4]);
        roster.look(at(2), Ok(half_down));
        assert_eq!(offered(&roster), [1, 2, 4], "and it stays so");
        // At the start nobody knows whether they took requests: they are asked if there is nobody else.
        let mut fresh = self::roster();
        fresh.look(at(0), Ok(seen([3, 4], Standing::Unknown)));
        assert_eq!(offered(&fresh), [3, 4]);
        let mut mixed = live([1]);
        mixed.extend(seen([3, 4], Standing::Unknown));
        fresh.look(at(1), Ok(mixed));
        assert!(offered(&fresh).contains(&1));
    }

    #[test]
    fn who_drains_is_asked_only_where_nobody_else_is_and_who_is_not_ready_never() {
        let mut roster = with(1..=2);
        let mut rolling = live([2, 3]);
        rolling.extend(seen([1], Standing::Draining));
        rolling.extend(seen([4], Standing::NotReady));
        assert!(roster.look(at(1), Ok(rolling)).offered);
        assert_eq!(offered(&roster), [2, 3]);
        let mut fresh = self::roster();
        let mut ending = seen([1], Standing::Draining);
        ending.extend(seen([2], Standing::NotReady));
        fresh.look(at(0), Ok(ending));
        assert_eq!(offered(&fresh), [1]);
    }

    #[test]
    fn hints_count_only_where_everybody_has_one_and_somebody_is_meant_for_us() {
        let hinted = |number, for_us| Sighting { for_us, ..Sighting::live(endpoint(number)) };
        for (hints, expected) in [
            ([Some(true), Some(false), Some(true)], vec![1, 3]),
            ([Some(true), None, Some(true)], vec![1, 2, 3]),
            ([Some(false), Some(false), Some(false)], vec![1, 2, 3]),
        ] {
            let mut roster = self::roster();
            roster.look(at(0), Ok((1..).zip(hints).map(|(number, for_us)| hinted(number, for_us)).collect()));
            assert_eq!(offered(&roster), expected, "{hints:?}");
        }
    }

    #[test]
    fn of_two_at_one_address_the_better_one_counts() {
        let named = |instance: &str, standing| Sighting {
            endpoint: Endpoint { instance: Some(instance.into()), ..endpoint(1) },
            standing,
            ..Sighting::live(endpoint(1))
        };
        for turned in [false, true] {
            let mut both = vec![named("old", Standing::Draining), named("new", Standing::Live)];
            if turned {
                both.reverse();
            }
            let mut roster = self::roster();
            roster.look(at(0), Ok(both));
            assert_eq!(roster.offered()[0].endpoint.instance.as_deref(), Some("new"));
            assert_eq!(roster.offered().len(), 1);
        }
    }

    #[test]
    fn who_comes_to_others_is_known_by_when_it_came() {
        let mut roster = with([1, 2]);
        assert!(roster.offered().iter().all(|candidate| candidate.since.is_none()));
        roster.look(at(5), Ok(live([1, 2, 3])));
        roster.look(at(9), Ok(live([2, 3, 4])));
        let since: Vec<_> = roster.offered().iter().map(|candidate| candidate.since).collect();
        assert_eq!(since, [None, Some(at(5)), Some(at(9))]);
    }

    #[test]
    fn what_the_process_before_has_kept_is_gone_by_until_the_source_speaks() {
        let mut roster = roster();
        assert!(!roster.is_known());
        roster.remember(live(1..=4));
        assert!(roster.is_known() && roster.spoke().is_none());
        roster.look(at(1), Err("down".into()));
        assert!(!roster.refused(&endpoint(1), at(2)), "nobody says that it is gone");
        assert_eq!(offered(&roster), [1, 2, 3, 4]);
        assert!(roster.look(at(2), Ok(live([1]))).doubted, "it was four a moment ago");
        assert!(roster.look(at(3), Ok(live([1, 2, 5]))).offered);
        assert_eq!(offered(&roster), [1, 2, 5]);
    }

    #[test]
    fn another_source_takes_over_with_its_first_word_but_not_with_nothing() {
        let before = with(1..=4);
        let mut roster = self::roster();
        roster.borrow(&before);
        assert_eq!(offered(&roster), [1, 2, 3, 4]);
        roster.look(at(1), Ok(live([9])));
        assert_eq!(offered(&roster), [9]);
        let mut empty = self::roster();
        empty.borrow(&before);
        assert!(empty.look(at(1), Ok(Vec::new())).doubted);
        assert_eq!(offered(&empty), [1, 2, 3, 4]);
    }
}

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::config::Part;
use crate::model::{Endpoint, Millis};
use crate::snapshot::{Candidate, Cluster, Ring};
use crate::tally::EndpointTally;

use super::discovery::{Sighting, SourceId};
use super::ejection::{Ejector, Reason, Standard, Sums};
use super::roster::Roster;

/// The endpoints of one side of a service: those that its sources know, but for who is let out for a while.
///
/// A side on several clusters has a part for each. Requests are dealt to the parts by their weights first, and then to an
/// endpoint. A cluster that does much worse than the others is let out as an endpoint is, and so is one that is to blame when
/// the judge finds the side worse than Helios: there is no need to take the service back for it.
#[derive(Debug)]
pub(super) struct Lineup {
    parts: Vec<PartState>,
    endpoints: Ejector<Endpoint>,
    clusters: Ejector<Arc<str>>,
    /// Who fails its checks, and how.
    ill: BTreeMap<Endpoint, Arc<str>>,
    /// Who is silent, by worker, as each has told last.
    silent: Vec<Vec<(Endpoint, u32)>>,
    /// What workers go by.
    pub(super) offered: Arc<[Candidate]>,
    pub(super) let_out: Arc<[Endpoint]>,
    pub(super) ring: Option<Arc<Ring>>,
    panics: bool,
}

/// What comes from one source.
#[derive(Debug)]
pub(super) struct PartState {
    /// Its cluster, where the side has several.
    pub(super) cluster: Option<Arc<str>>,
    /// Its share, beside the others'; it gets nothing if that is 0.
    pub(super) weight: u16,
    pub(super) roster: Roster,
}

/// Who was let out, and why.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Ejected {
    Endpoint(Endpoint, Reason),
    Cluster(Arc<str>, Reason),
}

impl Default for Lineup {
    fn default() -> Self {
        Self {
            parts: Vec::new(),
            endpoints: Ejector::new(Standard::ENDPOINTS),
            clusters: Ejector::new(Standard::CLUSTERS),
            ill: BTreeMap::new(),
            silent: Vec::new(),
            offered: Arc::default(),
            let_out: Arc::default(),
            ring: None,
            panics: false,
        }
    }
}

impl Lineup {
    /// Goes by these sources from now on. Until a new one has spoken, what the one before it said holds.
    pub(super) fn follow(&mut self, parts: &[Part], now: Millis, mut next: impl FnMut() -> SourceId) {
        let mut before = std::mem::take(&mut self.parts);
        for Part { cluster, weight, source } in parts {
            let place = before.iter().position(|known| known.cluster == *cluster);
            // A side that was on one cluster, and is on several now, or the other way round.
            let place = place.or_else(|| before.iter().position(|known| known.roster.source() == source));
            let known = place.map(|place| before.remove(place).roster);
            let roster = match known {
                Some(known) if known.source() == source => known,
                Some(known) => {
                    let mut new = Roster::new(next(), source.clone(), now);
                    new.borrow(&known);
                    new
                }
                None => Roster::new(next(), source.clone(), now),
            };
            self.parts.push(PartState { cluster: cluster.clone(), weight: *weight, roster });
        }
    }

    pub(super) fn parts(&self) -> &[PartState] {
        &self.parts
    }

    pub(super) fn rosters(&self) -> impl Iterator<Item = &Roster> {
        self.parts.iter().map(|part| &part.roster)
    }

    /// Goes by what the process before has kept, until the sources have spoken.
    pub(super) fn remember(&mut self, kept: impl Fn(Option<&str>) -> Vec<Sighting>) {
        for part in &mut self.parts {
            part.roster.remember(kept(part.cluster.as_deref()));
        }
    }

    /// Chooses anew whom workers ask. Who is chosen as before is not even told to workers.
    pub(super) fn choose(&mut self, with_ring: bool) {
        if !self.ill.is_empty() {
            let known: BTreeSet<&Endpoint> = endpoints_of(self.parts.iter()).collect();
            self.ill.retain(|endpoint, _| known.contains(endpoint));
        }
        let (offered, panics) = self.choice();
        self.panics = panics;
        if *offered != *self.offered {
            self.offered = offered;
            self.ring = None;
        }
        let let_out = self.out_of_it();
        if *let_out != *self.let_out {
            self.let_out = let_out;
        }
        match with_ring {
            true if self.ring.is_none() => self.ring = Some(Arc::new(Ring::of(&self.offered))),
            true => {}
            false => self.ring = None,
        }
    }

    /// Whom workers are to ask, and whether that are also those who fail their checks.
    fn choice(&self) -> (Arc<[Candidate]>, bool) {
        if let ([only], true, true) = (self.parts.as_slice(), self.endpoints.is_quiet(), self.ill.is_empty())
        {
            return (only.roster.offered().clone(), false);
        }
        let in_use: Vec<&PartState> = self.parts.iter().filter(|part| part.weight > 0).collect();
        let inside: Vec<&PartState> = in_use.iter().copied().filter(|part| !self.is_out(part)).collect();
        let well = self.candidates(&inside, |endpoint| !self.ill.contains_key(endpoint));
        let all = self.candidates(&inside, |_| true).len();
        // Too few are left to carry the load, and a check may be wrong: as for a whole side, that is for the judge.
        let panics = well.len() * 2 < all && !self.ill.is_empty();
        let offered = if panics { self.candidates(&inside, |_| true) } else { well };
        if offered.is_empty() {
            // There is nobody else.
            return (self.candidates(&in_use, |_| true).into(), panics);
        }
        (offered.into(), panics)
    }

    fn candidates(&self, parts: &[&PartState], is_asked: impl Fn(&Endpoint) -> bool) -> Vec<Candidate> {
        let mut candidates = Vec::new();
        for (place, part) in (0..).zip(parts) {
            let since = part.cluster.as_ref().and_then(|cluster| self.clusters.back(cluster));
            let cluster = Cluster { place, weight: part.weight, since };
            let offered = part.roster.offered().iter();
            let inside = offered.filter(|candidate| {
                !self.endpoints.is_out(&candidate.endpoint) && is_asked(&candidate.endpoint)
            });
            // Who is let in again starts slowly, as who is new does.
            candidates.extend(inside.map(|candidate| {
                let since = self.endpoints.back(&candidate.endpoint).max(candidate.since);
                Candidate { endpoint: candidate.endpoint.clone(), weight: candidate.weight, since, cluster }
            }));
        }
        candidates
    }

    /// What has become of an endpoint's checks; tells whether it was the other way round before.
    pub(super) fn note_check(&mut self, endpoint: Endpoint, well: Result<(), Arc<str>>) -> bool {
        match well {
            Ok(()) => self.ill.remove(&endpoint).is_some(),
            Err(why) => self.ill.insert(endpoint, why).is_none(),
        }
    }

    /// Nobody is checked any more.
    pub(super) fn forget_checks(&mut self) {
        self.ill.clear();
    }

    /// Who fails its checks, and how.
    pub(super) fn ill(&self) -> &BTreeMap<Endpoint, Arc<str>> {
        &self.ill
    }

    /// Whether so many fail their checks that those who do are asked all the same.
    pub(super) fn panics(&self) -> bool {
        self.panics
    }

    /// Whether a part is let out.
    pub(super) fn is_out(&self, part: &PartState) -> bool {
        self.out_until(part).is_some()
    }

    /// Until when a part is let out, if it is.
    pub(super) fn out_until(&self, part: &PartState) -> Option<Millis> {
        self.clusters.until(part.cluster.as_ref()?)
    }

    /// How many endpoints are let out.
    pub(super) fn out(&self) -> usize {
        self.endpoints.out()
    }

    /// Adds what a worker counted.
    pub(super) fn add(&mut self, now: Millis, worker: usize, counted: &[EndpointTally]) {
        if self.silent.len() <= worker {
            self.silent.resize(worker + 1, Vec::new());
        }
        let silent = counted.iter().filter(|tally| tally.silent > 0);
        self.silent[worker] = silent.map(|tally| (tally.endpoint.clone(), tally.silent)).collect();
        for tally in counted {
            self.endpoints.add(now, &tally.endpoint, Sums::from(tally));
        }
        if self.is_divided() && !counted.is_empty() {
            let tallies: HashMap<&Endpoint, &EndpointTally> =
                counted.iter().map(|tally| (&tally.endpoint, tally)).collect();
            for PartState { cluster, roster, .. } in &self.parts {
                let of_it = roster.offered().iter().filter_map(|known| tallies.get(&known.endpoint));
                let sums = of_it.map(|tally| Sums::from(*tally)).reduce(Sums::plus);
                if let (Some(cluster), Some(sums)) = (cluster, sums) {
                    self.clusters.add(now, cluster, sums);
                }
            }
        }
    }

    /// Looks who is to be let out, and who may come in again: tells who was let out, and whether workers are to go by others. At
    /// most `most` of 100 endpoints are out.
    pub(super) fn eject(&mut self, now: Millis, most: u8) -> (Vec<Ejected>, bool) {
        self.hear_silence(now);
        if self.endpoints.is_quiet() {
            return (Vec::new(), false);
        }
        // Where a whole cluster is bad, its endpoints need not be let out one by one.
        let room = self.clusters_to_spare();
        let Self { parts, endpoints, clusters, .. } = self;
        let there: BTreeSet<&Arc<str>> = parts.iter().filter_map(|part| part.cluster.as_ref()).collect();
        let (out, cluster_back) = clusters.look(now, &there, room);
        let mut ejected: Vec<Ejected> =
            out.into_iter().map(|(cluster, reason)| Ejected::Cluster(cluster, reason)).collect();
        let is_in = |part: &&PartState| {
            part.weight > 0 && !part.cluster.as_ref().is_some_and(|cluster| clusters.is_out(cluster))
        };
        let asked: BTreeSet<&Endpoint> = endpoints_of(parts.iter().filter(is_in)).collect();
        let room = asked.len() * usize::from(most) / 100;
        let (out, back) = endpoints.look(now, &asked, room);
        ejected.extend(out.into_iter().map(|(endpoint, reason)| Ejected::Endpoint(endpoint, reason)));
        let changed = back || cluster_back || !ejected.is_empty();
        (ejected, changed)
    }

    fn hear_silence(&mut self, now: Millis) {
        let mut silent: BTreeMap<Endpoint, u32> = BTreeMap::new();
        for (endpoint, count) in self.silent.iter().flatten() {
            *silent.entry(endpoint.clone()).or_default() += count;
        }
        if self.is_divided() {
            let mut of_clusters: BTreeMap<Arc<str>, u32> = BTreeMap::new();
            for PartState { cluster, roster, .. } in &self.parts {
                let of_it =
                    roster.offered().iter().filter_map(|known| silent.get(&known.endpoint)).sum::<u32>();
                if let Some(cluster) = cluster.as_ref().filter(|_| of_it > 0) {
                    of_clusters.insert(cluster.clone(), of_it);
                }
            }
            self.clusters.hear_silence(now, &of_clusters);
        }
        self.endpoints.hear_silence(now, &silent);
    }

    /// Who is let out.
    fn out_of_it(&self) -> Arc<[Endpoint]> {
        if self.endpoints.out() == 0 && self.clusters.out() == 0 && self.ill.is_empty() {
            return Arc::default();
        }
        let is_out = |part: &PartState, endpoint: &Endpoint| {
            self.is_out(part) || self.endpoints.is_out(endpoint) || self.ill.contains_key(endpoint)
        };
        let out = self.parts.iter().flat_map(|part| {
            let known = part.roster.offered().iter().map(|candidate| &candidate.endpoint);
            known.filter(move |endpoint| is_out(part, endpoint)).cloned()
        });
        out.collect()
    }

    /// The side was found worse than Helios: lets out the cluster that is to blame, if one is and the others are well.
    pub(super) fn accuse(&mut self, now: Millis) -> Option<(Arc<str>, Reason)> {
        let room = self.clusters_to_spare().min(self.clusters.out() + 1);
        self.clusters.judge(now, Standard::ACCUSED, room).pop()
    }

    /// How many clusters may be out: there must be endpoints left to ask.
    fn clusters_to_spare(&self) -> usize {
        let able = |part: &&PartState| part.weight > 0 && !part.roster.offered().is_empty();
        self.parts.iter().filter(able).count().saturating_sub(1)
    }

    fn is_divided(&self) -> bool {
        self.parts.len() > 1
    }

    /// Whether time alone may change whom workers ask.
    pub(super) fn waits(&self) -> bool {
        self.rosters().any(|roster| roster.doubted().is_some())
            || self.endpoints.out() > 0
            || self.clusters.out() > 0
    }

    /// What comes from a source, if it is one of these.
    pub(super) fn part_of(&mut self, source: SourceId) -> Option<&mut PartState> {
        self.parts.iter_mut().find(|part| part.roster.id() == source)
    }

    /// Time passes for the rosters; tells whether workers are to go by others.
    pub(super) fn tick(&mut self, now: Millis) -> bool {
        self.parts.iter_mut().fold(false, |changed, part| part.roster.tick(now) | changed)
    }

    /// An endpoint refuses connections; tells whether workers are to go by others.
    pub(super) fn refused(&mut self, endpoint: &Endpoint, now: Millis) -> bool {
        self.parts.iter_mut().fold(false, |changed, part| part.roster.refused(endpoint, now) | changed)
    }
}

fn endpoints_of<'a>(parts: impl Iterator<Item = &'a PartState>) -> impl Iterator<Item = &'a Endpoint> {
    parts.flat_map(|part| part.roster.offered().iter()).map(|candidate| &candidate.endpoint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ClusterAccess, ClusterConfig, Published, Source};
    use crate::model::Address;

    const SECOND: u64 = 1_000;

    fn endpoint(number: u8) -> Endpoint {
        Endpoint::at(Address::Tcp(([10, 0, 0, number], 80).into()))
    }

    fn seen(numbers: impl IntoIterator<Item = u8>) -> Vec<Sighting> {
        numbers.into_iter().map(|number| Sighting::live(endpoint(number))).collect()
    }

    fn part(cluster: Option<&str>, weight: u16) -> Part {
        let name: Arc<str> = cluster.unwrap_or_default().into();
        let config = ClusterConfig { name, access: ClusterAccess::InCluster, zone: None };
        let what = Published { namespace: "shop".into(), service: "a".into(), port: None };
        Part { cluster: cluster.map(Into::into), weight, source: Source::Kubernetes(Arc::new(config), what) }
    }

    fn lineup(parts: &[Part]) -> Lineup {
        let (mut lineup, mut last) = (Lineup::default(), 0);
        lineup.follow(parts, Millis(0), || {
            last += 1;
            SourceId(last)
        });
        lineup
    }

    fn look(lineup: &mut Lineup, now: u64, source: u64, seen: Result<Vec<Sighting>, Arc<str>>) -> bool {
        let change = lineup.part_of(SourceId(source)).unwrap().roster.look(Millis(now), seen);
        lineup.choose(false);
        change.offered
    }

    fn offered(lineup: &Lineup) -> Vec<u8> {
        let last = |candidate: &Candidate| match candidate.endpoint.address.tcp().unwrap().ip() {
            std::net::IpAddr::V4(address) => address.octets()[3],
            std::net::IpAddr::V6(_) => 0,
        };
        lineup.offered.iter().map(last).collect()
    }

    fn tally(number: u8, ok: u32, failed: u32) -> EndpointTally {
        EndpointTally { ok, failed, ..EndpointTally::new(endpoint(number)) }
    }

    #[test]
    fn a_source_that_is_down_for_ten_minutes_takes_nothing_away_and_half_may_be_others_after_it() {
        let mut lineup = lineup(&[part(None, 1)]);
        assert!(look(&mut lineup, 0, 1, Ok(seen(1..=10))));
        let before = lineup.offered.clone();
        for now in (5 * SECOND..600 * SECOND).step_by(100) {
            if now % (5 * SECOND) == 0 {
                assert!(!look(&mut lineup, now, 1, Err("nobody answers".into())));
            }
            assert!(!lineup.tick(Millis(now)), "no flap");
            lineup.choose(false);
            assert!(Arc::ptr_eq(&lineup.offered, &before), "workers are not even told");
        }
        let roster = &lineup.parts()[0].roster;
        assert_eq!(roster.spoke(), Some(Millis(0)), "its age is seen");
        assert_eq!(roster.trouble().map(|trouble| trouble.since), Some(Millis(5 * SECOND)));
        assert!(look(&mut lineup, 600 * SECOND, 1, Ok(seen(6..=15))));
        assert_eq!(offered(&lineup), (6..=15).collect::<Vec<_>>());
        assert!(lineup.parts()[0].roster.doubted().is_none());
    }

    #[test]
    fn a_cluster_comes_back_after_its_time_and_begins_with_little() {
        let mut lineup = lineup(&[part(Some("gew1"), 2), part(Some("lon3"), 1)]);
        look(&mut lineup, 0, 1, Ok(seen(1..=2)));
        look(&mut lineup, 0, 2, Ok(seen(3..=4)));
        assert_eq!(offered(&lineup), [1, 2, 3, 4]);
        lineup.add(Millis(0), 0, &[tally(1, 40, 0), tally(2, 40, 0), tally(3, 0, 20), tally(4, 0, 20)]);
        let (ejected, changed) = lineup.eject(Millis(100), 50);
        assert!(
            changed && matches!(&*ejected, [Ejected::Cluster(name, _)] if &**name == "lon3"),
            "{ejected:?}"
        );
        lineup.choose(false);
        assert_eq!(offered(&lineup), [1, 2]);
        assert_eq!(lineup.let_out.len(), 2);
        let (_, changed) = lineup.eject(Millis(119 * SECOND), 50);
        assert!(!changed && lineup.waits());
        let (_, changed) = lineup.eject(Millis(121 * SECOND), 50);
        lineup.choose(false);
        assert!(changed);
        assert_eq!(offered(&lineup), [1, 2, 3, 4]);
        assert_eq!(lineup.offered[3].cluster.since, Some(Millis(121 * SECOND)));
    }

    #[test]
    fn the_only_cluster_that_has_endpoints_is_never_let_out() {
        let mut lineup = lineup(&[part(Some("gew1"), 1), part(Some("lon3"), 1)]);
        look(&mut lineup, 0, 1, Ok(seen(1..=2)));
        look(&mut lineup, 0, 2, Ok(Vec::new()));
        lineup.add(Millis(0), 0, &[tally(1, 0, 40), tally(2, 0, 40)]);
        assert_eq!(lineup.eject(Millis(100), 50).0, []);
        assert_eq!(lineup.accuse(Millis(100)), None);
    }

    #[test]
    fn who_fails_its_checks_is_not_asked_unless_too_few_are_left() {
        let mut lineup = lineup(&[part(None, 1)]);
        look(&mut lineup, 0, 1, Ok(seen(1..=4)));
        for (number, left) in [(1, vec![2, 3, 4]), (2, vec![3, 4]), (3, vec![1, 2, 3, 4])] {
            lineup.note_check(endpoint(number), Err("no answer".into()));
            lineup.choose(false);
            assert_eq!(offered(&lineup), left);
        }
        assert!(lineup.panics());
        lineup.note_check(endpoint(1), Ok(()));
        lineup.choose(false);
        assert_eq!((offered(&lineup), lineup.panics()), (vec![1, 4], false));
        look(&mut lineup, 1, 1, Ok(seen(3..=6)));
        assert_eq!(lineup.ill().keys().collect::<Vec<_>>(), [&endpoint(3)], "who has left is forgotten");
    }

    #[test]
    fn silence_counts_only_while_it_lasts_and_of_every_worker() {
        let mut lineup = lineup(&[part(None, 1)]);
        look(&mut lineup, 0, 1, Ok(seen(1..=4)));
        let mut silent = tally(1, 0, 0);
        silent.silent = 12;
        let others = [tally(2, 30, 0), tally(3, 30, 0), tally(4, 30, 0)];
        lineup.add(Millis(0), 0, &[&others[..], &[silent.clone()]].concat());
        lineup.add(Millis(50), 0, &others);
        assert_eq!(lineup.eject(Millis(100), 50).0, [], "it has answered meanwhile");
        lineup.add(Millis(100), 0, &[&others[..], &[silent.clone()]].concat());
        lineup.add(Millis(100), 1, &[silent]);
        let (ejected, _) = lineup.eject(Millis(100), 50);
        assert!(matches!(&*ejected, [Ejected::Endpoint(known, _)] if *known == endpoint(1)), "{ejected:?}");
    }
}

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::config::Part;
use crate::model::{Endpoint, Millis};
use crate::snapshot::{Candidate, Cluster};
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
    /// Who is silent, by worker, as each has told last.
    silent: Vec<Vec<(Endpoint, u32)>>,
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
            silent: Vec::new(),
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

    /// Whom workers ask.
    pub(super) fn offered(&self) -> Arc<[Candidate]> {
        match self.parts.as_slice() {
            [] => Arc::default(),
            [only] if self.endpoints.is_quiet() => only.roster.offered().clone(),
            parts => {
                let inside = |part: &&PartState| part.weight > 0 && !self.is_out(part);
                let offered = self.candidates(parts.iter().filter(inside));
                if offered.is_empty() {
                    // There is nobody else.
                    return self.candidates(parts.iter().filter(|part| part.weight > 0)).into();
                }
                offered.into()
            }
        }
    }

    fn candidates<'a>(&self, parts: impl Iterator<Item = &'a PartState>) -> Vec<Candidate> {
        let mut candidates = Vec::new();
        for (place, part) in (0..).zip(parts) {
            let since = part.cluster.as_ref().and_then(|cluster| self.clusters.back(cluster));
            let cluster = Cluster { place, weight: part.weight, since };
            let offered = part.roster.offered().iter();
            let inside = offered.filter(|candidate| !self.endpoints.is_out(&candidate.endpoint));
            // Who is let in again starts slowly, as who is new does.
            candidates.extend(inside.map(|candidate| {
                let since = self.endpoints.back(&candidate.endpoint).max(candidate.since);
                Candidate { endpoint: candidate.endpoint.clone(), weight: candidate.weight, since, cluster }
            }));
        }
        candidates
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
        let there: BTreeSet<&Arc<str>> = self.parts.iter().filter_map(|part| part.cluster.as_ref()).collect();
        let (out, cluster_back) = self.clusters.look(now, &there, room);
        let mut ejected: Vec<Ejected> =
            out.into_iter().map(|(cluster, reason)| Ejected::Cluster(cluster, reason)).collect();
        let asked = self.parts.iter().filter(|part| part.weight > 0 && !self.is_out(part));
        let asked: BTreeSet<Endpoint> =
            asked.flat_map(|part| part.roster.offered().iter()).map(|known| known.endpoint.clone()).collect();
        let room = asked.len() * usize::from(most) / 100;
        let (out, back) = self.endpoints.look(now, &asked.iter().collect(), room);
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
    pub(super) fn let_out(&self) -> Arc<[Endpoint]> {
        if self.endpoints.out() == 0 && self.clusters.out() == 0 {
            return Arc::default();
        }
        let is_out =
            |part: &PartState, endpoint: &Endpoint| self.is_out(part) || self.endpoints.is_out(endpoint);
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

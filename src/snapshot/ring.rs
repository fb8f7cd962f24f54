use std::hash::Hasher;

use siphasher::sip::SipHasher13;

use super::Candidate;

/// Which endpoint a key belongs to: consistent hashing (D. Karger et al., 1997). Each endpoint stands at many points of a ring, and
/// has the keys between the point before and its own; when it leaves, only its own keys go elsewhere.
///
/// Everybody who knows the same endpoints has the same ring, also on other machines and after a restart.
#[derive(Debug)]
pub(crate) struct Ring {
    /// In order: a point, and whose it is.
    points: Box<[(u32, u32)]>,
}

/// What requests for one endpoint have in common, as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AffinityKey(u64);

/// Points of an endpoint with an average share: shares differ by some tenth from what they should be …
const POINTS: usize = 160;
/// … unless there are very many endpoints.
const MOST_POINTS: usize = 100_000;
/// Fixed and public, as that of sticky users.
const KEY: (u64, u64) = (0x5377_6974_6368_6261, 0x636b_2d61_6666_696e);

impl AffinityKey {
    pub(crate) fn of(key: &[u8]) -> Self {
        let mut hasher = SipHasher13::new_with_keys(KEY.0, KEY.1);
        hasher.write(key);
        Self(hasher.finish())
    }
}

impl Ring {
    pub(crate) fn of(candidates: &[Candidate]) -> Self {
        let shares = shares(candidates);
        let all: f64 = shares.iter().sum();
        let count = (candidates.len() * POINTS).min(MOST_POINTS) as f64;
        let mut points = Vec::new();
        for (place, (candidate, share)) in (0..).zip(candidates.iter().zip(shares)) {
            let mut hasher = SipHasher13::new_with_keys(KEY.0, KEY.1);
            hasher.write(candidate.endpoint.address.to_string().as_bytes());
            let mut at = fastrand::Rng::with_seed(hasher.finish());
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a share of the points"
            )]
            let own = ((count * share / all).round() as usize).max(1);
            points.extend((0..own).map(|_| (at.u32(..), place)));
        }
        points.sort_unstable();
        Self { points: points.into() }
    }

    /// The places of the endpoints that are to be asked, the nearest first; one may come again and again.
    pub(crate) fn nearest(&self, key: AffinityKey) -> impl Iterator<Item = usize> {
        let at = (key.0 >> 32) as u32;
        let first = self.points.partition_point(|(point, _)| *point < at);
        let turned = self.points[first..].iter().chain(&self.points[..first]);
        turned.map(|(_, place)| *place as usize)
    }
}

/// Shares of the whole side: a cluster's share is dealt out to its endpoints.
fn shares(candidates: &[Candidate]) -> Vec<f64> {
    let of_cluster = candidates.chunk_by(|one, other| one.cluster.place == other.cluster.place);
    of_cluster
        .flat_map(|cluster| {
            let all: f64 = cluster.iter().map(|candidate| f64::from(candidate.weight)).sum();
            cluster.iter().map(move |one| f64::from(one.cluster.weight) * f64::from(one.weight) / all)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Address, Endpoint};
    use crate::snapshot::Cluster;

    fn candidate(number: u8, weight: u16, cluster: Cluster) -> Candidate {
        let endpoint = Endpoint::at(Address::Tcp(([10, 0, 0, number], 80).into()));
        Candidate { endpoint, weight, since: None, cluster }
    }

    fn ten() -> Vec<Candidate> {
        (0..10).map(|number| candidate(number, 1, Cluster::default())).collect()
    }

    fn asked(ring: &Ring, key: u32) -> usize {
        ring.nearest(AffinityKey::of(&key.to_le_bytes())).next().unwrap()
    }

    fn counts(candidates: &[Candidate]) -> Vec<u32> {
        let ring = Ring::of(candidates);
        let mut counts = vec![0; candidates.len()];
        (0..100_000).for_each(|key| counts[asked(&ring, key)] += 1);
        counts
    }

    #[test]
    fn keys_spread_by_shares() {
        for count in counts(&ten()) {
            assert!((7_500..12_500).contains(&count), "{count} of 10,000");
        }
        let mut two = ten();
        two[3].weight = 5;
        let counted = counts(&two);
        assert!((28_000..43_000).contains(&counted[3]), "{} of 35,714", counted[3]);
        let cluster = |place, weight| Cluster { place, weight, since: None };
        let clusters =
            [candidate(0, 1, cluster(0, 3)), candidate(1, 1, cluster(1, 1)), candidate(2, 1, cluster(1, 1))];
        let counted = counts(&clusters);
        assert!((67_000..83_000).contains(&counted[0]), "{counted:?}");
    }

    #[test]
    fn when_one_leaves_only_its_own_keys_go_elsewhere_and_to_many() {
        let (all, mut rest) = (ten(), ten());
        rest.remove(4);
        let (before, after) = (Ring::of(&all), Ring::of(&rest));
        let mut heirs = std::collections::BTreeSet::new();
        for key in 0..20_000 {
            let (was, is) = (asked(&before, key), asked(&after, key));
            let is = if is >= 4 { is + 1 } else { is };
            if was == 4 {
                heirs.insert(is);
            } else {
                assert_eq!(was, is, "{key}");
            }
        }
        assert_eq!(heirs.len(), 9);
    }

    #[test]
    fn a_key_has_the_same_endpoint_on_every_instance_after_every_restart() {
        let ring = Ring::of(&ten());
        let places: Vec<usize> = (0..12).map(|key| asked(&ring, key)).collect();
        assert_eq!(places, GOLDEN);
    }

    /// It may never change, or every cache is cold after an upgrade.
    const GOLDEN: [usize; 12] = [1, 4, 9, 1, 3, 3, 5, 5, 8, 4, 8, 3];

    #[test]
    fn a_side_without_endpoints_has_nobody() {
        assert_eq!(Ring::of(&[]).nearest(AffinityKey::of(b"a")).next(), None);
        let thousands = vec![candidate(1, 1, Cluster::default()); 5_000];
        assert!(Ring::of(&thousands).points.len() <= MOST_POINTS + 5_000);
    }
}

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;

use crate::model::{Address, Endpoint, Millis};

use super::sighting::{Sighting, SourceId, Standing};

/// Where the endpoints of each source were lately. Platforms give addresses from one to the next, and nobody is to be kept, against
/// his platform's word, at one that another has now: the other would answer.
#[derive(Debug, Default)]
pub(super) struct Had {
    by_source: HashMap<SourceId, HashMap<SocketAddr, Millis>>,
}

/// How long it is remembered: longer than anybody is kept against a platform's word.
const REMEMBERED: Millis = Millis(3_600_000);

impl Had {
    /// Takes in what a source sees now; tells where it saw somebody lately, and sees nobody now.
    pub(super) fn left(&mut self, source: SourceId, seen: &[Sighting], now: Millis) -> Vec<SocketAddr> {
        let had = self.by_source.entry(source).or_default();
        had.extend(seen.iter().filter_map(|seen| Some((seen.endpoint.address.tcp()?, now))));
        had.retain(|_, at| now.since(*at) < REMEMBERED);
        let here: HashSet<SocketAddr> = seen.iter().filter_map(|seen| seen.endpoint.address.tcp()).collect();
        had.keys().filter(|address| !here.contains(address)).copied().collect()
    }

    /// Forgets all other sources.
    pub(super) fn keep_only(&mut self, sources: impl Iterator<Item = SourceId>) {
        let sources: HashSet<SourceId> = sources.collect();
        self.by_source.retain(|source, _| sources.contains(source));
    }
}

/// Somebody else is at this address now.
pub(super) fn gone(address: SocketAddr) -> Sighting {
    let endpoint = Endpoint::at(Address::Tcp(address));
    Sighting { standing: Standing::Gone, ..Sighting::live(endpoint) }
}

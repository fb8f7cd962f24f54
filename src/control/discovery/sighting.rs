use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::Endpoint;

/// Which source a look is of. Never used twice: what is heard of a source that is no more finds nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SourceId(pub(crate) u64);

/// What a source said at one moment: every endpoint that it knows, or why it cannot say. The reason is for people, and
/// has no secrets in it.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    pub(crate) source: SourceId,
    pub(crate) seen: Result<Vec<Sighting>, Arc<str>>,
}

/// An endpoint as a source sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sighting {
    pub(crate) endpoint: Endpoint,
    pub(crate) standing: Standing,
    /// How large its share is, beside others': 1 unless its source says otherwise.
    pub(crate) weight: u16,
    /// Whether it is meant for the zone that Switchback is in, if its source says for which zones it is.
    pub(crate) for_us: Option<bool>,
}

/// How an endpoint is, in its platform's eyes. The order is that in which they are preferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Standing {
    /// It takes requests.
    Live,
    /// It takes requests, and has restarted again and again.
    Suspect,
    /// The platform has lost sight of it, which does not mean that it is dead.
    Unknown,
    /// It ends: it gets no new requests while there are others.
    Draining,
    /// It does not take requests yet, or not at the moment.
    NotReady,
    /// Somebody else is at its address now: whoever was there is not to be kept.
    Gone,
}

impl Standing {
    /// How endpoints can stand that are there.
    pub(crate) const ALL: [Self; 5] =
        [Self::Live, Self::Suspect, Self::Unknown, Self::Draining, Self::NotReady];

    /// Whether new requests are meant for it.
    pub(crate) const fn is_usable(self) -> bool {
        matches!(self, Self::Live | Self::Suspect)
    }

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Suspect => "suspect",
            Self::Unknown => "unknown",
            Self::Draining => "draining",
            Self::NotReady => "not-ready",
            Self::Gone => "gone",
        }
    }
}

impl Sighting {
    /// One that takes requests.
    pub(crate) const fn live(endpoint: Endpoint) -> Self {
        Self { endpoint, standing: Standing::Live, weight: 1, for_us: None }
    }
}

use super::block::Stratum;
use super::thresholds::Thresholds;

/// How requests are grouped, and the ages at which each group votes: what workers go by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Groups {
    /// Routes with a stratum of their own, sorted by their number.
    routes: Box<[(u64, Stratum)]>,
    /// By stratum; of one that is missing nothing is known yet.
    thresholds: Box<[Thresholds]>,
}

impl Groups {
    /// Groups these routes; the thresholds are by stratum.
    pub fn new(routes: impl Iterator<Item = (u64, Stratum)>, thresholds: &[Thresholds]) -> Self {
        let mut routes: Vec<_> = routes.collect();
        routes.sort_unstable();
        Self { routes: routes.into(), thresholds: thresholds.into() }
    }

    /// The stratum of a route; `None` if it has none of its own.
    pub fn of(&self, route: u64) -> Option<Stratum> {
        let place = self.routes.binary_search_by_key(&route, |(route, _)| *route).ok()?;
        Some(self.routes[place].1)
    }

    /// The ages at which requests of a stratum vote.
    pub fn thresholds(&self, stratum: Stratum) -> &Thresholds {
        self.thresholds.get(stratum.place()).unwrap_or(&Thresholds::UNKNOWN)
    }
}

impl Default for Groups {
    fn default() -> Self {
        Self { routes: Box::default(), thresholds: Box::new([Thresholds::default()]) }
    }
}

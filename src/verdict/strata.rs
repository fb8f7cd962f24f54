use std::collections::HashMap;

use crate::model::Millis;

use super::block::Stratum;

/// Which routes have a stratum of their own: those with enough requests, the most asked for first.
///
/// Routes are known by a number that requests are counted under, and by a name for people.
#[derive(Clone, Debug, Default)]
pub struct Strata {
    routes: HashMap<u64, Route>,
    /// By place; that of [`Stratum::OTHER`] stays empty.
    places: Vec<Place>,
    since: Option<Millis>,
    faded: Option<Millis>,
}

#[derive(Clone, Debug)]
struct Route {
    name: Box<str>,
    /// Requests, of which half are forgotten in a half-life.
    requests: f64,
    stratum: Option<Stratum>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Free,
    Taken(u64),
    /// Requests that came while it was another route's may still vote.
    Resting {
        until: Millis,
    },
}

/// What has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A route has got this stratum.
    Came(Stratum),
    /// A route has lost it.
    Left(Stratum),
}

/// Requests a second from which a route has a stratum of its own …
const ENOUGH: f64 = 1.0;
/// … and below which it loses it: less, so that a route at the border does not come and go.
const TOO_FEW: f64 = 0.5;
/// The time over which requests are counted: a mean age of five minutes.
const HALF_LIFE_S: f64 = 300.0 * std::f64::consts::LN_2;
/// Nothing is known of rates before this.
const FIRST_LOOK: Millis = Millis(15_000);
/// Longer than a request may take to vote: ten seconds, and what a thread may be late.
const REST: Millis = Millis(60_000);
/// Routes that are counted. Past this the rarest make room; with more routes than that none of them is frequent.
const MOST_COUNTED: usize = 256;

impl Strata {
    /// The stratum of a route.
    pub fn of(&self, route: u64) -> Stratum {
        self.routes.get(&route).and_then(|route| route.stratum).unwrap_or_default()
    }

    /// The name of a stratum's route; `None` for that of all others.
    pub fn name(&self, stratum: Stratum) -> Option<&str> {
        match self.places.get(stratum.place())? {
            Place::Taken(route) => self.routes.get(route).map(|route| &*route.name),
            Place::Free | Place::Resting { .. } => None,
        }
    }

    /// Every route with a stratum of its own.
    pub fn iter(&self) -> impl Iterator<Item = (u64, Stratum)> {
        self.places.iter().enumerate().filter_map(|(place, taken)| match taken {
            Place::Taken(route) => Some((*route, Stratum::at(place)?)),
            Place::Free | Place::Resting { .. } => None,
        })
    }

    /// Counts requests of a route that has no stratum.
    pub fn count(&mut self, now: Millis, route: u64, requests: u32, name: impl FnOnce() -> Option<Box<str>>) {
        self.since.get_or_insert(now);
        if let Some(known) = self.routes.get_mut(&route) {
            known.requests += f64::from(requests);
            return;
        }
        let Some(name) = name() else { return };
        if self.routes.len() >= MOST_COUNTED {
            self.drop_rarest();
        }
        self.routes.insert(route, Route { name, requests: f64::from(requests), stratum: None });
    }

    /// Counts requests of the route that has this stratum.
    pub(super) fn count_of(&mut self, stratum: Stratum, requests: u32) {
        if let Some(Place::Taken(route)) = self.places.get(stratum.place())
            && let Some(route) = self.routes.get_mut(route)
        {
            route.requests += f64::from(requests);
        }
    }

    /// Gives strata to routes that have enough requests, and takes those of routes that have too few.
    pub fn sort(&mut self, now: Millis) -> Vec<Change> {
        let Some(since) = self.since else { return Vec::new() };
        self.fade(now);
        let seen_s = now.since(since).seconds();
        let whole = HALF_LIFE_S / std::f64::consts::LN_2 * (1.0 - (-seen_s / HALF_LIFE_S).exp2());
        let mut changes = Vec::new();
        for (place, taken) in self.places.iter_mut().enumerate() {
            match taken {
                Place::Taken(key) => {
                    let Some(route) = self.routes.get_mut(key) else { continue };
                    if route.requests < TOO_FEW * whole {
                        route.stratum = None;
                        *taken = Place::Resting { until: Millis(now.0 + REST.0) };
                        changes.extend(Stratum::at(place).map(Change::Left));
                    }
                }
                Place::Resting { until } if *until <= now => *taken = Place::Free,
                Place::Resting { .. } | Place::Free => {}
            }
        }
        if now.since(since) < FIRST_LOOK {
            return changes;
        }
        let mut waiting: Vec<(u64, f64)> = self
            .routes
            .iter()
            .filter(|(_, route)| route.stratum.is_none() && route.requests >= ENOUGH * whole)
            .map(|(key, route)| (*key, route.requests))
            .collect();
        waiting.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        for (key, _) in waiting {
            let Some(stratum) = self.free() else { break };
            self.places[stratum.place()] = Place::Taken(key);
            if let Some(route) = self.routes.get_mut(&key) {
                route.stratum = Some(stratum);
            }
            changes.push(Change::Came(stratum));
        }
        changes
    }

    fn fade(&mut self, now: Millis) {
        let seconds = self.faded.replace(now).map_or(0.0, |faded| now.since(faded).seconds());
        let keep = (-seconds / HALF_LIFE_S).exp2();
        for route in self.routes.values_mut() {
            route.requests *= keep;
        }
    }

    /// A place that is free, which is made if there may be more.
    fn free(&mut self) -> Option<Stratum> {
        if self.places.is_empty() {
            self.places.push(Place::Resting { until: Millis(u64::MAX) }); // that of all others
        }
        let place = self.places.iter().position(|place| *place == Place::Free).unwrap_or(self.places.len());
        let stratum = Stratum::at(place)?;
        if place == self.places.len() {
            self.places.push(Place::Free);
        }
        Some(stratum)
    }

    fn drop_rarest(&mut self) {
        let rarest = self
            .routes
            .iter()
            .filter(|(_, route)| route.stratum.is_none())
            .min_by(|a, b| a.1.requests.total_cmp(&b.1.requests).then(a.0.cmp(b.0)))
            .map(|(key, _)| *key);
        if let Some(key) = rarest {
            self.routes.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts so many requests of each route in each second, and sorts every five.
    fn watched(strata: &mut Strata, seconds: std::ops::Range<u64>, rates: &[(u64, u32)]) -> Vec<Change> {
        let mut changes = Vec::new();
        for second in seconds {
            let now = Millis(second * 1_000);
            for (route, requests) in rates {
                if strata.of(*route) == Stratum::OTHER {
                    strata.count(now, *route, *requests, || Some(format!("route {route}").into()));
                } else {
                    strata.count_of(strata.of(*route), *requests);
                }
            }
            if second % 5 == 0 {
                changes.extend(strata.sort(now));
            }
        }
        changes
    }

    #[test]
    fn a_route_with_a_request_a_second_gets_a_stratum_and_one_with_fewer_does_not() {
        let mut strata = Strata::default();
        watched(&mut strata, 0..60, &[(7, 5)]);
        strata.count(Millis(30_000), 8, 20, || Some("rare".into()));
        watched(&mut strata, 60..80, &[(7, 5)]);
        assert_eq!(strata.name(strata.of(7)), Some("route 7"));
        assert_eq!(strata.of(8), Stratum::OTHER);
        assert_eq!(strata.iter().count(), 1);
    }

    #[test]
    fn a_stratum_that_is_left_rests_before_another_route_has_it() {
        let mut strata = Strata::default();
        watched(&mut strata, 0..60, &[(7, 5)]);
        let left = watched(&mut strata, 60..1_500, &[(8, 0)]);
        assert!(left.iter().any(|change| matches!(change, Change::Left(_))), "{left:?}");
        assert_eq!(strata.of(7), Stratum::OTHER);
        watched(&mut strata, 1_500..1_520, &[(9, 50)]);
        assert_eq!(strata.name(strata.of(9)), Some("route 9"));
    }

    #[test]
    fn there_are_no_more_strata_than_the_bound_and_the_most_asked_for_have_them() {
        let mut strata = Strata::default();
        let rates: Vec<(u64, u32)> =
            (0..400).map(|route| (route, 2 + u32::try_from(route).unwrap())).collect();
        watched(&mut strata, 0..40, &rates);
        assert_eq!(strata.iter().count(), Stratum::MOST_ROUTES);
        assert!(strata.of(399) != Stratum::OTHER);
        assert!(strata.routes.len() <= MOST_COUNTED);
    }
}

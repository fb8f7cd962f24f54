use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::model::{Route, RouteKey};
use crate::tally::RouteReport;

/// Counts the requests of one service's routes that have no stratum of their own, so that control can see which
/// of them deserve one.
#[derive(Debug, Default)]
pub(super) struct RouteCounts {
    seen: Routes,
    /// What was counted of routes that were forgotten before it was reported.
    forgotten: Vec<RouteReport>,
    /// Whether any has come since the last report.
    stirred: bool,
}

type Routes = HashMap<RouteKey, Seen, BuildHasherDefault<AsItIs>>;

/// A route's number is a hash, and there are few routes: whoever made theirs collide would look through a few hundred.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |number, byte| number << 8 | u64::from(*byte));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[derive(Debug)]
struct Seen {
    requests: u32,
    /// Until it has been reported.
    name: Option<Box<str>>,
}

/// Routes that are counted at once. When there are more all are forgotten, and counted anew: a route that is
/// frequent is soon back, and one that is not is not missed.
const MOST_ROUTES: usize = 256;

impl RouteCounts {
    /// Counts one request.
    pub(super) fn count(&mut self, key: RouteKey, route: Route<'_>) {
        self.stirred = true;
        if let Some(seen) = self.seen.get_mut(&key) {
            seen.requests += 1;
            return;
        }
        if self.seen.len() >= MOST_ROUTES {
            self.forget();
        }
        self.seen.insert(key, Seen { requests: 1, name: Some(route.name().into()) });
    }

    /// What was counted since the last call.
    pub(super) fn take(&mut self) -> Vec<RouteReport> {
        if !std::mem::take(&mut self.stirred) {
            return Vec::new();
        }
        let mut counted = std::mem::take(&mut self.forgotten);
        counted.extend(reports(&mut self.seen));
        counted
    }

    /// Forgets all routes. Those of a scanner come once; what a real one was asked for in this tick still counts.
    fn forget(&mut self) {
        self.forgotten.extend(reports(&mut self.seen).filter(|report| report.requests > 1));
        self.forgotten.truncate(MOST_ROUTES);
        self.seen.clear();
    }
}

/// What was counted since the last report.
fn reports(seen: &mut Routes) -> impl Iterator<Item = RouteReport> {
    seen.iter_mut().filter(|(_, seen)| seen.requests > 0).map(|(key, seen)| RouteReport {
        key: *key,
        requests: std::mem::take(&mut seen.requests),
        name: seen.name.take(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Dialect;

    #[test]
    fn a_name_is_told_once_and_requests_each_time() {
        let mut counts = RouteCounts::default();
        let route = Route::new(Dialect::Http, "GET", "/v1/items/17");
        for _ in 0..3 {
            counts.count(route.key(), route);
        }
        let first = counts.take();
        assert_eq!(
            (first.len(), first[0].requests, first[0].name.as_deref()),
            (1, 3, Some("GET /v1/items/*"))
        );
        assert!(counts.take().is_empty());
        counts.count(route.key(), route);
        let second = counts.take();
        assert_eq!((second[0].requests, second[0].name.as_deref()), (1, None));
    }

    #[test]
    fn what_is_counted_is_bounded() {
        let mut counts = RouteCounts::default();
        for i in 0..1_000 {
            let path = format!(
                "/{}",
                "abcdefghijklmnopqrstuvwxyz/".chars().cycle().skip(i).take(2 + i / 30).collect::<String>()
            );
            let route = Route::new(Dialect::Http, "GET", &path);
            counts.count(route.key(), route);
            assert!(counts.seen.len() <= MOST_ROUTES);
        }
    }
}

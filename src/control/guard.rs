use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use crate::config::GuardConfig;
use crate::model::{Millis, ServiceName};

/// Watches how many services the judge takes back at once. Several within a short time have likelier a cause in common, such
/// as their cluster or the network, than one each. Pure.
#[derive(Debug, Default)]
pub(super) struct Guard {
    recent: VecDeque<Reverted>,
    alarm: Option<Alarm>,
}

#[derive(Debug)]
struct Reverted {
    at: Millis,
    service: ServiceName,
    clusters: BTreeSet<Arc<str>>,
}

/// Several services were taken back at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Alarm {
    /// Which.
    pub(super) services: BTreeSet<ServiceName>,
    /// The clusters that all of them are on.
    pub(super) clusters: BTreeSet<Arc<str>>,
    /// When the last of them was.
    last: Millis,
}

/// What a revert means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Noted {
    /// That something is wrong with one service.
    Alone,
    /// That something is wrong with what several have in common.
    Alarm(Alarm),
    /// The same as the one before.
    GoesOn,
}

impl Guard {
    /// The judge has taken a service back.
    pub(super) fn note(
        &mut self,
        now: Millis,
        service: &ServiceName,
        clusters: BTreeSet<Arc<str>>,
        config: GuardConfig,
    ) -> Noted {
        self.tick(now, config);
        if let Some(alarm) = &mut self.alarm {
            alarm.services.insert(service.clone());
            alarm.last = now;
            return Noted::GoesOn;
        }
        self.recent.retain(|reverted| reverted.service != *service);
        self.recent.push_back(Reverted { at: now, service: service.clone(), clusters });
        if self.recent.len() < config.services {
            return Noted::Alone;
        }
        let services = self.recent.iter().map(|reverted| reverted.service.clone()).collect();
        let mut sets = self.recent.drain(..).map(|reverted| reverted.clusters);
        let first = sets.next().unwrap_or_default();
        let common = sets.fold(first, |common, set| common.intersection(&set).cloned().collect());
        let alarm = Alarm { services, clusters: common, last: now };
        self.alarm = Some(alarm.clone());
        Noted::Alarm(alarm)
    }

    /// Time passes: what is long ago has nothing to do with what comes.
    pub(super) fn tick(&mut self, now: Millis, config: GuardConfig) {
        let within = u64::try_from(config.within.as_millis()).unwrap_or(u64::MAX);
        let is_over = |at: Millis| now.since(at).0 > within;
        self.recent.retain(|reverted| !is_over(reverted.at));
        if self.alarm.as_ref().is_some_and(|alarm| is_over(alarm.last)) {
            self.alarm = None;
        }
    }

    /// What goes on, if something does.
    pub(super) fn alarm(&self) -> Option<&Alarm> {
        self.alarm.as_ref()
    }
}

impl std::fmt::Display for Alarm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        /// Services that are named.
        const NAMED: usize = 5;
        let names: Vec<_> = self.services.iter().take(NAMED).map(ServiceName::as_str).collect();
        let more = self.services.len() - names.len();
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        write!(f, "{} services were taken back at once, {}{more}", self.services.len(), names.join(", "))?;
        let clusters: Vec<_> = self.clusters.iter().map(AsRef::as_ref).collect();
        match clusters.as_slice() {
            [] => f.write_str(": look at what they have in common, such as the network"),
            [cluster] => write!(f, ": look at cluster {cluster} and the way to it"),
            several => write!(f, ": look at clusters {} and the way to them", several.join(", ")),
        }
    }
}

impl Alarm {
    /// The cluster that all of them are on, if there is no other that all are on too.
    pub(super) fn only_cluster(&self) -> Option<&Arc<str>> {
        self.clusters.first().filter(|_| self.clusters.len() == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> ServiceName {
        ServiceName::parse(text).unwrap()
    }

    fn on(clusters: &[&str]) -> BTreeSet<Arc<str>> {
        clusters.iter().map(|cluster| Arc::from(*cluster)).collect()
    }

    #[test]
    fn several_at_once_are_one_alarm_and_what_they_have_in_common_is_named() {
        let (mut guard, config) = (Guard::default(), GuardConfig::default());
        assert_eq!(guard.note(Millis(0), &name("a"), on(&["gew1", "lon3"]), config), Noted::Alone);
        assert_eq!(guard.note(Millis(1_000), &name("b"), on(&["gew1"]), config), Noted::Alone);
        let Noted::Alarm(alarm) = guard.note(Millis(2_000), &name("c"), on(&["gew1", "x"]), config) else {
            panic!("three are several");
        };
        assert_eq!((alarm.services.len(), alarm.only_cluster().map(AsRef::as_ref)), (3, Some("gew1")));
        assert_eq!(guard.note(Millis(30_000), &name("d"), on(&["gew1"]), config), Noted::GoesOn);
        assert_eq!(guard.alarm().unwrap().services.len(), 4);
        assert_eq!(guard.note(Millis(95_000), &name("e"), on(&["gew1"]), config), Noted::Alone);
        assert_eq!(guard.alarm(), None);
    }

    #[test]
    fn one_service_again_and_again_is_one_and_so_are_several_over_an_hour() {
        let (mut guard, config) = (Guard::default(), GuardConfig::default());
        for second in 0..10 {
            assert_eq!(guard.note(Millis(second * 1_000), &name("a"), on(&[]), config), Noted::Alone);
        }
        for (minute, service) in ["b", "c", "d", "e"].into_iter().enumerate() {
            let at = Millis(1_000_000 + minute as u64 * 61_000);
            assert_eq!(guard.note(at, &name(service), on(&["gew1"]), config), Noted::Alone);
        }
    }

    #[test]
    fn without_a_cluster_in_common_none_is_named() {
        let (mut guard, config) = (Guard::default(), GuardConfig { services: 2, ..GuardConfig::default() });
        guard.note(Millis(0), &name("a"), on(&["gew1"]), config);
        let Noted::Alarm(alarm) = guard.note(Millis(1), &name("b"), on(&["lon3"]), config) else { panic!() };
        assert_eq!(alarm.only_cluster(), None);
        assert!(alarm.to_string().contains("a, b: look at what"), "{alarm}");
    }

    #[test]
    fn where_all_are_on_several_clusters_no_one_of_them_is_blamed() {
        let (mut guard, config) = (Guard::default(), GuardConfig { services: 2, ..GuardConfig::default() });
        guard.note(Millis(0), &name("a"), on(&["gew1", "lon3"]), config);
        let Noted::Alarm(alarm) = guard.note(Millis(1), &name("b"), on(&["lon3", "gew1"]), config) else {
            panic!()
        };
        assert_eq!(alarm.only_cluster(), None);
        assert!(alarm.to_string().contains("look at clusters gew1, lon3"), "{alarm}");
    }
}

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::discovery::v1::{Endpoint as RawEndpoint, EndpointPort, EndpointSlice};

use crate::config::{PortOf, Published};
use crate::model::{Address, Endpoint};

use super::super::{Sighting, Standing};

/// The label that says whose slice it is.
pub(super) const SERVICE: &str = "kubernetes.io/service-name";
/// The annotation that says when something changed for which the slice was written.
const CHANGED: &str = "endpoints.kubernetes.io/last-change-trigger-time";

/// What counts of one EndpointSlice. The rest, which is most of it, is not held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Slice {
    pub(super) service: Arc<str>,
    changed: Option<Timestamp>,
    /// No ports at all: whoever asks says the number.
    any_port: bool,
    ports: Vec<(Arc<str>, u16)>,
    members: Vec<Member>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Member {
    address: IpAddr,
    uid: Option<Arc<str>>,
    standing: Standing,
    zones: Vec<Arc<str>>,
}

impl Slice {
    /// `None` if it is of no service, or of addresses that nobody can connect to.
    pub(super) fn read(raw: &EndpointSlice) -> Option<Self> {
        let service = raw.metadata.labels.as_ref()?.get(SERVICE)?;
        let is_of_family: fn(&IpAddr) -> bool = match raw.address_type.as_str() {
            "IPv4" => IpAddr::is_ipv4,
            "IPv6" => IpAddr::is_ipv6,
            // Names have no meaning here that anybody has defined.
            _ => return None,
        };
        let changed = raw.metadata.annotations.as_ref().and_then(|notes| notes.get(CHANGED)?.parse().ok());
        let ports = raw.ports.as_deref().unwrap_or_default();
        let members = raw.endpoints.as_deref().unwrap_or_default().iter();
        Some(Self {
            service: service.as_str().into(),
            changed,
            any_port: ports.is_empty(),
            ports: ports.iter().filter_map(tcp_port).collect(),
            members: members.filter_map(|raw| Member::read(raw, is_of_family)).collect(),
        })
    }

    /// Where its endpoints that take requests listen.
    pub(super) fn listens(&self) -> impl Iterator<Item = SocketAddr> {
        let members = self.members.iter().filter(|member| member.standing.is_usable());
        members.flat_map(|member| self.ports.iter().map(|(_, port)| SocketAddr::new(member.address, *port)))
    }

    /// The port to connect to. Numbers differ between slices: each has the endpoints that share its ports.
    fn port(&self, asked: Option<&PortOf>) -> Option<u16> {
        match (asked, &*self.ports) {
            (Some(PortOf::Number(number)), []) if self.any_port => Some(*number),
            (Some(PortOf::Number(number)), _) => {
                self.ports.iter().find_map(|(_, known)| (known == number).then_some(*known))
            }
            (Some(PortOf::Name(name)), _) => {
                self.ports.iter().find_map(|(known, port)| (known == name).then_some(*port))
            }
            (None, [(_, number)]) => Some(*number),
            (None, _) => None,
        }
    }
}

impl Member {
    fn read(raw: &RawEndpoint, is_of_family: fn(&IpAddr) -> bool) -> Option<Self> {
        // Of several addresses only the first has a meaning.
        let address = raw.addresses.first()?.parse().ok().filter(is_of_family)?;
        let zones = raw.hints.as_ref().and_then(|hints| hints.for_zones.as_ref());
        Some(Self {
            address,
            uid: raw.target_ref.as_ref().and_then(|target| target.uid.as_deref()).map(Into::into),
            standing: standing(raw),
            zones: zones.into_iter().flatten().map(|zone| zone.name.as_str().into()).collect(),
        })
    }

    fn family(&self) -> bool {
        self.address.is_ipv6()
    }

    fn sighting(&self, port: u16, zone: Option<&str>) -> Sighting {
        let address = Address::Tcp(SocketAddr::new(self.address, port));
        Sighting {
            endpoint: Endpoint { address, instance: self.uid.clone() },
            standing: self.standing,
            weight: 1,
            for_us: zone
                .filter(|_| !self.zones.is_empty())
                .map(|zone| self.zones.iter().any(|hint| **hint == *zone)),
        }
    }
}

/// The endpoints of a service, from all of its slices; or why none can be named. Slices change one at a time, in any order, and an
/// endpoint moves from one to another: what a single slice says of its endpoints is never the whole.
pub(super) fn sightings<'a>(
    slices: impl Iterator<Item = &'a Slice>,
    what: &Published,
    zone: Option<&str>,
) -> Result<Vec<Sighting>, Arc<str>> {
    let all: Vec<&Slice> = slices.collect();
    let found: Vec<(&Slice, u16)> =
        all.iter().filter_map(|slice| Some((*slice, slice.port(what.port.as_ref())?))).collect();
    if found.is_empty() && all.iter().any(|slice| !slice.members.is_empty()) {
        return Err(no_such_port(&all, what));
    }
    let newest = newest_of_each(&found);
    let both = |uid: &Arc<str>| newest.contains_key(&(uid.clone(), false));
    let mut best: BTreeMap<Endpoint, (Option<Timestamp>, Sighting)> = BTreeMap::new();
    for (number, (slice, port)) in found.iter().enumerate() {
        for member in &slice.members {
            if let Some(uid) = &member.uid {
                let is_elsewhere = newest.get(&(uid.clone(), member.family())) != Some(&number);
                // Of both families, one address is enough: with two it would get twice its share.
                if is_elsewhere || member.family() && both(uid) {
                    continue;
                }
            }
            let sighting = member.sighting(*port, zone);
            let is_older = best.get(&sighting.endpoint).is_some_and(|(changed, known)| {
                (*changed, std::cmp::Reverse(known.standing))
                    >= (slice.changed, std::cmp::Reverse(sighting.standing))
            });
            if !is_older {
                best.insert(sighting.endpoint.clone(), (slice.changed, sighting));
            }
        }
    }
    Ok(best.into_values().map(|(_, sighting)| sighting).collect())
}

/// When the slice was changed that knows best of an instance, what it says, and its place among the slices.
type Newest = (Option<Timestamp>, Standing, usize);

/// In which slice each instance is found, by family. While it moves it is in two, of which the newer one knows better.
fn newest_of_each(found: &[(&Slice, u16)]) -> BTreeMap<(Arc<str>, bool), usize> {
    let mut newest = BTreeMap::<(Arc<str>, bool), Newest>::new();
    for (number, (slice, _)) in found.iter().enumerate() {
        for member in &slice.members {
            let Some(uid) = &member.uid else { continue };
            let key = (uid.clone(), member.family());
            let is_newer = newest.get(&key).is_none_or(|(changed, standing, _)| {
                slice.changed > *changed || slice.changed == *changed && member.standing < *standing
            });
            if is_newer {
                newest.insert(key, (slice.changed, member.standing, number));
            }
        }
    }
    newest.into_iter().map(|(key, (_, _, number))| (key, number)).collect()
}

fn no_such_port(slices: &[&Slice], what: &Published) -> Arc<str> {
    let ports: BTreeSet<String> = slices
        .iter()
        .flat_map(|slice| &slice.ports)
        .map(|(name, number)| if name.is_empty() { number.to_string() } else { format!("{name} ({number})") })
        .collect();
    let ports = ports.into_iter().collect::<Vec<_>>().join(", ");
    let Published { namespace, service, port } = what;
    match port {
        _ if ports.is_empty() => format!("{namespace}/{service} has no TCP port"),
        Some(port) => format!("{namespace}/{service} has no port {port}, but {ports}"),
        None => format!("{namespace}/{service} has several ports: name one of {ports}"),
    }
    .into()
}

/// A TCP port that has a number. Slices that people write may have ports without.
fn tcp_port(raw: &EndpointPort) -> Option<(Arc<str>, u16)> {
    let number = u16::try_from(raw.port?).ok().filter(|number| *number != 0)?;
    let is_tcp = raw.protocol.as_deref().is_none_or(|protocol| protocol == "TCP");
    is_tcp.then(|| (raw.name.as_deref().unwrap_or_default().into(), number))
}

/// How an endpoint stands. What is not said means well. One that ends is `ready` only where the service publishes also those
/// that are not: it still ends.
fn standing(raw: &RawEndpoint) -> Standing {
    let said = raw.conditions.as_ref();
    let ready = said.and_then(|said| said.ready).unwrap_or(true);
    let serving = said.and_then(|said| said.serving).unwrap_or(true);
    match said.and_then(|said| said.terminating).unwrap_or(false) {
        true if serving || ready => Standing::Draining,
        false if ready => Standing::Live,
        true | false => Standing::NotReady,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn slice(value: Value) -> Slice {
        Slice::read(&serde_json::from_value(value).unwrap()).unwrap()
    }

    fn of(family: &str, ports: &Value, endpoints: &Value) -> Value {
        json!({
            "metadata": { "name": "a-1", "labels": { SERVICE: "a" } },
            "addressType": family, "ports": ports, "endpoints": endpoints,
        })
    }

    fn at(second: u8, value: Value) -> Slice {
        let mut value = value;
        value["metadata"]["annotations"] = json!({ CHANGED: format!("2026-01-01T00:00:{second:02}Z") });
        slice(value)
    }

    fn http() -> Value {
        json!([{ "name": "http", "port": 80, "protocol": "TCP" }])
    }

    fn one(address: &str, uid: &str, conditions: &Value) -> Value {
        json!({ "addresses": [address], "conditions": conditions, "targetRef": { "kind": "Pod", "uid": uid } })
    }

    fn what(port: Option<PortOf>) -> Published {
        Published { namespace: "shop".into(), service: "a".into(), port }
    }

    fn named(name: &str) -> Published {
        what(Some(PortOf::Name(name.into())))
    }

    fn seen(slices: &[Slice], what: &Published) -> Vec<(String, Standing)> {
        let seen = sightings(slices.iter(), what, None).unwrap();
        seen.into_iter().map(|seen| (seen.endpoint.address.to_string(), seen.standing)).collect()
    }

    fn addresses(slices: &[Slice], what: &Published) -> Vec<String> {
        seen(slices, what).into_iter().map(|(address, _)| address).collect()
    }

    #[test]
    fn an_endpoint_stands_as_its_conditions_say_and_silence_means_well() {
        let (yes, no, nil) = (json!(true), json!(false), Value::Null);
        for (ready, serving, terminating, expected) in [
            (&nil, &nil, &nil, Standing::Live),
            (&yes, &nil, &nil, Standing::Live),
            (&yes, &yes, &no, Standing::Live),
            (&yes, &no, &no, Standing::Live),
            (&no, &nil, &nil, Standing::NotReady),
            (&no, &no, &no, Standing::NotReady),
            (&no, &yes, &no, Standing::NotReady),
            (&no, &yes, &yes, Standing::Draining),
            (&no, &nil, &yes, Standing::Draining),
            (&no, &no, &yes, Standing::NotReady),
            (&yes, &yes, &yes, Standing::Draining),
            (&yes, &no, &yes, Standing::Draining),
        ] {
            let conditions = json!({ "ready": ready, "serving": serving, "terminating": terminating });
            let slice = slice(of("IPv4", &http(), &json!([one("10.0.0.1", "u", &conditions)])));
            assert_eq!(
                seen(&[slice], &named("http")),
                [("10.0.0.1:80".to_owned(), expected)],
                "{conditions}"
            );
        }
        let bare = slice(of("IPv4", &http(), &json!([{ "addresses": ["10.0.0.1"] }])));
        assert_eq!(seen(&[bare], &named("http"))[0].1, Standing::Live);
    }

    #[test]
    fn a_port_is_found_by_name_by_number_or_because_it_is_the_only_one() {
        let endpoints = json!([{ "addresses": ["10.0.0.1"] }]);
        let ports = json!([
            { "name": "dns", "port": 53, "protocol": "UDP" }, { "name": "http", "port": 8080 },
            { "name": "nil" }, { "name": "admin", "port": 9000, "protocol": "TCP" },
        ]);
        let two = [slice(of("IPv4", &ports, &endpoints))];
        assert_eq!(addresses(&two, &named("http")), ["10.0.0.1:8080"]);
        assert_eq!(addresses(&two, &what(Some(PortOf::Number(9000)))), ["10.0.0.1:9000"]);
        for (asked, why) in [
            (what(None), "shop/a has several ports: name one of admin (9000), http (8080)"),
            (named("dns"), "shop/a has no port dns, but admin (9000), http (8080)"),
            (named("nil"), "shop/a has no port nil, but admin (9000), http (8080)"),
            (what(Some(PortOf::Number(53))), "shop/a has no port 53, but admin (9000), http (8080)"),
        ] {
            assert_eq!(sightings(two.iter(), &asked, None), Err(why.into()));
        }
        let unnamed = json!([{ "port": 8080 }, { "name": "dns", "port": 53, "protocol": "UDP" }]);
        let only = [slice(of("IPv4", &unnamed, &endpoints))];
        assert_eq!(addresses(&only, &what(None)), ["10.0.0.1:8080"]);
        assert_eq!(addresses(&only, &named("")), ["10.0.0.1:8080"]);
    }

    #[test]
    fn a_named_port_has_another_number_in_another_slice() {
        let other = json!([{ "name": "http", "port": 81 }]);
        let slices = [
            slice(of("IPv4", &http(), &json!([one("10.0.0.1", "u1", &json!({}))]))),
            slice(of("IPv4", &other, &json!([one("10.0.0.2", "u2", &json!({}))]))),
        ];
        assert_eq!(addresses(&slices, &named("http")), ["10.0.0.1:80", "10.0.0.2:81"]);
    }

    #[test]
    fn a_headless_service_without_ports_is_asked_at_the_number_that_is_given() {
        for ports in [json!([]), Value::Null] {
            let slices = [slice(of("IPv4", &ports, &json!([{ "addresses": ["10.0.0.1"] }])))];
            assert_eq!(addresses(&slices, &what(Some(PortOf::Number(7000)))), ["10.0.0.1:7000"]);
            assert_eq!(sightings(slices.iter(), &named("http"), None), Err("shop/a has no TCP port".into()));
        }
    }

    #[test]
    fn nothing_in_a_slice_is_nothing_and_no_fault() {
        assert_eq!(sightings([].iter(), &named("http"), None), Ok(Vec::new()));
        for endpoints in [Value::Null, json!([])] {
            let empty = slice(of("IPv4", &Value::Null, &endpoints));
            assert_eq!(sightings([empty].iter(), &named("http"), None), Ok(Vec::new()));
        }
    }

    #[test]
    fn only_the_first_address_counts_and_what_is_none_is_left_out() {
        let endpoints = json!([
            { "addresses": ["10.0.0.1", "10.0.0.9"] }, { "addresses": [] },
            { "addresses": ["playlist.test"] }, { "addresses": ["fd00::1"] },
        ]);
        let slices = [slice(of("IPv4", &http(), &endpoints))];
        assert_eq!(addresses(&slices, &named("http")), ["10.0.0.1:80"]);
    }

    #[test]
    fn slices_of_names_or_of_nobody_are_none() {
        let names = of("FQDN", &http(), &json!([{ "addresses": ["a.test"] }]));
        assert_eq!(Slice::read(&serde_json::from_value(names).unwrap()), None);
        let mut nobody = of("IPv4", &http(), &json!([]));
        nobody["metadata"]["labels"] = Value::Null;
        assert_eq!(Slice::read(&serde_json::from_value(nobody).unwrap()), None);
    }

    #[test]
    fn an_instance_in_two_slices_is_one_as_the_newer_slice_has_it() {
        let (live, ending) = (json!({}), json!({ "ready": false, "serving": true, "terminating": true }));
        let of = |conditions| of("IPv4", &http(), &json!([one("10.0.0.1", "u", conditions)]));
        for (slices, expected) in [
            ([at(1, of(&live)), at(2, of(&ending))], Standing::Draining),
            ([at(2, of(&live)), at(1, of(&ending))], Standing::Live),
            ([slice(of(&live)), at(1, of(&ending))], Standing::Draining),
            ([slice(of(&ending)), slice(of(&live))], Standing::Live),
        ] {
            assert_eq!(seen(&slices, &named("http")), [("10.0.0.1:80".to_owned(), expected)]);
            let turned: Vec<Slice> = slices.into_iter().rev().collect();
            assert_eq!(seen(&turned, &named("http")), [("10.0.0.1:80".to_owned(), expected)]);
        }
    }

    #[test]
    fn an_instance_that_got_another_address_has_the_newer_one_only() {
        let of = |address| of("IPv4", &http(), &json!([one(address, "u", &json!({}))]));
        let slices = [at(1, of("10.0.0.1")), at(2, of("10.0.0.2"))];
        assert_eq!(addresses(&slices, &named("http")), ["10.0.0.2:80"]);
    }

    #[test]
    fn who_has_no_instance_is_one_as_the_newer_slice_has_it() {
        let of = |ready: bool| {
            of("IPv4", &http(), &json!([{ "addresses": ["10.0.0.1"], "conditions": { "ready": ready } }]))
        };
        let slices = [at(2, of(false)), at(1, of(true))];
        assert_eq!(seen(&slices, &named("http")), [("10.0.0.1:80".to_owned(), Standing::NotReady)]);
        let slices = [slice(of(false)), slice(of(true))];
        assert_eq!(seen(&slices, &named("http")), [("10.0.0.1:80".to_owned(), Standing::Live)]);
    }

    #[test]
    fn two_instances_at_one_address_are_both_told() {
        let ending = json!({ "ready": false, "serving": false, "terminating": true });
        let both = json!([one("10.0.0.1", "old", &ending), one("10.0.0.1", "new", &json!({}))]);
        let slices = [slice(of("IPv4", &http(), &both))];
        let seen = sightings(slices.iter(), &named("http"), None).unwrap();
        let mut seen: Vec<_> =
            seen.iter().map(|seen| (seen.endpoint.instance.as_deref().unwrap(), seen.standing)).collect();
        seen.sort_unstable();
        assert_eq!(seen, [("new", Standing::Live), ("old", Standing::NotReady)]);
    }

    #[test]
    fn of_both_families_the_fourth_is_asked_and_the_sixth_where_there_is_no_other() {
        let none = json!({});
        let fourth = of("IPv4", &http(), &json!([one("10.0.0.1", "u1", &none)]));
        let sixth = of("IPv6", &http(), &json!([one("fd00::1", "u1", &none), one("fd00::2", "u2", &none)]));
        // However new the other family's slice is.
        let slices = [at(1, fourth), at(2, sixth)];
        assert_eq!(addresses(&slices, &named("http")), ["10.0.0.1:80", "[fd00::2]:80"]);
    }

    #[test]
    fn a_hint_is_for_us_if_it_names_our_zone() {
        let mut endpoints = json!([one("10.0.0.1", "u", &json!({}))]);
        let unhinted = slice(of("IPv4", &http(), &endpoints));
        endpoints[0]["hints"] = json!({ "forZones": [{ "name": "b" }, { "name": "c" }] });
        let hinted = slice(of("IPv4", &http(), &endpoints));
        for (slice, zone, expected) in [
            (&hinted, Some("c"), Some(true)),
            (&hinted, Some("a"), Some(false)),
            (&hinted, None, None),
            (&unhinted, Some("a"), None),
        ] {
            let seen = sightings([slice].into_iter(), &named("http"), zone).unwrap();
            assert_eq!(seen[0].for_us, expected, "{zone:?}");
        }
    }

    #[test]
    fn a_move_between_slices_in_either_order_ends_with_one() {
        let (with, without) = (json!([one("10.0.0.1", "u", &json!({}))]), json!([]));
        let (here, gone) = (of("IPv4", &http(), &with), of("IPv4", &http(), &without));
        for slices in [
            [slice(here.clone()), slice(gone.clone())],
            [slice(here.clone()), slice(here.clone())],
            [slice(gone.clone()), slice(here.clone())],
        ] {
            assert_eq!(addresses(&slices, &named("http")), ["10.0.0.1:80"]);
        }
    }
}

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use http::uri::Scheme;

use crate::model::{Address, Endpoint, Side};
use crate::tls::{ConnectSettings, Connector};

use super::at::At;
use super::check_addresses;
use super::check_process::duration_within;
use super::check_tls::{self, Files};
use super::checked::{ProcessConfig, Protocol};
use super::fault::Faults;
use super::parse::Lost;
use super::raw_sources::{RawCluster, RawHelios, RawSource};
use super::sources::{
    ClusterAccess, ClusterConfig, HostPort, Listed, MasterAddress, Masters, MastersConfig, Part, PortOf,
    Published, Registered, Source,
};

/// How often masters may be asked: seldom enough for them, and often enough for who is asked for.
const POLL: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_mins(1);

/// The largest share of one cluster beside another.
const MOST_WEIGHT: u16 = 1_000;

/// Checks where a side's endpoints come from. What is at fault is a source all the same: the side is meant to be there.
pub(super) fn parts(
    raw: At<RawSource>,
    side: Side,
    lost: &Lost,
    process: &ProcessConfig,
    files: Files<'_>,
    faults: &mut Faults<'_>,
) -> Vec<Part> {
    found(raw, side, lost, process, files, faults)
        .filter(|parts| !parts.is_empty())
        .unwrap_or_else(|| vec![Source::Listed(Listed::default()).into()])
}

fn found(
    raw: At<RawSource>,
    side: Side,
    lost: &Lost,
    process: &ProcessConfig,
    files: Files<'_>,
    faults: &mut Faults<'_>,
) -> Option<Vec<Part>> {
    let At { value: raw, span } = raw;
    no_strangers(&raw, side, faults);
    let ways = [raw.addresses.is_some(), raw.srv.is_some(), raw.service.is_some(), raw.job.is_some()];
    let found = match ways.iter().filter(|way| **way).count() {
        1 => None,
        0 => Some("a side without endpoints"),
        _ => Some("two sources for one side"),
    };
    if let Some(message) = found {
        let explained = ["addresses", "srv", "service", "job"].iter().any(|key| lost.has(key));
        if !explained {
            let label = format!("where does {} listen?", side.title());
            faults.at(&span, message, label).help(ways_of(side));
        }
        return None;
    }
    let source = if let Some(addresses) = raw.addresses {
        Source::Listed(listed(&addresses, side, process, faults)?)
    } else if let Some(srv) = raw.srv {
        Source::Srv(srv_name(&srv, faults)?)
    } else if side == Side::Helios {
        let what = registered(&raw, faults)?;
        Source::Helios(masters(raw.masters, &span, process, files, faults)?, what)
    } else {
        let what = published(&raw, &span, faults)?;
        match raw.clusters {
            Some(shares) => {
                return Some(several(&shares, raw.cluster.as_ref(), &what, process, faults));
            }
            None => Source::Kubernetes(cluster(raw.cluster.as_ref(), &span, process, faults)?, what),
        }
    };
    Some(vec![source.into()])
}

/// How a side's source can be written.
pub(super) fn ways_of(side: Side) -> &'static str {
    match side {
        Side::Helios => {
            "write one of addresses = [\"10.4.1.17:8080\"], srv = \"…\", service = \"…\" or job = \"…\" in source, or leave the side out"
        }
        Side::Kubernetes => {
            "write one of addresses = [\"10.4.1.17:8080\"], srv = \"…\", or namespace = \"…\" and service = \"…\" in source, or leave the side out"
        }
    }
}

/// Notes keys that say nothing for this way of finding endpoints.
fn no_strangers(raw: &RawSource, side: Side, faults: &mut Faults<'_>) {
    let helios = side == Side::Helios;
    let (by_service, by_job) = (raw.service.is_some(), raw.job.is_some());
    let span = |raw: &Option<At<String>>| raw.as_ref().map(|raw| raw.span.clone());
    let keys = [
        ("protocol", span(&raw.protocol), helios && by_service),
        ("job", span(&raw.job), helios),
        ("port", span(&raw.port), by_job || (!helios && by_service)),
        ("masters", raw.masters.as_ref().map(|raw| raw.span.clone()), helios && (by_service || by_job)),
        ("namespace", span(&raw.namespace), !helios && by_service),
        ("cluster", span(&raw.cluster), !helios && by_service),
        ("clusters", raw.clusters.as_ref().map(|raw| raw.span.clone()), !helios && by_service),
    ];
    for (key, span, fits) in keys {
        if let Some(span) = span.filter(|_| !fits) {
            let label = format!("{key} says nothing here");
            faults.at(&span, "a key of another source", label).help(ways_of(side));
        }
    }
}

fn listed(
    addresses: &At<Vec<At<String>>>,
    side: Side,
    process: &ProcessConfig,
    faults: &mut Faults<'_>,
) -> Option<Listed> {
    if addresses.value.is_empty() {
        let label = format!("where does {} listen?", side.title());
        faults.at(&addresses.span, "a side without endpoints", label).help(ways_of(side));
        return None;
    }
    let (mut fixed, mut names): (Vec<Endpoint>, Vec<HostPort>) = (Vec::new(), Vec::new());
    for raw in &addresses.value {
        let twice = if let Some(name) = host_port(raw.value.trim()) {
            let twice = names.contains(&name);
            names.push(name);
            twice
        } else {
            let Some(address) = check_addresses::endpoint(raw, faults) else { continue };
            own_listener(raw, &address, process, faults);
            let endpoint = Endpoint::at(address);
            let twice = fixed.contains(&endpoint);
            fixed.push(endpoint);
            twice
        };
        if twice {
            faults
                .at(&raw.span, "the same endpoint twice", "it would get twice its share")
                .help("leave this one out");
        }
    }
    Some(Listed { fixed: fixed.into(), names: names.into() })
}

fn own_listener(raw: &At<String>, address: &Address, process: &ProcessConfig, faults: &mut Faults<'_>) {
    if let Some(own) = process.listeners.iter().find(|own| own.address == *address) {
        let label = format!("this is Switchback's own listener {}", own.name);
        faults
            .at(&raw.span, "requests would go in circles", label)
            .help("write the address at which the service itself listens");
    } else if address.tcp().is_some_and(|address| address.port() == 0) {
        faults
            .at(&raw.span, "no port", "port 0 cannot be connected to")
            .help("write the port at which the service itself listens");
    }
}

/// A host's name and port, if that is what it looks like: an address is none.
fn host_port(text: &str) -> Option<HostPort> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port != 0)?;
    is_name(host).then(|| HostPort { host: host.to_ascii_lowercase().into(), port })
}

/// Whether a host has this name (RFC 1123), which may end in a dot. What ends in a number would be an address.
pub(super) fn is_name(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (1..=63).contains(&label.len())
            && label.bytes().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = host.rsplit('.').next().unwrap_or_default();
    host.len() <= 253 && host.split('.').all(label) && !last.bytes().all(|byte| byte.is_ascii_digit())
}

fn srv_name(raw: &At<String>, faults: &mut Faults<'_>) -> Option<Arc<str>> {
    let name = raw.value.trim();
    let parts: Vec<&str> = name.split('.').collect();
    if is_name(name) && parts.len() > 2 && parts[0].starts_with('_') && parts[1].starts_with('_') {
        return Some(name.to_ascii_lowercase().into());
    }
    faults
        .at(&raw.span, "not a name of SRV records", "a service, a protocol and a domain")
        .help("such as _playlist._http.services.gew1.example.net");
    None
}

fn registered(raw: &RawSource, faults: &mut Faults<'_>) -> Option<Registered> {
    match (&raw.service, &raw.job) {
        (Some(service), _) => {
            if service.value.contains('/') {
                let help = "write what stands behind the slash as protocol = \"…\"";
                faults.at(&service.span, "not a service's name", "a name without a slash").help(help);
                return None;
            }
            let protocol = match &raw.protocol {
                Some(protocol) => filled(protocol, faults)?,
                None => "http".into(),
            };
            Some(Registered::Service { service: filled(service, faults)?, protocol })
        }
        (None, Some(job)) => {
            if job.value.contains(':') {
                faults
                    .at(&job.span, "not a job's name", "a version's endpoints would go with the version")
                    .help("leave the version and the hash out");
                return None;
            }
            let Some(port) = &raw.port else {
                faults
                    .at(&job.span, "a job without a port", "which of its ports are requests sent to?")
                    .help("add port = \"http\", by the name that the job gives it");
                return None;
            };
            Some(Registered::Job { job: filled(job, faults)?, port: filled(port, faults)? })
        }
        (None, None) => None,
    }
}

fn published(raw: &RawSource, span: &Range<usize>, faults: &mut Faults<'_>) -> Option<Published> {
    let Some(namespace) = &raw.namespace else {
        faults
            .at(span, "a service without a namespace", "in which namespace is it?")
            .help("add namespace = \"…\"");
        return None;
    };
    let port = raw.port.as_ref().map(|port| {
        let text = filled(port, faults)?;
        Some(match text.parse() {
            Ok(number) if number != 0 => PortOf::Number(number),
            Ok(_) | Err(_) => PortOf::Name(text),
        })
    });
    let service = object_name(raw.service.as_ref()?, faults);
    let namespace = object_name(namespace, faults);
    let port = match port {
        None => None,
        Some(port) => Some(port?),
    };
    Some(Published { namespace: namespace?, service: service?, port })
}

/// A name as Kubernetes' objects have (RFC 1123).
fn object_name(raw: &At<String>, faults: &mut Faults<'_>) -> Option<Arc<str>> {
    let text = raw.value.trim();
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if (1..=63).contains(&text.len())
        && text.bytes().all(fits)
        && !text.starts_with('-')
        && !text.ends_with('-')
    {
        return Some(text.into());
    }
    faults.at(&raw.span, "not a name of Kubernetes", "lower-case letters, digits and hyphens, at most 63");
    None
}

fn filled(raw: &At<String>, faults: &mut Faults<'_>) -> Option<Arc<str>> {
    let text = raw.value.trim();
    if text.is_empty() {
        faults.at(&raw.span, "nothing", "a name is missing here");
        return None;
    }
    Some(text.into())
}

fn masters(
    raw: Option<At<Vec<At<String>>>>,
    span: &Range<usize>,
    process: &ProcessConfig,
    files: Files<'_>,
    faults: &mut Faults<'_>,
) -> Option<Arc<MastersConfig>> {
    let Some(raw) = raw else {
        if process.helios.is_none() {
            faults.at(span, "no masters of Helios", "who knows where the service runs?").help(
                "add masters = [\"http://…:5801\"] here, or a section [helios] with them to switchback.toml",
            );
        }
        return process.helios.clone();
    };
    let found = Masters::Listed(master_list(&raw, faults)?);
    let tls = trust(&found, &raw.span, files, faults);
    // A token is for those that it was written for.
    Some(Arc::new(MastersConfig { found, poll: MastersConfig::POLL, token: None, is_of_service: true, tls }))
}

/// The clusters that a service is on, and the share of each.
fn several(
    shares: &At<BTreeMap<String, At<i64>>>,
    single: Option<&At<String>>,
    what: &Published,
    process: &ProcessConfig,
    faults: &mut Faults<'_>,
) -> Vec<Part> {
    if let Some(single) = single {
        faults
            .at(&single.span, "cluster and clusters", "the same is said twice")
            .help("leave cluster out, or clusters");
    }
    let mut parts = Vec::new();
    for (name, share) in &shares.value {
        let cluster = known_cluster(name, &share.span, process, faults);
        let weight = u16::try_from(share.value).ok().filter(|weight| MOST_WEIGHT >= *weight);
        if weight.is_none() {
            let label = format!("a share is 0 to {MOST_WEIGHT}");
            faults.at(&share.span, "not a cluster's share", label).help("2 gets twice as much as 1");
        }
        let (Some(cluster), Some(weight)) = (cluster, weight) else { continue };
        let source = Source::Kubernetes(cluster, what.clone());
        parts.push(Part { cluster: Some(name.as_str().into()), weight, source });
    }
    if parts.len() == shares.value.len() && parts.iter().all(|part| part.weight == 0) {
        faults
            .at(&shares.span, "no cluster gets anything", "requests could be sent nowhere")
            .help("give one of them a share: clusters = { gew1 = 1 }");
    }
    parts
}

fn names(process: &ProcessConfig) -> String {
    process.clusters.keys().map(|name| &**name).collect::<Vec<_>>().join(", ")
}

fn known_cluster(
    name: &str,
    span: &Range<usize>,
    process: &ProcessConfig,
    faults: &mut Faults<'_>,
) -> Option<Arc<ClusterConfig>> {
    let found = process.clusters.get(name).cloned();
    if found.is_none() {
        let help = match names(process) {
            none if none.is_empty() => "add [clusters.NAME] to switchback.toml".to_owned(),
            names => format!("the clusters of switchback.toml are {names}"),
        };
        faults.at(span, "an unknown cluster", "no cluster has this name").help(help);
    }
    found
}

fn cluster(
    raw: Option<&At<String>>,
    span: &Range<usize>,
    process: &ProcessConfig,
    faults: &mut Faults<'_>,
) -> Option<Arc<ClusterConfig>> {
    match raw {
        Some(raw) => known_cluster(raw.value.trim(), &raw.span, process, faults),
        None if process.clusters.is_empty() => {
            Some(Arc::new(ClusterConfig { name: "".into(), access: ClusterAccess::InCluster, zone: None }))
        }
        None if process.clusters.len() == 1 => process.clusters.values().next().cloned(),
        None => {
            faults.at(span, "which cluster?", "there are several").help(format!(
                "add cluster = \"…\": one of {}; or clusters = {{ … }} with a share for each",
                names(process)
            ));
            None
        }
    }
}

/// Checks the section `helios` of `switchback.toml`.
pub(super) fn helios(
    raw: At<RawHelios>,
    lost: &Lost,
    files: Files<'_>,
    faults: &mut Faults<'_>,
) -> Option<Arc<MastersConfig>> {
    let At { value: raw, span } = raw;
    let found = match (&raw.masters, &raw.domain) {
        (Some(masters), None) => master_list(masters, faults).map(Masters::Listed),
        (None, Some(domain)) if is_name(domain.value.trim()) => {
            Some(Masters::Domain(domain.value.trim().to_ascii_lowercase().into()))
        }
        (None, Some(domain)) => {
            faults.at(&domain.span, "not a domain", "such as gew1.example.net");
            None
        }
        (Some(_), Some(domain)) => {
            faults.at(&domain.span, "masters twice", "listed, and by a domain").help("keep one of the two");
            None
        }
        (None, None) => {
            if !lost.has("masters") && !lost.has("domain") {
                faults
                    .at(&span, "no masters of Helios", "who knows where services run?")
                    .help("add masters = [\"http://…:5801\"], or domain = \"…\"");
            }
            None
        }
    };
    let poll = duration_within(raw.poll, &POLL, MastersConfig::POLL, faults);
    let token = raw.token.and_then(|raw| check_tls::file(&raw, faults));
    let found = found?;
    let tls = match raw.tls {
        Some(raw) => Some(check_tls::connect(raw, Protocol::Http1, lost, files, faults)),
        None => trust(&found, &span, files, faults),
    };
    Some(Arc::new(MastersConfig { found, poll, token, is_of_service: false, tls }))
}

/// Trust in those that the system trusts, if some masters are reached over TLS. Whether those of a domain are is not known
/// yet, and no fault if they are not.
fn trust(
    masters: &Masters,
    span: &Range<usize>,
    files: Files<'_>,
    faults: &mut Faults<'_>,
) -> Option<Arc<Connector>> {
    let settings =
        ConnectSettings { roots: None, name: None, identities: Vec::new(), certificate: None, http2: false };
    match masters {
        Masters::Listed(masters) if !masters.iter().any(|master| master.tls) => None,
        Masters::Listed(_) => Some(check_tls::connector(settings, span, files, faults)),
        Masters::Domain(_) => Some(Arc::new(Connector::new(settings))),
    }
}

fn master_list(raw: &At<Vec<At<String>>>, faults: &mut Faults<'_>) -> Option<Vec<MasterAddress>> {
    if raw.value.is_empty() {
        faults
            .at(&raw.span, "no masters of Helios", "at least one")
            .help("such as \"http://helios-master-1:5801\"");
        return None;
    }
    // All of them are looked at: every fault is told at once.
    let masters: Vec<_> = raw.value.iter().map(|raw| master(raw, faults)).collect();
    masters.into_iter().collect()
}

fn master(raw: &At<String>, faults: &mut Faults<'_>) -> Option<MasterAddress> {
    let parsed = raw.value.trim().parse::<Uri>().ok().and_then(|uri| {
        let tls = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTP => false,
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(_) | None => return None,
        };
        let authority = uri.authority()?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let is_host = is_name(host) || host.parse::<IpAddr>().is_ok();
        let bare = uri.path() == "/" && uri.query().is_none() && !authority.as_str().contains('@');
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        (is_host && bare && port != 0).then(|| MasterAddress {
            tls,
            host: host.to_ascii_lowercase().into(),
            port,
        })
    });
    if parsed.is_none() {
        faults
            .at(&raw.span, "not a master's address", "http or https, a host and a port")
            .help("such as http://helios-master-1:5801, without a path or a user");
    }
    parsed
}

/// Checks the sections `clusters` of `switchback.toml`.
pub(super) fn clusters(
    raw: BTreeMap<String, At<RawCluster>>,
    faults: &mut Faults<'_>,
) -> BTreeMap<Arc<str>, Arc<ClusterConfig>> {
    let mut clusters = BTreeMap::new();
    for (name, At { value: raw, span }) in raw {
        if name.trim().is_empty() || name.trim() != name {
            faults.at(&span, "a cluster without a name", "services refer to it by its name");
            continue;
        }
        let access = match (raw.kubeconfig, raw.context) {
            (Some(file), context) => {
                let Some(file) = check_tls::file(&file, faults) else { continue };
                ClusterAccess::Kubeconfig { file, context: context.map(|context| context.value) }
            }
            (None, Some(context)) => {
                faults
                    .at(&context.span, "a context of no kubeconfig", "contexts stand in a kubeconfig")
                    .help("add kubeconfig = \"…\"");
                continue;
            }
            (None, None) => ClusterAccess::InCluster,
        };
        let zone = raw.zone.and_then(|zone| filled(&zone, faults));
        let name: Arc<str> = name.into();
        clusters.insert(name.clone(), Arc::new(ClusterConfig { name, access, zone }));
    }
    clusters
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_no_addresses() {
        for (text, port) in [("playlist.internal:80", 80), ("localhost:8080", 8080), ("A-b.example.:1", 1)] {
            assert_eq!(host_port(text).map(|name| name.port), Some(port), "{text}");
        }
        for text in [
            "10.4.1.17:80",
            "[::1]:80",
            "playlist",
            "a:0",
            "a:b",
            "-a:1",
            "a..b:1",
            "1.2.3:4",
            "unix:/a:1",
            ":80",
        ] {
            assert_eq!(host_port(text), None, "{text}");
        }
    }
}

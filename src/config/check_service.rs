use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::model::{GrpcMethods, PerSide, ServiceName, Side, Weight};
use crate::splitter::{Force, Sticky};
use crate::verdict::Rule;

use super::at::At;
use super::check_addresses;
use super::check_checks::{self, Setting};
use super::check_failures;
use super::check_headers::{self, Written, header_name};
use super::check_limits;
use super::check_process::{duration, within};
use super::check_ramp;
use super::check_sources;
use super::check_tls::{self, Files};
use super::checked::{
    Affinity, HostPattern, JudgeConfig, JudgeMode, MatchConfig, PathPrefix, Phase, ProcessConfig, Protocol,
    ProxyProtocol, RescueConfig, ServiceConfig, SideConfig, StreamEnd, StreamsConfig, TimeoutsConfig,
};
use super::fault::Faults;
use super::fleet::FleetConfig;
use super::parse::Lost;
use super::raw_service::{
    RawAffinity, RawEjection, RawForce, RawJudge, RawMatch, RawMode, RawPhase, RawProtocol, RawProxyProtocol,
    RawRescue, RawService, RawSide, RawSticky, RawStreams, RawTimeouts,
};
use super::units;

/// The most that is kept of a request's body: it is memory, for each request in flight.
const MOST_BODY_BYTES: usize = 16 << 20;

/// Checks one service's file, and tells where each of its hosts stands. What is at fault gets its default: the
/// result counts only if no fault was found.
pub(super) fn check(
    name: ServiceName,
    raw: RawService,
    lost: &Lost,
    (process, fleet): (&ProcessConfig, &FleetConfig),
    files: Files<'_>,
    faults: &mut Faults<'_>,
) -> (ServiceConfig, Vec<Range<usize>>) {
    let team = team(raw.team, lost, faults);
    let (matches, host_places) = matches(raw.matches, lost, process, faults);
    let split = raw.split.unwrap_or_default();
    let are_written = PerSide { helios: raw.helios.is_some(), kubernetes: raw.kubernetes.is_some() };
    let sides = PerSide {
        helios: side(raw.helios, Side::Helios, &matches, lost, process, files, faults),
        kubernetes: side(raw.kubernetes, Side::Kubernetes, &matches, lost, process, files, faults),
    };
    let weight = weight(split.kubernetes.as_ref(), are_written, lost, faults);
    let rehosts = sides.iter().any(|(_, side)| side.host.is_some());
    let written = Written { headers: raw.headers, rewrite: raw.rewrite, trace: raw.trace, rehosts };
    let changes = check_headers::check(written, &matches.paths, faults);
    let service = ServiceConfig {
        name,
        team,
        owner: raw.owner.and_then(|raw| said(&raw, faults)),
        contact: raw.contact.and_then(|raw| said(&raw, faults)),
        phase: raw.phase.map_or(Phase::Experiment, |phase| match phase.value {
            RawPhase::Experiment => Phase::Experiment,
            RawPhase::Alpha => Phase::Alpha,
            RawPhase::Beta => Phase::Beta,
            RawPhase::General => Phase::General,
        }),
        matches,
        weight,
        sticky: split.sticky.and_then(|raw| sticky(raw, lost, faults)),
        affinity: split.affinity.and_then(|raw| affinity(raw, lost, faults)),
        force: split.force.and_then(|raw| force(raw, lost, faults)),
        sides,
        timeouts: timeouts(raw.timeouts.unwrap_or_default(), faults),
        streams: streams(raw.streams.unwrap_or_default(), faults),
        failures: check_failures::check(raw.failures.unwrap_or_default(), lost, faults),
        rescue: rescue(raw.rescue.unwrap_or_default(), faults),
        limits: check_limits::service(raw.limits.unwrap_or_default(), faults),
        changes,
        most_ejected: ejection(raw.ejection.unwrap_or_default(), faults),
        judge: judge(raw.judge.unwrap_or_default(), faults),
        plan: check_ramp::check(raw.ramp.unwrap_or_default(), fleet, lost, faults),
        approvals: raw
            .approvals
            .and_then(|approvals| approvals.raises)
            .map_or(fleet.approvals, |raises| raises.value),
    };
    (service, host_places)
}

fn team(raw: Option<At<String>>, lost: &Lost, faults: &mut Faults<'_>) -> Arc<str> {
    match raw {
        Some(raw) if raw.value.trim().is_empty() => {
            faults.at(&raw.span, "no team", "who is asked when this service is taken back?");
            "".into()
        }
        Some(raw) => raw.value.trim().into(),
        None => {
            if !lost.has("team") {
                faults
                    .whole("no team", "who is asked when this service is taken back?")
                    .help("add team = \"…\"");
            }
            "".into()
        }
    }
}

/// Who, or where: whatever people understand, but for nothing at all.
fn said(raw: &At<String>, faults: &mut Faults<'_>) -> Option<Arc<str>> {
    let text = raw.value.trim();
    if text.is_empty() || text.chars().any(char::is_control) {
        faults.at(&raw.span, "nobody", "one line of text, such as anna@example.net or #playlist-oncall");
        return None;
    }
    Some(text.into())
}

fn matches(
    raw: Option<At<RawMatch>>,
    lost: &Lost,
    process: &ProcessConfig,
    faults: &mut Faults<'_>,
) -> (MatchConfig, Vec<Range<usize>>) {
    let span = raw.as_ref().map(|raw| raw.span.clone());
    let raw = raw.map(|raw| raw.value).unwrap_or_default();
    let mut hosts = Vec::new();
    match raw.hosts.filter(|hosts| !hosts.value.is_empty()) {
        Some(raw) => {
            for raw in &raw.value {
                let Some(host) = host_pattern(raw, faults) else { continue };
                if hosts.iter().any(|(other, _)| *other == host) {
                    faults.at(&raw.span, "the same host twice", "once is enough").help("leave this one out");
                    continue;
                }
                hosts.push((host, raw.span.clone()));
            }
        }
        None if lost.has("hosts") || lost.has("match") => {}
        None => {
            let question = "requests to which host are this service's?";
            let fault = match span {
                Some(span) => faults.at(&span, "no host", question),
                None => faults.whole("no host", question),
            };
            fault.help("add hosts = [\"…\"] to [match]; [\"*\"] takes every host");
        }
    }
    let paths = match raw.paths {
        Some(raw) if raw.value.is_empty() && !lost.has("paths") => {
            faults.at(&raw.span, "no path", "leave paths out to take every path");
            Vec::new()
        }
        Some(raw) => raw.value.iter().filter_map(|path| path_prefix(path, faults)).collect(),
        None => vec![PathPrefix::new("/")],
    };
    let (hosts, places) = hosts.into_iter().unzip();
    (
        MatchConfig {
            listeners: listeners(raw.listeners.unwrap_or_default(), process, faults),
            hosts,
            paths,
        },
        places,
    )
}

fn listeners(raw: Vec<At<String>>, process: &ProcessConfig, faults: &mut Faults<'_>) -> Vec<Arc<str>> {
    let mut listeners = Vec::new();
    for raw in raw {
        let known = process.listeners.iter().find(|known| *known.name == *raw.value);
        if let Some(known) = known {
            listeners.push(known.name.clone());
        } else if !process.listeners.is_empty() {
            let names: Vec<&str> = process.listeners.iter().map(|listener| &*listener.name).collect();
            faults.at(&raw.span, "unknown listener", format!("switchback.toml has {}", names.join(", ")));
        }
    }
    listeners
}

fn host_pattern(raw: &At<String>, faults: &mut Faults<'_>) -> Option<HostPattern> {
    let text = raw.value.trim().to_ascii_lowercase();
    let (domain, below) = match text.strip_prefix("*.") {
        _ if text == "*" => return Some(HostPattern::Any),
        Some(domain) => (domain, true),
        None => (text.as_str(), false),
    };
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    let label_fits = |label: &str| !label.is_empty() && label.len() <= 63 && label.bytes().all(plain);
    let ipv6 = domain.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let is_ipv6 = !below && ipv6.is_some_and(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok());
    if is_ipv6 || (domain.len() <= 253 && domain.split('.').all(label_fits)) {
        let domain = domain.to_owned();
        return Some(if below { HostPattern::Below(domain) } else { HostPattern::Exact(domain) });
    }
    let fault = faults.at(&raw.span, "not a host name", "a name, *.name for everything below it, or *");
    if domain.contains("://") {
        fault.help("leave out the scheme");
    } else if domain.contains('/') {
        fault.help("leave out the path: it belongs in paths");
    } else if domain.contains(':') {
        fault.help("leave out the port: a service is found by the host's name alone");
    } else if domain.contains('*') {
        fault.help("the star stands for whole labels, and only at the start");
    }
    None
}

pub(super) fn path_prefix(raw: &At<String>, faults: &mut Faults<'_>) -> Option<PathPrefix> {
    let path = raw.value.as_str();
    let wrong = if !path.starts_with('/') {
        "begin it with a slash"
    } else if path.contains(['?', '#']) {
        "leave out the query: only the path is matched"
    } else if path.contains('*') {
        "leave out the star: every prefix takes all that lies below it"
    } else if path.contains("//") || path.contains(char::is_whitespace) || !path.is_ascii() {
        "write it as it stands in a request, percent-encoded"
    } else {
        return Some(PathPrefix::new(path));
    };
    faults.at(&raw.span, "not a path prefix", "such as /v1/").help(wrong);
    None
}

fn weight(raw: Option<&At<f64>>, are_written: PerSide<bool>, lost: &Lost, faults: &mut Faults<'_>) -> Weight {
    let weight = raw.map_or(Some(Weight::ZERO), |raw| percentage(raw, faults));
    let Some(weight) = weight.filter(|_| !lost.has("kubernetes") || raw.is_some()) else {
        return Weight::ZERO;
    };
    for (side, has_share) in
        [(Side::Kubernetes, weight > Weight::ZERO), (Side::Helios, weight < Weight::FULL)]
    {
        // What is wrong with a side that is written has been told.
        if !has_share || are_written[side] || lost.has(side.as_str()) {
            continue;
        }
        let message = format!("weight for a side that is not there: {side}");
        let label = format!("at {weight} % {} gets requests, but has no addresses", side.title());
        let fault = match raw {
            Some(raw) => faults.at(&raw.span, &message, label),
            None => faults.whole(&message, label),
        };
        let without = match side {
            Side::Helios => 100,
            Side::Kubernetes => 0,
        };
        fault.help(format!(
            "add source = {{ addresses = [\"…\"] }} to [{side}], or kubernetes = {without} to [split]"
        ));
    }
    weight
}

pub(super) fn percentage(raw: &At<f64>, faults: &mut Faults<'_>) -> Option<Weight> {
    let label = "a percentage: 0 to 100, in steps of 0.01";
    let Some(weight) = Weight::from_percent(raw.value) else {
        let over = raw.value > 100.0;
        let message = if over { "weight is over 100" } else { "weight is not a percentage" };
        let fault = faults.at(&raw.span, message, label);
        if let Some(meant) = [10.0, 100.0].map(|factor| raw.value / factor).into_iter().find(|w| *w <= 100.0)
            && over
        {
            fault.help(format!("did you mean {meant:?}?"));
        }
        return None;
    };
    if (weight.percent() - raw.value).abs() > 1e-9 {
        faults.at(&raw.span, "weight is finer than a step", label).help(format!("did you mean {weight}?"));
    }
    Some(weight)
}

fn sticky(raw: At<RawSticky>, lost: &Lost, faults: &mut Faults<'_>) -> Option<Sticky> {
    let RawSticky { header, cookie, client_address } = raw.value;
    let by_address = client_address.as_ref().is_some_and(|by| by.value);
    match (header, cookie, by_address) {
        (Some(header), None, false) => header_name(&header, faults).map(Sticky::Header),
        (None, Some(cookie), false) => {
            let token = !cookie.value.is_empty() && cookie.value.bytes().all(|b| b.is_ascii_graphic());
            if token && !cookie.value.contains(['=', ';', ',', '"']) {
                return Some(Sticky::Cookie(cookie.value));
            }
            faults.at(&cookie.span, "not a cookie's name", "such as session");
            None
        }
        (None, None, true) => Some(Sticky::ClientAddress),
        (None, None, false) => {
            if !["header", "cookie", "client-address"].iter().any(|key| lost.has(key)) {
                faults
                    .at(&raw.span, "sticky by what?", "names nothing")
                    .help("one of { header = \"…\" }, { cookie = \"…\" }, { client-address = true }");
            }
            None
        }
        _ => {
            faults
                .at(&raw.span, "sticky by two things", "a user has one place")
                .help("keep one of header, cookie and client-address");
            None
        }
    }
}

fn affinity(raw: At<RawAffinity>, lost: &Lost, faults: &mut Faults<'_>) -> Option<Affinity> {
    let At { value: RawAffinity { header, cookie, client_address, path }, span } = raw;
    let by_path = path.as_ref().is_some_and(|by| by.value);
    let others = [header.is_some(), cookie.is_some(), client_address.as_ref().is_some_and(|by| by.value)];
    match others.iter().filter(|other| **other).count() + usize::from(by_path) {
        1 if by_path => Some(Affinity::Path),
        1 => {
            let by = RawSticky { header, cookie, client_address };
            sticky(At { value: by, span }, lost, faults).map(Affinity::User)
        }
        count => {
            if count > 1 || !["header", "cookie", "client-address", "path"].iter().any(|key| lost.has(key)) {
                let message = if count == 0 { "affinity by what?" } else { "affinity by several things" };
                faults.at(&span, message, "what is it that requests for one endpoint have in common?").help(
                    "one of { header = \"…\" }, { cookie = \"…\" }, { client-address = true }, { path = true }",
                );
            }
            None
        }
    }
}

fn force(raw: At<RawForce>, lost: &Lost, faults: &mut Faults<'_>) -> Option<Force> {
    let header = match raw.value.header {
        Some(header) => header_name(&header, faults)?,
        None => http::HeaderName::from_static("x-switchback-side"),
    };
    let listed = raw.value.from.as_ref().is_some_and(|from| !from.value.is_empty());
    if !listed && !lost.has("from") {
        faults
            .at(&raw.span, "force from whom?", "nobody is trusted to name the side")
            .help("add from = [\"10.20.0.0/16\"], the networks of the callers that may");
        return None;
    }
    let from = raw.value.from.map(|from| from.value).unwrap_or_default();
    let from = from.iter().filter_map(|net| network(net, faults)).collect();
    Some(Force { header, from })
}

pub(super) fn network(raw: &At<String>, faults: &mut Faults<'_>) -> Option<IpNet> {
    let text = raw.value.trim();
    let net = text.parse::<IpNet>().or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from)).ok();
    if net.is_none() {
        faults.at(&raw.span, "not a network", "such as 10.20.0.0/16, fd00::/8 or 10.20.3.4");
    }
    net
}

fn side(
    raw: Option<At<RawSide>>,
    side: Side,
    matches: &MatchConfig,
    lost: &Lost,
    process: &ProcessConfig,
    files: Files<'_>,
    faults: &mut Faults<'_>,
) -> SideConfig {
    let Some(raw) = raw else { return SideConfig::default() };
    let protocol = match raw.value.protocol.map(|protocol| protocol.value) {
        None | Some(RawProtocol::Http1) => Protocol::Http1,
        Some(RawProtocol::Http2) => Protocol::Http2,
    };
    let tls = raw.value.tls.map(|raw| check_tls::connect(raw, protocol, lost, files, faults));
    let host = raw.value.host.and_then(|raw| check_headers::host(&raw, faults));
    let proxy_protocol = raw.value.proxy_protocol.map(|version| match version.value {
        RawProxyProtocol::V1 => ProxyProtocol::V1,
        RawProxyProtocol::V2 => ProxyProtocol::V2,
    });
    let check = raw.value.check.and_then(|check| {
        let addresses = raw.value.source.as_ref().and_then(|source| source.value.addresses.as_ref());
        let addresses = addresses.map(|addresses| &addresses.value[..]).unwrap_or_default();
        let setting = Setting { protocol, proxy_protocol, host: host.as_ref(), matches, addresses };
        check_checks::check(check, &setting, lost, faults).map(Arc::new)
    });
    let Some(written) = raw.value.source else {
        if !lost.has("source") {
            let label = format!("where does {} listen?", side.title());
            faults.at(&raw.span, "a side without endpoints", label).help(check_sources::ways_of(side));
        }
        return SideConfig::default();
    };
    if let (Some(connector), Some(addresses)) = (&tls, &written.value.addresses) {
        check_addresses::has_name(connector, &addresses.value, faults);
    }
    let parts = check_sources::parts(written, side, lost, process, files, faults);
    let in_flight = check_limits::in_flight(raw.value.in_flight, faults);
    let idle_connections = duration(raw.value.idle_connections, SideConfig::IDLE_CONNECTIONS, faults);
    let capacity = check_limits::capacity(raw.value.capacity, faults);
    SideConfig { parts, protocol, tls, proxy_protocol, host, in_flight, idle_connections, capacity, check }
}

fn timeouts(raw: RawTimeouts, faults: &mut Faults<'_>) -> TimeoutsConfig {
    let default = TimeoutsConfig::default();
    let header_span = raw.header.as_ref().map(|raw| raw.span.clone());
    let request_span = raw.request.as_ref().map(|raw| raw.span.clone());
    let checked = TimeoutsConfig {
        connect: duration(raw.connect, default.connect, faults),
        header: duration(raw.header, default.header, faults),
        request: duration(raw.request, default.request, faults),
        idle: duration(raw.idle, default.idle, faults),
        stream_idle: duration(raw.stream_idle, default.stream_idle, faults),
    };
    if let Some(span) = header_span.or(request_span)
        && checked.header > checked.request
    {
        let label = format!(
            "one try may take {}, all tries together {}",
            units::in_words(checked.header),
            units::in_words(checked.request)
        );
        faults
            .at(&span, "no time for a rescue", label)
            .help("make header shorter than request, so that Helios can still be asked");
    }
    checked
}

fn streams(raw: RawStreams, faults: &mut Faults<'_>) -> StreamsConfig {
    StreamsConfig {
        on_revert: stream_end(raw.on_revert, faults),
        on_shutdown: stream_end(raw.on_shutdown, faults),
    }
}

fn stream_end(raw: Option<At<String>>, faults: &mut Faults<'_>) -> StreamEnd {
    let Some(raw) = raw else { return StreamEnd::default() };
    match raw.value.trim() {
        "finish" => return StreamEnd::Finish,
        "close" => return StreamEnd::CloseAfter(Duration::ZERO),
        text => {
            let after = text.strip_prefix("close after ").map(units::parse_duration);
            if let Some(Ok(after)) = after {
                return StreamEnd::CloseAfter(after);
            }
            let help = match after {
                Some(Err(wanted)) => format!("how long: {wanted}"),
                _ if units::parse_duration(text).is_ok() => format!("did you mean close after {text}?"),
                _ => "finish lets them end by themselves, close ends them at once".to_owned(),
            };
            faults.at(&raw.span, "not a word on streams", "finish, close, or close after 30s").help(help);
        }
    }
    StreamEnd::default()
}

fn rescue(raw: RawRescue, faults: &mut Faults<'_>) -> RescueConfig {
    let default = RescueConfig::default();
    let body_bytes = raw.body.map_or(default.body_bytes, |raw| match units::parse_size(&raw.value) {
        Ok(bytes) if bytes <= MOST_BODY_BYTES => bytes,
        Ok(_) => {
            faults.at(&raw.span, "too much to keep", "at most 16MiB, for each request in flight");
            default.body_bytes
        }
        Err(wanted) => {
            faults.at(&raw.span, "not a size", wanted);
            default.body_bytes
        }
    });
    let budget = raw.budget.map_or(default.budget, |raw| {
        if (0.0..=100.0).contains(&raw.value) {
            return raw.value / 100.0;
        }
        faults.at(&raw.span, "budget is not a percentage", "0 to 100, of the requests that go to Kubernetes");
        default.budget
    });
    let mut grpc = GrpcMethods::default();
    for raw in raw.grpc.into_iter().flat_map(|methods| methods.value) {
        if !grpc.add(&raw.value) {
            faults
                .at(&raw.span, "not a gRPC method", "such as shop.Cart/Get, or shop.Catalog/*")
                .help("as it stands in a request's path, without the slash at its beginning");
        }
    }
    let enabled = raw.enabled.is_none_or(|enabled| enabled.value);
    let hedge = raw.hedge.is_some_and(|hedge| hedge.value);
    RescueConfig { enabled, body_bytes, grpc, hedge, budget }
}

fn ejection(raw: RawEjection, faults: &mut Faults<'_>) -> u8 {
    let most = raw.most.and_then(|raw| within(&raw, 0..=100, "percent of a side's endpoints", faults));
    most.and_then(|most| u8::try_from(most).ok()).unwrap_or(ServiceConfig::MOST_EJECTED)
}

fn judge(raw: RawJudge, faults: &mut Faults<'_>) -> JudgeConfig {
    let default = Rule::default();
    let mode = match raw.mode.map(|mode| mode.value) {
        None | Some(RawMode::Revert) => JudgeMode::Revert,
        Some(RawMode::Advise) => JudgeMode::Advise,
        Some(RawMode::Off) => JudgeMode::Off,
    };
    let promise_span = raw.false_revert_every.as_ref().map(|raw| raw.span.clone());
    let false_revert_every = duration(raw.false_revert_every, default.false_revert_every, faults);
    if let Some(span) = promise_span
        && false_revert_every < JudgeConfig::SHORTEST_PROMISE
    {
        faults
            .at(&span, "a promise that would be broken all day", "at least 1m")
            .help("this is how rarely a revert may come that was not called for: 30d, 1y");
    }
    let tolerate = raw.tolerate.map(|raw| raw.value).unwrap_or_default();
    let failures = tolerance(tolerate.failures, default.failures, units::parse_failures, faults);
    let slower = tolerance(tolerate.slower, default.slower, units::parse_slower, faults);
    JudgeConfig { mode, rule: Rule { false_revert_every, failures, slower } }
}

fn tolerance<T>(
    raw: Option<At<String>>,
    default: T,
    parse: impl FnOnce(&str) -> Result<T, String>,
    faults: &mut Faults<'_>,
) -> T {
    let Some(raw) = raw else { return default };
    parse(&raw.value).unwrap_or_else(|wanted| {
        faults.at(&raw.span, "not a tolerance", wanted);
        default
    })
}
